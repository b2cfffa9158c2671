import { CODECS_BY_NAME } from '../../protocol/compression.ts'
import { ErrorCode, errorName } from '../../protocol/errors.ts'
import { Broker } from '../broker/broker.ts'
import { NO_FOLLOWINGS } from '../broker/followings.ts'
import { GroupCoordinator } from '../broker/group-coordinator.ts'
import { KafkaGuest } from '../broker/guest/kafka-guest.ts'
import { IsrProposer } from '../broker/isr-proposer.ts'
import { tellOpenTransactions } from '../broker/open-transactions.ts'
import { OffsetsLog } from '../broker/offsets-log.ts'
import { Partitions } from '../broker/partitions.ts'
import { TopicHost } from '../broker/topic-host.ts'
import { TopicMetrics } from '../broker/topic-metrics.ts'
import type { BrokerConfig } from '../core/config/broker-config.ts'
import type { NewTopic } from '../core/options/broker-options.ts'
import { printable } from '../core/printable.ts'
import { SamsaError } from '../core/samsa-error.ts'
import type { SamsaErrorCode } from '../core/samsa-error.ts'
import { LogManager } from '../log/manager/log-manager.ts'
import { RecentSegments } from '../log/segment/segment-cache.ts'
import { nothingWrites } from '../metadata/changes/config-change.ts'
import type { Outcome } from '../metadata/layout/outcome.ts'
import { OneNodeMetadata } from '../metadata/one-node.ts'
import type { Address, Codecs, MetadataStore, World } from '../ports.ts'
import { registerBrokerGauges } from './broker-gauges.ts'
import { metadataDirectory } from './metadata-directory.ts'
import { Server } from './server.ts'

/** How long connections may take to receive their last answers when the broker stops. */
const DRAIN_MS = 1_000

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
  createTopics(topics: readonly NewTopic[]): Promise<void>
  /** All but the internal ones. */
  deleteAllTopics(): Promise<void>
  /** Drains connections, makes everything durable and writes the clean marker. Resolves to whether all of that was done. */
  stop(): Promise<boolean>
}

/**
 * Starts a broker in a world. Resolves when every listener accepts clients; rejects with a SamsaError, everything
 * closed again, when it cannot.
 *
 * Order: lock the directories, open the metadata, recover the logs, load the groups, and only then open the ports,
 * so that nobody ever reaches a broker that is not ready.
 */
export async function startBroker(
  world: World,
  config: BrokerConfig,
  openStore: OpenStore,
): Promise<RunningBroker> {
  const canCompress = (type: string): boolean => writes(world.codecs, type)
  if (!canCompress(config['compression.type']))
    throw new SamsaError('SAMSA_CONFIG', nothingWrites(config['compression.type']))
  let fail!: (error: SamsaError) => void
  const failed = new Promise<never>((_resolve, reject) => (fail = reject))
  failed.catch(() => {})
  const logs = await LogManager.open(world, logManagerOptions(config, fail))
  let metadata: OneNodeMetadata | null = null
  let server: Server | null = null
  try {
    const place = metadataDirectory(world.disk, logs, config['log.dirs'][0]!)
    const open = (): Promise<MetadataStore> => openStore(place)
    const store = await open()
    metadata = await OneNodeMetadata.open(store, world, {
      config,
      renewal:
        store.sessionTimeoutMs === 0
          ? null
          : { open, renewed: (epoch) => logs.registeredAs(epoch), lost: fail },
      clusterId: logs.clusterId,
      maxOpenFiles: world.disk.maxOpenFiles,
      canCompress,
    })
    const guest = await KafkaGuest.look(world, logs, metadata)
    await logs.load(metadata.clusterId, metadata.brokerEpoch, guest.admit, guest.ownerOf)
    await guest.adopt()
    const assembled = await assemble(world, logs, metadata, guest)
    server = assembled.server
    await server.start()
    await metadata.listensOn(server.addresses)
    return running(assembled, logs, metadata, failed)
  } catch (error) {
    await server?.stop(0)
    await metadata?.close()
    await logs.close(false)
    throw error
  }
}

