import type { LedPartition } from '../../core/group/outbox.ts'

/** `__consumer_offsets` as the coordinator sees it. */
export interface CoordinatorLog {
  /** Of the topic as it is now; 0: there is none. */
  readonly partitionCount: number
  /** Creates the topic when there is none. */
  ensureTopic(): Promise<void>
  /**
   * Appends one record batch as with acks=all, while the partition is led under that epoch. `done` gets an error code of
   * the protocol, 0 once the promise of the flush mode holds. The order of the calls for a partition is the order in its
   * log.
   */
  append(partition: LedPartition, batch: Buffer, done: (errorCode: number) => void): void
  /** What one batch of the partition may have: max.message.bytes, which may change. */
  maxBatchBytes(partition: number): number
  /**
   * Passes on every batch of the partition, from its start to its end and in order: also those above the high watermark,
   * which is old where somebody begins to lead. Rejects when it is not led under that epoch.
   */
  load(partition: LedPartition, onBatch: (batch: Buffer) => void): Promise<void>
}
