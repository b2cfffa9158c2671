import { brokerDefinition } from '../../core/config/broker-config.ts'
import { readableOverrides, waysToRelease } from '../../core/config/held-config.ts'
import { resolveTopicConfig } from '../../core/config/topic-config.ts'
import { KraftResource } from '../../core/kraft/kraft-image.ts'
import type { KraftImage, KraftTopic } from '../../core/kraft/kraft-image.ts'
import { partitionKey } from '../../core/kraft/kept-aside.ts'
import { SamsaError } from '../../core/samsa-error.ts'
import type { Admit, OwnerOf } from '../../log/manager/log-manager-types.ts'
import type { LogManager } from '../../log/manager/log-manager.ts'
import { brokerValuesProblem } from '../../metadata/changes/config-change.ts'
import type { ConfigResource } from '../../metadata/changes/config-change.ts'
import type { DiscoveredPartition, DiscoveredTopic } from '../../metadata/changes/topic-changes.ts'
import type { PartitionImage, TopicImage } from '../../metadata/image/metadata-image.ts'
import type { OneNodeMetadata } from '../../metadata/one-node.ts'
import { toLogConfig } from '../../metadata/topic-log-config.ts'
import type { LogFields, World } from '../../ports.ts'
import { keepAside, lookForKafkaMetadata } from './kafka-metadata.ts'
import type { KafkaMetadata } from './kafka-metadata.ts'
import { heldOverrides, isHeld, withHold } from './taken-overrides.ts'

/** What begins so is no directory: unassigned, lost, migrating (KIP-858). */
const RESERVED_IDS = 'A'.repeat(20)
/** In one log line. */
const MAX_NAMED = 20

type Values = ReadonlyMap<string, string>

/** What was found of a topic that the store does not know. */
interface FoundTopic {
  readonly topicId: string | null
  readonly epochs: Map<number, number>
}

/**
 * How far what Kafka's controllers wrote down counts.
 *
 * `all`: Kafka had the directories last. `held`: this broker had them last, and its store is lost, so that configurations
 * may have changed since. `additions`: this broker had them last, and never read it.
 */
type Trust = 'all' | 'held' | 'additions'

/**
 * Takes over what lies in the log directories and the store does not know: Apache Kafka wrote it, or the store was lost.
 *
 * What Kafka's controllers wrote down says which topics there are, and under which configuration. Where nobody knows the
 * configuration of a topic, nothing of it is deleted or compacted until an operator says so. Whoever had the directories
 * last is right about what was deleted. Of the guest's own files none is written.
 */
export class KafkaGuest {
  readonly #world: World
  readonly #logs: LogManager
  readonly #metadata: OneNodeMetadata
  readonly #kafka: KafkaMetadata
  readonly #topics: ReadonlyMap<string, KraftTopic>
  readonly #storeWasHere: boolean
  readonly #trust: Trust

  private constructor(world: World, logs: LogManager, metadata: OneNodeMetadata, kafka: KafkaMetadata) {
    this.#world = world
    this.#logs = logs
    this.#metadata = metadata
    this.#kafka = kafka
    this.#topics = kafka.image?.topics() ?? new Map()
    this.#storeWasHere = metadata.knowsAnyLogDirectory || metadata.kafkaState !== null
    this.#trust = trustIn(kafka, this.#storeWasHere, metadata.kafkaState)
  }

  /** Before the logs are loaded. Brings the store up to what Kafka changed. Rejects when the store does. */
  static async look(world: World, logs: LogManager, metadata: OneNodeMetadata): Promise<KafkaGuest> {
    const { config, kafkaState } = metadata
    const own = config['metadata.log.dir']
    const directories = [...(own === null ? [] : [own]), ...logs.directoryPaths]
    const kafka = await lookForKafkaMetadata(
      world,
      directories,
      logs.directoryPaths,
      logs.clusterId,
      kafkaState,
    )
    if (own !== null && kafka.problem === null && kafka.path?.startsWith(`${own}/`) !== true)
      world.logger.warn(
        { path: own, found: kafka.path },
        "metadata.log.dir holds no metadata of Apache Kafka's",
      )
    if (kafka.problem !== null)
      world.logger.warn(
        { path: kafka.path, problem: kafka.problem },
        "Apache Kafka's own metadata cannot be read: of topics that are not known yet nothing is deleted or compacted",
      )
    const guest = new KafkaGuest(world, logs, metadata, kafka)
    if (kafka.image !== null) await guest.#follow(kafka.image)
    return guest
  }

