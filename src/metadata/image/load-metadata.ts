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
  whole,
} from '../layout/znodes.ts'
import type { StoredState, TopicRecord } from '../layout/znodes.ts'

export interface LoadContext {
  readonly store: MetadataStore
  readonly random: Random
  readonly logger: Logger
  readonly self: OnlyBroker
  readonly config: BrokerConfig
}

/** The broker that leads whatever is led where there is one. */
export interface OnlyBroker {
  readonly nodeId: number
  readonly brokerEpoch: number
  readonly controllerEpoch: number
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
  const record = whole(decodeTopic(path, node!.data))
  const topicId = record.topicId ?? (await giveTopicId(context, name, record, node!))
  const stored =
    configNode === null
      ? new Map<string, string>()
      : whole(decodeConfig(paths.topicConfig(name), configNode.data))
  const config = storedConfig(context, name, stored)
  const states = await Promise.all(
    record.assignment.map((_, index) => store.get(paths.partitionState(name, index))),
  )
  const partitions = deleting
    ? record.assignment.map((replicas, index) =>
        partitionImage(name, index, replicas, { ...firstState(replicas, context.self, 0), leader: -1 }, 0),
      )
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

export function partitionImage(
  topic: string,
  index: number,
  replicas: readonly number[],
  state: StoredState,
  partitionEpoch: number,
): PartitionImage {
  return { ...state, topic, index, replicas, adding: [], removing: [], partitionEpoch }
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
  const { store, self } = context
  const missing = new Map<number, StoredState>()
  const images = record.assignment.map(async (replicas, index) => {
    const node = nodes[index] ?? null
    const path = paths.partitionState(name, index)
    if (node === null) {
      const state = firstState(replicas, self, 0)
      missing.set(index, state)
      return partitionImage(name, index, replicas, state, 0)
    }
    const before = whole(decodePartitionState(path, node.data, replicas))
    const after = electedState(replicas, before, self)
    if (after === before) return partitionImage(name, index, replicas, before, node.stat.version)
    const stat = await store.set(path, encodePartitionState(after), node.stat.version)
    return partitionImage(name, index, replicas, after, stat.version)
  })
  if (missing.size > 0) {
    await createIfMissing(store, paths.partitions(name))
    await createPartitionNodes(store, name, missing)
  }
  return Promise.all(images)
}

/** The state of a partition that holds nothing yet: every replica is as good as the first. */
export function firstState(replicas: readonly number[], self: OnlyBroker, leaderEpoch: number): StoredState {
  const leads = replicas.includes(self.nodeId)
  return ledAlone(leads ? self : null, leaderEpoch, leads ? [self.nodeId] : replicas, self.controllerEpoch)
}

function ledAlone(
  leader: OnlyBroker | null,
  leaderEpoch: number,
  isr: readonly number[],
  controllerEpoch: number,
): StoredState {
  return {
    leader: leader?.nodeId ?? -1,
    leaderEpoch,
    leaderBrokerEpoch: leader?.brokerEpoch ?? -1,
    controllerEpoch,
    isr,
    elr: [],
    lastKnownElr: [],
    leaderRecoveryState: 0,
    minIsr: 1,
  }
}

/** Only a replica in the ISR has every acknowledged record. */
function electedState(replicas: readonly number[], before: StoredState, self: OnlyBroker): StoredState {
  const { nodeId, controllerEpoch } = self
  if (replicas.includes(nodeId) && before.isr.includes(nodeId))
    return ledAlone(self, before.leaderEpoch + 1, [nodeId], controllerEpoch)
  if (before.leader === -1) return before
  return ledAlone(null, before.leaderEpoch + 1, before.isr, controllerEpoch)
}
