/**
 * Where things lie in the metadata store and how they are written: the paths and the JSON of Kafka's ZooKeeper
 * layout, so that its tools can read what we store.
 */
import type { AcceptedBroker } from '../../core/controller/controller-types.ts'
import { stateProblem } from '../../core/replication/partition-state.ts'
import type { PartitionState } from '../../core/replication/partition-state.ts'
import { SamsaError } from '../../core/samsa-error.ts'
import type { Address } from '../../ports.ts'

export const paths = {
  brokerIds: '/brokers/ids',
  brokerId: (id: number): string => `/brokers/ids/${id}`,
  registrations: '/brokers/registrations',
  registration: (id: number): string => `/brokers/registrations/${id}`,
  topics: '/brokers/topics',
  topic: (name: string): string => `/brokers/topics/${name}`,
  partitions: (name: string): string => `/brokers/topics/${name}/partitions`,
  partition: (name: string, index: number): string => `/brokers/topics/${name}/partitions/${index}`,
  partitionState: (name: string, index: number): string =>
    `/brokers/topics/${name}/partitions/${index}/state`,
  topicConfigs: '/config/topics',
  topicConfig: (name: string): string => `/config/topics/${name}`,
  brokerConfigs: '/config/brokers',
  brokerConfig: (name: string): string => `/config/brokers/${name}`,
  deleteTopics: '/admin/delete_topics',
  deleteTopic: (name: string): string => `/admin/delete_topics/${name}`,
  clusterId: '/cluster/id',
  controller: '/controller',
  controllerEpoch: '/controller_epoch',
  producerIds: '/latest_producer_id_block',
  logDirectories: '/samsa/log_dirs',
  logDirectory: (id: string): string => `/samsa/log_dirs/${id}`,
  kafkaMetadata: '/samsa/kafka_metadata',
} as const

/** The node that holds dynamic values for all brokers. */
export const CLUSTER_DEFAULTS = '<default>'

/** Of a cluster only. Its parent is among those that are always there. */
export const CLUSTER_DIRECTORIES: readonly string[] = [paths.registrations]

/** Parents before children. */
export const PERSISTENT_DIRECTORIES: readonly string[] = [
  '/brokers',
  '/brokers/ids',
  '/brokers/topics',
  '/config',
  '/config/topics',
  '/config/brokers',
  '/admin',
  '/admin/delete_topics',
  '/cluster',
  '/samsa',
  '/samsa/log_dirs',
]

type Json = Readonly<Record<string, unknown>>

function encode(value: Json): Buffer {
  return Buffer.from(JSON.stringify(value))
}

/**
 * A node that does not hold what it should. Whoever reads a node gets what it says or this, and has to say what follows: one
 * that somebody wrote by hand must stop nothing that has nothing to do with it, and must not be written over.
 */
export class Damage {
  readonly path: string
  readonly reason: string

  constructor(path: string, reason: string) {
    this.path = path
    this.reason = reason
  }
}

/** For whom there is nothing to go on with. */
export function whole<Value>(found: Value | Damage): Value {
  if (!(found instanceof Damage)) return found
  throw new SamsaError(
    'SAMSA_METADATA_STORE',
    `${found.path} in the metadata store does not hold what it should: ${found.reason}`,
  )
}

class Nonsense extends Error {}

/** The one way in: what `read` throws as nonsense is damage of this node. */
function decode<Value>(path: string, data: Buffer, read: (json: Json) => Value): Value | Damage {
  try {
    return read(object('it', parsed(data)))
  } catch (error) {
    if (error instanceof Nonsense) return new Damage(path, error.message)
    throw error
  }
}

function parsed(data: Buffer): unknown {
  try {
    return JSON.parse(data.toString('utf8'))
  } catch {
    throw new Nonsense('it is not JSON')
  }
}

function object(what: string, value: unknown): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Nonsense(`${what} is not an object`)
  return value as Json
}

function text(what: string, value: unknown): string {
  if (typeof value !== 'string') throw new Nonsense(`${what} is not a string`)
  return value
}

function integer(what: string, value: unknown, least: number, most: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most)
    throw new Nonsense(`${what} is not an integer from ${least} to ${most}`)
  return value
}

const MAX_INT = 0x7fff_ffff
/** Epochs are 32 bits on the wire, and others must be able to follow. */
const MAX_EPOCH = 0x7fff_0000

export function isBrokerId(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= MAX_INT
}

function ids(what: string, value: unknown): number[] {
  if (!Array.isArray(value)) throw new Nonsense(`${what} is not a list of brokers`)
  return value.map((id) => integer(`a broker in ${what}`, id, 0, MAX_INT))
}

