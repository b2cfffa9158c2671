/** Broker keys about logs: most are the defaults that a topic's own configuration overrides. */
import {
  boolean,
  double,
  int,
  level,
  list,
  long,
  MAX_LONG_TEXT,
  MIN_SEGMENT_BYTES,
  oneOf,
  optionalInt,
  optionalLong,
} from './definition.ts'
import type { DefinitionOptions } from './definition.ts'

const anyTime = { update: 'cluster-wide' } as const
export const CLEANUP_POLICIES = ['delete', 'compact'] as const
const COMPRESSION_TYPES = ['uncompressed', 'zstd', 'lz4', 'snappy', 'gzip', 'producer'] as const
export const TIMESTAMP_TYPES = ['CreateTime', 'LogAppendTime'] as const

export const logRetentionKeys = {
  'log.cleanup.policy': list(
    'delete',
    { choices: CLEANUP_POLICIES },
    'How old data leaves a log: delete removes whole segments by age and size, compact keeps the last record of every key. Both may be given; with none all data stays.',
    anyTime,
  ),
  'log.retention.ms': optionalLong(
    { notZero: true },
    'Milliseconds a record stays before its segment may be deleted; below 0 keeps records for ever. Wins over log.retention.minutes and log.retention.hours.',
    anyTime,
  ),
  'log.retention.minutes': optionalInt(
    { notZero: true },
    'Minutes a record stays before its segment may be deleted. Used when log.retention.ms is not set.',
  ),
  'log.retention.hours': int(
    168,
    { notZero: true },
    'Hours a record stays before its segment may be deleted. Used when neither log.retention.ms nor log.retention.minutes is set.',
  ),
  'log.retention.bytes': long(
    -1,
    {},
    'Bytes one partition may hold before its oldest segments are deleted; -1 sets no limit.',
    anyTime,
  ),
  'log.retention.check.interval.ms': long(
    300_000,
    { min: 1 },
    'Milliseconds between two looks for segments that retention may delete.',
  ),
  'log.segment.delete.delay.ms': long(
    60_000,
    { min: 0 },
    'Milliseconds between taking a segment out of the log and removing its files.',
    anyTime,
  ),
  'log.cleaner.enable': boolean(
    true,
    'Whether logs with the compact policy are compacted in the background.',
  ),
  'log.cleaner.backoff.ms': long(
    15_000,
    { min: 0 },
    'Milliseconds the cleaner rests when no log needs compaction.',
  ),
  'log.cleaner.dedupe.buffer.size': long(
    67_108_864,
    { min: 1_048_576 },
    'Most memory for the keys of one log that is compacted; a log with more keys takes several passes.',
  ),
  'log.cleaner.io.max.bytes.per.second': double(
    67_108_864,
    { min: 1 },
    'Bytes a second that compaction reads and writes at most.',
  ),
  'log.cleaner.min.cleanable.ratio': double(
    0.5,
    { min: 0, max: 1 },
    'Share of a compacted log that must be uncompacted before the cleaner takes it up.',
    anyTime,
  ),
  'log.cleaner.delete.retention.ms': long(
    86_400_000,
    { min: 0 },
    'Milliseconds a compacted log keeps tombstones, so that a consumer reading from the start sees them.',
    anyTime,
  ),
  'log.cleaner.min.compaction.lag.ms': long(
    0,
    { min: 0 },
    'Milliseconds a record is safe from compaction after it was written.',
    anyTime,
  ),
  'log.cleaner.max.compaction.lag.ms': long(
    MAX_LONG_TEXT,
    { min: 1 },
    'Milliseconds after which a record must be compacted, however little of the log is dirty.',
    anyTime,
  ),
} as const

export const logMoveKeys = {
  'replica.alter.log.dirs.io.max.bytes.per.second': long(
    MAX_LONG_TEXT,
    { min: 0 },
    'Bytes a second that are copied at most for partitions that move to another log directory.',
    { update: 'cluster-wide', hidden: true },
  ),
} as const

