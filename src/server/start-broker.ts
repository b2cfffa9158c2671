import { CODECS_BY_NAME } from '../../protocol/compression.ts'
import { ErrorCode, errorName } from '../../protocol/errors.ts'
import { Broker } from '../broker/broker.ts'
import { NO_FOLLOWINGS } from '../broker/following/followings.ts'
import type { Followings } from '../broker/following/followings.ts'
import { GroupCoordinator } from '../broker/groups/group-coordinator.ts'
import { KafkaGuest } from '../broker/guest/kafka-guest.ts'
import { IsrProposer } from '../broker/isr-proposer.ts'
import { tellOpenTransactions } from '../broker/open-transactions.ts'
import { OffsetsLog } from '../broker/groups/offsets-log.ts'
import { Partitions } from '../broker/partitions.ts'
import { ReplicaFetchers } from '../broker/following/replica-fetchers.ts'
import { TopicHost } from '../broker/topic-host.ts'
import type { TopicHostParts } from '../broker/topic-host.ts'
import { TopicMetrics } from '../broker/topic-metrics.ts'
import type { BrokerConfig } from '../core/config/broker-config.ts'
import { HOLD } from '../core/config/held-config.ts'
import { resolveTopicConfig } from '../core/config/topic-config.ts'
import type { NewClusterTopic } from '../core/options/cluster-options.ts'
import { printable } from '../core/printable.ts'
import { SamsaError } from '../core/samsa-error.ts'
import type { SamsaErrorCode } from '../core/samsa-error.ts'
import { LogManager } from '../log/manager/log-manager.ts'
import { nothingWrites } from '../metadata/changes/config-change.ts'
import { ClusterMetadata } from '../metadata/cluster/cluster-metadata.ts'
import type { TopicImage } from '../metadata/image/metadata-image.ts'
import type { Outcome } from '../metadata/layout/outcome.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { OneNodeMetadata } from '../metadata/one-node.ts'
import { toLogConfig } from '../metadata/topic-log-config.ts'
import type { Address, Codecs, MetadataStore, World } from '../ports.ts'
import { registerBrokerGauges } from './broker-gauges.ts'
import { logManagerOptions } from './log-manager-options.ts'
import { metadataDirectory, rememberElsewhere } from './metadata-directory.ts'
import { Server } from './server.ts'

/** How long connections may take to receive their last answers when the broker stops. */
const DRAIN_MS = 1_000
/** How often a broker that waits for others says for what. */
const SAY_AGAIN_MS = 10_000

/**
 * Opens a session on the metadata store, which may live in `directory`; called once that directory is locked, and again
 * each time when a session expired.
 */
export type OpenStore = (directory: string) => Promise<MetadataStore>

/** A broker that serves. */
export interface RunningBroker {
  /** By listener name; a configured port of 0 has become a number. */
  readonly addresses: ReadonlyMap<string, Address>
  readonly broker: Broker
  /** Rejects when the broker can no longer serve: its last log directory failed. Never resolves. */
  readonly failed: Promise<never>
  createTopics(topics: readonly NewClusterTopic[]): Promise<void>
  /** All but the internal ones. */
  deleteAllTopics(): Promise<void>
  /** Drains connections, makes everything durable and writes the clean marker. Resolves to whether all of that was done. */
  stop(): Promise<boolean>
  /** Ends as a process that is killed: nobody is told, nothing is made durable. For a broker that others can do without. */
  kill(): Promise<void>
}

/**
 * Starts a broker in a world. Resolves when every listener accepts clients; rejects with a SamsaError, everything
 * closed again, when it cannot. `inCluster`: others share the metadata store.
 *
 * Order: lock the directories, open the metadata, recover the logs, load the groups, and only then open the ports,
 * so that nobody ever reaches a broker that is not ready.
 */
export async function startBroker(
  world: World,
  config: BrokerConfig,
  openStore: OpenStore,
  inCluster = config.zookeeper !== null,
): Promise<RunningBroker> {
  const canCompress = (type: string): boolean => writes(world.codecs, type)
  if (!canCompress(config['compression.type']))
    throw new SamsaError('SAMSA_CONFIG', nothingWrites(config['compression.type']))
  let fail!: (error: SamsaError) => void
  const failed = new Promise<never>((_resolve, reject) => (fail = reject))
  failed.catch(() => {})
  const logs = await LogManager.open(world, logManagerOptions(config, fail))
  const starting: Starting = { world, config, logs, canCompress, fail, failed, metadata: null, server: null }
  try {
    const place = metadataDirectory(world.disk, logs, config['log.dirs'][0]!)
    const open = (): Promise<MetadataStore> => openStore(place)
    const started = await (inCluster ? startMember(starting, open, place) : startAlone(starting, open))
    return running(started, logs, failed)
  } catch (error) {
    await starting.server?.stop(0)
    await starting.metadata?.close()
    await logs.close(false)
    throw error
  }
}

