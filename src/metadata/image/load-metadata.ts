import type { BrokerConfig } from '../../core/config/broker-config.ts'
import { readableOverrides, waysToRelease } from '../../core/config/held-config.ts'
import { resolveTopicConfig, topicConfigProblem } from '../../core/config/topic-config.ts'
import type { TopicConfig } from '../../core/config/topic-config.ts'
import type { Logger, MetadataStore, Random, StoredNode } from '../../ports.ts'
import type { PartitionImage, TopicImage } from './metadata-image.ts'
import { createIfMissing, createPartitionNodes, deleteIfThere } from '../layout/store-steps.ts'
import { isInternalTopic } from '../layout/topic-names.ts'
import { randomUuid } from '../layout/uuid.ts'
import {
  decodeConfig,
  decodePartitionState,
  decodeTopic,
  encodePartitionState,
  encodeTopic,
  paths,
} from '../layout/znodes.ts'
import type { StoredState, TopicRecord } from '../layout/znodes.ts'

export interface LoadContext {
  readonly store: MetadataStore
  readonly random: Random
  readonly logger: Logger
  readonly nodeId: number
  readonly controllerEpoch: number
  readonly config: BrokerConfig
}

export interface LoadedTopics {
  readonly topics: readonly TopicImage[]
  /** Topics whose deletion began and did not end. */
  readonly deleting: readonly TopicImage[]
}

/** Reads all topics, completes what a crash left half done, and makes this broker leader of what it may lead. */
export async function loadTopics(context: LoadContext): Promise<LoadedTopics> {
  const { store } = context
  const [names, marked, configured] = await Promise.all([
    store.children(paths.topics),
    store.children(paths.deleteTopics),
    store.children(paths.topicConfigs),
  ])
  const existing = new Set(names)
  const leftOver = [
    // The topic was deleted and only the mark remained, or the topic was never created and only its configuration was.
    ...(marked ?? []).filter((name) => !existing.has(name)).map(paths.deleteTopic),
    ...(configured ?? []).filter((name) => !existing.has(name)).map(paths.topicConfig),
  ]
  await Promise.all(leftOver.map((path) => deleteIfThere(store, path)))
  const deletions = new Set(marked)
  const loaded = await Promise.all([...existing].map((name) => loadTopic(context, name, deletions.has(name))))
  return {
    topics: loaded.filter(({ name }) => !deletions.has(name)),
    deleting: loaded.filter(({ name }) => deletions.has(name)),
  }
}

async function loadTopic(context: LoadContext, name: string, deleting: boolean): Promise<TopicImage> {
  const { store } = context
  const path = paths.topic(name)
  const [node, configNode] = await Promise.all([store.get(path), store.get(paths.topicConfig(name))])
  const record = decodeTopic(path, node!.data)
  const topicId = record.topicId ?? (await giveTopicId(context, name, record, node!))
  const stored =
    configNode === null ? new Map<string, string>() : decodeConfig(paths.topicConfig(name), configNode.data)
  const config = storedConfig(context, name, stored)
  const states = await Promise.all(
    record.assignment.map((_, index) => store.get(paths.partitionState(name, index))),
  )
  const partitions = deleting
    ? record.assignment.map((replicas, index) => partitionImage(name, index, replicas, NO_STATE, 0))
    : await leadPartitions(context, name, record, states)
  return { name, topicId, internal: isInternalTopic(name), partitions, config }
}

/** Another version may have stored it: what this one cannot read must not become the default, which deletes. */
function storedConfig(
  { config, logger }: LoadContext,
  topic: string,
  stored: ReadonlyMap<string, string>,
): TopicConfig {
  const { overrides, unused, held } = readableOverrides(stored)
  const problems = unused.map((key) => topicConfigProblem(new Map([[key, stored.get(key) ?? '']]), config))
  if (held)
    logger.warn(
      { topic, problems },
      `a stored topic configuration cannot be read: nothing of the topic is deleted or compacted. ${waysToRelease(topic)}`,
    )
  else if (unused.length > 0) logger.warn({ topic, problems }, 'a stored topic configuration is not used')
  return resolveTopicConfig(overrides, config)
}

const NO_STATE: StoredState = { leader: -1, leaderEpoch: -1, isr: [] }

export function partitionImage(
  topic: string,
  index: number,
  replicas: readonly number[],
  state: StoredState,
  partitionEpoch: number,
): PartitionImage {
  const { leader, leaderEpoch, isr } = state
  return { topic, index, leader, leaderEpoch, replicas, isr, partitionEpoch }
}

async function giveTopicId(
  context: LoadContext,
  name: string,
  record: TopicRecord,
  node: StoredNode,
): Promise<string> {
  const topicId = randomUuid(context.random)
  await context.store.set(paths.topic(name), encodeTopic(topicId, record.assignment), node.stat.version)
  return topicId
}

/**
 * A broker that starts leads under a new epoch: its log may end earlier than when it stopped, and whoever saw the
 * records that are gone must be able to tell.
 */
async function leadPartitions(
  context: LoadContext,
  name: string,
  record: TopicRecord,
  nodes: readonly (StoredNode | null)[],
): Promise<PartitionImage[]> {
  const { store, nodeId, controllerEpoch } = context
  const missing = new Map<number, StoredState>()
  const images = record.assignment.map(async (replicas, index) => {
    const node = nodes[index] ?? null
    const path = paths.partitionState(name, index)
    if (node === null) {
      const state = firstState(replicas, nodeId, 0)
      missing.set(index, state)
      return partitionImage(name, index, replicas, state, 0)
    }
    const before = decodePartitionState(path, node.data)
    const after = electedState(replicas, before, nodeId)
    if (after === before) return partitionImage(name, index, replicas, before, node.stat.version)
    const stat = await store.set(path, encodePartitionState(after, controllerEpoch), node.stat.version)
    return partitionImage(name, index, replicas, after, stat.version)
  })
  if (missing.size > 0) {
    await createIfMissing(store, paths.partitions(name))
    await createPartitionNodes(store, name, missing, controllerEpoch)
  }
  return Promise.all(images)
}

/** The state of a partition that holds nothing yet: every replica is as good as the first. */
export function firstState(replicas: readonly number[], nodeId: number, leaderEpoch: number): StoredState {
  const leads = replicas.includes(nodeId)
  return { leader: leads ? nodeId : -1, leaderEpoch, isr: leads ? [nodeId] : [...replicas] }
}

/** Only a replica in the ISR has every acknowledged record. */
function electedState(replicas: readonly number[], before: StoredState, nodeId: number): StoredState {
  if (replicas.includes(nodeId) && before.isr.includes(nodeId))
    return { leader: nodeId, leaderEpoch: before.leaderEpoch + 1, isr: [nodeId] }
  if (before.leader === -1) return before
  return { leader: -1, leaderEpoch: before.leaderEpoch + 1, isr: before.isr }
}
