/**
 * Where things lie in the metadata store and how they are written: the paths and the JSON of Kafka's ZooKeeper
 * layout, so that its tools can read what we store.
 */
import type { AcceptedBroker } from '../../core/controller/controller-types.ts'
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

function decode(path: string, data: Buffer): Json {
  let value: unknown
  try {
    value = JSON.parse(data.toString('utf8'))
  } catch (error) {
    throw damaged(path, error)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw damaged(path)
  return value as Json
}

function damaged(path: string, cause?: unknown): SamsaError {
  return new SamsaError(
    'SAMSA_METADATA_STORE',
    `${path} in the metadata store does not hold what it should`,
    cause,
  )
}

function isId(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0x7fff_ffff
}

function ids(path: string, value: unknown): number[] {
  if (!Array.isArray(value) || !value.every(isId)) throw damaged(path)
  return value
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

export function decodeTopic(path: string, data: Buffer): TopicRecord {
  const json = decode(path, data)
  const partitions = json['partitions']
  if (typeof partitions !== 'object' || partitions === null) throw damaged(path)
  const byIndex = new Map(Object.entries(partitions).map(([index, replicas]) => [Number(index), replicas]))
  const assignment = Array.from({ length: byIndex.size }, (_, index) => ids(path, byIndex.get(index)))
  const topicId = json['topic_id']
  return { topicId: typeof topicId === 'string' ? topicId : null, assignment }
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

/** A node that Kafka or an older version wrote says nothing of KIP-966: nobody but the ISR is eligible there. */
export function decodePartitionState(path: string, data: Buffer): StoredState {
  const json = decode(path, data)
  const number = (key: string, otherwise: number): number => {
    const value = json[key] ?? otherwise
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < -1) throw damaged(path)
    return value
  }
  const leaderEpoch = json['leader_epoch']
  if (!isId(leaderEpoch)) throw damaged(path)
  return {
    leader: number('leader', NaN),
    leaderEpoch,
    leaderBrokerEpoch: number('leader_broker_epoch', -1),
    controllerEpoch: number('controller_epoch', -1),
    isr: ids(path, json['isr']),
    elr: ids(path, json['elr'] ?? []),
    lastKnownElr: ids(path, json['last_known_elr'] ?? []),
    leaderRecoveryState: json['leader_recovery_state'] === 1 ? 1 : 0,
    minIsr: number('min_isr', 1),
  }
}

export function encodeConfig(values: ReadonlyMap<string, string>): Buffer {
  return encode({ version: 1, config: Object.fromEntries(values) })
}

export function decodeConfig(path: string, data: Buffer): Map<string, string> {
  const config = decode(path, data)['config']
  if (typeof config !== 'object' || config === null) throw damaged(path)
  return new Map(Object.entries(config).map(([key, value]) => [key, String(value)]))
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

const ENDPOINT = /^([^:]+):\/\/(?:\[([^\]]+)\]|([^:/]*)):([0-9]{1,5})$/

export function decodeBroker(path: string, data: Buffer): RegisteredBroker {
  const { endpoints, rack, samsa_lineage: lineage = [] } = decode(path, data)
  if (!Array.isArray(endpoints) || !Array.isArray(lineage)) throw damaged(path)
  const addresses = new Map<string, Address>()
  for (const endpoint of endpoints) {
    const match = ENDPOINT.exec(String(endpoint))
    if (match === null) throw damaged(path)
    addresses.set(match[1]!, { host: match[2] ?? match[3] ?? '', port: Number(match[4]) })
  }
  return {
    endpoints: addresses,
    rack: typeof rack === 'string' ? rack : null,
    lineage: lineage.filter((epoch) => Number.isSafeInteger(epoch)).map(Number),
  }
}

/** Of the incarnation of a broker that the controller accepted last. */
export function encodeAccepted({ epoch, fenced }: Omit<AcceptedBroker, 'id'>): Buffer {
  return encode({ version: 1, epoch, fenced })
}

export function decodeAccepted(path: string, data: Buffer): Omit<AcceptedBroker, 'id'> {
  const { epoch, fenced } = decode(path, data)
  if (typeof epoch !== 'number' || !Number.isSafeInteger(epoch) || typeof fenced !== 'boolean')
    throw damaged(path)
  return { epoch, fenced }
}

/** For messages: where a broker that registered can be reached. */
export function describeBroker(data: Buffer): string {
  try {
    const endpoints = decode('', data)['endpoints']
    return Array.isArray(endpoints) ? endpoints.join(', ') : ''
  } catch {
    return ''
  }
}

/** Null for what no broker wrote. */
export function decodeController(data: Buffer): number | null {
  const id = decode(paths.controller, data)['brokerid']
  return isId(id) ? id : null
}

export function encodeController(brokerId: number, timestampMs: number): Buffer {
  return encode({ version: 1, brokerid: brokerId, timestamp: String(timestampMs) })
}

export function encodeClusterId(clusterId: string): Buffer {
  return encode({ version: '1', id: clusterId })
}

export function decodeClusterId(data: Buffer): string {
  const id = decode(paths.clusterId, data)['id']
  if (typeof id !== 'string') throw damaged(paths.clusterId)
  return id
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
export function decodeProducerIdBlock(data: Buffer): number {
  const last = Number(decode(paths.producerIds, data)['block_end'])
  if (!Number.isSafeInteger(last)) throw damaged(paths.producerIds)
  return last
}

export function decodeControllerEpoch(data: Buffer): number {
  const epoch = Number(data.toString('utf8'))
  if (!isId(epoch)) throw damaged(paths.controllerEpoch)
  return epoch
}

/** `state`: of the metadata log of Kafka's controllers, as it was when it was taken over. */
export function encodeKafkaMetadata(state: string): Buffer {
  return encode({ version: 1, state })
}

export function decodeKafkaMetadata(data: Buffer): string {
  const state = decode(paths.kafkaMetadata, data)['state']
  if (typeof state !== 'string') throw damaged(paths.kafkaMetadata)
  return state
}
