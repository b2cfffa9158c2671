import type { ConfigProfile } from '../options/config-profile.ts'
import { didYouMean } from '../options/suggestion.ts'
import { SamsaError } from '../samsa-error.ts'
import { logMoveKeys, logRecordKeys, logRetentionKeys, logSegmentKeys } from './broker-keys-log.ts'
import {
  diskKeys,
  groupKeys,
  identityKeys,
  listenerKeys,
  recoveryKeys,
  requestKeys,
  topicKeys,
} from './broker-keys-server.ts'
import { replicationKeys } from './broker-keys-replication.ts'
import { zookeeperKeys } from './broker-keys-zookeeper.ts'
import type { ConfigSource, Setting } from './config-source.ts'
import type { ConfigDefinition, ConfigValues } from './definition.ts'
import { definitionWithoutEffect, reasonWithoutEffect, withoutEffectTable } from './keys-without-effect.ts'
import type { KeyWithoutEffect } from './keys-without-effect.ts'
import { HIDDEN, wrongSetting, wrongValue } from './secrets.ts'
import { parseConnectionOverrides, parseHostPort, parseListeners } from './listeners.ts'
import type { AdvertisedAddress, ListenerEndpoint } from './listeners.ts'
import { parseZooKeeperConnect } from './zookeeper-connect.ts'
import type { ZooKeeperAddress } from './zookeeper-connect.ts'

/**
 * Every broker key that this broker reads, in the order DescribeConfigs and the documentation list them. Those of Kafka
 * that it does not are in `keys-without-effect`.
 */
export const brokerTable = {
  ...identityKeys,
  ...listenerKeys,
  ...requestKeys,
  ...diskKeys,
  ...topicKeys,
  ...logSegmentKeys,
  ...logMoveKeys,
  ...logRetentionKeys,
  ...logRecordKeys,
  ...groupKeys,
  ...recoveryKeys,
  ...replicationKeys,
  ...zookeeperKeys,
} as const

export type BrokerConfigKey = keyof typeof brokerTable
/** Of Kafka's, also those without effect. */
export type KnownBrokerKey = BrokerConfigKey | KeyWithoutEffect
export type BrokerConfigValues = ConfigValues<typeof brokerTable>

/** Values that were set together. Later layers win over earlier ones. */
export interface ConfigLayer {
  readonly source: Exclude<ConfigSource, 'DEFAULT_CONFIG' | 'DYNAMIC_TOPIC_CONFIG'>
  /** Where the values stand, for messages: a file, `the environment`, `--set`. */
  readonly origin?: string
  readonly values: ReadonlyMap<string, string>
}

/** What is known about a configuration beside its values. */
export interface BrokerConfigDetails {
  readonly profile: ConfigProfile
  readonly layers: readonly ConfigLayer[]
  /** Explicitly set values of a key, strongest first. A key that nobody set is missing. */
  readonly settings: ReadonlyMap<string, readonly Setting[]>
  /** Listeners to open, from `listeners` and its companions. */
  readonly endpoints: readonly ListenerEndpoint[]
  /** From samsa.admin.listener; null opens none. */
  readonly adminEndpoint: AdvertisedAddress | null
  readonly connectionOverrides: ReadonlyMap<string, number>
  /** From zookeeper.connect; null keeps the metadata in the first log directory. */
  readonly zookeeper: ZooKeeperAddress | null
}

/** Values by key (`config['log.segment.bytes']`), with where they came from. Never changes: a dynamic change makes a new one. */
export type BrokerConfig = BrokerConfigValues & BrokerConfigDetails

const PROFILE_DEFAULTS: Readonly<Record<ConfigProfile, ReadonlyMap<string, string>>> = {
  server: new Map(),
  embedded: new Map([
    ['listeners', 'PLAINTEXT://127.0.0.1:0'],
    ['group.initial.rebalance.delay.ms', '0'],
  ]),
}

/** Where several brokers share a ZooKeeper. */
const CLUSTER_DEFAULTS: ReadonlyMap<string, string> = new Map([['offsets.topic.replication.factor', '3']])

/** What some defaults depend on. */
interface Surroundings {
  readonly profile: ConfigProfile
  readonly 'zookeeper.connect': string | null
}

/** Second names of a key. The first name wins when one layer has both. */
export const ALIASES: ReadonlyMap<string, BrokerConfigKey> = new Map([
  ['node.id', 'broker.id'],
  ['log.dir', 'log.dirs'],
])

/** Keys with units, by the one that topics fall back to: the first that is set counts. */
export const UNIT_FAMILIES: ReadonlyMap<string, readonly BrokerConfigKey[]> = new Map<
  string,
  readonly BrokerConfigKey[]
>([
  ['log.retention.ms', ['log.retention.ms', 'log.retention.minutes', 'log.retention.hours']],
  ['log.roll.ms', ['log.roll.ms', 'log.roll.hours']],
  ['log.roll.jitter.ms', ['log.roll.jitter.ms', 'log.roll.jitter.hours']],
  ['log.flush.interval.ms', ['log.flush.interval.ms', 'log.flush.scheduler.interval.ms']],
])

