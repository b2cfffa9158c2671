import { ErrorCode } from '../../../protocol/errors.ts'
import { resolveTopicConfig } from '../../core/config/topic-config.ts'
import type { TopicConfig } from '../../core/config/topic-config.ts'
import { firstState, partitionImage } from '../image/load-metadata.ts'
import { inPortions } from '../layout/in-portions.ts'
import type { MetadataImage, PartitionImage, TopicImage } from '../image/metadata-image.ts'
import type { MetadataState } from '../image/metadata-state.ts'
import { codecProblem } from './config-change.ts'
import { DONE, failureOutcome, refused } from '../layout/outcome.ts'
import type { Outcome } from '../layout/outcome.ts'
import {
  createIfMissing,
  createPartitionNodes,
  createTopicNodes,
  deleteIfThere,
  deleteTopicNodes,
} from '../layout/store-steps.ts'
import {
  CLUSTER_METADATA,
  collisionKey,
  isInternalTopic,
  OFFSETS_TOPIC,
  topicNameProblem,
} from '../layout/topic-names.ts'
import {
  isOutcome,
  planAutomatic,
  planConfigs,
  planGrowth,
  planTopic,
  topicWithDefaults,
} from './topic-plan.ts'
import type { Assignment, NewTopic, PlanRules } from './topic-plan.ts'
import { Turnstile } from './turnstile.ts'
import { randomUuid } from '../layout/uuid.ts'
import { encodeTopic, paths } from '../layout/znodes.ts'

/** Set as far as the request came; -1 and null where it was refused before. */
export interface CreateTopicResult extends Outcome {
  readonly name: string
  /** Null when the topic was not created. */
  readonly topicId: string | null
  readonly numPartitions: number
  readonly replicationFactor: number
  readonly config: TopicConfig | null
}

/** A topic whose partition directories were found on disk. */
export interface DiscoveredTopic {
  readonly name: string
  /** From `partition.metadata`; null when there is none. */
  readonly topicId: string | null
  /** In any order; one that is missing in between starts empty. */
  readonly partitions: readonly DiscoveredPartition[]
  readonly overrides: ReadonlyMap<string, string>
}

export interface DiscoveredPartition {
  readonly index: number
  /** The highest there was, -1 when there was none. */
  readonly leaderEpoch: number
  /** Of a partition that other brokers have, and not this one. */
  readonly elsewhere?: readonly number[]
}

interface TopicDraft {
  readonly name: string
  readonly topicId: string
  readonly overrides: ReadonlyMap<string, string>
  readonly assignment: Assignment
  /** Epoch of each partition's first leader; 0 where missing. */
  readonly leaderEpochs?: ReadonlyMap<number, number>
}

/** Partitions whose files are made or removed at once: a few milliseconds of work that nothing interrupts. */
const PARTITIONS_AT_ONCE = 32

/** Topics that may wait for their creation. Clients that name still more are told to ask again. */
const MAX_CREATING = 10_000

/** Creating, growing and deleting topics: checked against the image, written to the store, told to the listener. */
export class TopicChanges {
  readonly #state: MetadataState
  /** Topics between their check and their publication, by the key names collide under. */
  readonly #creating = new Map<string, string>()
  #creatingPartitions = 0
  /** Making and removing partitions is work in the file system: a little at a time, or others wait for all of it. */
  readonly #atOnce = new Turnstile(PARTITIONS_AT_ONCE)
  /** Topics that are still being removed; their names are taken until they are gone. */
  readonly #deleting = new Set<string>()

  constructor(state: MetadataState) {
    this.#state = state
  }

  /** So many topics are being created that no more should be begun unasked. */
  get crowded(): boolean {
    return this.#creating.size >= MAX_CREATING
  }

