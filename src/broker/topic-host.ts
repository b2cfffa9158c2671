import { ErrorCode } from '../../protocol/errors.ts'
import { SamsaError } from '../core/samsa-error.ts'
import { eachAtOnce } from '../log/files/each-at-once.ts'
import type { LogConfig } from '../log/log-config.ts'
import type { LogManager } from '../log/manager/log-manager.ts'
import type { Log } from '../log/log.ts'
import type { PartitionImage, TopicImage } from '../metadata/image/metadata-image.ts'
import { KeyedQueue } from '../metadata/image/keyed-queue.ts'
import type { MetadataListener } from '../metadata/image/metadata-state.ts'
import { OFFSETS_TOPIC } from '../metadata/layout/topic-names.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { toLogConfig } from '../metadata/topic-log-config.ts'
import type { Clock } from '../ports.ts'
import type { Followings } from './following/followings.ts'
import type { GroupCoordinator } from './groups/group-coordinator.ts'
import type { IsrProposer } from './isr-proposer.ts'
import { Partition } from './partition.ts'
import type { PartitionParts } from './partition.ts'
import type { Partitions } from './partitions.ts'
import type { TopicMetrics } from './topic-metrics.ts'

/** Renames of directories hold the loop: a large topic goes a few partitions at a time. */
const DELETIONS_AT_ONCE = 32

export interface TopicHostParts {
  readonly clock: Clock
  readonly metadata: Metadata
  readonly logs: LogManager
  readonly partitions: Partitions
  readonly topicMetrics: TopicMetrics
  readonly isrs: IsrProposer
  readonly followings: Followings
  /** Why a partition that was found in no directory must not start empty; null when it may. */
  readonly outOfReach: (topicId: string, index: number) => SamsaError | null
}

/**
 * Carries out what the metadata decides: partitions come, go, change their configuration, and are led by this broker or by
 * others. Those that have no replica here are none of its business.
 */
export class TopicHost implements MetadataListener {
  readonly #parts: TopicHostParts
  readonly #ofPartitions: PartitionParts
  /** What happens to a partition happens in its order, and waits for no other one: their disks are not as fast as each other. */
  readonly #inOrder = new KeyedQueue()
  #groups: GroupCoordinator | null = null

