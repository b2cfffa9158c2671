/** Configurations as DescribeConfigs reports them: Kafka's `ConfigHelper`. */
import { ALIASES, brokerDefaultText, brokerDefinition, brokerTable, UNIT_FAMILIES } from './broker-config.ts'
import type { BrokerConfig } from './broker-config.ts'
import type { ConfigSource } from './config-source.ts'
import type { ConfigDefinition, ConfigType } from './definition.ts'
import { reasonWithoutEffect, withoutEffectTable } from './keys-without-effect.ts'
import { brokerSynonyms, topicDefinition, topicSetting } from './topic-config.ts'
import { topicTable } from './topic-keys.ts'

export interface DescribedConfig {
  readonly name: string
  readonly value: string | null
  readonly source: ConfigSource
  readonly readOnly: boolean
  readonly sensitive: boolean
  readonly type: ConfigType | 'UNKNOWN'
  readonly documentation: string | null
  /** Every place the value could come from, the one that won first. */
  readonly synonyms: readonly DescribedSynonym[]
}

/** Of a topic. What CreateTopics calls the source of a value is not always what DescribeConfigs calls it, as in Kafka. */
export interface DescribedTopicConfig extends DescribedConfig {
  readonly settingSource: ConfigSource
}

export interface DescribedSynonym {
  readonly name: string
  readonly value: string | null
  readonly source: ConfigSource
}

/** The number DescribeConfigs v3+ gives a type. */
export const CONFIG_TYPE_IDS: Readonly<Record<DescribedConfig['type'], number>> = {
  UNKNOWN: 0,
  BOOLEAN: 1,
  STRING: 2,
  INT: 3,
  SHORT: 4,
  LONG: 5,
  DOUBLE: 6,
  LIST: 7,
  CLASS: 8,
  PASSWORD: 9,
}

/** The strongest first. */
const SETTING_SOURCES: readonly ConfigSource[] = [
  'DYNAMIC_BROKER_CONFIG',
  'DYNAMIC_DEFAULT_BROKER_CONFIG',
  'STATIC_BROKER_CONFIG',
]

/** Where in the families of units each of their keys is. */
const FAMILY_OF: ReadonlyMap<string, readonly string[]> = new Map(
  [...UNIT_FAMILIES.values()].flatMap((keys) =>
    keys.filter((key) => key !== 'log.flush.scheduler.interval.ms').map((key) => [key, keys] as const),
  ),
)

/**
 * Settings of a broker key and of those it stands for, source by source, then their defaults; of these Kafka leaves out
 * what comes before the key's own name, so a key that is not set and has no default has none.
 */
function brokerChain(name: string, broker: BrokerConfig): DescribedSynonym[] {
  const names = FAMILY_OF.get(name) ?? [name]
  const set = SETTING_SOURCES.flatMap((source) =>
    names.flatMap((key) =>
      (broker.settings.get(key) ?? [])
        .filter((setting) => setting.source === source)
        .map(({ text }) => ({ name: key, value: text, source })),
    ),
  )
  const defaults = names.flatMap((key) => {
    const value = brokerDefaultText(key, broker)
    return value === null ? [] : [{ name: key, value, source: 'DEFAULT_CONFIG' as const }]
  })
  const chain = [...set, ...defaults]
  const first = chain.findIndex((synonym) => synonym.name === name)
  return first < 0 ? [] : chain.slice(first)
}

/** What topics without overrides are described as, for each broker configuration that is in use. */
const withoutOverrides = new WeakMap<BrokerConfig, readonly DescribedTopicConfig[]>()
const NO_OVERRIDES: ReadonlyMap<string, string> = new Map()

/** The same objects every time, but for the keys that are overridden: what is made of them can be kept. */
export function describeTopicConfig(
  overrides: ReadonlyMap<string, string>,
  broker: BrokerConfig,
): readonly DescribedTopicConfig[] {
  const defaults = withoutOverrides.get(broker) ?? describeTopicDefaults(broker)
  withoutOverrides.set(broker, defaults)
  if (overrides.size === 0) return visible(defaults)
  const described = defaults.map((config) => {
    const { name, synonyms } = config
    const value = overrides.get(name)
    if (value === undefined) return config
    const source = 'DYNAMIC_TOPIC_CONFIG' as const
    return {
      ...config,
      value,
      source,
      settingSource: source,
      synonyms: [{ name, value, source }, ...synonyms],
    }
  })
  return visible(described)
}

/** Kafka's internal keys are shown where they are set. */
function visible(configs: readonly DescribedTopicConfig[]): readonly DescribedTopicConfig[] {
  return configs.filter(
    ({ name, settingSource }) => settingSource !== 'DEFAULT_CONFIG' || !topicDefinition(name)!.hidden,
  )
}

function describeTopicDefaults(broker: BrokerConfig): DescribedTopicConfig[] {
  return Object.entries<ConfigDefinition<unknown>>(topicTable).map(([name, definition]) => {
    const setting = topicSetting(name, NO_OVERRIDES, broker)
    const brokerName = brokerSynonyms(name)[0]
    const synonyms = brokerName === undefined ? [] : brokerChain(brokerName, broker)
    return {
      name,
      value: setting?.effectiveText ?? definition.defaultText,
      source: synonyms[0]?.source ?? 'DEFAULT_CONFIG',
      settingSource: setting?.source ?? 'DEFAULT_CONFIG',
      readOnly: false,
      sensitive: false,
      type: definition.type,
      documentation: definition.doc,
      synonyms,
    }
  })
}