  /** For clients: internal topics are not theirs to create. */
  create(topic: NewTopic, validateOnly: boolean): Promise<CreateTopicResult> {
    return isInternalTopic(topic.name)
      ? Promise.resolve(refusedInternal(topic.name, this.#state.image.topics.has(topic.name)))
      : this.#create(topic, validateOnly)
  }

  #create(topic: NewTopic, validateOnly: boolean): Promise<CreateTopicResult> {
    return this.#state.queue.run(topicKey(topic.name), async () => {
      const problem = this.#nameProblem(topic.name)
      if (problem !== null) return failedCreation(topic.name, problem)
      const assignment = planTopic(topic, this.#rules())
      if (isOutcome(assignment)) return failedCreation(topic.name, assignment)
      const overrides = planConfigs(topic, this.#state.config)
      if (isOutcome(overrides)) return failedCreation(topic.name, overrides)
      const unwritable = codecProblem(overrides, this.#state.canCompress)
      if (unwritable !== null) return failedCreation(topic.name, unwritable)
      const topicId = randomUuid(this.#state.random)
      if (validateOnly) return this.#succeeded(topic.name, topicId, assignment, overrides)
      return this.#make({ name: topic.name, topicId, overrides, assignment })
    })
  }

  /** A topic with the broker's defaults; for an internal topic those that belong to it. */
  createWithDefaults(name: string): Promise<CreateTopicResult> {
    const topic = topicWithDefaults(name, this.#state.config)
    return name === OFFSETS_TOPIC ? this.#create(topic, false) : this.create(topic, false)
  }

  grow(
    name: string,
    count: number,
    assignments: readonly (readonly number[])[] | null,
    validateOnly: boolean,
  ): Promise<Outcome> {
    return this.#state.queue.run(topicKey(name), async () => {
      const topic = this.#state.image.topics.get(name)
      if (topic === undefined) return { errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, errorMessage: null }
      if (topic.internal)
        return refused(ErrorCode.INVALID_REQUEST, `Topic ${name} is internal and keeps its partitions.`)
      const current = topic.partitions.map(({ replicas }) => replicas)
      const added = planGrowth(current, count, assignments, this.#rules())
      if (isOutcome(added)) return added
      if (validateOnly) return DONE
      return this.#addPartitions(topic, added)
    })
  }

  delete(name: string): Promise<Outcome> {
    return this.#state.queue.run(topicKey(name), async () => {
      const topic = this.#state.image.topics.get(name)
      if (topic === undefined) return unknownTopic(name)
      if (topic.internal)
        return refused(ErrorCode.INVALID_TOPIC_EXCEPTION, `Topic ${name} is internal and cannot be deleted.`)
      try {
        await createIfMissing(this.#state.store, paths.deleteTopic(name))
        this.#state.image.remove(name)
        await this.finishDeletion(topic)
        return DONE
      } catch (error) {
        return this.#failure(error, `deletion of topic ${name}`)
      }
    })
  }

  /** The mark is in the store and the topic is not visible; a crash on the way repeats this at the next start. */
  async finishDeletion(topic: TopicImage): Promise<void> {
    const { store, listener } = this.#state
    this.#deleting.add(topic.name)
    await this.#atOnce.run(topic.partitions.length, () => listener.onTopicDeleted(topic))
    await deleteTopicNodes(store, topic.name)
    await deleteIfThere(store, paths.deleteTopic(topic.name))
    this.#deleting.delete(topic.name)
    this.#state.logger.info({ topic: topic.name, topicId: topic.topicId }, 'topic deleted')
  }

  /** For a topic that was deleted by somebody else. */
  forget(name: string): Promise<void> {
    return this.#state.queue.run(topicKey(name), async () => {
      const topic = this.#state.image.topics.get(name)
      if (topic === undefined) return
      await createIfMissing(this.#state.store, paths.deleteTopic(name))
      this.#state.image.remove(name)
      await this.finishDeletion(topic)
    })
  }

  /** Keeps the name from being used until `finishDeletion` is through with it. */
  holdForDeletion(name: string): void {
    this.#deleting.add(name)
  }

  /** Takes over a topic that lies on disk and that the store does not know. Null when that cannot be. */
  register(found: DiscoveredTopic): Promise<TopicImage | null> {
    const { name } = found
    return this.#state.queue.run(topicKey(name), async () => {
      const { image, logger, random } = this.#state
      if (image.topics.has(name) || this.#deleting.has(name)) return null
      const count = Math.max(...found.partitions.map(({ index }) => index)) + 1
      const problem = this.#nameProblem(name)
      const here = problem ?? planAutomatic(count, 1, 0, this.#rules())
      if (isOutcome(here)) {
        logger.warn({ topic: name }, `topic on disk is not served: ${here.errorMessage}`)
        return null
      }
      if (count !== found.partitions.length)
        logger.warn(
          { topic: name, found: found.partitions.length, partitions: count },
          'partitions of a topic on disk are missing and start empty',
        )
      const elsewhere = new Map(found.partitions.map((partition) => [partition.index, partition.elsewhere]))
      const assignment = here.map((replicas, index) => elsewhere.get(index) ?? replicas)
      const { overrides } = found
      const usable = found.topicId !== null && image.topicById(found.topicId) === undefined
      const leaderEpochs = new Map(found.partitions.map(({ index, leaderEpoch }) => [index, leaderEpoch + 1]))
      const topicId = usable ? found.topicId : randomUuid(random)
      const made = await this.#make({ name, topicId, overrides, assignment, leaderEpochs })
      return made.topicId === null ? null : image.topics.get(name)!
    })
  }

  #nameProblem(name: string): Outcome | null {
    const problem = nameProblem(name, this.#state.image, (key) => this.#creating.get(key))
    if (problem !== null || !this.#deleting.has(name)) return problem
    return refused(ErrorCode.TOPIC_ALREADY_EXISTS, `Topic '${name}' is marked for deletion.`)
  }

  #rules(): PlanRules {
    const { config, image, maxOpenFiles } = this.#state
    const configured = config['samsa.max.partitions']
    return {
      brokers: [...image.brokers.values()],
      registered: new Set(image.brokers.keys()),
      start: 0,
      defaultPartitions: config['num.partitions'],
      defaultReplicationFactor: config['default.replication.factor'],
      partitionsLeft: Math.min(configured, maxOpenFiles) - image.partitionCount - this.#creatingPartitions,
      limitedBy:
        configured <= maxOpenFiles
          ? 'samsa.max.partitions'
          : 'the files the broker may have open (ulimit -n)',
    }
  }

  async #make(draft: TopicDraft): Promise<CreateTopicResult> {
    const { name, assignment, overrides } = draft
    // From the checks to here nothing was awaited, so no other creation can have slipped in between.
    const key = collisionKey(name)
    this.#creating.set(key, name)
    this.#creatingPartitions += assignment.length
    try {
      const topic = await this.#write(draft)
      const { topicId } = topic
      this.#state.logger.info({ topic: name, topicId, partitions: assignment.length }, 'topic created')
      this.#state.tellOfNoEffect(name, overrides.keys())
      return this.#succeeded(name, topic.topicId, assignment, overrides)
    } catch (error) {
      return failedCreation(name, this.#failure(error, `creation of topic ${name}`))
    } finally {
      this.#creating.delete(key)
      this.#creatingPartitions -= assignment.length
    }
  }

  async #write(draft: TopicDraft): Promise<TopicImage> {
    const { store, self, config } = this.#state
    const { name, topicId, overrides, assignment, leaderEpochs } = draft
    const states = new Map(
      assignment.map((replicas, index) => [index, firstState(replicas, self, leaderEpochs?.get(index) ?? 0)]),
    )
    await createTopicNodes(store, draft, states, assignment)
    const topic: TopicImage = {
      name,
      topicId,
      internal: isInternalTopic(name),
      partitions: assignment.map((replicas, index) =>
        partitionImage(name, index, replicas, states.get(index)!, 0),
      ),
      config: resolveTopicConfig(overrides, config),
    }
    try {
      await this.#host(topic, topic.partitions.slice(0, PARTITIONS_AT_ONCE), true)
      await this.#host(topic, topic.partitions.slice(PARTITIONS_AT_ONCE), false)
    } catch (error) {
      await this.#undo(topic)
      throw error
    }
    return this.#state.publish(topic, config)
  }

