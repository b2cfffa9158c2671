/** What the cluster has agreed on about a partition: who leads it, who is in sync, who else may lead it one day (KIP-966). */

/** A broker as the controller and every leader see it. */
export interface BrokerView {
  readonly id: number
  /** Of the registration that the controller accepted; -1: none. */
  readonly epoch: number
  /** Registered, and not yet (or no longer) able to serve. */
  readonly fenced: boolean
  readonly shuttingDown: boolean
}

/** As Kafka keeps it in `/brokers/topics/T/partitions/P/state`, and a few values more. `partitionEpoch` is the node's version. */
export interface PartitionState {
  /** -1: none. */
  readonly leader: number
  readonly leaderEpoch: number
  /**
   * The incarnation that was elected: a broker leads in this leader epoch only while its own epoch is this one, or it would
   * resume after a restart with a shorter log. -1 without a leader.
   */
  readonly leaderBrokerEpoch: number
  readonly controllerEpoch: number
  readonly partitionEpoch: number
  readonly isr: readonly number[]
  /** Outside the ISR, and certain to hold everything below the high watermark. Empty while the ISR has `minIsr` members. */
  readonly elr: readonly number[]
  /** Once in the ISR or the ELR, and no longer certain to be whole. */
  readonly lastKnownElr: readonly number[]
  /** 1 after an unclean election, until the leader reported that it recovered. */
  readonly leaderRecoveryState: 0 | 1
  /** Effective: the smaller of `min.insync.replicas` and the number of replicas. The one that leader and controller look at. */
  readonly minIsr: number
}

/** The brokers that have a partition, the preferred leader first. */
export interface Assignment {
  readonly replicas: readonly number[]
  /** Of the replicas: those that a reassignment brings, and those that it takes away. */
  readonly adding: readonly number[]
  readonly removing: readonly number[]
}

/** Registered, serving, and here to stay: it may lead and be in the ISR. */
export function isActive(broker: BrokerView | undefined): broker is BrokerView {
  return whyInactive(broker) === null
}

/** In words; null when it is active. */
export function whyInactive(broker: BrokerView | undefined): string | null {
  if (broker === undefined || broker.epoch === -1) return 'it is not registered'
  if (broker.shuttingDown) return 'it is shutting down'
  return broker.fenced ? 'it is fenced' : null
}

/** In any order. `left` names nobody twice. */
export function sameMembers(left: readonly number[], right: readonly number[]): boolean {
  return left.length === right.length && left.every((id) => right.includes(id))
}
