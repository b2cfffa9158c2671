import type { BrokerConfig } from '../../core/config/broker-config.ts'
import { BROKER_HOLD, HOLD, readableOverrides } from '../../core/config/held-config.ts'
import { resolveTopicConfig } from '../../core/config/topic-config.ts'
import type { ClusterSnapshot, StoredTopic, TopicRules } from '../../core/controller/controller-types.ts'
import { SamsaError } from '../../core/samsa-error.ts'
import type { PartitionState } from '../../core/replication/partition-state.ts'
import type { MetadataStore, NodeStat, Random } from '../../ports.ts'
import { inPortions } from '../layout/in-portions.ts'
import { deleteIfThere, deleteTopicNodes } from '../layout/store-steps.ts'
import { topicNameProblem } from '../layout/topic-names.ts'
import { randomUuid } from '../layout/uuid.ts'
import {
  CLUSTER_DEFAULTS,
  Damage,
  decodeAccepted,
  decodeConfig,
  decodePartitionState,
  decodeTopic,
  encodeTopic,
  isBrokerId,
  paths,
} from '../layout/znodes.ts'
import type { DamagedNodes } from './damaged-nodes.ts'

/** Of the dynamic values: those of all brokers. */
export const EVERY_BROKER = -1

type Values = ReadonlyMap<string, string>

/** What lies in the store, but for who is registered. */
export interface StoredCluster {
  readonly topics: readonly StoredTopic[]
  /** Names of those that make no sense. */
  readonly damagedTopics: readonly string[]
  /** Of each topic, by id. */
  readonly overrides: ReadonlyMap<string, Values>
  readonly accepted: ClusterSnapshot['accepted']
  /** Dynamic values by broker. */
  readonly configs: ReadonlyMap<number, Values>
}

interface LoadContext {
  readonly store: MetadataStore
  readonly random: Random
  /** Takes what makes no sense: all else is read. */
  readonly damaged: DamagedNodes
}

/** Topics that are read at a time: each takes several calls, and there are so many under way at most. */
const PORTION = 64

/** What a topic's configuration means for those who may lead it. */
export function rulesOf(
  name: string,
  overrides: Values,
  config: BrokerConfig,
  damaged: DamagedNodes,
): TopicRules {
  const topic = resolveTopicConfig(readableOverrides(overrides).overrides, config)
  const isDamaged = (path: string): boolean => damaged.of(path) !== undefined
  const isSaid = (key: string): boolean =>
    !isDamaged(paths.topicConfig(name)) &&
    (overrides.has(key) || !isDamaged(paths.brokerConfig(CLUSTER_DEFAULTS)))
  const unclean = 'unclean.leader.election.enable'
  return {
    minInsyncReplicas: isSaid('min.insync.replicas') ? topic['min.insync.replicas'] : null,
    uncleanElection: isSaid(unclean) && topic[unclean],
  }
}

/**
 * Reads everything, once nobody else writes, and ends what the controller before had begun to delete. `configUnder`: the
 * configuration with dynamic values of all brokers.
 */
export async function loadCluster(
  context: LoadContext,
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
  const configs = await brokerConfigs(context, brokers ?? [])
  const config = configUnder(configs.get(EVERY_BROKER) ?? new Map<string, string>())
  const overrides = new Map<string, Values>()
  const loaded: LoadedTopic[] = []
  const damagedTopics: string[] = []
  await inPortions([...existing], PORTION, async (portion) => {
    for (const topic of await Promise.all(portion.map((name) => loadTopic(context, name, config))))
      if (typeof topic === 'string') damagedTopics.push(topic)
      else if (topic !== null) loaded.push(topic)
  })
  // Of two nodes with one id the later one is a copy.
  loaded.sort((left, right) => left.stat.createdTransaction - right.stat.createdTransaction)
  const topics: StoredTopic[] = []
  for (const { topic, values, stat } of loaded) {
    const { name, topicId } = topic
    if (overrides.has(topicId)) {
      damagedTopics.push(name)
      context.damaged.found('topic', new Damage(paths.topic(name), 'another topic has its topic_id'), stat)
      continue
    }
    topics.push(topic)
    overrides.set(topicId, values)
  }
  const ids = (registered ?? []).map(Number).filter(isBrokerId)
  const found = await Promise.all(ids.map((id) => loadAccepted(context, id)))
  const accepted = found.filter((each) => each !== null)
  accepted.push(...(await unknownMembers(context, topics, accepted)))
  return { topics, damagedTopics, overrides, configs, accepted }
}

/** Epochs of registrations are above this one: whoever comes is not what was accepted under it. */
const UNKNOWN = { epoch: 0, fenced: true, doubtEpoch: -1 } as const