/** What has to be closed again when the start fails. */
interface Starting {
  readonly world: World
  readonly config: BrokerConfig
  readonly logs: LogManager
  readonly canCompress: (type: string) => boolean
  readonly fail: (error: SamsaError) => void
  readonly failed: Promise<never>
  metadata: Metadata | null
  server: Server | null
}

/** One broker that is a cluster by itself. */
async function startAlone(starting: Starting, openStore: () => Promise<MetadataStore>): Promise<Assembled> {
  const { world, config, logs, canCompress } = starting
  const metadata = await OneNodeMetadata.open(await openStore(), world, {
    config,
    clusterId: logs.clusterId,
    maxOpenFiles: world.disk.maxOpenFiles,
    canCompress,
  })
  starting.metadata = metadata
  const guest = await KafkaGuest.look(world, logs, metadata)
  await logs.load(metadata.clusterId, metadata.brokerEpoch, guest.admit, guest.ownerOf)
  await guest.adopt()
  const assembled = assemble(world, logs, metadata, NO_FOLLOWINGS, guest.outOfReach)
  starting.server = assembled.server
  await host(assembled, world, metadata)
  await metadata.start(assembled.host)
  await assembled.broker.groups.start()
  logs.beginMoves(() => metadata.config['replica.alter.log.dirs.io.max.bytes.per.second'])
  await assembled.server.start()
  return assembled
}

/**
 * One of several brokers. It is registered, and accepted by the controller, before its logs are touched, which may be
 * shorter than they were; it is counted on once it hosts what it is told to, and clients come last (KIP-966).
 */
async function startMember(
  starting: Starting,
  openStore: () => Promise<MetadataStore>,
  place: string,
): Promise<Assembled> {
  const { world, config, logs, canCompress, fail, failed } = starting
  const metadata = new ClusterMetadata(world, {
    config,
    openStore,
    clusterId: logs.clusterId,
    cleanShutdownEpoch: logs.cleanShutdownEpoch,
    canCompress,
    registeredAs: (brokerEpoch) => logs.registeredAs(brokerEpoch),
    lost: fail,
  })
  starting.metadata = metadata
  const fetchers = new ReplicaFetchers(world, metadata, (directory) => logs.refusesRecords(directory))
  const assembled = assemble(world, logs, metadata, fetchers, () => null)
  starting.server = assembled.server
  await assembled.server.bind()
  // Who cannot be a member any more waits for others in vain.
  const joined = metadata.join(assembled.server.addresses)
  await sayingWhatFor(world, metadata, Promise.race([joined, failed]))
  // Not before: one that is refused leaves nothing in its directories.
  const connect = config['zookeeper.connect']
  if (connect !== null) await rememberElsewhere(world.disk, place, connect)
  const isHere = (topic: TopicImage | undefined, index: number): topic is TopicImage =>
    topic?.partitions[index]?.replicas.includes(metadata.nodeId) === true
  await logs.load(
    metadata.clusterId,
    metadata.brokerEpoch,
    (name, index, topicId) => {
      const topic = topicId === null ? metadata.topics.get(name) : metadata.topicById(topicId)
      // Nobody can say whose it is until its topic can be read again.
      if (metadata.isDamaged(name))
        return toLogConfig(resolveTopicConfig(HOLD, metadata.config), metadata.config)
      const isOurs = isHere(topic, index) && topic.name === name
      return isOurs ? toLogConfig(topic.config, metadata.config) : 'stray'
    },
    (topicId, index) => {
      const topic = metadata.topicById(topicId)
      return isHere(topic, index) ? topic.name : null
    },
  )
  await host(assembled, world, metadata)
  await assembled.broker.groups.start()
  metadata.start(assembled.host)
  logs.beginMoves(() => metadata.config['replica.alter.log.dirs.io.max.bytes.per.second'])
  await sayingWhatFor(world, metadata, Promise.race([metadata.whenServing(), failed]))
  assembled.server.open()
  return assembled
}

/** A start that waits for others says so every now and then: nobody sees why from outside. */
async function sayingWhatFor(
  { clock, logger }: World,
  metadata: ClusterMetadata,
  waiting: Promise<void>,
): Promise<void> {
  const say = (): void => {
    logger.warn({ waitingFor: metadata.awaited }, 'this broker does not serve clients yet')
    timer = clock.after(SAY_AGAIN_MS, say)
  }
  let timer = clock.after(SAY_AGAIN_MS, say)
  try {
    await waiting
  } finally {
    timer.cancel()
  }
}