/** Every key there is, those that are set although nobody knows them, and second names. */
export function describeBrokerConfig(broker: BrokerConfig): DescribedConfig[] {
  const known = new Set([...Object.keys(brokerTable), ...Object.keys(withoutEffectTable)])
  const shown = [...known].filter((name) => broker.settings.has(name) || !brokerDefinition(name)!.hidden)
  const unknown = [...broker.settings.keys()].filter((name) => !known.has(name))
  const described = [...shown, ...unknown].map((name) =>
    describeKey(name, broker.settings.get(name)?.[0]?.text, brokerChain(name, broker), broker),
  )
  const second = [...ALIASES].map(([name, canonical]) => {
    const config = described.find((each) => each.name === canonical)!
    return { ...config, name, synonyms: config.synonyms.map((synonym) => ({ ...synonym, name })) }
  })
  return [...described, ...second]
}

/** What nobody knows may be a secret, and is shown as Kafka shows it: as one. */
function describeKey(
  name: string,
  text: string | undefined,
  synonyms: readonly DescribedSynonym[],
  broker: BrokerConfig,
): DescribedConfig {
  const definition = brokerDefinition(name)
  const sensitive = definition === undefined || definition.type === 'PASSWORD'
  return {
    name,
    value: sensitive ? null : (text ?? brokerDefaultText(name, broker)),
    source: synonyms[0]?.source ?? 'DEFAULT_CONFIG',
    readOnly: definition === undefined || definition.update === 'read-only',
    sensitive,
    type: definition?.type ?? 'UNKNOWN',
    documentation: documentationOf(name, definition),
    synonyms: sensitive ? synonyms.map((synonym) => ({ ...synonym, value: null })) : synonyms,
  }
}

function documentationOf(name: string, definition: ConfigDefinition<unknown> | undefined): string | null {
  const reason = reasonWithoutEffect(name)
  return reason === undefined ? (definition?.doc ?? null) : `Accepted without effect: ${reason}.`
}

/** The cluster-wide dynamic values alone: what the broker resource with an empty name holds. */
export function describeClusterDefaults(broker: BrokerConfig): DescribedConfig[] {
  const source = 'DYNAMIC_DEFAULT_BROKER_CONFIG'
  return [...broker.settings].flatMap(([name, settings]) => {
    const setting = settings.find((each) => each.source === source)
    return setting === undefined
      ? []
      : [describeKey(name, setting.text, [{ name, value: setting.text, source }], broker)]
  })
}

/** Settings of a group that stand for one of the broker's, `group.` before their names. */
const GROUP_KEYS = [
  'consumer.assignment.interval.ms',
  'consumer.heartbeat.interval.ms',
  'consumer.session.timeout.ms',
  'share.assignment.interval.ms',
  'share.delivery.count.limit',
  'share.heartbeat.interval.ms',
  'share.partition.max.record.locks',
  'share.record.lock.duration.ms',
  'share.session.timeout.ms',
  'streams.assignment.interval.ms',
  'streams.heartbeat.interval.ms',
  'streams.initial.rebalance.delay.ms',
  'streams.num.standby.replicas',
  'streams.session.timeout.ms',
] as const

const GROUPS = 'Accepted without effect: groups of this kind do not exist in this version.'

const ofGroups = new WeakMap<BrokerConfig, readonly DescribedConfig[]>()

/** Any group, whether it exists or not: none has settings of its own here. The same objects every time. */
export function describeGroupConfig(broker: BrokerConfig): readonly DescribedConfig[] {
  const described = ofGroups.get(broker) ?? groupDefaults(broker)
  ofGroups.set(broker, described)
  return described
}

function groupDefaults(broker: BrokerConfig): DescribedConfig[] {
  const inherited = GROUP_KEYS.map((name) => {
    const key = `group.${name}` as const
    const synonyms = brokerChain(key, broker)
    return {
      ...describeKey(key, broker.settings.get(key)?.[0]?.text, synonyms, broker),
      name,
      readOnly: false,
    }
  })
  return [
    ...inherited,
    ...[
      defaultOf('share.auto.offset.reset', 'latest', 'STRING', GROUPS),
      defaultOf('share.isolation.level', 'read_uncommitted', 'STRING', GROUPS),
      defaultOf('share.renew.acknowledge.enable', 'true', 'BOOLEAN', GROUPS),
    ].map((config) => {
      const { name, value, source } = config
      return { ...config, synonyms: [{ name, value, source }] }
    }),
  ]
}

const METRICS =
  'Accepted without effect: there are no subscriptions to the figures of clients in this version.'

/** Any subscription (KIP-714), whether it exists or not: there are none. */
export const CLIENT_METRICS_DEFAULTS: readonly DescribedConfig[] = [
  defaultOf('interval.ms', '300000', 'INT', METRICS),
  defaultOf('match', '', 'LIST', METRICS),
  defaultOf('metrics', '', 'LIST', METRICS),
]

function defaultOf(name: string, value: string, type: ConfigType, documentation: string): DescribedConfig {
  const source = 'DEFAULT_CONFIG' as const
  return { name, value, source, readOnly: false, sensitive: false, type, documentation, synonyms: [] }
}