  constructor(parts: TopicHostParts) {
    const { metadata, clock, isrs } = parts
    this.#parts = parts
    this.#ofPartitions = {
      nodeId: metadata.nodeId,
      clock,
      lagTimeMaxMs: () => metadata.config['replica.lag.time.max.ms'],
      broker: (id) => metadata.brokers.get(id),
      isOwnEpoch: (brokerEpoch) => metadata.cluster?.isOwnEpoch(brokerEpoch) ?? true,
      isrs,
      damaged: ({ topicId, index }) => metadata.cluster?.reportDamaged([{ topicId, index }]),
    }
  }

  /** Made after the first topics are open. */
  attach(groups: GroupCoordinator): void {
    this.#groups = groups
    for (const partition of this.#parts.partitions.ofTopic(OFFSETS_TOPIC)) this.#elected(partition)
  }

  #elected({ topic, role, index, leaderEpoch }: Partition): void {
    if (topic === OFFSETS_TOPIC && role === 'leader') void this.#groups?.elected(index, leaderEpoch)
  }

  /** A topic that was there when the broker started: its data may lie in a directory that is offline now. */
  async open(topic: TopicImage): Promise<void> {
    await this.#open(topic, topic.partitions, false)
  }

  async onTopicCreated(topic: TopicImage): Promise<void> {
    await this.#open(topic, topic.partitions, true)
  }

  async onPartitionsAdded(topic: TopicImage, added: readonly PartitionImage[]): Promise<void> {
    await this.#open(topic, added, true)
  }

  async onTopicDeleted(topic: TopicImage): Promise<void> {
    const { partitions, topicMetrics, followings } = this.#parts
    const withdrawn = new Map<number, Promise<void>>()
    for (const partition of partitions.ofTopic(topic.name))
      if (partition.role === 'follower') withdrawn.set(partition.index, followings.withdraw(partition))
    partitions.removeTopic(topic.name)
    topicMetrics.removeTopic(topic.name)
    if (topic.name === OFFSETS_TOPIC) this.#groups?.offsetsTopicDeleted()
    else this.#groups?.topicDeleted(topic.name)
    // Each has its place in the order of its partition now, and begins when it is its turn among all.
    const deletions = topic.partitions.map(({ index }) => {
      let begin!: () => void
      const begun = new Promise<void>((resolve) => (begin = resolve))
      const done = this.#inOrder.run(`${topic.name}-${index}`, async () => {
        await Promise.all([begun, withdrawn.get(index)])
        await this.#delete(topic, index)
      })
      return {
        begin,
        done: done.then(
          () => null,
          (error: unknown) => ({ error }),
        ),
      }
    })
    const failures: unknown[] = []
    await eachAtOnce(deletions, DELETIONS_AT_ONCE, async ({ begin, done }) => {
      begin()
      const failed = await done
      if (failed !== null) failures.push(failed.error)
    })
    if (failures.length > 0) throw failures[0]
  }

  /** One that was still being opened is there now. */
  async #delete({ name, topicId }: TopicImage, index: number): Promise<void> {
    const { partitions, followings, logs } = this.#parts
    const partition = partitions.get(name, index)
    if (partition?.topicId === topicId) {
      await followings.withdraw(partition)
      partitions.remove(partition)
    }
    await logs.delete(name, index)
  }

  /** Those that this broker is to have from now on come, those that it is not to have any more go, the others change. */
  async onPartitionsChanged(topic: TopicImage, changed: readonly PartitionImage[]): Promise<void> {
    const { partitions } = this.#parts
    await Promise.all(
      changed.map((image) =>
        this.#inOrder.run(`${topic.name}-${image.index}`, () => {
          const partition = partitions.get(topic.name, image.index)
          if (partition !== undefined) return this.#change(partition, image)
          return this.#isReplica(image) ? this.#openFirst(topic, image) : Promise.resolve()
        }),
      ),
    )
  }

  async #openFirst(topic: TopicImage, image: PartitionImage): Promise<void> {
    const { metadata, topicMetrics } = this.#parts
    topicMetrics.addTopic(topic.name)
    await this.#openOne(topic, image, toLogConfig(topic.config, metadata.config), true)
  }

  /** In this order: nothing is fetched any more, who waits is told, the role changes, and then it is fetched again. */
  async #change(partition: Partition, image: PartitionImage): Promise<void> {
    const { followings, isrs } = this.#parts
    const stays = this.#isReplica(image)
    const isSameTerm = image.leader === partition.leaderId && image.leaderEpoch === partition.leaderEpoch
    if (partition.role === 'follower' && !(stays && isSameTerm)) await followings.withdraw(partition)
    // Before somebody else's records come, or its own are cut.
    if (partition.role === 'leader' && partition.topic === OFFSETS_TOPIC && !isSameTerm)
      this.#groups?.resigned(partition.index)
    partition.update(image)
    if (!isSameTerm) this.#elected(partition)
    if (!stays) return this.#takeAway(partition)
    if (!isSameTerm) this.#follow(partition)
    isrs.watch(partition)
  }

  async #takeAway(partition: Partition): Promise<void> {
    const { partitions, logs } = this.#parts
    partitions.remove(partition)
    await logs.delete(partition.topic, partition.index)
  }

  #isReplica({ replicas }: PartitionImage): boolean {
    return replicas.includes(this.#parts.metadata.nodeId)
  }

  onBrokersChanged(): void {
    const { clock, partitions } = this.#parts
    const nowMs = clock.monotonicMs()
    for (const partition of partitions.all()) partition.brokersChanged(nowMs)
  }

  logEnd(topic: string, index: number): { lastEpoch: number; endOffset: number } | null {
    const partition = this.#parts.partitions.get(topic, index)
    if (partition === undefined || partition.log.failed) return null
    const { epochs, logEndOffset } = partition.log
    return { lastEpoch: epochs.epochAt(logEndOffset - 1), endOffset: logEndOffset }
  }

  async onTopicConfigChanged(topic: TopicImage): Promise<void> {
    const { logs, metadata } = this.#parts
    const config = toLogConfig(topic.config, metadata.config)
    await Promise.all(
      topic.partitions.map(({ index }) =>
        this.#inOrder.run(`${topic.name}-${index}`, async () => logs.updateConfig(topic.name, index, config)),
      ),
    )
  }

  async #open(topic: TopicImage, images: readonly PartitionImage[], isNew: boolean): Promise<void> {
    const { metadata, topicMetrics } = this.#parts
    const hosted = metadata.cluster === null ? images : images.filter((image) => this.#isReplica(image))
    if (hosted.length === 0) return
    const config = toLogConfig(topic.config, metadata.config)
    topicMetrics.addTopic(topic.name)
    await Promise.all(
      hosted.map((image) =>
        this.#inOrder.run(`${topic.name}-${image.index}`, () => this.#openOne(topic, image, config, isNew)),
      ),
    )
  }

  async #openOne(topic: TopicImage, image: PartitionImage, config: LogConfig, isNew: boolean): Promise<void> {
    const { logs, partitions, isrs } = this.#parts
    const because = this.#outOfReach(topic, image, isNew)
    const log =
      because === null
        ? await this.#logOf(topic, image.index, config, isNew)
        : logs.offline(topic.name, image.index, topic.topicId, config, because)
    const partition = new Partition(this.#ofPartitions, topic.name, topic.topicId, image, log)
    if (!log.failed) logs.listen(log, partition)
    partitions.add(partition)
    isrs.watch(partition)
    this.#elected(partition)
    // What was in it once may be missing, and others may count on it.
    if (log.failed || log.recovery?.unclean === true) this.#ofPartitions.damaged(partition)
    this.#follow(partition)
  }

  /** Whoever leads it, nothing is fetched into a log that cannot take it. */
  #follow(partition: Partition): void {
    if (partition.role === 'follower' && partition.errorCode === ErrorCode.NONE)
      this.#parts.followings.assign(partition)
  }

  #outOfReach(topic: TopicImage, { index, leader }: PartitionImage, isNew: boolean): SamsaError | null {
    const { logs, metadata, outOfReach } = this.#parts
    // Where one broker is all there is, nobody can come and lead it.
    if (leader === -1 && metadata.cluster === null)
      return new SamsaError('SAMSA_DISK_IO', `${topic.name}-${index} has no leader among the brokers here`)
    return isNew || logs.get(topic.name, index) !== undefined ? null : outOfReach(topic.topicId, index)
  }

  /**
   * With several log directories a broker serves on without those that are dead: what may lie there answers
   * KAFKA_STORAGE_ERROR, and so does a partition whose files make no sense.
   */
  async #logOf(topic: TopicImage, index: number, config: LogConfig, isNew: boolean): Promise<Log> {
    const { logs } = this.#parts
    try {
      return await logs.getOrCreate(topic.name, index, topic.topicId, config, isNew)
    } catch (error) {
      if (!(error instanceof SamsaError)) throw error
      if (error.code !== 'SAMSA_DISK_IO' && error.code !== 'SAMSA_LOG_CORRUPT') throw error
      return logs.offline(topic.name, index, topic.topicId, config, error)
    }
  }
}