/** What is known about a key, whether it has an effect or not; undefined when neither we nor Kafka know it. */
export function brokerDefinition(key: string): ConfigDefinition<unknown> | undefined {
  const canonical = ALIASES.get(key) ?? key
  return Object.hasOwn(brokerTable, canonical)
    ? brokerTable[canonical as BrokerConfigKey]
    : definitionWithoutEffect(key)
}

/** Null for a key that Kafka or this broker knows; else the sentence about it, with what may have been meant. */
export function unknownBrokerKey(key: string): string | null {
  if (brokerDefinition(key) !== undefined || reasonWithoutEffect(key) !== undefined) return null
  return `there is no such configuration${didYouMean(key, knownKeys())}`
}

function knownKeys(): readonly string[] {
  return [...Object.keys(brokerTable), ...ALIASES.keys(), ...Object.keys(withoutEffectTable)]
}

/** The default of a key where these are set, as text; null when it has none. */
export function brokerDefaultText(key: string, { profile, ...where }: Surroundings): string | null {
  const ofCluster = where['zookeeper.connect'] === null ? undefined : CLUSTER_DEFAULTS.get(key)
  return PROFILE_DEFAULTS[profile].get(key) ?? ofCluster ?? brokerDefinition(key)?.defaultText ?? null
}

/** Null when the value may be set; otherwise the sentence that says what may be. Unknown keys may have any value. */
export function brokerConfigProblem(key: string, text: string): string | null {
  const definition = brokerDefinition(key)
  if (definition === undefined || definition.read(text.trim()) !== undefined) return null
  return wrongValue(key, text, `must be ${definition.allowed}`)
}

interface Collected {
  readonly settings: Map<string, Setting[]>
  /** What the strongest setting of a key means: its text may not tell. */
  readonly values: Map<string, unknown>
  readonly warnings: string[]
}

function collectLayer(layer: ConfigLayer, into: Collected): void {
  const withoutEffect = new Map<string, string[]>()
  const where = layer.origin === undefined ? '' : ` (${layer.origin})`
  for (const [key, value] of layer.values) {
    const canonical = ALIASES.get(key) ?? key
    if (canonical !== key && layer.values.has(canonical)) {
      if (key === 'node.id' && layer.values.get(canonical)?.trim() !== value.trim())
        throw new SamsaError(
          'SAMSA_CONFIG',
          wrongSetting(key, value, where, 'must equal broker.id when both are set'),
        )
      continue
    }
    const definition = brokerDefinition(canonical)
    const reason = reasonWithoutEffect(canonical)
    if (definition === undefined && reason === undefined)
      into.warnings.push(
        `unknown configuration ${key}${where}: it has no effect${didYouMean(key, knownKeys())}`,
      )
    // As in Kafka: who knows whether what it does not know is a secret?
    const parsed = definition === undefined ? { value: null, text: HIDDEN } : definition.read(value.trim())
    if (parsed === undefined) {
      const message = wrongSetting(key, value, where, `must be ${definition!.allowed}`)
      // A value that was stored by an earlier version must not keep the broker from starting.
      if (layer.source === 'STATIC_BROKER_CONFIG') throw new SamsaError('SAMSA_CONFIG', message)
      into.warnings.push(`${message}; the stored value is not used`)
      continue
    }
    if (reason !== undefined) withoutEffect.set(reason, [...(withoutEffect.get(reason) ?? []), key])
    into.values.set(canonical, parsed.value)
    addSetting(into.settings, canonical, { key, text: parsed.text ?? '', source: layer.source })
  }
  if (withoutEffect.size > 0) {
    const reasons = [...withoutEffect].map(([reason, keys]) => `${keys.join(', ')} (${reason})`)
    into.warnings.push(`without effect in this broker${where}: ${reasons.join('; ')}`)
  }
}

function addSetting(settings: Map<string, Setting[]>, key: string, setting: Setting): void {
  const others = settings.get(key)
  if (others === undefined) settings.set(key, [setting])
  else if (others[0]!.source === setting.source) others[0] = setting
  else others.unshift(setting)
}

function valuesOf(collected: Collected, profile: ConfigProfile): BrokerConfigValues {
  const connect = collected.values.get('zookeeper.connect')
  const where = { profile, 'zookeeper.connect': typeof connect === 'string' ? connect : null }
  const entries = Object.entries<ConfigDefinition<unknown>>(brokerTable).map(([key, definition]) => {
    if (collected.values.has(key)) return [key, collected.values.get(key)]
    const text = brokerDefaultText(key, where)
    return [key, text === null ? definition.absent.value : definition.read(text)!.value]
  })
  // The table is the single source of both the keys and their types.
  return Object.fromEntries(entries) as BrokerConfigValues
}

