import { UNIT_FAMILIES } from './broker-config.ts'
import type { BrokerConfig, BrokerConfigKey } from './broker-config.ts'
import { CLEANUP_POLICIES, COMPRESSION_TYPES, TIMESTAMP_TYPES } from './broker-keys-log.ts'
import type { Setting } from './config-source.ts'
import { boolean, double, int, level, list, long, MAX_LONG_TEXT, oneOf } from './definition.ts'
import type { ConfigDefinition, ConfigValues } from './definition.ts'
import { wrongValue } from './secrets.ts'

/** Every key a topic may override. */
export const topicTable = {
  'cleanup.policy': list(
    'delete',
    { choices: CLEANUP_POLICIES, atLeastOne: true },
    'How old data leaves the log: delete removes whole segments by age and size, compact keeps the last record of every key. Both may be given.',
  ),
  'compression.type': oneOf(
    'producer',
    COMPRESSION_TYPES,
    'Codec the topic asks for. Batches stay in the codec they were sent in; the broker does not recompress them.',
  ),
  'compression.gzip.level': level(
    -1,
    { min: 1, max: 9 },
    -1,
    'Kept for the tools that write it; the broker does not compress with gzip itself.',
  ),
  'compression.lz4.level': int(
    9,
    { min: 1, max: 17 },
    'Kept for the tools that write it; the broker does not compress with lz4 itself.',
  ),
  'compression.zstd.level': int(
    3,
    { min: -131_072, max: 22 },
    'Kept for the tools that write it; the broker does not compress with zstd itself.',
  ),
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
  'follower.replication.throttled.replicas': list(
    '',
    {},
    'Kept for the tools that write it during a reassignment; followers are not throttled.',
  ),
  'index.interval.bytes': int(4096, { min: 0 }, 'Bytes of log between two entries of the offset index.'),
  'leader.replication.throttled.replicas': list(
    '',
    {},
    'Kept for the tools that write it during a reassignment; leaders are not throttled.',
  ),
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
    'In-sync replicas a partition needs to accept a produce request with acks=all.',
  ),
  preallocate: boolean(false, 'Kept for the tools that write it; segments grow as they are written.'),
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
  'segment.bytes': int(1_073_741_824, { min: 14 }, 'Bytes after which a new segment file begins.'),
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
    'Whether a replica that may lack acknowledged records can become leader when no other is left.',
  ),
} as const

export type TopicConfigKey = keyof typeof topicTable
export type TopicConfigValues = ConfigValues<typeof topicTable>

/** The broker key a topic key falls back to. A key that stands for units falls back to the whole family. */
const BROKER_SYNONYMS: ReadonlyMap<TopicConfigKey, BrokerConfigKey> = new Map<
  TopicConfigKey,
  BrokerConfigKey
>([
  ['cleanup.policy', 'log.cleanup.policy'],
  ['compression.type', 'compression.type'],
  ['compression.gzip.level', 'compression.gzip.level'],
  ['compression.lz4.level', 'compression.lz4.level'],
  ['compression.zstd.level', 'compression.zstd.level'],
  ['delete.retention.ms', 'log.cleaner.delete.retention.ms'],
  ['file.delete.delay.ms', 'log.segment.delete.delay.ms'],
  ['flush.messages', 'log.flush.interval.messages'],
  ['flush.ms', 'log.flush.interval.ms'],
  ['index.interval.bytes', 'log.index.interval.bytes'],
  ['max.compaction.lag.ms', 'log.cleaner.max.compaction.lag.ms'],
  ['max.message.bytes', 'message.max.bytes'],
  ['message.timestamp.after.max.ms', 'log.message.timestamp.after.max.ms'],
  ['message.timestamp.before.max.ms', 'log.message.timestamp.before.max.ms'],
  ['message.timestamp.type', 'log.message.timestamp.type'],
  ['min.cleanable.dirty.ratio', 'log.cleaner.min.cleanable.ratio'],
  ['min.compaction.lag.ms', 'log.cleaner.min.compaction.lag.ms'],
  ['min.insync.replicas', 'min.insync.replicas'],
  ['preallocate', 'log.preallocate'],
  ['retention.bytes', 'log.retention.bytes'],
  ['retention.ms', 'log.retention.ms'],
  ['segment.bytes', 'log.segment.bytes'],
  ['segment.index.bytes', 'log.index.size.max.bytes'],
  ['segment.jitter.ms', 'log.roll.jitter.ms'],
  ['segment.ms', 'log.roll.ms'],
  ['unclean.leader.election.enable', 'unclean.leader.election.enable'],
])

/** Broker keys whose change reaches the logs of topics. */
export const TOPIC_DEFAULT_KEYS: ReadonlySet<string> = new Set([
  ...[...BROKER_SYNONYMS.values()].flatMap((key) => UNIT_FAMILIES.get(key) ?? [key]),
  'producer.id.expiration.ms',
])