  /**
   * Partitions of topics that are being deleted go. Of an earlier topic of that name, or of one that was deleted while
   * the directory was offline: set aside. All others open, also those that only the disk knows yet.
   */
  readonly admit: Admit = (topic, _partition, topicId, directoryId) => {
    const metadata = this.#metadata
    const { config } = metadata
    if (metadata.isBeingDeleted(topic, topicId)) return 'deleted'
    const known = metadata.topics.get(topic)
    if (known !== undefined)
      return topicId !== null && known.topicId !== topicId ? 'stray' : toLogConfig(known.config, config)
    if (this.#isOfNoTopic(topic, topicId, directoryId)) return 'stray'
    return toLogConfig(resolveTopicConfig(this.#overridesOf(topic, topicId), config), config)
  }

  /** Kafka sets aside what was made here while it was away; and whoever looks without Kafka's metadata, what Kafka made. */
  readonly ownerOf: OwnerOf = (topicId, partition) => {
    const topic = this.#metadata.topicById(topicId)
    if (topic !== undefined) return partition < topic.partitions.length ? topic.name : null
    if (this.#trust !== 'all') return null
    const ofKafka = this.#kafka.image?.topicsById.get(topicId)
    const isHere = ofKafka?.partitions.get(partition)?.replicas.includes(this.#metadata.nodeId) === true
    return isHere ? ofKafka.name : null
  }

  /** A partition that Kafka kept in a log directory that is none of ours. It is there when its directory is. */
  readonly outOfReach = (topicId: string, index: number): SamsaError | null => {
    const { image, kept } = this.#kafka
    const place =
      image?.topicsById.get(topicId)?.partitions.get(index) ?? kept?.places.get(partitionKey(topicId, index))
    const directory = place?.directories[place.replicas.indexOf(this.#metadata.nodeId)]
    if (directory === undefined || directory.startsWith(RESERVED_IDS)) return null
    if (this.#logs.directoryIds.includes(directory)) return null
    return new SamsaError('SAMSA_DISK_IO', `Apache Kafka kept it in the log directory ${directory}`)
  }

  /** When the logs are loaded: from now on the store knows all topics. Rejects when the store does. */
  async adopt(): Promise<void> {
    const metadata = this.#metadata
    const { image, state } = this.#kafka
    const found = this.#findTopics()
    const topics = [...found].map(([name, topic]) => this.#discovered(name, topic))
    topics.push(...this.#withoutDirectory(found))
    const adopted = await metadata.registerDiscoveredTopics(topics)
    for (const { name, topicId, config } of adopted) {
      const logConfig = toLogConfig(config, metadata.config)
      for (const index of found.get(name)?.epochs.keys() ?? [])
        this.#logs.updateConfig(name, index, logConfig)
      this.#tellOf(name, topicId)
    }
    if (adopted.length > 0)
      this.#world.logger.info(
        { topics: adopted.length, metadata: image === null ? null : this.#kafka.path },
        'topics that lay in the log directories are taken over',
      )
    // One that could not be taken over is looked for again at the next start.
    if (adopted.length === topics.length) await metadata.rememberLogDirectories(this.#logs.directoryIds)
    // But Kafka's metadata is past from now on: what clients change here must not be taken back by it.
    if (image !== null && state !== null) {
      const isTaken = (topicId: string): boolean => metadata.topicById(topicId) !== undefined
      await keepAside(this.#world, this.#kafka.keptPath, state, image, isTaken)
      await metadata.rememberKafkaState(state)
    }
    this.#tellOfMissing(adopted)
    this.#tellOfUnenforced()
  }

  #isOfNoTopic(topic: string, topicId: string | null, directoryId: string): boolean {
    const { image } = this.#kafka
    if (this.#ofKafka(topic, topicId) !== null) return false
    if (this.#metadata.knowsLogDirectory(directoryId)) return true
    // It was taken over, in a directory that was offline then, and deleted here since.
    if (this.#storeWasHere && topicId !== null && this.#kafka.kept?.topicIds.has(topicId) === true)
      return true
    if (image === null) return false
    if (topicId !== null && this.#isDeletedBy(image, topicId)) return true
    // Nobody but Kafka was ever here, and it does not know the topic: if it ever knew any, and was not formatted anew.
    const knewTopics = image.topicsById.size > 0 || image.removedTopicIds.size > 0
    return knewTopics && !this.#storeWasHere && this.#kafka.kept === null
  }

  /** The topic as Kafka's controllers knew it. Null when it is not this one, or was deleted here since. */
  #ofKafka(name: string, topicId: string | null): KraftTopic | null {
    const topic = this.#topics.get(name)
    if (topic === undefined || this.#trust === 'additions') return null
    return topicId !== null && topic.topicId !== topicId ? null : topic
  }

  #overridesOf(name: string, topicId: string | null): Values {
    const { image } = this.#kafka
    if (image === null || this.#ofKafka(name, topicId) === null)
      return heldOverrides(name, this.#metadata.config)
    const { overrides } = readableOverrides(image.configOf(KraftResource.TOPIC, name))
    return this.#trust === 'all' ? overrides : withHold(name, overrides)
  }

  #findTopics(): Map<string, FoundTopic> {
    const metadata = this.#metadata
    const found = new Map<string, FoundTopic>()
    let maxProducerId = (this.#kafka.image?.nextProducerId ?? 0) - 1
    for (const log of this.#logs.logs()) {
      if (metadata.topics.has(log.topic)) continue
      for (const { producerId } of log.producers.describe())
        maxProducerId = Math.max(maxProducerId, producerId)
      const topic = found.get(log.topic) ?? { topicId: log.topicId, epochs: new Map<number, number>() }
      topic.epochs.set(log.partition, log.epochs.latestEpoch)
      found.set(log.topic, topic)
    }
    metadata.skipProducerIdsThrough(maxProducerId)
    return found
  }

  #discovered(name: string, { topicId, epochs }: FoundTopic): DiscoveredTopic {
    const topic = this.#ofKafka(name, topicId)
    const partitions = new Map<number, DiscoveredPartition>(
      [...epochs].map(([index, leaderEpoch]) => [index, { index, leaderEpoch }]),
    )
    for (const [index, { leaderEpoch, replicas }] of topic?.partitions ?? []) {
      const isHere = epochs.has(index) || replicas.includes(this.#metadata.nodeId)
      partitions.set(index, {
        index,
        leaderEpoch: Math.max(leaderEpoch, epochs.get(index) ?? -1),
        ...(isHere ? {} : { elsewhere: replicas }),
      })
    }
    const id = topicId ?? topic?.topicId ?? null
    return {
      name,
      topicId: id,
      partitions: [...partitions.values()],
      overrides: this.#overridesOf(name, topicId),
    }
  }

  /** Topics that Kafka had and of which there is no partition in any directory that can be used. */
  #withoutDirectory(found: ReadonlyMap<string, FoundTopic>): DiscoveredTopic[] {
    if (this.#trust !== 'all') return []
    const lost = [...this.#topics.values()].filter(
      ({ name, partitions }) => partitions.size > 0 && !found.has(name) && !this.#metadata.topics.has(name),
    )
    return lost.map(({ name, topicId }) => this.#discovered(name, { topicId, epochs: new Map() }))
  }

  /** What Kafka changed in what the store knows. */
  async #follow(image: KraftImage): Promise<void> {
    const { nodeId } = this.#metadata
    await this.#followBroker(null, image.configOf(KraftResource.BROKER, ''))
    await this.#followBroker(nodeId, image.configOf(KraftResource.BROKER, String(nodeId)))
    // Changes put a topic at the end of the map.
    const topics = [...this.#metadata.topics.values()]
    for (const topic of topics) {
      const ofKafka = this.#topics.get(topic.name)
      if (ofKafka?.topicId === topic.topicId) await this.#followTopic(topic, ofKafka, image)
      else if (this.#trust === 'all' && ofKafka !== undefined)
        await this.#forget(topic.name, 'Apache Kafka has another topic of that name since')
      else if (this.#trust === 'all' && this.#isDeletedBy(image, topic.topicId))
        await this.#forget(topic.name, 'Apache Kafka deleted it since')
    }
  }

  async #forget(topic: string, why: string): Promise<void> {
    this.#world.logger.warn({ topic }, `topic is deleted: ${why}. What lies there of it is set aside`)
    await this.#metadata.forgetTopic(topic)
  }

  /** The log tells of it, or it was known when the metadata was read before. */
  #isDeletedBy(image: KraftImage, topicId: string): boolean {
    if (image.topicsById.has(topicId)) return false
    return image.removedTopicIds.has(topicId) || this.#kafka.kept?.topicIds.has(topicId) === true
  }

  async #followTopic(topic: TopicImage, ofKafka: KraftTopic, image: KraftImage): Promise<void> {
    const { name } = topic
    const { overrides } = readableOverrides(image.configOf(KraftResource.TOPIC, name))
    const wanted = this.#trust === 'all' ? overrides : new Map([...overrides, ...topic.config.overrides])
    await this.#replace({ kind: 'topic', name }, topic.config.overrides, wanted)
    const count = Math.max(0, ...ofKafka.partitions.keys()) + 1
    if (this.#trust !== 'all' || count <= topic.partitions.length) return
    const { errorMessage } = await this.#metadata.createPartitions(name, count, null, false)
    if (errorMessage !== null)
      this.#world.logger.warn(
        { topic: name, partitions: count },
        `partitions that Apache Kafka added are not served: ${errorMessage}`,
      )
  }

  async #followBroker(id: number | null, values: Values): Promise<void> {
    const current = id === null ? this.#metadata.clusterDefaults : this.#metadata.brokerValues
    const usable = [...values].filter(([key, value]) => {
      const definition = brokerDefinition(key)
      // Secrets are not stored, and what has no effect here stays where it is kept aside.
      if (definition === undefined || definition.type === 'PASSWORD') return false
      return brokerValuesProblem(new Map([[key, value]]), id === null) === null
    })
    const wanted = new Map(this.#trust === 'all' ? usable : [...usable, ...current])
    await this.#replace({ kind: 'broker', id }, current, wanted)
    const unused = [...values.keys()].filter((key) => !wanted.has(key))
    if (unused.length > 0)
      this.#world.logger.warn({ keys: unused }, 'dynamic configuration of Apache Kafka that is not used here')
  }

  async #replace(resource: ConfigResource, current: Values, wanted: Values): Promise<void> {
    if (wanted.size === current.size && [...wanted].every(([key, value]) => current.get(key) === value))
      return
    const values = [...wanted].map(([name, value]) => ({ name, value }))
    const { errorMessage } = await this.#metadata.replaceConfigs(resource, values, false)
    const { logger } = this.#world
    if (errorMessage !== null) {
      logger.error({ resource }, `configuration of Apache Kafka cannot be taken over: ${errorMessage}`)
      return
    }
    const given = [...current].filter(([key, value]) => wanted.get(key) !== value).map(([key]) => key)
    if (given.length > 0)
      logger.warn(
        { resource, keys: given },
        "what was set here is Apache Kafka's again, which had the directory last",
      )
  }

  /** Of a topic that was just taken over. */
  #tellOf(name: string, topicId: string): void {
    const { logger } = this.#world
    const ofKafka = this.#ofKafka(name, topicId)
    const values = ofKafka === null ? undefined : this.#kafka.image?.configOf(KraftResource.TOPIC, name)
    const { unused } = readableOverrides(values ?? new Map())
    if (unused.length > 0)
      logger.warn({ topic: name, keys: unused }, 'configuration of Apache Kafka that is not used here')
    if (
      isHeld(this.#metadata.topics.get(name)?.config.overrides) &&
      (ofKafka === null || this.#trust !== 'all')
    )
      logger.warn(
        { topic: name },
        `nobody knows the topic's configuration: nothing of it is deleted or compacted. ${waysToRelease(name)}`,
      )
  }

  #tellOfMissing(adopted: readonly TopicImage[]): void {
    const isMissing = ({ topic, index, leader }: PartitionImage): boolean =>
      leader !== -1 && this.#logs.get(topic, index) === undefined
    const missing = [...this.#metadata.topics.values()].flatMap(({ topicId, partitions }) =>
      partitions.filter(isMissing).map(({ topic, index }) => ({
        name: `${topic}-${index}`,
        topicId,
        because: this.outOfReach(topicId, index),
      })),
    )
    const away = missing.filter(({ because }) => because !== null)
    if (away.length > 0)
      this.#world.logger.error(
        { ...named(away), because: away[0]!.because!.message },
        'partitions are in a log directory that is offline or none of log.dirs: they wait for it',
      )
    const fresh = new Set(adopted.map(({ topicId }) => topicId))
    const here = missing.filter(({ because }) => because === null)
    const lost = this.#metadata.knowsNoOther(this.#logs.directoryIds)
      ? []
      : here.filter(({ topicId }) => !fresh.has(topicId))
    if (lost.length > 0)
      this.#world.logger.error(
        named(lost),
        'partitions have no directory here, and a log directory of before is none of log.dirs: where none is offline, they start empty; stop and name it again if they lay there',
      )
    const empty = here.filter(({ topicId }) => fresh.has(topicId))
    if (empty.length > 0)
      this.#world.logger.warn(
        named(empty),
        'partitions have no directory here: where no log directory is offline, they start empty',
      )
  }

  #tellOfUnenforced(): void {
    const { image, kept } = this.#kafka
    const counts =
      image === null
        ? kept?.unenforced
        : {
            acls: image.acls.size,
            quotas: image.quotas.size,
            credentials: image.credentials.size,
            tokens: image.tokens.size,
          }
    if (counts === undefined || Object.values(counts).every((count) => count === 0)) return
    this.#world.logger.warn(
      { ...counts, keptIn: this.#kafka.keptPath },
      "Apache Kafka's ACLs, client quotas and credentials are kept, and NOT ENFORCED",
    )
  }
}

function named(partitions: readonly { readonly name: string }[]): LogFields {
  return { partitions: partitions.length, names: partitions.slice(0, MAX_NAMED).map(({ name }) => name) }
}

function trustIn(kafka: KafkaMetadata, storeWasHere: boolean, takenOver: string | null): Trust {
  const { kept, state } = kafka
  if (!storeWasHere) return kept === null || (kept.state !== null && kept.state !== state) ? 'all' : 'held'
  return takenOver === null ? 'additions' : 'all'
}
