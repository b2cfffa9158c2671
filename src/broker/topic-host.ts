import { SamsaError } from '../core/samsa-error.ts'
import { eachAtOnce } from '../log/files/each-at-once.ts'
import type { LogConfig } from '../log/log-config.ts'
import type { LogManager } from '../log/manager/log-manager.ts'
import type { Log } from '../log/log.ts'
import type { PartitionImage, TopicImage } from '../metadata/image/metadata-image.ts'
import type { MetadataListener } from '../metadata/image/metadata-state.ts'
import { OFFSETS_TOPIC } from '../metadata/layout/topic-names.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { toLogConfig } from '../metadata/topic-log-config.ts'
import type { GroupCoordinator } from './group-coordinator.ts'
import { Partition } from './partition.ts'
import type { Partitions } from './partitions.ts'
import type { TopicMetrics } from './topic-metrics.ts'

/** Renames of directories hold the loop: a large topic goes a few partitions at a time. */
const DELETIONS_AT_ONCE = 32

export interface TopicHostParts {
  readonly metadata: Metadata
  readonly logs: LogManager
  readonly partitions: Partitions
  readonly topicMetrics: TopicMetrics
  /** Why a partition that was found in no directory must not start empty; null when it may. */
  readonly outOfReach: (topicId: string, index: number) => SamsaError | null
}

/** Carries out what the metadata decides: partitions come, go and change their configuration. */
export class TopicHost implements MetadataListener {
  readonly #metadata: Metadata
  readonly #logs: LogManager
  readonly #partitions: Partitions
  readonly #topicMetrics: TopicMetrics
  readonly #outOfReach: TopicHostParts['outOfReach']
  #groups: GroupCoordinator | null = null

  constructor(parts: TopicHostParts) {
    this.#metadata = parts.metadata
    this.#logs = parts.logs
    this.#partitions = parts.partitions
    this.#topicMetrics = parts.topicMetrics
    this.#outOfReach = parts.outOfReach
  }

  /** Made after the first topics are open. */
  attach(groups: GroupCoordinator): void {
    this.#groups = groups
    for (const partition of this.#partitions.ofTopic(OFFSETS_TOPIC)) this.#elected(partition)
  }

  #elected({ topic, index, leaderEpoch }: Partition): void {
    if (topic === OFFSETS_TOPIC) void this.#groups?.elected(index, leaderEpoch)
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
    this.#partitions.removeTopic(topic.name)
    this.#topicMetrics.removeTopic(topic.name)
    if (topic.name === OFFSETS_TOPIC) this.#groups?.offsetsTopicDeleted()
    else this.#groups?.topicDeleted(topic.name)
    await eachAtOnce(topic.partitions, DELETIONS_AT_ONCE, ({ index }) => this.#logs.delete(topic.name, index))
  }

  /** Where one broker leads all there is, nothing of a partition changes while it runs. */
  async onPartitionsChanged(): Promise<void> {}

  onBrokersChanged(): void {}

  onTopicConfigChanged(topic: TopicImage): void {
    const config = toLogConfig(topic.config, this.#metadata.config)
    for (const { index } of topic.partitions) this.#logs.updateConfig(topic.name, index, config)
  }

  async #open(topic: TopicImage, partitions: readonly PartitionImage[], isNew: boolean): Promise<void> {
    const config = toLogConfig(topic.config, this.#metadata.config)
    this.#topicMetrics.addTopic(topic.name)
    await Promise.all(
      partitions.map(async ({ index, leader, leaderEpoch }) => {
        const because =
          leader === -1
            ? new SamsaError('SAMSA_DISK_IO', `${topic.name}-${index} has no leader among the brokers here`)
            : isNew || this.#logs.get(topic.name, index) !== undefined
              ? null
              : this.#outOfReach(topic.topicId, index)
        const log =
          because === null
            ? await this.#logOf(topic, index, config, isNew)
            : this.#logs.offline(topic.name, index, topic.topicId, config, because)
        // On every election, even without an append: a client may ask where this epoch ends (KAFKA-20961).
        log.epochs.assign(leaderEpoch, log.logEndOffset)
        const partition = new Partition(topic.name, topic.topicId, index, leaderEpoch, log)
        if (!log.failed) this.#logs.listen(log, partition)
        this.#partitions.add(partition)
        this.#elected(partition)
      }),
    )
  }

  /**
   * With several log directories a broker serves on without those that are dead: what may lie there answers
   * KAFKA_STORAGE_ERROR, and so does a partition whose files make no sense.
   */
  async #logOf(topic: TopicImage, index: number, config: LogConfig, isNew: boolean): Promise<Log> {
    try {
      return await this.#logs.getOrCreate(topic.name, index, topic.topicId, config, isNew)
    } catch (error) {
      if (!(error instanceof SamsaError)) throw error
      if (error.code !== 'SAMSA_DISK_IO' && error.code !== 'SAMSA_LOG_CORRUPT') throw error
      return this.#logs.offline(topic.name, index, topic.topicId, config, error)
    }
  }
}
