/**
 * The topic configuration one log runs under: Kafka's keys in camel case, durations in milliseconds, sizes in bytes.
 * What Kafka calls "unlimited" (2^63-1) is `Number.MAX_SAFE_INTEGER` here, -1 stays -1 where Kafka gives it a meaning.
 */
export interface LogConfig {
  readonly segmentBytes: number
  readonly segmentMs: number
  readonly segmentJitterMs: number
  readonly indexIntervalBytes: number
  readonly segmentIndexBytes: number
  /** -1: no limit. */
  readonly retentionMs: number
  /** -1: no limit. */
  readonly retentionBytes: number
  /**
   * The n-th record that is not on the device takes all before it there, and nobody sees it or is acknowledged before:
   * a power cut takes fewer than n records that anybody has seen. 1: none, each write goes to the device itself.
   */
  readonly flushMessages: number
  /** No record that anybody has seen is older than this without being on the device. */
  readonly flushMs: number
  readonly maxMessageBytes: number
  readonly cleanupPolicy: CleanupPolicy
  readonly messageTimestampType: TimestampType
  /** 2^63: no limit, as for the next. */
  readonly messageTimestampBeforeMaxMs: number
  readonly messageTimestampAfterMaxMs: number
  readonly fileDeleteDelayMs: number
  readonly deleteRetentionMs: number
  readonly minCompactionLagMs: number
  readonly maxCompactionLagMs: number
  readonly minCleanableDirtyRatio: number
  readonly producerIdExpirationMs: number
  /** `producer` keeps what the client sent; batches of another codec than that of the topic are compressed again. */
  readonly compressionType: CompressionType
  /** Null: the codec's own. */
  readonly compressionLevel: number | null
}

export interface CleanupPolicy {
  readonly delete: boolean
  readonly compact: boolean
}

export type TimestampType = 'CreateTime' | 'LogAppendTime'
export type CompressionType = 'producer' | 'uncompressed' | 'gzip' | 'snappy' | 'lz4' | 'zstd'

/** Kafka 4's defaults. */
export const defaultLogConfig: LogConfig = {
  segmentBytes: 1_073_741_824,
  segmentMs: 604_800_000,
  segmentJitterMs: 0,
  indexIntervalBytes: 4096,
  segmentIndexBytes: 10_485_760,
  retentionMs: 604_800_000,
  retentionBytes: -1,
  flushMessages: Number.MAX_SAFE_INTEGER,
  flushMs: Number.MAX_SAFE_INTEGER,
  maxMessageBytes: 1_048_588,
  cleanupPolicy: { delete: true, compact: false },
  messageTimestampType: 'CreateTime',
  messageTimestampBeforeMaxMs: 2 ** 63,
  messageTimestampAfterMaxMs: 3_600_000,
  fileDeleteDelayMs: 60_000,
  deleteRetentionMs: 86_400_000,
  minCompactionLagMs: 0,
  maxCompactionLagMs: Number.MAX_SAFE_INTEGER,
  minCleanableDirtyRatio: 0.5,
  producerIdExpirationMs: 86_400_000,
  compressionType: 'producer',
  compressionLevel: null,
}