  /** Tells the listener of partitions, a portion at a time. */
  #host(topic: TopicImage, partitions: readonly PartitionImage[], isNew: boolean): Promise<void> {
    const { listener } = this.#state
    return inPortions(partitions, PARTITIONS_AT_ONCE, (some) =>
      this.#atOnce.run(some.length, () =>
        isNew
          ? listener.onTopicCreated({ ...topic, partitions: some })
          : listener.onPartitionsAdded(topic, some),
      ),
    )
  }

  async #undo(topic: TopicImage): Promise<void> {
    try {
      await createIfMissing(this.#state.store, paths.deleteTopic(topic.name))
      await this.finishDeletion(topic)
    } catch (error) {
      // The mark makes the next start try again; until then the name stays taken.
      this.#state.logger.error(
        { topic: topic.name, error },
        'a topic that could not be created could not be removed',
      )
    }
  }

  async #addPartitions(topic: TopicImage, added: Assignment): Promise<Outcome> {
    const { store, self, config } = this.#state
    this.#creatingPartitions += added.length
    try {
      const first = topic.partitions.length
      const path = paths.topic(topic.name)
      const node = await store.get(path)
      const before = topic.partitions.map(({ replicas }) => replicas)
      const states = new Map(added.map((replicas, offset) => [first + offset, firstState(replicas, self, 0)]))
      await Promise.all([
        store.set(path, encodeTopic(topic.topicId, [...before, ...added]), node!.stat.version),
        createPartitionNodes(store, topic.name, states),
      ])
      const images = added.map((replicas, offset) =>
        partitionImage(topic.name, first + offset, replicas, states.get(first + offset)!, 0),
      )
      const grown = { ...topic, partitions: [...topic.partitions, ...images] }
      await this.#host(grown, images, false)
      await this.#state.publish(grown, config)
      const partitions = grown.partitions.length
      this.#state.logger.info({ topic: topic.name, partitions, before: first }, 'partitions added to a topic')
      return DONE
    } catch (error) {
      return this.#failure(error, `growth of topic ${topic.name}`)
    } finally {
      this.#creatingPartitions -= added.length
    }
  }

  #succeeded(
    name: string,
    topicId: string | null,
    assignment: Assignment,
    overrides: ReadonlyMap<string, string>,
  ): CreateTopicResult {
    return {
      ...DONE,
      name,
      topicId,
      numPartitions: assignment.length,
      replicationFactor: assignment[0]!.length,
      config: resolveTopicConfig(overrides, this.#state.config),
    }
  }

  #failure(error: unknown, what: string): Outcome {
    this.#state.logger.error({ error }, `${what} failed`)
    return failureOutcome(error)
  }
}

