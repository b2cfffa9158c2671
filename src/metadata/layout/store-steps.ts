/** Small steps on the metadata store that several parts take. */
import type { MetadataStore } from '../../ports.ts'
import { inPortions } from './in-portions.ts'
import { hasStoreCode } from './outcome.ts'
import { encodeConfig, encodePartitionState, encodeTopic, paths } from './znodes.ts'
import type { StoredState } from './znodes.ts'

const NOTHING = Buffer.alloc(0)
/** Partitions of a topic that are written together: enough for one write to the device, few for one turn. */
const PORTION = 256

/** False when the node was there already. */
export async function createIfMissing(
  store: MetadataStore,
  path: string,
  data: Buffer = NOTHING,
): Promise<boolean> {
  try {
    await store.create(path, data)
    return true
  } catch (error) {
    if (hasStoreCode(error, 'NODE_EXISTS')) return false
    throw error
  }
}

export async function deleteIfThere(store: MetadataStore, path: string): Promise<void> {
  try {
    await store.delete(path, -1)
  } catch (error) {
    if (!hasStoreCode(error, 'NO_NODE')) throw error
  }
}

export async function writeConfig(
  store: MetadataStore,
  path: string,
  values: ReadonlyMap<string, string>,
): Promise<void> {
  const data = encodeConfig(values)
  const node = await store.get(path)
  if (node === null) await store.create(path, data)
  else await store.set(path, data, node.stat.version)
}

/** As writeConfig where the node is most likely not there: the first step leaves at once. */
async function putConfig(
  store: MetadataStore,
  path: string,
  values: ReadonlyMap<string, string>,
): Promise<void> {
  const data = encodeConfig(values)
  if (!(await createIfMissing(store, path, data))) await store.set(path, data, -1)
}

/** Nodes of new partitions, given that the topic's node is there. A broker that dies half way completes them when it loads. */
export async function createPartitionNodes(
  store: MetadataStore,
  topic: string,
  states: ReadonlyMap<number, StoredState>,
): Promise<void> {
  const parent = createIfMissing(store, paths.partitions(topic))
  const nodes = inPortions([...states], PORTION, (portion) =>
    Promise.all(
      portion.flatMap(([index, state]) => {
        const data = encodePartitionState(state)
        return [
          createIfMissing(store, paths.partition(topic, index)),
          createIfMissing(store, paths.partitionState(topic, index), data),
        ]
      }),
    ),
  )
  await Promise.all([parent, nodes])
}

/**
 * A new topic. The topic's own node is the one that counts: before it is there nothing is visible, after it a
 * broker that loads completes the rest. All of it leaves in one go, but for the later partitions of very many.
 */
export async function createTopicNodes(
  store: MetadataStore,
  topic: { readonly name: string; readonly topicId: string; readonly overrides: ReadonlyMap<string, string> },
  states: ReadonlyMap<number, StoredState>,
  assignment: readonly (readonly number[])[],
): Promise<void> {
  const { name, topicId, overrides } = topic
  // Leaves first: after a crash a topic never stands there without its configuration.
  const config = overrides.size === 0 ? null : putConfig(store, paths.topicConfig(name), overrides)
  await Promise.all([
    config,
    store.create(paths.topic(name), encodeTopic(topicId, assignment)),
    createPartitionNodes(store, name, states),
  ])
}

/** Removes a topic's nodes, its own last but one and its configuration last. Does nothing about those that are gone. */
export async function deleteTopicNodes(store: MetadataStore, name: string): Promise<void> {
  const partitions = (await store.children(paths.partitions(name))) ?? []
  const removed = inPortions(partitions, PORTION, (portion) =>
    Promise.all(
      portion.flatMap((partition) => [
        deleteIfThere(store, paths.partitionState(name, Number(partition))),
        deleteIfThere(store, paths.partition(name, Number(partition))),
      ]),
    ),
  )
  // The parents leave together with the last partitions where those are few, and after them otherwise.
  if (partitions.length > PORTION) await removed
  await Promise.all([
    removed,
    deleteIfThere(store, paths.partitions(name)),
    deleteIfThere(store, paths.topic(name)),
    deleteIfThere(store, paths.topicConfig(name)),
  ])
}