export interface TopicRecord {
  /** Null in nodes that a Kafka older than topic ids wrote. */
  readonly topicId: string | null
  /** Replicas by partition index. */
  readonly assignment: readonly (readonly number[])[]
}

export function encodeTopic(topicId: string, assignment: readonly (readonly number[])[]): Buffer {
  const partitions = Object.fromEntries(assignment.map((replicas, index) => [String(index), replicas]))
  return encode({ version: 3, topic_id: topicId, partitions, adding_replicas: {}, removing_replicas: {} })
}

const TOPIC_ID = /^[A-Za-z0-9_-]{22}$/

export function decodeTopic(path: string, data: Buffer): TopicRecord | Damage {
  return decode(path, data, (json) => {
    const partitions = object('partitions', json['partitions'])
    const count = Object.keys(partitions).length
    if (count === 0) throw new Nonsense('it has no partitions')
    const assignment = Array.from({ length: count }, (_, index) => {
      const replicas = ids(`partition ${index}`, partitions[index])
      if (replicas.length === 0) throw new Nonsense(`partition ${index} has no replicas`)
      if (new Set(replicas).size < replicas.length)
        throw new Nonsense(`partition ${index} has a replica twice`)
      return replicas
    })
    const topicId = json['topic_id'] ?? null
    if (topicId === null) return { topicId, assignment }
    // Another id would make strays of all logs of the topic.
    if (typeof topicId !== 'string' || !TOPIC_ID.test(topicId)) throw new Nonsense('topic_id is no topic id')
    return { topicId, assignment }
  })
}

/** What lies in the node of a partition: all but the epoch, which is the node's version. */
export type StoredState = Omit<PartitionState, 'partitionEpoch'>

/** As Kafka writes it, and what KIP-966 needs besides. */
export function encodePartitionState(state: StoredState): Buffer {
  return encode({
    version: 1,
    leader: state.leader,
    leader_epoch: state.leaderEpoch,
    controller_epoch: state.controllerEpoch,
    isr: state.isr,
    leader_recovery_state: state.leaderRecoveryState,
    elr: state.elr,
    last_known_elr: state.lastKnownElr,
    min_isr: state.minIsr,
    leader_broker_epoch: state.leaderBrokerEpoch,
  })
}

/**
 * A node that Kafka or an older version wrote says nothing of KIP-966: nobody but the ISR is eligible there. `replicas`: who
 * has the partition, as its topic says.
 */
export function decodePartitionState(
  path: string,
  data: Buffer,
  replicas: readonly number[],
): StoredState | Damage {
  return decode(path, data, (json) => {
    const number = (key: string, otherwise: number | undefined, least: number, most: number): number =>
      integer(key, json[key] ?? otherwise, least, most)
    const state = {
      leader: number('leader', undefined, -1, MAX_INT),
      leaderEpoch: number('leader_epoch', undefined, 0, MAX_EPOCH),
      leaderBrokerEpoch: number('leader_broker_epoch', -1, -1, Number.MAX_SAFE_INTEGER),
      controllerEpoch: number('controller_epoch', -1, -1, MAX_EPOCH),
      isr: ids('isr', json['isr']),
      elr: ids('elr', json['elr'] ?? []),
      lastKnownElr: ids('last_known_elr', json['last_known_elr'] ?? []),
      leaderRecoveryState: json['leader_recovery_state'] === 1 ? 1 : 0,
      minIsr: number('min_isr', 1, 1, MAX_INT),
    } as const
    const problem = stateProblem(state, replicas)
    if (problem !== null) throw new Nonsense(problem)
    return state
  })
}

export function encodeConfig(values: ReadonlyMap<string, string>): Buffer {
  return encode({ version: 1, config: Object.fromEntries(values) })
}

export function decodeConfig(path: string, data: Buffer): Map<string, string> | Damage {
  return decode(path, data, (json) => {
    const values = new Map<string, string>()
    for (const [key, value] of Object.entries(object('config', json['config']))) {
      const isValue = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
      if (!isValue) throw new Nonsense(`${key} is not a value`)
      values.set(key, String(value))
    }
    return values
  })
}

export interface BrokerRecord {
  /** Epochs under which this process, or the one that stopped cleanly before it, was registered. */
  readonly lineage: readonly number[]
  readonly endpoints: readonly string[]
  readonly protocols: ReadonlyMap<string, string>
  readonly rack: string | null
  readonly incarnation: string
  readonly timestampMs: number
}

export function encodeBroker(record: BrokerRecord): Buffer {
  return encode({
    version: 5,
    endpoints: record.endpoints,
    listener_security_protocol_map: Object.fromEntries(record.protocols),
    ...(record.rack === null ? {} : { rack: record.rack }),
    features: {},
    host: null,
    port: -1,
    jmx_port: -1,
    timestamp: String(record.timestampMs),
    incarnation: record.incarnation,
    samsa_lineage: record.lineage,
  })
}

