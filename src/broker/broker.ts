import { ErrorCode } from '../../protocol/errors.ts'
import type { BrokerConfig } from '../core/config/broker-config.ts'
import type { LogManager } from '../log/manager/log-manager.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { Clock, Codecs, Logger, World } from '../ports.ts'
import { CodecLine } from './codec-line.ts'
import { Deadlines } from './deadlines.ts'
import { FetchSessions } from './fetch/fetch-sessions.ts'
import type { GroupCoordinator } from './groups/group-coordinator.ts'
import type { Partition } from './partition.ts'
import type { Partitions } from './partitions.ts'
import { Slices } from './slices.ts'
import type { TopicMetrics } from './topic-metrics.ts'
import { Wakes } from './fetch/wakes.ts'

/** Topics that one request creates by naming them. Clients ask again for the others, which then get their turn. */
export const MAX_CREATIONS_PER_REQUEST = 1_000

/** Followers have a few each. More are there only for a while, when connections broke. */
const MAX_PEER_SESSIONS = 2_000

/** What `startBroker` assembled. */
export interface BrokerParts {
  readonly world: World
  readonly logs: LogManager
  readonly metadata: Metadata
  readonly groups: GroupCoordinator
  readonly partitions: Partitions
  readonly topicMetrics: TopicMetrics
}

/** The parts of a running broker, as handlers see them. */
export class Broker {
  readonly clock: Clock
  readonly codecs: Codecs
  readonly codecLine: CodecLine
  readonly logger: Logger
  readonly logs: LogManager
  readonly metadata: Metadata
  readonly groups: GroupCoordinator
  readonly partitions: Partitions
  readonly deadlines: Deadlines
  readonly fetchSessions: FetchSessions
  /** Of other brokers: clients never drive one out. */
  readonly peerFetchSessions: FetchSessions
  readonly topicMetrics: TopicMetrics
  readonly slices: Slices
  readonly wakes: Wakes
  /** Topics being created for a client that named them, so that many requests cause one creation. */
  readonly #creating = new Map<string, Promise<number>>()

  constructor(parts: BrokerParts) {
    const { world, metadata } = parts
    this.clock = world.clock
    this.codecs = world.codecs
    this.codecLine = new CodecLine(world.codecs)
    this.logger = world.logger
    this.logs = parts.logs
    this.metadata = metadata
    this.groups = parts.groups
    this.partitions = parts.partitions
    this.topicMetrics = parts.topicMetrics
    this.slices = new Slices(world.clock)
    this.wakes = new Wakes(world.clock)
    this.deadlines = new Deadlines(world.clock)
    this.peerFetchSessions = new FetchSessions(world.clock, world.random, MAX_PEER_SESSIONS)
    this.fetchSessions = new FetchSessions(
      world.clock,
      world.random,
      metadata.config['max.incremental.fetch.session.cache.slots'],
    )
  }

  /** With its dynamic values, as they are now. */
  get config(): BrokerConfig {
    return this.metadata.config
  }

  get nodeId(): number {
    return this.metadata.nodeId
  }

  /**
   * As `partitions.leaderOf`, of a topic that is there for good: one that is being created may still be taken back, with
   * what is in it.
   */
  leaderOfPublished(topic: string, index: number): Partition | ErrorCode {
    const image = this.metadata.topics.get(topic)
    return image !== undefined && index < image.partitions.length
      ? this.partitions.leaderOf(topic, index)
      : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
  }

  /** Error code for clients that may not write here now, 0 when they may. */
  refusesProduce(partition: Partition, acks: number): ErrorCode {
    if (partition.isInternal) return ErrorCode.INVALID_TOPIC_EXCEPTION
    if (this.logs.refusesRecords(partition.log.directory)) return ErrorCode.KAFKA_STORAGE_ERROR
    // It may have changed since the batch came: the records of some are looked at first.
    const errorCode = partition.leaderError(-1)
    return errorCode === ErrorCode.NONE && acks === -1 ? partition.acksAllError : errorCode
  }

  /** Null when topics are not created on demand; else the error code, 0 once the topic has its leader. */
  autoCreateTopic(topic: string): Promise<number> | null {
    const underWay = this.#creating.get(topic)
    if (underWay !== undefined) return underWay
    if (!this.config['auto.create.topics.enable'] || this.partitions.hasTopic(topic)) return null
    const creating = this.metadata.autoCreateTopic(topic).finally(() => this.#creating.delete(topic))
    this.#creating.set(topic, creating)
    return creating
  }
}