function writes(codecs: Codecs, compressionType: string): boolean {
  return Object.entries(CODECS_BY_NAME).every(
    ([name, codec]) => name !== compressionType || codecs.canCompress(codec),
  )
}

interface Assembled {
  readonly broker: Broker
  readonly isrs: IsrProposer
  readonly server: Server
}

async function assemble(
  world: World,
  logs: LogManager,
  metadata: OneNodeMetadata,
  guest: KafkaGuest,
): Promise<Assembled> {
  const partitions = new Partitions(metadata)
  const topicMetrics = new TopicMetrics(world.metrics)
  const isrs = new IsrProposer(world, metadata, partitions)
  const host = new TopicHost({
    clock: world.clock,
    metadata,
    logs,
    partitions,
    topicMetrics,
    isrs,
    followings: NO_FOLLOWINGS,
    outOfReach: guest.outOfReach,
  })
  await Promise.all([...metadata.topics.values()].map((topic) => host.open(topic)))
  tellOpenTransactions(partitions.all(), world.logger)
  const refuses = (directory: string): boolean => logs.refusesRecords(directory, true)
  const offsetsLog = new OffsetsLog(metadata, partitions, refuses)
  const groups = new GroupCoordinator(world, offsetsLog, metadata.config)
  const broker = new Broker({ world, logs, metadata, groups, partitions, topicMetrics })
  host.attach(groups)
  await metadata.start(host)
  await groups.start()
  logs.beginMoves(() => metadata.config['replica.alter.log.dirs.io.max.bytes.per.second'])
  registerBrokerGauges(world.metrics, broker)
  return { broker, isrs, server: new Server(world, broker) }
}

function logManagerOptions(config: BrokerConfig, fail: (error: SamsaError) => void) {
  return {
    logDirs: config['log.dirs'],
    nodeId: config['broker.id'],
    recoveryThreadsPerDirectory: config['num.recovery.threads.per.data.dir'],
    retentionCheckIntervalMs: config['log.retention.check.interval.ms'],
    checkpointIntervalMs: config['log.flush.offset.checkpoint.interval.ms'],
    cleaner: {
      enabled: config['log.cleaner.enable'],
      backoffMs: config['log.cleaner.backoff.ms'],
      maxMapBytes: config['log.cleaner.dedupe.buffer.size'],
      maxBytesPerSecond: config['log.cleaner.io.max.bytes.per.second'],
    },
    minFreeBytes: config['samsa.min.free.bytes'],
    maxProducers: config['samsa.max.producers'],
    segmentCache: new RecentSegments(),
    onAllDirectoriesFailed: fail,
  }
}

function running(
  { broker, isrs, server }: Assembled,
  logs: LogManager,
  metadata: OneNodeMetadata,
  failed: Promise<never>,
): RunningBroker {
  return {
    addresses: server.addresses,
    broker,
    failed,
    createTopics: (topics) => createTopics(metadata, topics),
    deleteAllTopics: () => deleteAllTopics(metadata),
    stop: async () => {
      isrs.close()
      broker.deadlines.expireAll()
      broker.groups.close()
      await server.stop(DRAIN_MS)
      const isClean = await logs.close(true)
      await metadata.close()
      return isClean
    },
  }
}

async function deleteAllTopics(metadata: OneNodeMetadata): Promise<void> {
  const names = [...metadata.topics.values()].filter(({ internal }) => !internal).map(({ name }) => name)
  const outcomes = await Promise.all(names.map((name) => metadata.deleteTopic(name)))
  // Somebody else may delete one, too.
  throwRefusals(names, outcomes, [ErrorCode.NONE, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION])
}

async function createTopics(metadata: OneNodeMetadata, topics: readonly NewTopic[]): Promise<void> {
  const outcomes = await metadata.createTopics(
    topics.map(({ name, partitions, config }) => ({
      name,
      numPartitions: partitions ?? -1,
      replicationFactor: -1,
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
