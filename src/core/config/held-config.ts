/** What holds where a stored configuration cannot be read: nothing that it may have kept is taken away. */
import { brokerConfigProblem, withDynamicConfig } from './broker-config.ts'
import type { BrokerConfig } from './broker-config.ts'
import { brokerSynonyms, normalizeTopicOverrides } from './topic-config.ts'
import type { TopicConfigKey } from './topic-keys.ts'

type Values = ReadonlyMap<string, string>

/**
 * Nothing of the topic is deleted and nothing compacted. These are settings like any other, so that everybody can see
 * them and an operator can change them.
 */
export const HOLD: Values = new Map([
  ['cleanup.policy', 'delete'],
  ['retention.ms', '-1'],
  ['retention.bytes', '-1'],
])

/** The same for all topics that say nothing of their own. */
export const BROKER_HOLD: Values = new Map([
  ['log.cleanup.policy', 'delete'],
  ['log.retention.ms', '-1'],
  ['log.retention.bytes', '-1'],
])

/** With another value of one of these, records are deleted or compacted away, or sooner. */
const DECIDING_KEYS: readonly TopicConfigKey[] = [
  'cleanup.policy',
  'delete.retention.ms',
  'file.delete.delay.ms',
  'internal.segment.bytes',
  'max.compaction.lag.ms',
  'message.timestamp.type',
  'min.cleanable.dirty.ratio',
  'min.compaction.lag.ms',
  'retention.bytes',
  'retention.ms',
  'segment.bytes',
  'segment.jitter.ms',
  'segment.ms',
]
const DECIDING: ReadonlySet<string> = new Set(DECIDING_KEYS)
const DECIDING_BROKER_KEYS: ReadonlySet<string> = new Set(DECIDING_KEYS.flatMap((key) => brokerSynonyms(key)))

/** How an operator ends it. */
export function waysToRelease(topic: string): string {
  const to = `kafka-configs --alter --entity-type topics --entity-name ${topic}`
  return (
    `${to} --add-config cleanup.policy=...,retention.ms=... says what holds, ` +
    `${to} --delete-config ${[...HOLD.keys()].join()} goes back to the broker's defaults`
  )
}

export interface ReadableOverrides {
  /** In Kafka's spelling, with the hold where it has to be. */
  readonly overrides: Map<string, string>
  /** Keys that this version does not know, or whose values it does not allow. */
  readonly unused: readonly string[]
  /** One of them decides on deletion. */
  readonly held: boolean
}

/** What a store, or Apache Kafka, has of a topic's configuration, as far as it can be used. */
export function readableOverrides(stored: Values): ReadableOverrides {
  const overrides = normalizeTopicOverrides(stored)
  const unused = [...stored.keys()].filter((key) => !overrides.has(key))
  const held = unused.some((key) => DECIDING.has(key))
  if (held) for (const [key, value] of HOLD) overrides.set(key, value)
  return { overrides, unused, held }
}

/** As `withDynamicConfig`, over values that a store has: where one that decides on deletion cannot be read, nothing goes. */
export function withStoredConfig(
  config: BrokerConfig,
  clusterDefaults: Values,
  brokerValues: Values,
): { readonly config: BrokerConfig; readonly warnings: readonly string[] } {
  const held = [...clusterDefaults, ...brokerValues]
    .filter(([key, text]) => DECIDING_BROKER_KEYS.has(key) && brokerConfigProblem(key, text) !== null)
    .map(([key]) => key)
  if (held.length === 0) return withDynamicConfig(config, clusterDefaults, brokerValues)
  const found = withDynamicConfig(config, clusterDefaults, new Map([...brokerValues, ...BROKER_HOLD]))
  const warning = `of topics without settings of their own nothing is deleted or compacted, until ${held.join(' and ')} can be read`
  return { config: found.config, warnings: [...found.warnings, warning] }
}