const UNIT_MS: ReadonlyMap<string, number> = new Map([
  ['log.retention.minutes', 60_000],
  ['log.retention.hours', 3_600_000],
  ['log.roll.hours', 3_600_000],
  ['log.roll.jitter.hours', 3_600_000],
])

/** A topic's values by key (`config['segment.bytes']`) and the overrides they rest on. Never changes. */
export type TopicConfig = TopicConfigValues & {
  /** The topic's own settings in Kafka's spelling. */
  readonly overrides: ReadonlyMap<string, string>
}

export function topicDefinition(key: string): ConfigDefinition<unknown> | undefined {
  return Object.hasOwn(topicTable, key) ? topicTable[key as TopicConfigKey] : undefined
}

/** The broker keys behind a topic key, first to last; empty when there is none. */
export function brokerSynonyms(key: string): readonly BrokerConfigKey[] {
  const synonym = BROKER_SYNONYMS.get(key as TopicConfigKey)
  return synonym === undefined ? [] : (UNIT_FAMILIES.get(synonym) ?? [synonym])
}

/** A broker setting in the unit of the topic key. A negative retention of any unit means no limit. */
function inTopicUnits(brokerKey: string, text: string): string {
  const unitMs = UNIT_MS.get(brokerKey)
  if (unitMs === undefined) return text
  const value = Number(text)
  return value < 0 ? '-1' : String(value * unitMs)
}

export interface TopicSetting extends Setting {
  /** The value in the unit of the topic key. */
  readonly effectiveText: string
}

/** The strongest setting of a topic key, or null when the default holds. */
export function topicSetting(
  key: string,
  overrides: ReadonlyMap<string, string>,
  broker: BrokerConfig,
): TopicSetting | null {
  const override = overrides.get(key)
  if (override !== undefined)
    return { key, text: override, source: 'DYNAMIC_TOPIC_CONFIG', effectiveText: override }
  for (const brokerKey of brokerSynonyms(key)) {
    const setting = broker.settings.get(brokerKey)?.[0]
    if (setting !== undefined) return { ...setting, effectiveText: inTopicUnits(brokerKey, setting.text) }
  }
  return null
}

/**
 * Null when the overrides may be set together; otherwise a sentence for the client that names the key, the value
 * and what is allowed.
 */
export function topicConfigProblem(overrides: ReadonlyMap<string, string>): string | null {
  for (const [key, text] of overrides) {
    const definition = topicDefinition(key)
    if (definition === undefined) return `Unknown topic config name: ${key}`
    if (definition.read(text.trim()) === undefined)
      return wrongValue(key, text, `must be ${definition.allowed}`)
  }
  const minLag = Number(overrides.get('min.compaction.lag.ms') ?? 0)
  const maxLag = Number(overrides.get('max.compaction.lag.ms') ?? Infinity)
  if (minLag > maxLag)
    return wrongValue(
      'min.compaction.lag.ms',
      String(minLag),
      `must not be above max.compaction.lag.ms, which is ${maxLag}`,
    )
  return null
}

/** The overrides in Kafka's spelling. Those this version does not know or allow are left out. */
export function normalizeTopicOverrides(overrides: ReadonlyMap<string, string>): Map<string, string> {
  const normalized = new Map<string, string>()
  for (const [key, text] of overrides) {
    const parsed = topicDefinition(key)?.read(text.trim())
    if (parsed !== undefined) normalized.set(key, parsed.text ?? '')
  }
  return normalized
}

/** What topics without overrides resolve to, for each broker configuration that is in use. */
const withoutOverrides = new WeakMap<BrokerConfig, TopicConfig>()
const NO_OVERRIDES: ReadonlyMap<string, string> = new Map()

function resolveDefaults(broker: BrokerConfig): TopicConfig {
  const known = withoutOverrides.get(broker)
  if (known !== undefined) return known
  const entries = Object.entries<ConfigDefinition<unknown>>(topicTable).map(([key, definition]) => {
    const text = topicSetting(key, NO_OVERRIDES, broker)?.effectiveText
    const parsed = text === undefined ? definition.absent : (definition.read(text) ?? definition.absent)
    return [key, parsed.value]
  })
  // The table is the single source of both the keys and their types.
  const values = Object.fromEntries(entries) as TopicConfigValues
  const config = Object.freeze({ ...values, overrides: NO_OVERRIDES })
  withoutOverrides.set(broker, config)
  return config
}

/** Topic override, then dynamic and static broker settings under their broker names, then the default. */
export function resolveTopicConfig(
  overrides: ReadonlyMap<string, string>,
  broker: BrokerConfig,
): TopicConfig {
  const defaults = resolveDefaults(broker)
  if (overrides.size === 0) return defaults
  const normalized = normalizeTopicOverrides(overrides)
  const own = [...normalized].map(([key, text]) => [key, topicDefinition(key)!.read(text)!.value])
  // As above: every override was read by its row of the table.
  const values = Object.fromEntries(own) as Partial<TopicConfigValues>
  return Object.freeze({ ...defaults, ...values, overrides: normalized })
}
