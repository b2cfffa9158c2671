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

/** What holds of every state, whatever becomes of brokers: null, or in words why this one makes no sense. */
export function stateProblem(
  { leader, isr, elr, lastKnownElr, minIsr }: Omit<PartitionState, 'partitionEpoch'>,
  replicas: readonly number[],
): string | null {
  const all = [...isr, ...elr, ...lastKnownElr]
  const stranger = all.find((id) => !replicas.includes(id))
  if (stranger !== undefined) return `broker ${stranger} is in one of its sets, and has no replica`
  if (new Set(all).size < all.length) return 'a broker is twice in its sets'
  if (isr.length >= minIsr && all.length > isr.length) return 'others are eligible beside a full ISR'
  if (leader !== -1 && !isr.includes(leader)) return `broker ${leader} leads and is not in sync`
  return null
}

/**
 * Of two states of a partition, the one that was agreed on later. The epoch of a partition begins anew where its node was made
 * anew, by an operator; a leader's never does.
 */
export function isNewer(
  state: Pick<PartitionState, 'leaderEpoch' | 'partitionEpoch'>,
  than: Pick<PartitionState, 'leaderEpoch' | 'partitionEpoch'>,
): boolean {
  if (state.leaderEpoch !== than.leaderEpoch) return state.leaderEpoch > than.leaderEpoch
  return state.partitionEpoch > than.partitionEpoch
}
