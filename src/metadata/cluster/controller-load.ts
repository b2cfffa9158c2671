import type { BrokerConfig } from '../../core/config/broker-config.ts'
import { readableOverrides } from '../../core/config/held-config.ts'
import { resolveTopicConfig } from '../../core/config/topic-config.ts'
import type { StoredTopic, TopicRules } from '../../core/controller/controller-types.ts'
import { SamsaError } from '../../core/samsa-error.ts'
import type { Logger, MetadataStore, Random } from '../../ports.ts'
import { inPortions } from '../layout/in-portions.ts'
import { deleteIfThere, deleteTopicNodes } from '../layout/store-steps.ts'
import { randomUuid } from '../layout/uuid.ts'
import {
  CLUSTER_DEFAULTS,
  decodeAccepted,
  decodeConfig,
  decodePartitionState,
  decodeTopic,
  encodeTopic,
  paths,
} from '../layout/znodes.ts'

/** Of the dynamic values: those of all brokers. */
export const EVERY_BROKER = -1

type Values = ReadonlyMap<string, string>

/** What lies in the store, but for who is registered. */
export interface StoredCluster {
  readonly topics: readonly StoredTopic[]
  /** Of each topic, by id. */
  readonly overrides: ReadonlyMap<string, Values>
  readonly accepted: readonly { id: number; epoch: number; fenced: boolean; version: number }[]
  /** Dynamic values by broker. */
  readonly configs: ReadonlyMap<number, Values>
}

interface LoadContext {
  readonly store: MetadataStore
  readonly random: Random
  readonly logger: Logger
  readonly config: BrokerConfig
}

/** Topics that are read at a time: each takes several calls, and there are so many under way at most. */
const PORTION = 64

/** What a topic's configuration means for those who may lead it. */
export function rulesOf(overrides: Values, config: BrokerConfig): TopicRules {
  const topic = resolveTopicConfig(readableOverrides(overrides).overrides, config)
  return {
    minInsyncReplicas: topic['min.insync.replicas'],
    uncleanElection: topic['unclean.leader.election.enable'],
  }
}

/**
 * Reads everything, once nobody else writes, and ends what the controller before had begun to delete. `configUnder`: the
 * configuration with dynamic values of all brokers.
 */
export async function loadCluster(
  context: Omit<LoadContext, 'config'>,
  configUnder: (defaults: Values) => BrokerConfig,
): Promise<StoredCluster> {
  const { store } = context
  const [names, marked, configured, brokers, registered] = await Promise.all([
    store.children(paths.topics),
    store.children(paths.deleteTopics),
    store.children(paths.topicConfigs),
    store.children(paths.brokerConfigs),
    store.children(paths.registrations),
  ])
  // Each broker makes it before it registers. Who took it away did not mean to have all logs deleted.
  if (names === null)
    throw new SamsaError('SAMSA_METADATA_STORE', `${paths.topics} in the metadata store is gone`)
  const deleted = new Set(marked)
  const existing = new Set(names.filter((name) => !deleted.has(name)))
  for (const name of deleted) {
    await deleteTopicNodes(store, name)
    await deleteIfThere(store, paths.deleteTopic(name))
  }
  const orphaned = (configured ?? []).filter((name) => !existing.has(name))
  await Promise.all(orphaned.map((name) => deleteIfThere(store, paths.topicConfig(name))))
  const configs = await brokerConfigs(store, brokers ?? [])
  const config = configUnder(configs.get(EVERY_BROKER) ?? new Map<string, string>())
  const overrides = new Map<string, Values>()
  const topics: StoredTopic[] = []
  await inPortions([...existing], PORTION, async (portion) => {
    for (const { topic, values } of await Promise.all(
      portion.map((name) => loadTopic({ ...context, config }, name)),
    )) {
      topics.push(topic)
      overrides.set(topic.topicId, values)
    }
  })
  const accepted = await Promise.all((registered ?? []).map((name) => loadAccepted(store, Number(name))))
  return { topics, overrides, configs, accepted: accepted.filter((each) => each !== null) }
}

async function loadAccepted(store: MetadataStore, id: number) {
  const path = paths.registration(id)
  const node = await store.get(path)
  return node === null ? null : { id, ...decodeAccepted(path, node.data), version: node.stat.version }
}

async function brokerConfigs(store: MetadataStore, names: readonly string[]): Promise<Map<number, Values>> {
  const configs = new Map<number, Values>()
  const read = async (name: string): Promise<void> => {
    const path = paths.brokerConfig(name)
    const node = await store.get(path)
    const id = name === CLUSTER_DEFAULTS ? EVERY_BROKER : Number(name)
    if (node !== null && Number.isInteger(id)) configs.set(id, decodeConfig(path, node.data))
  }
  await Promise.all(names.map(read))
  return configs
}

async function loadTopic(
  context: LoadContext,
  name: string,
): Promise<{ topic: StoredTopic; values: Values }> {
  const { store, config } = context
  const path = paths.topic(name)
  const [node, configNode] = await Promise.all([store.get(path), store.get(paths.topicConfig(name))])
  const record = decodeTopic(path, node!.data)
  let { topicId } = record
  if (topicId === null) {
    topicId = randomUuid(context.random)
    await store.set(path, encodeTopic(topicId, record.assignment), node!.stat.version)
  }
  const values =
    configNode === null ? new Map<string, string>() : decodeConfig(paths.topicConfig(name), configNode.data)
  const states = await Promise.all(
    record.assignment.map(async (_, index) => {
      const statePath = paths.partitionState(name, index)
      const state = await store.get(statePath)
      if (state === null) return null
      return { ...decodePartitionState(statePath, state.data), partitionEpoch: state.stat.version }
    }),
  )
  const assignments = record.assignment.map((replicas) => ({ replicas, adding: [], removing: [] }))
  return { topic: { name, topicId, assignments, rules: rulesOf(values, config), states }, values }
}
