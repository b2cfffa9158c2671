/** Every key a topic may override. */
import { CLEANUP_POLICIES, compressionKeys, TIMESTAMP_TYPES } from './broker-keys-log.ts'
import {
  boolean,
  double,
  int,
  list,
  long,
  MAX_LONG_TEXT,
  MIN_SEGMENT_BYTES,
  never,
  oneOf,
  optionalInt,
  replicas,
} from './definition.ts'
import type { ConfigValues } from './definition.ts'

/** Those that the broker reads. */
export const topicKeysWithEffect = {
  'cleanup.policy': list(
    'delete',
    { choices: CLEANUP_POLICIES },
    'How old data leaves the log: delete removes whole segments by age and size, compact keeps the last record of every key. Both may be given; with none all data stays.',
  ),
  ...compressionKeys({}),
  'delete.retention.ms': long(
    86_400_000,
    { min: 0 },
    'Milliseconds a compacted log keeps tombstones, so that a consumer reading from the start sees them.',
  ),
  'file.delete.delay.ms': long(
    60_000,
    { min: 0 },
    'Milliseconds between taking a segment out of the log and removing its files.',
  ),
  'flush.messages': long(
    MAX_LONG_TEXT,
    { min: 1 },
    'Records after which the log is forced to the device. 1 acknowledges a produce request only when the device has it.',
  ),
  'flush.ms': long(
    MAX_LONG_TEXT,
    { min: 0 },
    'Milliseconds a record may wait until it is forced to the device.',
  ),
  'index.interval.bytes': int(4096, { min: 0 }, 'Bytes of log between two entries of the offset index.'),
  'max.compaction.lag.ms': long(
    MAX_LONG_TEXT,
    { min: 1 },
    'Milliseconds after which a record must be compacted, however little of the log is dirty.',
  ),
  'max.message.bytes': int(
    1_048_588,
    { min: 0 },
    'Bytes of the largest record batch the topic accepts, compressed as it was sent.',
  ),
  'message.timestamp.after.max.ms': long(
    3_600_000,
    { min: 0 },
    'Milliseconds a record timestamp may lie ahead of the broker clock. Does not apply to LogAppendTime.',
  ),
  'message.timestamp.before.max.ms': long(
    MAX_LONG_TEXT,
    { min: 0 },
    'Milliseconds a record timestamp may lie in the past of the broker clock. Does not apply to LogAppendTime.',
  ),
  'message.timestamp.type': oneOf(
    'CreateTime',
    TIMESTAMP_TYPES,
    'Whether a record carries the time its producer gave it or the time it was appended.',
  ),
  'min.cleanable.dirty.ratio': double(
    0.5,
    { min: 0, max: 1 },
    'Share of a compacted log that must be uncompacted before the cleaner takes it up.',
  ),
  'min.compaction.lag.ms': long(
    0,
    { min: 0 },
    'Milliseconds a record is safe from compaction after it was written.',
  ),
  'min.insync.replicas': int(
    1,
    { min: 1 },
    'Replicas that must have a record before a producer with acks=all is acknowledged; no more than there are.',
  ),
  'retention.bytes': long(
    -1,
    {},
    'Bytes one partition may hold before its oldest segments are deleted; -1 sets no limit.',
  ),
  'retention.ms': long(
    604_800_000,
    { min: -1 },
    'Milliseconds a record stays before its segment may be deleted; -1 keeps records for ever.',
  ),
  'segment.bytes': int(
    1_073_741_824,
    { min: MIN_SEGMENT_BYTES },
    'Bytes after which a new segment file begins.',
  ),
  'internal.segment.bytes': optionalInt(
    { min: 14 },
    'Segments of any size, for tests. Wins over segment.bytes.',
    { hidden: true },
  ),
  'segment.index.bytes': int(
    10_485_760,
    { min: 4 },
    'Bytes an offset index may take; a full index begins a new segment.',
  ),
  'segment.jitter.ms': long(
    0,
    { min: 0 },
    'Largest random span in milliseconds taken off segment.ms, so that partitions do not roll together.',
  ),
  'segment.ms': long(
    604_800_000,
    { min: 1 },
    'Milliseconds after which a new segment begins even if the current one is not full.',
  ),
  'unclean.leader.election.enable': boolean(
    false,
    'Whether a replica that may lack acknowledged records may lead when no other can.',
  ),
} as const

const REMOTE = 'Kept for the tools that write it; there is no remote storage in this version.'

/** Those that are kept, as in Kafka, and change nothing here. */
export const topicKeysWithoutEffect = {
  'compression.lz4.level': int(
    9,
    { min: 1, max: 17 },
    'Kept for the tools that write it: the library here has one level of lz4.',
  ),
  'follower.replication.throttled.replicas': replicas(
    'Kept for the tools that write it during a reassignment; followers are not throttled.',
  ),
  'leader.replication.throttled.replicas': replicas(
    'Kept for the tools that write it during a reassignment; leaders are not throttled.',
  ),
  'local.retention.bytes': long(-2, { min: -2 }, REMOTE),
  'local.retention.ms': long(-2, { min: -2 }, REMOTE),
  preallocate: boolean(false, 'Kept for the tools that write it; segments grow as they are written.'),
  'remote.log.copy.disable': boolean(false, REMOTE),
  'remote.log.delete.on.disable': boolean(false, REMOTE),
  'remote.storage.enable': never('There is no remote storage in this version, so a topic cannot ask for it.'),
} as const

export const topicTable = { ...topicKeysWithEffect, ...topicKeysWithoutEffect } as const

export type TopicConfigKey = keyof typeof topicTable
export type TopicConfigValues = ConfigValues<typeof topicKeysWithEffect>
