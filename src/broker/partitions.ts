import { ErrorCode } from '../../protocol/errors.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { Partition } from './partition.ts'

/** The partitions of which this broker has a replica, by topic name and by topic id. */
export class Partitions {
  readonly #metadata: Pick<Metadata, 'topics' | 'topicById'>
  readonly #byTopic = new Map<string, Map<number, Partition>>()
  readonly #topicById = new Map<string, string>()
  #count = 0

  constructor(metadata: Pick<Metadata, 'topics' | 'topicById'>) {
    this.#metadata = metadata
  }

  get count(): number {
    return this.#count
  }

  get(topic: string, index: number): Partition | undefined {
    return this.#byTopic.get(topic)?.get(index)
  }

  /**
   * The gate of every request that only the leader of a partition may answer: the partition, or the error code that the
   * client gets. `currentLeaderEpoch` is what it believes, -1 when it does not say.
   */
  leaderOf(topic: string, index: number, currentLeaderEpoch = -1): Partition | ErrorCode {
    const partition = this.get(topic, index)
    if (partition === undefined) return this.#errorOfMissing(topic, index)
    const errorCode = partition.leaderError(currentLeaderEpoch)
    return errorCode === ErrorCode.NONE ? partition : errorCode
  }

  /** It may be at other brokers. */
  #errorOfMissing(topic: string, index: number): ErrorCode {
    const isElsewhere = this.#metadata.topics.get(topic)?.partitions[index] !== undefined
    return isElsewhere ? ErrorCode.NOT_LEADER_OR_FOLLOWER : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
  }

  /** Name of the topic with this id, be it here or at other brokers. */
  topicName(topicId: string): string | undefined {
    return this.#topicById.get(topicId) ?? this.#metadata.topicById(topicId)?.name
  }

  hasTopic(topic: string): boolean {
    return this.#byTopic.has(topic) || this.#metadata.topics.has(topic)
  }

  ofTopic(topic: string): Iterable<Partition> {
    return this.#byTopic.get(topic)?.values() ?? []
  }

  *all(): Generator<Partition> {
    for (const partitions of this.#byTopic.values()) yield* partitions.values()
  }

  add(partition: Partition): void {
    let partitions = this.#byTopic.get(partition.topic)
    if (partitions === undefined) {
      partitions = new Map()
      this.#byTopic.set(partition.topic, partitions)
      this.#topicById.set(partition.topicId, partition.topic)
    }
    if (!partitions.has(partition.index)) this.#count += 1
    partitions.set(partition.index, partition)
  }

  /** Takes one out, and tells everybody who waits at it. */
  remove(partition: Partition): void {
    const { topic, index, topicId } = partition
    const partitions = this.#byTopic.get(topic)
    if (partitions?.get(index) !== partition) return
    partitions.delete(index)
    this.#count -= 1
    if (partitions.size === 0) {
      this.#byTopic.delete(topic)
      this.#topicById.delete(topicId)
    }
    partition.removed()
  }

  /** Takes a topic out and tells everybody who waits at its partitions. */
  removeTopic(topic: string): void {
    const partitions = this.#byTopic.get(topic)
    if (partitions === undefined) return
    this.#byTopic.delete(topic)
    this.#count -= partitions.size
    for (const partition of partitions.values()) {
      this.#topicById.delete(partition.topicId)
      partition.removed()
    }
  }
}
