import { ErrorCode } from '../../../protocol/errors.ts'
import type { CoordinatorLog } from '../../../src/broker/groups/coordinator-log.ts'
import type { GroupCoordinator, GroupSettings } from '../../../src/broker/groups/group-coordinator.ts'
import type { LedPartition } from '../../../src/core/group/outbox.ts'

/** Kafka's defaults. */
export const GROUP_SETTINGS: GroupSettings = {
  'group.min.session.timeout.ms': 6_000,
  'group.max.session.timeout.ms': 1_800_000,
  'group.initial.rebalance.delay.ms': 3_000,
  'group.max.size': 5_000,
  'offset.metadata.max.bytes': 4_096,
  'offsets.retention.minutes': 10_080,
  'offsets.retention.check.interval.ms': 600_000,
}

/** The offsets topic in memory; slow or failing on request. */
export class MemoryCoordinatorLog implements CoordinatorLog {
  partitionCount = 50
  readonly batches = new Map<number, Buffer[]>()
  /** Completions that wait, when the log is slow. */
  readonly waiting: (() => void)[] = []
  isSlow = false
  appendError: number = ErrorCode.NONE
  loadError: Error | null = null
  topicError: Error | null = null
  loadGate: Promise<void> = Promise.resolve()
  ensured = 0

  async ensureTopic(): Promise<void> {
    this.ensured++
    if (this.topicError !== null) throw this.topicError
  }

  append({ index }: LedPartition, batch: Buffer, done: (errorCode: number) => void): void {
    const finish = (): void => {
      if (this.appendError === ErrorCode.NONE) this.put(index, batch)
      done(this.appendError)
    }
    if (this.isSlow) this.waiting.push(finish)
    else finish()
  }

  maxBatchBytes(): number {
    return 1_048_588
  }

  async load({ index }: LedPartition, onBatch: (batch: Buffer) => void): Promise<void> {
    await this.loadGate
    if (this.loadError !== null) throw this.loadError
    for (const batch of this.batches.get(index) ?? []) onBatch(batch)
  }

  put(partition: number, batch: Buffer): void {
    const batches = this.batches.get(partition) ?? []
    batches.push(batch)
    this.batches.set(partition, batches)
  }

  complete(): void {
    for (const finish of this.waiting.splice(0)) finish()
  }
}

/** The broker leads the whole topic. */
export async function electedForAll(groups: GroupCoordinator, log: CoordinatorLog): Promise<void> {
  for (let index = 0; index < log.partitionCount; index++) void groups.elected(index, 0)
  await groups.start()
}
