import { ErrorCode } from '../../protocol/errors.ts'
import { withStoredConfig } from '../core/config/held-config.ts'
import type { BrokerConfig } from '../core/config/broker-config.ts'
import type { MetadataStore, World } from '../ports.ts'
import { ConfigAlterations } from './changes/config-alterations.ts'
import type { ConfigChange, ConfigResource } from './changes/config-change.ts'
import { joinCluster } from './changes/join-cluster.ts'
import type { Membership } from './changes/join-cluster.ts'
import { Registration } from './changes/registration.ts'
import { loadTopics } from './image/load-metadata.ts'
import type { BrokerImage, TopicImage } from './image/metadata-image.ts'
import type { Metadata } from './metadata.ts'
import { MetadataState } from './image/metadata-state.ts'
import type { MetadataListener } from './image/metadata-state.ts'
import type { Outcome } from './layout/outcome.ts'
import { ProducerIds } from './changes/producer-ids.ts'
import { TopicChanges } from './changes/topic-changes.ts'
import type { CreateTopicResult, DiscoveredTopic } from './changes/topic-changes.ts'
import { createIfMissing } from './layout/store-steps.ts'
import { isInternalTopic } from './layout/topic-names.ts'
import type { NewTopic } from './changes/topic-plan.ts'
import {
  CLUSTER_DEFAULTS,
  decodeConfig,
  decodeKafkaMetadata,
  encodeKafkaMetadata,
  paths,
  whole,
} from './layout/znodes.ts'

export interface MetadataOptions {
  /** The static configuration. */
  readonly config: BrokerConfig
  /** Cluster id in the `meta.properties` of the log directories; null when there is none. */
  readonly clusterId?: string | null
  /** How many files may be in use at once: partitions are no more. Default: unlimited. */
  readonly maxOpenFiles?: number
  /** Whether batches can be written with this `compression.type`. Default: with each. */
  readonly canCompress?: (type: string) => boolean
}

interface MetadataParts {
  readonly state: MetadataState
  readonly membership: Membership
  readonly topics: TopicChanges
  readonly alterations: ConfigAlterations
  readonly deleting: readonly TopicImage[]
  readonly logDirectories: Set<string>
  readonly kafkaState: string | null
}

/**
 * The metadata of a broker that is a cluster by itself: it decides at once, and nobody else must hear of it. A change is
 * checked, written to the store, carried out by the listener, made visible, and then answered.
 */
export class OneNodeMetadata implements Metadata {
  readonly cluster = null
  readonly clusterId: string
  readonly nodeId: number
  readonly controllerEpoch: number
  readonly #state: MetadataState
  readonly #topics: TopicChanges
  readonly #alterations: ConfigAlterations
  readonly #producerIds: ProducerIds
  /** Log directories whose topics are all known. */
  readonly #logDirectories: Set<string>
  #kafkaState: string | null
  #deleting: readonly TopicImage[]

  private constructor(parts: MetadataParts) {
    this.clusterId = parts.membership.clusterId
    this.controllerEpoch = parts.membership.controllerEpoch
    this.nodeId = parts.state.self.nodeId
    this.#state = parts.state
    this.#topics = parts.topics
    this.#alterations = parts.alterations
    this.#deleting = parts.deleting
    this.#logDirectories = parts.logDirectories
    this.#kafkaState = parts.kafkaState
    this.#producerIds = new ProducerIds(() => parts.state.store, this.nodeId)
  }

  /**
   * Registers the broker, makes it controller and loads everything. Rejects with SAMSA_METADATA_STORE when another
   * broker holds its place or a node is damaged, or with the store's own error; the store is closed then.
   */
  static async open(
    session: MetadataStore,
    world: Pick<World, 'clock' | 'random' | 'logger'>,
    options: MetadataOptions,
  ): Promise<OneNodeMetadata> {
    try {
      return await OneNodeMetadata.#load(session, world, options)
    } catch (error) {
      // What went wrong first is what counts.
      await session.close().catch(() => undefined)
      throw error
    }
  }

