import { parseBrokerConfig } from '../../src/core/config/broker-config.ts'
import type { BrokerConfig } from '../../src/core/config/broker-config.ts'
import type { PartitionImage, TopicImage } from '../../src/metadata/image/metadata-image.ts'
import type { MetadataListener } from '../../src/metadata/image/metadata-state.ts'
import { OneNodeMetadata } from '../../src/metadata/one-node.ts'
import type { NewTopic } from '../../src/metadata/changes/topic-plan.ts'
import { openEmbeddedStore } from '../../src/system/store/embedded-store.ts'
import type { SimProcess } from '../simulator/sim-machine.ts'

export function brokerConfig(values: Record<string, string> = {}): BrokerConfig {
  const layer = { source: 'STATIC_BROKER_CONFIG' as const, values: new Map(Object.entries(values)) }
  return parseBrokerConfig([layer]).config
}

export function newTopic(name: string, numPartitions = -1, more: Partial<NewTopic> = {}): NewTopic {
  return { name, numPartitions, replicationFactor: -1, assignments: [], configs: [], ...more }
}

/** Writes down what it hears; can be told to fail. */
export class RecordingListener implements MetadataListener {
  readonly events: string[] = []
  metadata: OneNodeMetadata | null = null
  failOn: string | null = null

  onTopicCreated(topic: TopicImage): Promise<void> {
    return this.heard(`created ${topic.name}:${topic.partitions.length}`, topic.name)
  }

  onPartitionsAdded(topic: TopicImage, added: readonly PartitionImage[]): Promise<void> {
    return this.heard(`grown ${topic.name}:${added.map(({ index }) => index).join(',')}`)
  }

  onTopicDeleted(topic: TopicImage): Promise<void> {
    return this.heard(`deleted ${topic.name}`, topic.name)
  }

  onPartitionsChanged(): Promise<void> {
    return Promise.resolve()
  }

  onBrokersChanged(): void {}

  logEnd(): null {
    return null
  }

  onTopicConfigChanged(topic: TopicImage): Promise<void> {
    return this.heard(`configured ${topic.name}`)
  }

  /** `hidden`: a topic that nobody may see yet or any more. */
  private async heard(event: string, hidden?: string): Promise<void> {
    const visible = hidden !== undefined && this.metadata?.topics.has(hidden) === true
    this.events.push(visible ? `${event} (visible)` : event)
    await Promise.resolve()
    if (this.failOn !== null && event.startsWith(this.failOn)) throw new Error('the disk is full')
  }
}

export interface OpenMetadata {
  readonly metadata: OneNodeMetadata
  readonly listener: RecordingListener
}

/** Metadata on the embedded store of a simulated process. */
export async function openMetadata(
  process: SimProcess,
  config: BrokerConfig = brokerConfig(),
  clusterId: string | null = null,
): Promise<OpenMetadata> {
  const store = await openEmbeddedStore(process.world, '/data', { snapshotAfterBytes: 20_000 })
  const metadata = await OneNodeMetadata.open(store, process.world, { config, clusterId })
  const listener = new RecordingListener()
  listener.metadata = metadata
  await metadata.start(listener)
  return { metadata, listener }
}
