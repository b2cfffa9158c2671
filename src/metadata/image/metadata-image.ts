import type { BrokerConfig } from '../../core/config/broker-config.ts'
import { resolveTopicConfig } from '../../core/config/topic-config.ts'
import type { TopicConfig } from '../../core/config/topic-config.ts'
import type { Assignment, BrokerView, PartitionState } from '../../core/replication/partition-state.ts'
import type { Address } from '../../ports.ts'
import { collisionKey } from '../layout/topic-names.ts'

export interface PartitionImage extends PartitionState, Assignment {
  readonly topic: string
  readonly index: number
}

export interface TopicImage {
  readonly name: string
  /** 22 characters of base64url. */
  readonly topicId: string
  readonly internal: boolean
  /** By index, without gaps. */
  readonly partitions: readonly PartitionImage[]
  /** The configuration in force; its `overrides` are the topic's own. */
  readonly config: TopicConfig
}

/** Its epoch, the transaction of the registration, grows each time a process registers under this id. */
export interface BrokerImage extends BrokerView {
  readonly rack: string | null
  /** Where others reach it, by listener name; empty where only this connection knows. */
  readonly endpoints: ReadonlyMap<string, Address>
}

/** What the broker knows of the cluster. Topics are replaced, never changed; the maps change in place. */
export class MetadataImage {
  readonly topics = new Map<string, TopicImage>()
  readonly brokers = new Map<number, BrokerImage>()
  readonly #topicsById = new Map<string, TopicImage>()
  readonly #namesByCollisionKey = new Map<string, string>()
  #partitionCount = 0

  get partitionCount(): number {
    return this.#partitionCount
  }

  topicById(topicId: string): TopicImage | undefined {
    return this.#topicsById.get(topicId)
  }

  /** A topic whose name cannot be told from this one in metrics. */
  collision(name: string): string | undefined {
    return this.#namesByCollisionKey.get(collisionKey(name))
  }

  put(topic: TopicImage): void {
    this.remove(topic.name)
    this.topics.set(topic.name, topic)
    this.#topicsById.set(topic.topicId, topic)
    this.#namesByCollisionKey.set(collisionKey(topic.name), topic.name)
    this.#partitionCount += topic.partitions.length
  }

  remove(name: string): void {
    const topic = this.topics.get(name)
    if (topic === undefined) return
    this.topics.delete(name)
    this.#topicsById.delete(topic.topicId)
    const key = collisionKey(name)
    if (this.#namesByCollisionKey.get(key) === name) this.#namesByCollisionKey.delete(key)
    this.#partitionCount -= topic.partitions.length
  }

  /** Resolves every topic's configuration again: once for all that have the same overrides, most of which have none. */
  reconfigure(config: BrokerConfig): TopicImage[] {
    const resolved = new Map<string, TopicConfig>()
    const changed = [...this.topics.values()].map((topic) => {
      const { overrides } = topic.config
      const key = overrides.size === 0 ? '' : JSON.stringify([...overrides])
      const known = resolved.get(key) ?? resolveTopicConfig(overrides, config)
      resolved.set(key, known)
      return { ...topic, config: known }
    })
    for (const topic of changed) {
      this.topics.set(topic.name, topic)
      this.#topicsById.set(topic.topicId, topic)
    }
    return changed
  }
}
