/** What `Cluster.start` and its `createTopics` take. */
import { unknownBrokerKey } from '../config/broker-config.ts'
import { checkNewTopics, foreignTopicOptions, HOST, topicOptions } from './broker-options.ts'
import type { BrokerOptions, NewTopic } from './broker-options.ts'
import { MAX_BROKERS } from './broker-count.ts'
import { CONFIG_PROFILES } from './config-profile.ts'
import { LOG_LEVELS } from './log-level.ts'
import { configuration, integer, oneOf, problemsOf, refuse, text } from './rules.ts'
import type { OptionsOf, OptionTable } from './rules.ts'

export interface ClusterOptions extends Pick<BrokerOptions, 'host' | 'config' | 'profile' | 'logLevel'> {
  /** How many; their ids are 1, 2, 3 and so on. Default: 3. */
  readonly brokers?: number
}

export interface NewClusterTopic extends NewTopic {
  /** Default: default.replication.factor, which is 3, or the number of brokers when there are fewer. */
  readonly replicationFactor?: number
}

export const DEFAULT_BROKERS = 3

const clusterOptions: OptionTable & { options: OptionsOf<ClusterOptions> } = {
  options: {
    brokers: { rule: integer(1, MAX_BROKERS) },
    host: { rule: text(HOST, 'a host name or an address, without a port') },
    config: { rule: configuration((key) => placeKeyProblem(key) ?? unknownBrokerKey(key)) },
    profile: { rule: oneOf(CONFIG_PROFILES) },
    logLevel: { rule: oneOf(LOG_LEVELS) },
  },
  foreign: {
    count: 'did you mean brokers?',
    nodes: 'did you mean brokers?',
    port: 'each broker has a free port of its own',
    dataDir: 'each broker has a temporary directory of its own',
    logger: 'did you mean logLevel?',
  },
}

/** Configuration keys that no two brokers may share, and what there is in place of them. */
const PLACE_KEYS: ReadonlyMap<string, string> = new Map([
  ['advertised.listeners', 'each broker has a free port of its own'],
  ['broker.id', 'ids are 1, 2, 3 and so on'],
  ['listeners', 'each broker has a free port of its own'],
  ['log.dir', 'each broker has a temporary directory of its own'],
  ['log.dirs', 'each broker has a temporary directory of its own'],
  ['metadata.log.dir', 'each broker has a temporary directory of its own'],
  ['node.id', 'ids are 1, 2, 3 and so on'],
  ['samsa.admin.listener', 'brokers of one process have no HTTP port'],
  ['zookeeper.connect', 'brokers of one process share a store of their own'],
])

/** The end of the sentence about a key that cannot be set for all brokers of a process; null for others. */
export function placeKeyProblem(key: string): string | null {
  const instead = PLACE_KEYS.get(key)
  return instead === undefined ? null : `cannot be set for a whole cluster: ${instead}`
}

const newTopic: OptionTable & { options: OptionsOf<NewClusterTopic> } = {
  options: { ...topicOptions, replicationFactor: { rule: integer(1, MAX_BROKERS) } },
  foreign: {
    ...foreignTopicOptions,
    replicas: 'did you mean replicationFactor?',
    replicaAssignment: 'brokers are chosen by the controller',
  },
}

/** Throws SAMSA_CONFIG when these are no options of a cluster. */
export function checkClusterOptions(given: ClusterOptions): void {
  refuse(problemsOf(given, clusterOptions, '', 'options'))
}

/** Throws SAMSA_CONFIG when these are no topics to create. */
export function checkNewClusterTopics(given: readonly NewClusterTopic[]): void {
  checkNewTopics(given, newTopic)
}

/**
 * What brokers that live for a test have where nobody says otherwise: replicas on all of three, short waits, and no more
 * partitions for groups than are quickly made.
 */
export function clusterDefaults(brokers: number): ReadonlyMap<string, string> {
  const replicas = String(Math.min(3, brokers))
  return new Map([
    ['default.replication.factor', replicas],
    ['offsets.topic.replication.factor', replicas],
    ['offsets.topic.num.partitions', '9'],
    ['min.insync.replicas', brokers < 3 ? '1' : '2'],
    ['replica.lag.time.max.ms', '3000'],
  ])
}