/** What others need of a broker that is registered. */
export interface RegisteredBroker {
  readonly endpoints: ReadonlyMap<string, Address>
  readonly rack: string | null
  readonly lineage: readonly number[]
}

const ENDPOINT = /^([^:]{1,255}):\/\/(?:\[([^\]]{1,255})\]|([^:/]{0,255})):([0-9]{1,5})$/
const MAX_PORT = 65_535
const MAX_RACK_LENGTH = 1_000

export function decodeBroker(path: string, data: Buffer): RegisteredBroker | Damage {
  return decode(path, data, ({ endpoints, rack, samsa_lineage: lineage = [] }) => {
    if (!Array.isArray(endpoints)) throw new Nonsense('endpoints is not a list')
    if (!Array.isArray(lineage)) throw new Nonsense('samsa_lineage is not a list')
    const addresses = new Map<string, Address>()
    for (const endpoint of endpoints) {
      const match = ENDPOINT.exec(String(endpoint))
      const port = Number(match?.[4])
      if (match === null || port > MAX_PORT) throw new Nonsense('one of its endpoints is none')
      addresses.set(match[1]!, { host: match[2] ?? match[3] ?? '', port })
    }
    return {
      endpoints: addresses,
      rack: typeof rack === 'string' ? rack.slice(0, MAX_RACK_LENGTH) : null,
      // Fewer of them make it doubtful, and never trusted.
      lineage: lineage.filter((epoch) => Number.isSafeInteger(epoch)).map(Number),
    }
  })
}

/** Of the incarnation of a broker that the controller accepted last. */
export function encodeAccepted({ epoch, fenced, doubtEpoch }: Omit<AcceptedBroker, 'id'>): Buffer {
  return encode({ version: 1, epoch, fenced, doubt_epoch: doubtEpoch })
}

export function decodeAccepted(path: string, data: Buffer): Omit<AcceptedBroker, 'id'> | Damage {
  return decode(path, data, ({ epoch, fenced, doubt_epoch: doubt }) => {
    if (typeof fenced !== 'boolean') throw new Nonsense('fenced is neither true nor false')
    const doubtEpoch = integer('doubt_epoch', doubt ?? -1, -1, MAX_EPOCH)
    return { epoch: integer('epoch', epoch, 0, Number.MAX_SAFE_INTEGER), fenced, doubtEpoch }
  })
}

/** For messages: where a broker that registered can be reached. */
export function describeBroker(data: Buffer): string {
  const endpoints = decode('', data, (json) => json['endpoints'])
  return Array.isArray(endpoints) ? endpoints.join(', ') : ''
}

export function decodeController(data: Buffer): number | Damage {
  return decode(paths.controller, data, ({ brokerid }) => integer('brokerid', brokerid, 0, MAX_INT))
}

export function encodeController(brokerId: number, timestampMs: number): Buffer {
  return encode({ version: 1, brokerid: brokerId, timestamp: String(timestampMs) })
}

export function encodeClusterId(clusterId: string): Buffer {
  return encode({ version: '1', id: clusterId })
}

export function decodeClusterId(data: Buffer): string | Damage {
  return decode(paths.clusterId, data, ({ id }) => text('id', id))
}

export interface ProducerIdBlock {
  readonly brokerId: number
  readonly first: number
  readonly last: number
}

export function encodeProducerIdBlock(block: ProducerIdBlock): Buffer {
  return encode({
    version: 1,
    broker: block.brokerId,
    block_start: String(block.first),
    block_end: String(block.last),
  })
}

/** The last id of the block. */
export function decodeProducerIdBlock(data: Buffer): number | Damage {
  return decode(paths.producerIds, data, (json) => {
    const last = text('block_end', json['block_end'])
    return integer('block_end', last === '' ? NaN : Number(last), -1, Number.MAX_SAFE_INTEGER)
  })
}

export function decodeControllerEpoch(data: Buffer): number | Damage {
  const epoch = data.toString('utf8').trim()
  if (/^[0-9]{1,10}$/.test(epoch) && Number(epoch) <= MAX_EPOCH) return Number(epoch)
  return new Damage(paths.controllerEpoch, `it is not an integer from 0 to ${MAX_EPOCH}`)
}

/** `state`: of the metadata log of Kafka's controllers, as it was when it was taken over. */
export function encodeKafkaMetadata(state: string): Buffer {
  return encode({ version: 1, state })
}

export function decodeKafkaMetadata(data: Buffer): string | Damage {
  return decode(paths.kafkaMetadata, data, ({ state }) => text('state', state))
}
