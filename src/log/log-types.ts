import type { SamsaError } from '../core/samsa-error.ts'
import type { ProducerRoom } from '../core/transaction/producer-room.ts'
import type { LogAtStop } from './files/clean-stop.ts'
import type { LogConfig } from './log-config.ts'
import type { ReadPiece } from './read/read-buffers.ts'
import type { SpareBudget } from './space/spare-budget.ts'

export interface LogOptions {
  /** Absolute, Kafka's `<log.dir>/<topic>-<partition>`. Created when missing. */
  readonly directory: string
  readonly topic: string
  readonly partition: number
  /** Kafka's 22 characters (base64url). Null: take what `partition.metadata` says. A different id there is SAMSA_LOG_CORRUPT. */
  readonly topicId: string | null
  readonly config: LogConfig
  /** From `recovery-point-offset-checkpoint`; 0 when unknown. */
  readonly recoveryPoint: number
  /** From `log-start-offset-checkpoint`; 0 when unknown. */
  readonly logStartOffset: number
  /** From `replication-offset-checkpoint`: clients saw what lies below. A log that ends before it is unclean. */
  readonly highWatermark?: number
  /** What the clean stop before left: what is not there any more is missing. */
  readonly atStop?: LogAtStop
  /** Where the log started, as somebody wrote down. */
  readonly startedAt?: number
  /** Gaps that end at or below it may be compaction's; any other is a loss. Default: Infinity where the log is compacted, or 0. */
  readonly gapLimit?: number
  /** True when the directory carries a clean marker: nothing is scanned. */
  readonly cleanShutdown: boolean
  /** What `partition.metadata` says, where the caller has read it already. The directory exists then. */
  readonly foundTopicId?: string | null
  readonly progress?: RecoveryProgress
  /** The caller makes the name of `directory` durable before anybody uses a log that was recovered. */
  readonly callerSyncsParent?: boolean
  /** Bytes below `endOffset` can be read from now on (and are on the device, with `flush.messages=1`). Once per write. */
  readonly onWritten: (endOffset: number) => void
  /** The log will end at `offset` or above: when it resolves, no checkpoint promises more than that. */
  readonly beforeCut?: (offset: number) => Promise<void>
  /** A follower was sent a gap up to `endOffset`: when it resolves, or with null, recovery will not take it for a loss. */
  readonly beforeGap?: (endOffset: number) => Promise<void> | null
  /** Called at most once. From here on every append and read answers KAFKA_STORAGE_ERROR. */
  readonly onFailed: (error: SamsaError) => void
  /** Bounds open files and loaded indexes of closed segments; share one among all logs of a broker. */
  readonly segmentCache?: SegmentCache
  /** Bounds what all logs of a broker remember of producers. */
  readonly producerRoom?: ProducerRoom
  /** Bounds what the logs of one directory keep of deleted segments for their next ones. Without it nothing is kept. */
  readonly spares?: SpareBudget
}

/** What a closed segment registers when it holds an open file or a loaded index. */
export interface CachedSegment {
  readonly cachedBytes: number
  /** Drops file and index; both come back on the next use. Reads under way finish. */
  evict(): void
}

export interface SegmentCache {
  /** The segment was used just now. May evict others. */
  touch(segment: CachedSegment): void
  forget(segment: CachedSegment): void
}

export interface AppendResult {
  /** 0, OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH, INVALID_TXN_STATE, TRANSACTION_COORDINATOR_FENCED or KAFKA_STORAGE_ERROR. */
  readonly errorCode: number
  readonly errorMessage: string | null
  /** Of a duplicate: the original's. -1 with an error. */
  readonly baseOffset: number
  /** Of a duplicate: the original's; it may not be written yet, so wait for `writtenEndOffset > lastOffset` either way. -1 with an error. */
  readonly lastOffset: number
  /** The batch's timestamp under LogAppendTime, else -1. */
  readonly logAppendTimeMs: number
  /** Nothing was appended; the buffer still belongs to the caller. */
  readonly duplicate: boolean
}

export interface ReadResult {
  /** 0, OFFSET_OUT_OF_RANGE or KAFKA_STORAGE_ERROR. */
  readonly errorCode: number
  /** Whole batches, in order, together `sizeBytes` long. The first may begin before the offset asked for. Belongs to the caller. */
  readonly buffers: Buffer[]
  readonly sizeBytes: number
  /** Where to read on: the offset after the last batch returned, or the offset asked for when there is nothing. */
  readonly nextOffset: number
}

export type ReadDone = (result: ReadResult) => void

/** As `ReadResult`, for a connection: the pieces go to one, or are released, once. */
export interface SendableRead {
  readonly errorCode: number
  readonly pieces: readonly ReadPiece[]
  readonly sizeBytes: number
  readonly nextOffset: number
}

export type SendableDone = (result: SendableRead) => void

export interface OffsetAndTimestamp {
  readonly offset: number
  /** Exact: beyond 2^53 no number is. */
  readonly timestamp: number | bigint
  /** -1 when unknown. */
  readonly leaderEpoch: number
}

export interface AbortedTransaction {
  readonly producerId: number
  readonly firstOffset: number
  /** Of the marker. */
  readonly lastOffset: number
}

/** What opening had to repair. */
export interface RecoveryReport {
  readonly scannedBytes: number
  /** Bytes behind the last good batch that were written to this log. */
  readonly truncatedBytes: number
  /** Bytes behind the last good batch that never were: reserved, or left of an earlier life of the file. */
  readonly unusedBytes: number
  readonly removedSegments: number
  /** A bad batch was followed by a valid one: not a torn tail. The cut bytes are kept beside the log. */
  readonly midLogCorruption: boolean
  /** Acknowledged records may be missing, and the log cannot say which: `problems` tells why. */
  readonly unclean: boolean
  readonly problems: readonly string[]
}

/** Who watches the recovery of many logs. */
export interface RecoveryProgress {
  /** A log with so many bytes to check was opened. */
  found(bytes: number): void
  advanced(bytes: number): void
}