/** Key of a topic in the queue of changes. */
export function topicKey(name: string): string {
  return `topic:${name}`
}

export function unknownTopic(name: string): Outcome {
  return refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, `Topic '${name}' does not exist.`)
}

/** Brokers decide on their partitions and configuration, and make those they use when they need them. */
export function refusedInternal(name: string, exists: boolean): CreateTopicResult {
  return failedCreation(
    name,
    exists
      ? refused(ErrorCode.TOPIC_ALREADY_EXISTS, `Topic '${name}' already exists.`)
      : refused(ErrorCode.INVALID_TOPIC_EXCEPTION, `Topic '${name}' is internal to the broker.`),
  )
}

/** Why a topic cannot get this name; null when it can. `creating`: a topic that is being made, by its collision key. */
export function nameProblem(
  name: string,
  image: MetadataImage,
  creating: (key: string) => string | undefined,
): Outcome | null {
  const problem = topicNameProblem(name)
  if (problem !== null) return refused(ErrorCode.INVALID_TOPIC_EXCEPTION, problem)
  if (name === CLUSTER_METADATA)
    return refused(ErrorCode.INVALID_REQUEST, `Creation of internal topic ${name} is prohibited.`)
  if (image.topics.has(name))
    return refused(ErrorCode.TOPIC_ALREADY_EXISTS, `Topic '${name}' already exists.`)
  const collision = image.collision(name) ?? creating(collisionKey(name))
  if (collision === undefined) return null
  return refused(
    ErrorCode.INVALID_TOPIC_EXCEPTION,
    `Topic '${name}' collides with existing topic '${collision}': they differ in '.' and '_' only.`,
  )
}

export function failedCreation(name: string, { errorCode, errorMessage }: Outcome): CreateTopicResult {
  return {
    name,
    errorCode,
    errorMessage,
    topicId: null,
    numPartitions: -1,
    replicationFactor: -1,
    config: null,
  }
}
