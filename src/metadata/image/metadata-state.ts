import { resolveTopicConfig } from '../../core/config/topic-config.ts'
import { topicKeysWithoutEffect } from '../../core/config/topic-keys.ts'
import type { BrokerConfig } from '../../core/config/broker-config.ts'
import type { Logger, MetadataStore, Random } from '../../ports.ts'
import { KeyedQueue } from './keyed-queue.ts'
import type { OnlyBroker } from './load-metadata.ts'
import { MetadataImage } from './metadata-image.ts'
import type { PartitionImage, TopicImage } from './metadata-image.ts'

/**
 * Who hears of changes. A change is answered to its client when these are done, so a topic that a client was told
 * about has its leaders. A rejection undoes a creation.
 */
export interface MetadataListener {
  /** The topic is not visible yet. Of very many partitions it holds the first; `onPartitionsAdded` brings the others. */
  onTopicCreated(topic: TopicImage): Promise<void>
  /** The partitions are not visible yet; `topic` holds them. */
  onPartitionsAdded(topic: TopicImage, added: readonly PartitionImage[]): Promise<void>
  /** The topic is not visible any more. Its files must be durably out of the way when this resolves. */
  onTopicDeleted(topic: TopicImage): Promise<void>
  /** Of partitions that were there before: another state. They are visible when this resolves. */
  onPartitionsChanged(topic: TopicImage, changed: readonly PartitionImage[]): Promise<void>
  /** What is known of brokers changed: whether they serve, and under which epochs. */
  onBrokersChanged(): void
  /** How far the log of a partition goes: the epoch of its last batch (-1: none) and its end. Null when it cannot be read. */
  logEnd(topic: string, index: number): { readonly lastEpoch: number; readonly endOffset: number } | null
  /** `topic.config` changed, by its overrides or by the broker's defaults. */
  onTopicConfigChanged(topic: TopicImage): Promise<void> | void
}

export const NOBODY: MetadataListener = {
  onTopicCreated: () => Promise.resolve(),
  onPartitionsAdded: () => Promise.resolve(),
  onTopicDeleted: () => Promise.resolve(),
  onPartitionsChanged: () => Promise.resolve(),
  onBrokersChanged: () => undefined,
  logEnd: () => null,
  onTopicConfigChanged: () => undefined,
}

/** What the parts of the controller share. */
export class MetadataState {
  readonly store: MetadataStore
  readonly random: Random
  readonly logger: Logger
  readonly self: OnlyBroker
  readonly maxOpenFiles: number
  /** Whether batches can be written with this `compression.type`. */
  readonly canCompress: (type: string) => boolean
  readonly image = new MetadataImage()
  /** Changes of one topic, and of the broker's configuration, happen one after the other. */
  readonly queue = new KeyedQueue()
  listener: MetadataListener = NOBODY
  /** With the dynamic values: the one place that holds the broker's configuration as it is now. */
  config: BrokerConfig

  constructor(parts: {
    readonly store: MetadataStore
    readonly random: Random
    readonly logger: Logger
    readonly self: OnlyBroker
    readonly config: BrokerConfig
    readonly maxOpenFiles: number
    readonly canCompress: (type: string) => boolean
  }) {
    this.store = parts.store
    this.random = parts.random
    this.logger = parts.logger
    this.self = parts.self
    this.config = parts.config
    this.maxOpenFiles = parts.maxOpenFiles
    this.canCompress = parts.canCompress
  }

  readonly #toldKeys = new Set<string>()

  /** Each key once: a script may set it on thousands of topics. */
  tellOfNoEffect(topic: string, keys: Iterable<string>): void {
    for (const key of keys) {
      if (!Object.hasOwn(topicKeysWithoutEffect, key) || this.#toldKeys.has(key)) continue
      this.#toldKeys.add(key)
      const reason = topicKeysWithoutEffect[key as keyof typeof topicKeysWithoutEffect].doc
      this.logger.warn(
        { topic, key, reason },
        'a topic has a configuration that has no effect here; told once for this key',
      )
    }
  }

  /** Makes a topic visible. `resolvedUnder` is the broker configuration its own was resolved under. */
  async publish(topic: TopicImage, resolvedUnder: BrokerConfig): Promise<TopicImage> {
    if (resolvedUnder === this.config) {
      this.image.put(topic)
      return topic
    }
    const current = { ...topic, config: resolveTopicConfig(topic.config.overrides, this.config) }
    this.image.put(current)
    await this.listener.onTopicConfigChanged(current)
    return current
  }
}
