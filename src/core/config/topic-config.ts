import { UNIT_FAMILIES } from './broker-config.ts'
import type { BrokerConfig, KnownBrokerKey } from './broker-config.ts'
import type { Setting } from './config-source.ts'
import type { ConfigDefinition } from './definition.ts'
import { wrongValue } from './secrets.ts'
import { topicKeysWithEffect, topicTable } from './topic-keys.ts'
import type { TopicConfigKey, TopicConfigValues } from './topic-keys.ts'

/** The broker key a topic key falls back to. A key that stands for units falls back to the whole family. */
const BROKER_SYNONYMS: ReadonlyMap<TopicConfigKey, KnownBrokerKey> = new Map<TopicConfigKey, KnownBrokerKey>([
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
  ['internal.segment.bytes', 'internal.segment.bytes'],
  ['local.retention.bytes', 'log.local.retention.bytes'],
  ['local.retention.ms', 'log.local.retention.ms'],
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
export const TOPIC_DEFAULT_KEYS: ReadonlySet<string> = new Set<string>([
  ...[...BROKER_SYNONYMS.values()].flatMap((key): readonly string[] => UNIT_FAMILIES.get(key) ?? [key]),
  'producer.id.expiration.ms',
])

const UNIT_MS: ReadonlyMap<string, number> = new Map([
  ['log.retention.ms', 1],
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
export function brokerSynonyms(key: string): readonly KnownBrokerKey[] {
  const synonym = BROKER_SYNONYMS.get(key as TopicConfigKey)
  return synonym === undefined ? [] : (UNIT_FAMILIES.get(synonym) ?? [synonym])
}

/** A broker setting in the unit of the topic key. A negative retention of any unit means no limit. */
function inTopicUnits(brokerKey: string, text: string): string {
  const unitMs = UNIT_MS.get(brokerKey)
  if (unitMs === undefined) return text
  const value = Number(text)
  if (value < 0) return '-1'
  return unitMs === 1 ? text : String(value * unitMs)
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
 * Null when the overrides may be set together, over what the broker gives topics; otherwise a sentence for the client
 * that names the key, the value and what is allowed.
 */
export function topicConfigProblem(
  overrides: ReadonlyMap<string, string>,
  broker: BrokerConfig,
): string | null {
  for (const [key, text] of overrides) {
    const definition = topicDefinition(key)
    if (definition === undefined) return `Unknown topic config name: ${key}`
    if (definition.read(text.trim()) === undefined)
      return wrongValue(key, text, `must be ${definition.allowed}`)
  }
  const longOf = (key: TopicConfigKey): bigint =>
    BigInt(topicSetting(key, overrides, broker)?.effectiveText.trim() ?? topicTable[key].defaultText ?? 0)
  const minLag = longOf('min.compaction.lag.ms')
  const maxLag = longOf('max.compaction.lag.ms')
  return minLag > maxLag
    ? `conflict topic config setting min.compaction.lag.ms (${minLag}) > max.compaction.lag.ms (${maxLag})`
    : null
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
  const entries = Object.entries<ConfigDefinition<unknown>>(topicKeysWithEffect).map(([key, definition]) => {
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
  const own = [...normalized]
    .filter(([key]) => Object.hasOwn(topicKeysWithEffect, key))
    .map(([key, text]) => [key, topicDefinition(key)!.read(text)!.value])
  // As above: every override was read by its row of the table.
  const values = Object.fromEntries(own) as Partial<TopicConfigValues>
  return Object.freeze({ ...defaults, ...values, overrides: normalized })
}
