import { Partition } from '../../src/broker/partition.ts'
import type { IsrListener, PartitionParts } from '../../src/broker/partition.ts'
import type { BrokerView } from '../../src/core/replication/partition-state.ts'
import type { Log } from '../../src/log/log.ts'
import type { PartitionImage } from '../../src/metadata/image/metadata-image.ts'

/** The broker whose partitions these are. */
export const SELF = 1
export const SELF_EPOCH = 100
export const LAG_MS = 10_000

/** A partition that this broker leads alone, in leader epoch 5. */
export function imageOf(changes: Partial<PartitionImage> = {}): PartitionImage {
  return {
    topic: 't',
    index: 0,
    replicas: [SELF],
    adding: [],
    removing: [],
    leader: SELF,
    leaderEpoch: 5,
    leaderBrokerEpoch: SELF_EPOCH,
    controllerEpoch: 1,
    partitionEpoch: 0,
    isr: [SELF],
    elr: [],
    lastKnownElr: [],
    leaderRecoveryState: 0,
    minIsr: 1,
    ...changes,
  }
}

/** What partitions are made with: their clock, the brokers there are, and what they said. */
export class FakeParts implements PartitionParts {
  readonly nodeId = SELF
  nowMs = 1_000
  readonly clock = { monotonicMs: (): number => this.nowMs }
  readonly brokers = new Map<number, BrokerView>()
  readonly said: string[] = []
  isrs: IsrListener = {
    wanted: (partition: Partition): void =>
      void this.said.push(`wanted ${partition.topic}-${partition.index}`),
    changed: ({ image }: Partition, before: readonly number[]): void =>
      void this.said.push(`isr ${before.join()} -> ${image.isr.join()}`),
  }

  constructor(brokers: readonly number[] = [SELF]) {
    for (const id of brokers)
      this.brokers.set(id, { id, epoch: 100 * id, fenced: false, shuttingDown: false })
  }

  readonly lagTimeMaxMs = (): number => LAG_MS
  readonly broker = (id: number): BrokerView | undefined => this.brokers.get(id)
  readonly isOwnEpoch = (epoch: number): boolean => epoch === SELF_EPOCH
  readonly damaged = (partition: Partition): void =>
    void this.said.push(`damaged ${partition.topic}-${partition.index}`)
}

export function ledPartition(log: Log, topicId: string, image: PartitionImage = imageOf()): Partition {
  return new Partition(new FakeParts(), image.topic, topicId, image, log)
}
