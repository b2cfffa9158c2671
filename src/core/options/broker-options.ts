/** What `Broker.start` and `createTopics` take. */
import { unknownBrokerKey } from '../config/broker-config.ts'
import { MAX_INT } from '../config/definition.ts'
import { topicDefinition } from '../config/topic-config.ts'
import { topicTable } from '../config/topic-keys.ts'
import { CONFIG_PROFILES } from './config-profile.ts'
import type { ConfigProfile } from './config-profile.ts'
import { LOG_LEVELS } from './log-level.ts'
import type { LogLevel } from './log-level.ts'
import { configuration, integer, listOf, oneOf, problemsOf, refuse, shown, text } from './rules.ts'
import type { OptionsOf, OptionTable } from './rules.ts'
import { didYouMean } from './suggestion.ts'

/** Values of configuration keys, as they would stand in a file. */
export type ConfigEntries = Readonly<Record<string, string | number | boolean>>

export interface BrokerOptions {
  /** The port to listen on. Default: a free one. */
  readonly port?: number
  /** The address or host name to listen on. Default: 127.0.0.1. */
  readonly host?: string
  /** Where the data lives. Default: a temporary directory that is removed when the broker stops. */
  readonly dataDir?: string
  /** Any key of server.properties. A key that means nothing is an error, one without effect here a process warning. */
  readonly config?: ConfigEntries
  /** `embedded` (default) forms groups without Kafka's initial delay; `server` has Kafka's defaults. */
  readonly profile?: ConfigProfile
  /** Lines on standard output, as JSON. Default: silent. */
  readonly logLevel?: LogLevel
}

export interface NewTopic {
  /** Up to 249 letters, digits, `.`, `_` and `-`. */
  readonly name: string
  /** Default: num.partitions. */
  readonly partitions?: number
  /** Any configuration key of a topic. */
  readonly config?: ConfigEntries
}

/** A name, an IPv4 address, or an IPv6 address without brackets. */
export const HOST = /^(?:[A-Za-z0-9._-]+|(?:[0-9A-Fa-f]{0,4}:){2,}[0-9A-Fa-f:.]*(?:%[A-Za-z0-9]+)?)$/

const brokerOptions: OptionTable & { options: OptionsOf<BrokerOptions> } = {
  options: {
    port: { rule: integer(0, 65_535) },
    host: { rule: text(HOST, 'a host name or an address, without a port') },
    dataDir: { rule: text(/^[^\0]*$/, 'the path of a directory') },
    config: { rule: configuration(unknownBrokerKey) },
    profile: { rule: oneOf(CONFIG_PROFILES) },
    logLevel: { rule: oneOf(LOG_LEVELS) },
  },
  foreign: {
    brokers: 'a broker has one address: host and port; several brokers come from Cluster.start',
    dir: 'did you mean dataDir?',
    logger: 'did you mean logLevel?',
  },
}

export const topicOptions: OptionsOf<NewTopic> = {
  // Which names Kafka has no topics for is for the broker to say, in Kafka's words.
  name: { rule: text(/^/, 'a string'), required: true },
  partitions: { rule: integer(1, MAX_INT) },
  config: { rule: configuration(unknownTopicKey) },
}

export const foreignTopicOptions = {
  topic: 'did you mean name?',
  numPartitions: 'did you mean partitions?',
  configEntries: 'did you mean config?',
  configs: 'did you mean config?',
}

const newTopic: OptionTable = {
  options: topicOptions,
  foreign: {
    ...foreignTopicOptions,
    replicationFactor: 'there is one broker, which has the only replica of each partition',
    replicaAssignment: 'there is one broker, which has the only replica of each partition',
  },
}

function unknownTopicKey(key: string): string | null {
  if (topicDefinition(key) !== undefined) return null
  return `there is no such configuration of a topic${didYouMean(key, Object.keys(topicTable))}`
}

/** Options and keys that say the same. */
const SAME: readonly (readonly [keyof BrokerOptions, readonly string[], string])[] = [
  ['port', ['listeners'], 'where to listen'],
  ['host', ['listeners'], 'where to listen'],
  ['dataDir', ['log.dirs', 'log.dir'], 'where the data lives'],
]

/** Throws SAMSA_CONFIG when these are no options of a broker. */
export function checkBrokerOptions(given: BrokerOptions): void {
  refuse(problemsOf(given, brokerOptions, '', 'options'))
  const config = given.config ?? {}
  refuse(
    SAME.flatMap(([option, keys, what]) => {
      const key = given[option] === undefined ? undefined : keys.find((each) => Object.hasOwn(config, each))
      return key === undefined ? [] : [`${option}: config['${key}'] says ${what}, too; give one of them`]
    }),
  )
}

/** Throws SAMSA_CONFIG when these are no topics to create. */
export function checkNewTopics(given: readonly NewTopic[], table = newTopic): void {
  refuse(listOf(table, 'topic')(given, 'topics'))
  const names = new Set<string>()
  refuse(
    given.flatMap(({ name }, i) => {
      if (names.has(name)) return [`topics[${i}].name: ${shown(name)} is named twice`]
      names.add(name)
      return []
    }),
  )
}