function writes(codecs: Codecs, compressionType: string): boolean {
  return Object.entries(CODECS_BY_NAME).every(
    ([name, codec]) => name !== compressionType || codecs.canCompress(codec),
  )
}

interface Assembled {
  readonly broker: Broker
  readonly server: Server
  readonly host: TopicHost
  readonly isrs: IsrProposer
  readonly followings: Followings
}

function assemble(
  world: World,
  logs: LogManager,
  metadata: Metadata,
  followings: Followings,
  outOfReach: TopicHostParts['outOfReach'],
): Assembled {
  const { clock } = world
  const partitions = new Partitions(metadata)
  const topicMetrics = new TopicMetrics(world.metrics)
  const isrs = new IsrProposer(world, metadata, partitions)
  const host = new TopicHost({
    clock,
    metadata,
    logs,
    partitions,
    topicMetrics,
    isrs,
    followings,
    outOfReach,
  })
  const refuses = (directory: string): boolean => logs.refusesRecords(directory, true)
  const offsetsLog = new OffsetsLog(metadata, partitions, refuses)
  const groups = new GroupCoordinator(world, offsetsLog, metadata.config)
  const broker = new Broker({ world, logs, metadata, groups, partitions, topicMetrics })
  registerBrokerGauges(world.metrics, broker)
  return { broker, server: new Server(world, broker), host, isrs, followings }
}

/** Opens what the metadata says is here. */
async function host({ host, broker }: Assembled, world: World, metadata: Metadata): Promise<void> {
  await Promise.all([...metadata.topics.values()].map((topic) => host.open(topic)))
  tellOpenTransactions(broker.partitions.all(), world.logger)
  host.attach(broker.groups)
}

function running(assembled: Assembled, logs: LogManager, failed: Promise<never>): RunningBroker {
  const { broker, server } = assembled
  const { metadata } = broker
  return {
    addresses: server.addresses,
    broker,
    failed,
    createTopics: (topics) => createTopics(metadata, topics),
    deleteAllTopics: () => deleteAllTopics(metadata),
    stop: async () => {
      await metadata.cluster?.leave()
      await quieten(assembled)
      await server.stop(DRAIN_MS)
      const isClean = await logs.close(true)
      await metadata.close()
      return isClean
    },
    kill: async () => {
      await Promise.all([server.stop(0), metadata.close()])
      await quieten(assembled)
      await logs.close(false)
    },
  }
}

/** What waits is answered, and nothing begins by itself any more. */
async function quieten({ broker, isrs, followings }: Assembled): Promise<void> {
  broker.deadlines.expireAll()
  broker.groups.close()
  await followings.close()
  isrs.close()
}

async function deleteAllTopics(metadata: Metadata): Promise<void> {
  const names = [...metadata.topics.values()].filter(({ internal }) => !internal).map(({ name }) => name)
  const outcomes = await Promise.all(names.map((name) => metadata.deleteTopic(name)))
  // Somebody else may delete one, too.
  throwRefusals(names, outcomes, [ErrorCode.NONE, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION])
}

async function createTopics(metadata: Metadata, topics: readonly NewClusterTopic[]): Promise<void> {
  const outcomes = await metadata.createTopics(
    topics.map(({ name, partitions, replicationFactor, config }) => ({
      name,
      numPartitions: partitions ?? -1,
      replicationFactor: replicationFactor ?? -1,
      assignments: [],
      configs: Object.entries(config ?? {}).map(([key, value]) => ({ name: key, value: String(value) })),
    })),
    false,
  )
  throwRefusals(
    topics.map(({ name }) => name),
    outcomes,
    [ErrorCode.NONE],
  )
}

/** Throws one error for all topics that did not come out as wanted. */
function throwRefusals(
  names: readonly string[],
  outcomes: readonly Outcome[],
  wanted: readonly ErrorCode[],
): void {
  const refusals = outcomes.flatMap(({ errorCode, errorMessage }, i) => {
    const message = `${printable(names[i]!)}: ${errorName(errorCode)}: ${errorMessage ?? ''}`
    return wanted.includes(errorCode) ? [] : [{ errorCode, message }]
  })
  const [first] = refusals
  if (first === undefined) return
  const message = refusals.map((each) => each.message).join('; ')
  throw new SamsaError(codeOf(first.errorCode), message, undefined, errorName(first.errorCode))
}

function codeOf(errorCode: ErrorCode): SamsaErrorCode {
  if (errorCode === ErrorCode.KAFKA_STORAGE_ERROR) return 'SAMSA_DISK_IO'
  return errorCode === ErrorCode.NOT_CONTROLLER ? 'SAMSA_METADATA_STORE' : 'SAMSA_REFUSED'
}