  static async #load(
    store: MetadataStore,
    world: Pick<World, 'clock' | 'random' | 'logger'>,
    options: MetadataOptions,
  ): Promise<OneNodeMetadata> {
    const { random, logger } = world
    const { maxOpenFiles = Infinity, canCompress = () => true } = options
    const registration = new Registration(world, options.config)
    const { clusterId = null } = options
    const membership = await joinCluster(store, world, options.config, registration, clusterId)
    const nodeId = options.config['broker.id']
    const self = { nodeId, ...membership }
    const [clusterDefaults, brokerValues, logDirectories, kafkaMetadata] = await Promise.all([
      readConfig(store, paths.brokerConfig(CLUSTER_DEFAULTS)),
      readConfig(store, paths.brokerConfig(String(nodeId))),
      store.children(paths.logDirectories),
      store.get(paths.kafkaMetadata),
    ])
    let config = options.config
    if (clusterDefaults.size + brokerValues.size > 0) {
      const dynamic = withStoredConfig(options.config, clusterDefaults, brokerValues)
      config = dynamic.config
      for (const warning of dynamic.warnings) logger.warn({}, warning)
    }
    const state = new MetadataState({
      store,
      random,
      logger,
      self,
      config,
      maxOpenFiles,
      canCompress,
    })
    const { topics, deleting } = await loadTopics({ store, random, logger, self, config })
    for (const topic of topics) state.image.put(topic)
    state.image.brokers.set(nodeId, {
      id: nodeId,
      rack: config['broker.rack'],
      epoch: membership.brokerEpoch,
      fenced: false,
      shuttingDown: false,
      endpoints: new Map(),
    })
    const changes = new TopicChanges(state)
    for (const { name } of deleting) changes.holdForDeletion(name)
    const alterations = new ConfigAlterations(state, clusterDefaults, brokerValues)
    return new OneNodeMetadata({
      state,
      membership,
      topics: changes,
      alterations,
      deleting,
      logDirectories: new Set(logDirectories),
      kafkaState: kafkaMetadata === null ? null : whole(decodeKafkaMetadata(kafkaMetadata.data)),
    })
  }

  /** From now on the listener hears of changes. Finishes deletions that a crash interrupted. */
  async start(listener: MetadataListener): Promise<void> {
    this.#state.listener = listener
    const deleting = this.#deleting
    this.#deleting = []
    await Promise.all(deleting.map((topic) => this.#topics.finishDeletion(topic)))
  }

  /** Grows each time a broker registers under this id, also when it does so again in a new session. */
  get brokerEpoch(): number {
    return this.#state.image.brokers.get(this.nodeId)!.epoch
  }

  /** The configuration with its dynamic values. */
  get config(): BrokerConfig {
    return this.#state.config
  }

  get topics(): ReadonlyMap<string, TopicImage> {
    return this.#state.image.topics
  }

  get brokers(): ReadonlyMap<number, BrokerImage> {
    return this.#state.image.brokers
  }

  /** The node clients send changes to. */
  get controllerId(): number {
    return this.nodeId
  }

  get partitionCount(): number {
    return this.#state.image.partitionCount
  }

  /** Dynamic values that hold for every broker. */
  get clusterDefaults(): ReadonlyMap<string, string> {
    return this.#alterations.clusterDefaults
  }

  /** Dynamic values of this broker. */
  get brokerValues(): ReadonlyMap<string, string> {
    return this.#alterations.brokerValues
  }

  topicById(topicId: string): TopicImage | undefined {
    return this.#state.image.topicById(topicId)
  }

  /** True for a topic on disk that must not be served because it is being deleted. `topicId`: null when it has none. */
  isBeingDeleted(name: string, topicId: string | null): boolean {
    return this.#deleting.some(
      (topic) => topic.name === name && (topicId === null || topic.topicId === topicId),
    )
  }

  /**
   * Whether all topics in a log directory were known once: a partition in it whose topic is not known now is of one that
   * was deleted while the directory was offline, and not one that Kafka wrote.
   */
  knowsLogDirectory(id: string): boolean {
    return this.#logDirectories.has(id)
  }

  /** From now on all topics in these directories are known. Rejects when the store does. */
  async rememberLogDirectories(ids: readonly string[]): Promise<void> {
    const { store } = this.#state
    const unknown = ids.filter((id) => !this.#logDirectories.has(id))
    await Promise.all(unknown.map((id) => createIfMissing(store, paths.logDirectory(id))))
    for (const id of unknown) this.#logDirectories.add(id)
  }

  /** Whether all directories that were ever remembered are among these. */
  knowsNoOther(ids: readonly string[]): boolean {
    return [...this.#logDirectories].every((id) => ids.includes(id))
  }

  /** Whether a log directory was ever remembered: this store was there before. */
  get knowsAnyLogDirectory(): boolean {
    return this.#logDirectories.size > 0
  }

  /** The metadata log of Kafka's controllers as it was taken over; null when none was. */
  get kafkaState(): string | null {
    return this.#kafkaState
  }

  /** From now on that log need not be read again in this state. Rejects when the store does. */
  async rememberKafkaState(state: string): Promise<void> {
    const { store } = this.#state
    const data = encodeKafkaMetadata(state)
    if (!(await createIfMissing(store, paths.kafkaMetadata, data)))
      await store.set(paths.kafkaMetadata, data, -1)
    this.#kafkaState = state
  }

  /** Deletes a topic whatever it is, for Kafka deleted it. Before `start`: files in the log directories stay. */
  forgetTopic(name: string): Promise<void> {
    return this.#topics.forget(name)
  }

  /** One result per topic, in order. Names that appear twice are refused before this is called. */
  createTopics(topics: readonly NewTopic[], validateOnly: boolean): Promise<CreateTopicResult[]> {
    return Promise.all(topics.map((topic) => this.#topics.create(topic, validateOnly)))
  }

  /** Resolves to an error code: 0 when the topic exists now and has its leader. */
  async autoCreateTopic(name: string): Promise<ErrorCode> {
    if (this.topics.has(name)) return ErrorCode.NONE
    if (this.#topics.crowded && !isInternalTopic(name)) return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    const { errorCode } = await this.#topics.createWithDefaults(name)
    return errorCode === ErrorCode.TOPIC_ALREADY_EXISTS && this.topics.has(name) ? ErrorCode.NONE : errorCode
  }

  /** Grows a topic to `count` partitions. `assignments`: replicas of each new partition, null to choose them here. */
  createPartitions(
    name: string,
    count: number,
    assignments: readonly (readonly number[])[] | null,
    validateOnly: boolean,
  ): Promise<Outcome> {
    return this.#topics.grow(name, count, assignments, validateOnly)
  }

  deleteTopic(name: string): Promise<Outcome> {
    return this.#topics.delete(name)
  }

  incrementalAlterConfigs(
    resource: ConfigResource,
    changes: readonly ConfigChange[],
    validateOnly: boolean,
  ): Promise<Outcome> {
    return this.#alterations.alter(resource, changes, 'incremental', validateOnly)
  }

  /** The values become the whole configuration of the resource. */
  replaceConfigs(
    resource: ConfigResource,
    values: readonly { readonly name: string; readonly value: string | null }[],
    validateOnly: boolean,
  ): Promise<Outcome> {
    const changes = values.map(({ name, value }) => ({ name, operation: 'set' as const, value }))
    return this.#alterations.alter(resource, changes, 'replace', validateOnly)
  }

  /**
   * Takes over topics that lie in the log directories and that the store does not know (Kafka wrote them). Those
   * it knows, or is deleting, are left alone. Resolves to the topics taken over. Tell the producer ids that are in
   * use in them (`skipProducerIdsThrough`) before.
   */
  async registerDiscoveredTopics(topics: readonly DiscoveredTopic[]): Promise<TopicImage[]> {
    // After this start the topics are known and nobody looks for the producer ids in them again.
    if (topics.length > 0) await this.#producerIds.keepSkipped()
    const registered = await Promise.all(topics.map((topic) => this.#topics.register(topic)))
    return registered.filter((topic) => topic !== null)
  }

  /** A producer id that was never given out before. Rejects when the store does. */
  nextProducerId(): Promise<number> {
    return this.#producerIds.next()
  }

  /** Producer ids up to this one are in use in logs on disk, whoever gave them out. */
  skipProducerIdsThrough(producerId: number): void {
    this.#producerIds.skipThrough(producerId)
  }

  /** Waits for the changes under way, then ends the session with the store. */
  async close(): Promise<void> {
    await this.#state.queue.idle()
    await this.#state.store.close()
  }
}

async function readConfig(store: MetadataStore, path: string): Promise<Map<string, string>> {
  const node = await store.get(path)
  return node === null ? new Map<string, string>() : whole(decodeConfig(path, node.data))
}
