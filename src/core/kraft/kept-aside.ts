import type { KraftImage, KraftPartition } from './kraft-image.ts'

/** What is kept beside the logs of what Kafka's controllers knew. */
export interface KeptAside {
  /** Of the metadata log as it was read; null when the file does not tell. */
  readonly state: string | null
  /** Of all topics that Kafka had and that were taken over. */
  readonly topicIds: ReadonlySet<string>
  /** By topic id and index, as `partitionKey` joins them. */
  readonly places: ReadonlyMap<string, KraftPlace>
  /** How many there are of what this broker does not enforce. */
  readonly unenforced: Readonly<Record<UnenforcedKind, number>>
}

/** Where the replicas of a partition lie. */
export type KraftPlace = Pick<KraftPartition, 'replicas' | 'directories'>

export function partitionKey(topicId: string, index: number): string {
  return `${topicId}:${index}`
}

const UNENFORCED = ['acls', 'quotas', 'credentials', 'tokens'] as const
export type UnenforcedKind = (typeof UNENFORCED)[number]

/** `isTaken`: whether a topic was taken over; one that was not may be some day. */
export function encodeKeptAside(
  state: string,
  image: KraftImage,
  isTaken: (topicId: string) => boolean,
): Buffer {
  const topics = [...image.topicsById.values()].map(({ name, topicId, partitions }) => ({
    name,
    topicId,
    taken: isTaken(topicId),
    partitions: [...partitions].map(([index, partition]) => ({ index, ...partition })),
  }))
  const configs = [...image.configs.values()].map((config) => ({
    ...config,
    values: Object.fromEntries(config.values),
  }))
  const credentials = [...image.credentials.values()].map(({ salt, storedKey, serverKey, ...user }) => ({
    ...user,
    salt: salt.toString('base64'),
    storedKey: storedKey.toString('base64'),
    serverKey: serverKey.toString('base64'),
  }))
  const kept = {
    version: 1,
    state,
    features: Object.fromEntries(image.features),
    topics,
    configs,
    quotas: [...image.quotas.values()],
    acls: [...image.acls.values()],
    credentials,
    tokens: [...image.tokens.values()],
  }
  return Buffer.from(`${JSON.stringify(kept, null, 1)}\n`)
}

/** Of what makes no sense all that is known is that it was there. */
export function decodeKeptAside(bytes: Buffer): KeptAside {
  const kept = parsed(bytes)
  const state = 'state' in kept && typeof kept.state === 'string' ? kept.state : null
  const topics = listIn(kept, 'topics').map((topic) => ({
    topicId: 'topicId' in topic ? String(topic.topicId) : '',
    taken: 'taken' in topic && topic.taken === true,
    partitions: listIn(topic, 'partitions'),
  }))
  const places = topics.flatMap(({ topicId, partitions }) =>
    partitions.map((partition) => {
      const index = 'index' in partition ? Number(partition.index) : -1
      return [partitionKey(topicId, index), placeIn(partition)] as const
    }),
  )
  return {
    state,
    topicIds: new Set(topics.flatMap(({ topicId, taken }) => (taken ? [topicId] : []))),
    places: new Map(places),
    unenforced: countUnenforced(kept),
  }
}

function placeIn(partition: object): KraftPlace {
  const { replicas, directories }: Partial<Record<'replicas' | 'directories', unknown>> = partition
  return {
    replicas: Array.isArray(replicas) ? replicas.map(Number) : [],
    directories: Array.isArray(directories) ? directories.map(String) : [],
  }
}

function listIn(value: object, name: string): object[] {
  const list: unknown = (value as Record<string, unknown>)[name]
  return Array.isArray(list)
    ? list.filter((each): each is object => typeof each === 'object' && each !== null)
    : []
}

function parsed(bytes: Buffer): object {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {}
  }
}

function countUnenforced(kept: object): KeptAside['unenforced'] {
  const held: Partial<Record<UnenforcedKind, unknown>> = kept
  const counts = UNENFORCED.map((kind) => {
    const values = held[kind]
    return [kind, Array.isArray(values) ? values.length : 0]
  })
  // One for each of the kinds.
  return Object.fromEntries(counts) as Record<UnenforcedKind, number>
}
