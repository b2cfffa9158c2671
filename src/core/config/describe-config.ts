/** Configurations as DescribeConfigs reports them. */
import { brokerDefaultText, brokerDefinition, brokerTable, UNIT_FAMILIES } from './broker-config.ts'
import type { BrokerConfig } from './broker-config.ts'
import type { ConfigSource, Setting } from './config-source.ts'
import type { ConfigType } from './definition.ts'
import { brokerSynonyms, topicDefinition, topicSetting, topicTable } from './topic-config.ts'

export interface DescribedConfig {
  readonly name: string
  readonly value: string | null
  readonly source: ConfigSource
  readonly readOnly: boolean
  readonly sensitive: boolean
  readonly type: ConfigType
  readonly documentation: string
  /** Every place the value could come from, the one that won first. */
  readonly synonyms: readonly DescribedSynonym[]
}

export interface DescribedSynonym {
  readonly name: string
  readonly value: string | null
  readonly source: ConfigSource
}

/** The number DescribeConfigs v3+ gives a type. */
export const CONFIG_TYPE_IDS: Readonly<Record<ConfigType, number>> = {
  BOOLEAN: 1,
  STRING: 2,
  INT: 3,
  LONG: 5,
  DOUBLE: 6,
  LIST: 7,
  PASSWORD: 9,
}

function settingSynonym(setting: Setting): DescribedSynonym {
  return { name: setting.key, value: setting.text, source: setting.source }
}

/** Settings and defaults of broker keys, in the order they are asked. */
function brokerChain(keys: readonly string[], broker: BrokerConfig): DescribedSynonym[] {
  return keys.flatMap((key) => {
    const settings = (broker.settings.get(key) ?? []).map(settingSynonym)
    const value = brokerDefaultText(key, broker.profile)
    return value === null ? settings : [...settings, { name: key, value, source: 'DEFAULT_CONFIG' as const }]
  })
}

/** What topics without overrides are described as, for each broker configuration that is in use. */
const withoutOverrides = new WeakMap<BrokerConfig, readonly DescribedConfig[]>()
const NO_OVERRIDES: ReadonlyMap<string, string> = new Map()

/** The same objects every time, but for the keys that are overridden: what is made of them can be kept. */
export function describeTopicConfig(
  overrides: ReadonlyMap<string, string>,
  broker: BrokerConfig,
): readonly DescribedConfig[] {
  const defaults = withoutOverrides.get(broker) ?? describeTopicDefaults(broker)
  withoutOverrides.set(broker, defaults)
  if (overrides.size === 0) return defaults
  return defaults.map((config) => {
    const { name, synonyms } = config
    const value = overrides.get(name)
    if (value === undefined) return config
    const source = 'DYNAMIC_TOPIC_CONFIG' as const
    return { ...config, value, source, synonyms: [{ name, value, source }, ...synonyms] }
  })
}

function describeTopicDefaults(broker: BrokerConfig): DescribedConfig[] {
  return Object.keys(topicTable).map((name) => {
    const definition = topicDefinition(name)!
    const setting = topicSetting(name, NO_OVERRIDES, broker)
    const chain = brokerChain(brokerSynonyms(name), broker)
    return {
      name,
      value: setting?.effectiveText ?? definition.defaultText,
      source: setting?.source ?? 'DEFAULT_CONFIG',
      readOnly: false,
      sensitive: false,
      type: definition.type,
      documentation: definition.doc,
      synonyms: chain.length > 0 ? chain : [defaultSynonym(name, definition.defaultText)],
    }
  })
}

function defaultSynonym(name: string, value: string | null): DescribedSynonym {
  return { name, value, source: 'DEFAULT_CONFIG' }
}

export function describeBrokerConfig(broker: BrokerConfig): DescribedConfig[] {
  return Object.keys(brokerTable).map((name) => {
    const definition = brokerDefinition(name)!
    const setting = broker.settings.get(name)?.[0]
    const sensitive = definition.type === 'PASSWORD'
    const synonyms = brokerChain(UNIT_FAMILIES.get(name) ?? [name], broker)
    return {
      name,
      value: sensitive ? null : (setting?.text ?? brokerDefaultText(name, broker.profile)),
      source: setting?.source ?? 'DEFAULT_CONFIG',
      readOnly: definition.update === 'read-only',
      sensitive,
      type: definition.type,
      documentation: definition.doc,
      synonyms: sensitive ? synonyms.map((synonym) => ({ ...synonym, value: null })) : synonyms,
    }
  })
}

/** The cluster-wide dynamic values alone: what the broker resource with an empty name holds. */
export function describeClusterDefaults(values: ReadonlyMap<string, string>): DescribedConfig[] {
  return [...values].flatMap(([name, text]) => {
    const definition = brokerDefinition(name)
    if (definition === undefined) return []
    const sensitive = definition.type === 'PASSWORD'
    const value = sensitive ? null : text
    return [
      {
        name,
        value,
        source: 'DYNAMIC_DEFAULT_BROKER_CONFIG' as const,
        readOnly: false,
        sensitive,
        type: definition.type,
        documentation: definition.doc,
        synonyms: [{ name, value, source: 'DYNAMIC_DEFAULT_BROKER_CONFIG' as const }],
      },
    ]
  })
}