async function loadAccepted({ store, damaged }: LoadContext, id: number) {
  const path = paths.registration(id)
  const node = await store.get(path)
  if (node === null) return null
  const { version } = node.stat
  const accepted = decodeAccepted(path, node.data)
  if (!(accepted instanceof Damage)) return { id, ...accepted, version }
  damaged.found('accepted', accepted, node.stat)
  return { id, ...UNKNOWN, version }
}

/** Who is counted on was accepted once. Where no registration was ever removed, it was in the days when it was the only broker. */
async function unknownMembers(
  { store, damaged }: LoadContext,
  topics: readonly StoredTopic[],
  accepted: readonly { readonly id: number }[],
): Promise<StoredCluster['accepted']> {
  const node = await store.get(paths.registrations)
  if (node === null || node.stat.removedChildren === 0) return []
  const members = new Set<number>()
  for (const { states } of topics)
    for (const state of states)
      if (state !== null && state !== 'damaged')
        for (const id of [...state.isr, ...state.elr]) members.add(id)
  for (const { id } of accepted) members.delete(id)
  return [...members].map((id) => {
    damaged.found('accepted', new Damage(paths.registration(id), 'it was removed'), null)
    return { id, ...UNKNOWN, version: -1 }
  })
}

async function brokerConfigs(
  { store, damaged }: LoadContext,
  names: readonly string[],
): Promise<Map<number, Values>> {
  const configs = new Map<number, Values>()
  const read = async (name: string): Promise<void> => {
    const path = paths.brokerConfig(name)
    const node = await store.get(path)
    const id = name === CLUSTER_DEFAULTS ? EVERY_BROKER : Number(name)
    if (node === null || !Number.isInteger(id)) return
    const values = decodeConfig(path, node.data)
    if (values instanceof Damage) damaged.found('config', values, node.stat)
    configs.set(id, values instanceof Damage ? BROKER_HOLD : values)
  }
  await Promise.all(names.map(read))
  return configs
}

interface LoadedTopic {
  readonly topic: StoredTopic
  readonly values: Values
  readonly stat: NodeStat
}

/** Null: it is gone. A string: the name of one that makes no sense. */
async function loadTopic(
  context: LoadContext,
  name: string,
  config: BrokerConfig,
): Promise<LoadedTopic | string | null> {
  const { store, damaged } = context
  const path = paths.topic(name)
  const [node, configNode] = await Promise.all([store.get(path), store.get(paths.topicConfig(name))])
  if (node === null) return null
  const problem = topicNameProblem(name)
  const record = problem === null ? decodeTopic(path, node.data) : new Damage(path, problem)
  if (record instanceof Damage) {
    damaged.found('topic', record, node.stat)
    return name
  }
  const { assignment } = record
  let { topicId } = record
  if (topicId === null) {
    topicId = randomUuid(context.random)
    await store.set(path, encodeTopic(topicId, assignment), node.stat.version)
  }
  const values =
    configNode === null ? new Map<string, string>() : decodeConfig(paths.topicConfig(name), configNode.data)
  if (values instanceof Damage) damaged.found('config', values, configNode!.stat)
  const overrides = values instanceof Damage ? HOLD : values
  const states = await Promise.all(
    assignment.map((replicas, index) => loadState(context, name, index, replicas)),
  )
  const assignments = assignment.map((replicas) => ({ replicas, adding: [], removing: [] }))
  const rules = rulesOf(name, overrides, config, damaged)
  const topic = { name, topicId, assignments, rules, states }
  return { topic, values: overrides, stat: node.stat }
}

async function loadState(
  { store, damaged }: LoadContext,
  name: string,
  index: number,
  replicas: readonly number[],
): Promise<PartitionState | null | 'damaged'> {
  const path = paths.partitionState(name, index)
  const node = await store.get(path)
  if (node === null && !(await wasRemoved(store, name, index))) return null
  const state =
    node === null ? new Damage(path, 'it was removed') : decodePartitionState(path, node.data, replicas)
  if (!(state instanceof Damage)) return { ...state, partitionEpoch: node!.stat.version }
  damaged.found('state', state, node?.stat ?? null)
  return 'damaged'
}

/**
 * What is not there was not made when its controller died, or somebody took it away. A partition that holds records must not be
 * taken for one that never held any: whoever is there would lead it.
 */
async function wasRemoved(store: MetadataStore, name: string, index: number): Promise<boolean> {
  for (const path of [paths.partition(name, index), paths.partitions(name), paths.topic(name)]) {
    const node = await store.get(path)
    if (node !== null) return node.stat.removedChildren > 0
  }
  return false
}