export const logSegmentKeys = {
  'log.segment.bytes': int(
    1_073_741_824,
    { min: MIN_SEGMENT_BYTES },
    'Bytes after which a new segment file begins.',
    anyTime,
  ),
  'internal.segment.bytes': optionalInt(
    { min: 14 },
    'Segments of any size, for tests. Wins over log.segment.bytes and what topics ask for.',
    { ...anyTime, hidden: true },
  ),
  'log.roll.ms': optionalLong(
    { min: 1 },
    'Milliseconds after which a new segment begins even if the current one is not full. Wins over log.roll.hours.',
    anyTime,
  ),
  'log.roll.hours': int(
    168,
    { min: 1 },
    'Hours after which a new segment begins even if the current one is not full. Used when log.roll.ms is not set.',
  ),
  'log.roll.jitter.ms': optionalLong(
    { min: 0 },
    'Largest random span in milliseconds taken off log.roll.ms, so that partitions do not roll together. Wins over log.roll.jitter.hours.',
    anyTime,
  ),
  'log.roll.jitter.hours': int(
    0,
    { min: 0 },
    'Largest random span in hours taken off the roll time. Used when log.roll.jitter.ms is not set.',
  ),
  'log.index.size.max.bytes': int(
    10_485_760,
    { min: 4 },
    'Bytes an offset index may take; a full index begins a new segment.',
    anyTime,
  ),
  'log.index.interval.bytes': int(
    4096,
    { min: 0 },
    'Bytes of log between two entries of the offset index.',
    anyTime,
  ),
  'log.flush.interval.messages': long(
    MAX_LONG_TEXT,
    { min: 1 },
    'Records after which a log is forced to the device. 1 acknowledges a produce request only when the device has it.',
    anyTime,
  ),
  'log.flush.interval.ms': optionalLong(
    { min: 0 },
    'Milliseconds a record may wait until it is forced to the device. Falls back to log.flush.scheduler.interval.ms.',
    anyTime,
  ),
  'log.flush.scheduler.interval.ms': long(
    MAX_LONG_TEXT,
    { min: 1 },
    'Milliseconds a record may wait until it is forced to the device, when log.flush.interval.ms is not set.',
  ),
  'log.flush.offset.checkpoint.interval.ms': int(
    60_000,
    { min: 0 },
    'Milliseconds between two writes of the recovery-point checkpoint.',
  ),
} as const

/** Of the broker, and of a topic that overrides them under the same names. */
export function compressionKeys(options: DefinitionOptions) {
  return {
    'compression.type': oneOf(
      'producer',
      COMPRESSION_TYPES,
      'Codec of the batches on the disk. producer keeps each as it was sent; with another one the broker compresses again what came in a different codec.',
      options,
    ),
    'compression.gzip.level': level(
      -1,
      { min: 1, max: 9 },
      -1,
      'Level at which the broker compresses with gzip, where compression.type asks for it.',
      options,
    ),
    'compression.zstd.level': int(
      3,
      { min: -131_072, max: 22 },
      'Level at which the broker compresses with zstd, where compression.type asks for it.',
      options,
    ),
  } as const
}

export const logRecordKeys = {
  'message.max.bytes': int(
    1_048_588,
    { min: 0 },
    'Bytes of the largest record batch a partition accepts, compressed as it was sent.',
    anyTime,
  ),
  ...compressionKeys(anyTime),
  'log.message.timestamp.type': oneOf(
    'CreateTime',
    TIMESTAMP_TYPES,
    'Whether a record carries the time its producer gave it or the time it was appended.',
    anyTime,
  ),
  'log.message.timestamp.before.max.ms': long(
    MAX_LONG_TEXT,
    { min: 0 },
    'Milliseconds a record timestamp may lie in the past of the broker clock. Does not apply to LogAppendTime.',
    anyTime,
  ),
  'log.message.timestamp.after.max.ms': long(
    3_600_000,
    { min: 0 },
    'Milliseconds a record timestamp may lie ahead of the broker clock. Does not apply to LogAppendTime.',
    anyTime,
  ),
} as const