function checkTogether(values: BrokerConfigValues): void {
  const min = values['group.min.session.timeout.ms']
  const max = values['group.max.session.timeout.ms']
  if (min > max)
    throw new SamsaError(
      'SAMSA_CONFIG',
      `group.min.session.timeout.ms=${min}: must not be above group.max.session.timeout.ms=${max}`,
    )
  const minLag = values['log.cleaner.min.compaction.lag.ms']
  const maxLag = values['log.cleaner.max.compaction.lag.ms']
  if (minLag > maxLag)
    throw new SamsaError(
      'SAMSA_CONFIG',
      `log.cleaner.min.compaction.lag.ms=${minLag}: must not be above log.cleaner.max.compaction.lag.ms=${maxLag}`,
    )
  if (values['max.connections.per.ip'] === 0 && values['max.connections.per.ip.overrides'].length === 0)
    throw new SamsaError(
      'SAMSA_CONFIG',
      'max.connections.per.ip=0: may be 0 only where max.connections.per.ip.overrides lets some in',
    )
  checkZooKeeper(values)
  const clusterId = values['cluster.id']
  // Kafka formats a directory with any text.
  if (clusterId !== null && !/^[!-~]{1,255}$/.test(clusterId))
    throw new SamsaError(
      'SAMSA_CONFIG',
      wrongSetting('cluster.id', clusterId, '', 'must be 1 to 255 characters of ASCII without spaces'),
    )
}

function checkZooKeeper(values: BrokerConfigValues): void {
  const credentials = values['samsa.zookeeper.credentials']
  if (values['zookeeper.connect'] === null) return
  if (credentials !== null && !/^[^:]+:.+$/.test(credentials))
    throw new SamsaError(
      'SAMSA_CONFIG',
      wrongSetting('samsa.zookeeper.credentials', credentials, '', 'must be user:password'),
    )
  if (values['zookeeper.set.acl'] && credentials === null)
    throw new SamsaError(
      'SAMSA_CONFIG',
      'zookeeper.set.acl=true: needs samsa.zookeeper.credentials, or nobody would be the owner of what is made',
    )
}

/**
 * Reads the layers, weakest first. Throws SAMSA_CONFIG with a message that names the key, the value and what is
 * allowed. `warnings` are sentences for the log: unknown keys and keys without effect. `isAlone`: without a
 * ZooKeeper there is no other broker.
 */
export function parseBrokerConfig(
  layers: readonly ConfigLayer[],
  profile: ConfigProfile = 'server',
  isAlone = true,
): { readonly config: BrokerConfig; readonly warnings: readonly string[] } {
  const collected: Collected = {
    settings: new Map(),
    values: new Map(),
    warnings: [],
  }
  for (const layer of layers) collectLayer(layer, collected)
  const values = valuesOf(collected, profile)
  checkTogether(values)
  const { endpoints, ignored } = parseListeners({
    listeners: values.listeners,
    advertisedListeners: values['advertised.listeners'],
    protocolMap: values['listener.security.protocol.map'],
    interBrokerListenerName: values['inter.broker.listener.name'],
    controllerListenerNames: values['controller.listener.names'],
  })
  const ofAll = isAlone && values['zookeeper.connect'] === null ? replicationWarnings(values) : []
  if (ignored.length > 0)
    ofAll.push(`not opened, there is no controller quorum: listener ${ignored.join(', ')}`)
  const details: BrokerConfigDetails = {
    profile,
    layers,
    settings: collected.settings,
    endpoints,
    adminEndpoint: parseHostPort('samsa.admin.listener', values['samsa.admin.listener'], '127.0.0.1:9644'),
    connectionOverrides: parseConnectionOverrides(values['max.connections.per.ip.overrides'].join(',')),
    zookeeper: parseZooKeeperConnect(values['zookeeper.connect']),
  }
  // Those of single layers stay last and in their order, so that a layer more only adds to them.
  return { config: Object.freeze({ ...values, ...details }), warnings: [...ofAll, ...collected.warnings] }
}

/** Files of clusters have them, and what comes of it shows late: in clients that wait for a coordinator. */
function replicationWarnings(values: BrokerConfigValues): string[] {
  return (
    [
      ['offsets.topic.replication.factor', 'consumer groups'],
      ['default.replication.factor', 'topics that are created without a number of replicas'],
    ] as const
  )
    .filter(([key]) => values[key] > 1)
    .map(
      ([key, what]) => `${key}=${values[key]}: there is one broker, so ${what} will be refused; it must be 1`,
    )
}

/**
 * The same static configuration under other dynamic values. Stored values that this version does not allow are
 * left out and come back as warnings.
 */
export function withDynamicConfig(
  config: BrokerConfig,
  clusterDefaults: ReadonlyMap<string, string>,
  brokerValues: ReadonlyMap<string, string>,
): { readonly config: BrokerConfig; readonly warnings: readonly string[] } {
  const fixed = config.layers.filter(({ source }) => source === 'STATIC_BROKER_CONFIG')
  const known = parseBrokerConfig(fixed, config.profile).warnings
  const changed = parseBrokerConfig(
    [
      ...fixed,
      { source: 'DYNAMIC_DEFAULT_BROKER_CONFIG', values: clusterDefaults },
      { source: 'DYNAMIC_BROKER_CONFIG', values: brokerValues },
    ],
    config.profile,
  )
  return { config: changed.config, warnings: changed.warnings.slice(known.length) }
}
