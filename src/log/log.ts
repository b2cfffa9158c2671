import type { EpochCache } from '../core/replication/epoch-cache.ts'
import type { ProducerState } from '../core/transaction/producer-state.ts'
import type { World } from '../ports.ts'
import type { LogConfig } from './log-config.ts'
import type {
  AbortedTransaction,
  AppendResult,
  LogOptions,
  OffsetAndTimestamp,
  ReadDone,
  RecoveryReport,
} from './log-types.ts'
import type { Segment } from './segment.ts'
import type { SegmentReplacement } from './segment-replacement.ts'

export declare class Log {
  private constructor()
  /** Creates or recovers. Rejects with SamsaError SAMSA_DISK_IO or SAMSA_LOG_CORRUPT. */
  static open(world: Pick<World, 'clock' | 'disk' | 'logger'>, options: LogOptions): Promise<Log>

  readonly directory: string
  readonly topic: string
  readonly partition: number
  readonly topicId: string | null
  readonly config: LogConfig
  /** What opening had to repair; null when nothing was scanned. */
  readonly recovery: RecoveryReport | null
  readonly epochs: EpochCache
  readonly producers: ProducerState

  readonly logStartOffset: number
  /** Next offset to be assigned. */
  readonly logEndOffset: number
  /** Readers may see only offsets below. */
  readonly writtenEndOffset: number
  /** Everything below is on the device. */
  readonly durableEndOffset: number
  /** What to put into `recovery-point-offset-checkpoint`: durable with all its side files. */
  readonly recoveryPoint: number
  readonly sizeBytes: number
  readonly segmentCount: number
  readonly failed: boolean
  /** Monotonic milliseconds since when something waits for `flush`; -1 when all is durable. */
  readonly dirtySinceMs: number
  /** First offset of an open transaction, or -1. */
  readonly firstOpenTransactionOffset: number

  append(batch: Buffer, leaderEpoch: number): AppendResult
  read(offset: number, maxBytes: number, maxOffset: number, minOneBatch: boolean, done: ReadDone): void
  /** Earliest record with a timestamp >= `timestampMs`; null when there is none below `maxOffset`. */
  offsetForTimestamp(timestampMs: number, maxOffset: number): Promise<OffsetAndTimestamp | null>
  /** ListOffsets -3: the record with the largest timestamp; null when the log is empty. */
  offsetOfMaxTimestamp(): Promise<OffsetAndTimestamp | null>
  /** Aborted transactions a read_committed fetch of [fetchOffset, upperBoundOffset) must know. */
  abortedTransactions(fetchOffset: number, upperBoundOffset: number): Promise<AbortedTransaction[]>

  /** Moves the log start; files go at the next `applyRetention`. */
  deleteRecordsBefore(offset: number): void
  /** Deletes segments by start offset, size and time, never at or above `highWatermark`. Returns how many segments went. */
  applyRetention(nowMs: number, highWatermark?: number): Promise<number>
  truncateTo(offset: number): Promise<void>
  truncateFullyAndStartAt(offset: number): Promise<void>
  /** Starts a new segment; nothing when the active one is empty. */
  roll(): void
  /** Makes everything written so far durable, with all side files. `done(false)`: the log has failed. */
  flush(done: (ok: boolean) => void): void
  updateConfig(config: LogConfig): void
  /** Waits for writes under way. `clean`: indexes, producer snapshot and bytes are durable when it resolves. */
  close(clean: boolean): Promise<void>

  /** All segments, oldest first; the last is the active one. For compaction. */
  segments(): readonly Segment[]
  /** Starts a `.cleaned` segment that will take the place of closed segments from `baseOffset` on. */
  beginReplacement(baseOffset: number): SegmentReplacement
  /** Swaps it in for `replaced` (adjacent, closed), crash-safe. An empty one just removes them. */
  replaceSegments(replaced: readonly Segment[], by: SegmentReplacement): Promise<void>
}
