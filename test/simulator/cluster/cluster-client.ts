import {
  findCoordinatorRequest,
  findCoordinatorResponse,
} from '../../../protocol/messages/10-find-coordinator.ts'
import { createTopicsRequest, createTopicsResponse } from '../../../protocol/messages/19-create-topics.ts'
import { fetchRequest, fetchResponse } from '../../../protocol/messages/01-fetch.ts'
import type { FetchResponse } from '../../../protocol/messages/01-fetch.ts'
import {
  initProducerIdRequest,
  initProducerIdResponse,
} from '../../../protocol/messages/22-init-producer-id.ts'
import { listOffsetsRequest, listOffsetsResponse } from '../../../protocol/messages/02-list-offsets.ts'
import { metadataRequest, metadataResponse } from '../../../protocol/messages/03-metadata.ts'
import type { MetadataResponse } from '../../../protocol/messages/03-metadata.ts'
import { offsetCommitRequest, offsetCommitResponse } from '../../../protocol/messages/08-offset-commit.ts'
import { offsetFetchRequest, offsetFetchResponse } from '../../../protocol/messages/09-offset-fetch.ts'
import { produceRequest, produceResponse } from '../../../protocol/messages/00-produce.ts'
import type { ProduceResponse } from '../../../protocol/messages/00-produce.ts'
import { ErrorCode } from '../../../protocol/errors.ts'
import type { Decoded, Encodable, MessageSchema } from '../../../protocol/schema.ts'
import type { Address } from '../../../src/ports.ts'
import type { Call } from '../../support/raw-client.ts'
import { SimClient } from '../sim-client.ts'
import type { SimOwner } from '../sim-scheduler.ts'
import type { SimCluster } from './sim-cluster.ts'

/** Nobody answers, or the connection ended before the answer. */
export class NoAnswer extends Error {}

export const LATEST = -1

export interface KnownLeader {
  readonly id: number
  readonly epoch: number
}

export interface Position {
  readonly topic: string
  readonly index: number
  readonly offset: number
  /** Of the last record that was read. */
  readonly lastEpoch: number
  readonly leaderEpoch: number
}

export type FetchedPartition = FetchResponse['responses'][number]['partitions'][number]
export type ProducedPartition = ProduceResponse['responses'][number]['partitionResponses'][number]

/** A Kafka client on a machine of its own: one connection to each broker that it needs, and what it knows of leaders. */
export class ClusterClient {
  readonly host: string
  readonly cluster: SimCluster
  /** How long it waits for an answer. */
  timeoutMs = 4_000
  readonly #owner: SimOwner
  readonly #connections = new Map<string, SimClient>()
  readonly #addresses = new Map<number, Address>()
  readonly #leaders = new Map<string, KnownLeader>()

  constructor(cluster: SimCluster, host: string) {
    this.cluster = cluster
    this.host = host
    this.#owner = { name: `client-${host}`, alive: true }
  }

  /** What it was told last. Null: it has no leader, or nobody said. */
  leaderOf(topic: string, index: number): KnownLeader | null {
    return this.#leaders.get(`${topic}-${index}`) ?? null
  }

  /** Of any broker that answers, or of this one. */
  async metadata(topics: readonly string[] | null, brokerId?: number): Promise<MetadataResponse> {
    const body = {
      topics: topics?.map((name) => ({ name, topicId: '' })) ?? null,
      allowAutoTopicCreation: false,
      includeTopicAuthorizedOperations: false,
    }
    const call = { request: metadataRequest, response: metadataResponse, version: 9 } as const
    const answer = await this.send(this.#bootstrap(brokerId), call, body, 1_000)
    for (const { nodeId, host, port } of answer.brokers) this.#addresses.set(nodeId, { host, port })
    for (const { name, partitions } of answer.topics)
      for (const { partitionIndex, leaderId, leaderEpoch } of partitions)
        this.#learn(`${name}-${partitionIndex}`, { id: leaderId, epoch: leaderEpoch })
    return answer
  }

  /** Like real clients: what belongs to an older leader epoch is old news. */
  #learn(key: string, leader: KnownLeader): void {
    const known = this.#leaders.get(key)
    if (known !== undefined && leader.epoch !== -1 && leader.epoch < known.epoch) return
    if (leader.id === -1) this.#leaders.delete(key)
    else this.#leaders.set(key, leader)
  }

  /** A topic was deleted: its next life begins with the first epoch. */
  forget(topic: string): void {
    for (const key of this.#leaders.keys()) if (key.startsWith(`${topic}-`)) this.#leaders.delete(key)
  }

  /** Asks again and again until there is a leader; null: not within this time. */
  async findLeader(topic: string, index: number, withinMs = 0): Promise<KnownLeader | null> {
    const { scheduler } = this.cluster.sim
    const deadlineMs = scheduler.nowMs + withinMs
    for (;;) {
      await this.metadata([topic]).catch(ignoreNoAnswer)
      const leader = this.leaderOf(topic, index)
      if (leader !== null || scheduler.nowMs >= deadlineMs) return leader
      await this.cluster.sleep(50)
    }
  }

  async createTopic(
    name: string,
    numPartitions: number,
    replicationFactor: number,
    configs: Readonly<Record<string, string>> = {},
    assignment: readonly (readonly number[])[] = [],
  ): Promise<number> {
    const answer = await this.send(
      this.#bootstrap(),
      { request: createTopicsRequest, response: createTopicsResponse, version: 5 },
      {
        topics: [
          {
            name,
            numPartitions: assignment.length > 0 ? -1 : numPartitions,
            replicationFactor: assignment.length > 0 ? -1 : replicationFactor,
            assignments: assignment.map((brokerIds, partitionIndex) => ({ partitionIndex, brokerIds })),
            configs: Object.entries(configs).map(([key, value]) => ({ name: key, value })),
          },
        ],
        timeoutMs: 10_000,
      },
      20_000,
    )
    return answer.topics[0]!.errorCode
  }

  async produce(
    brokerId: number,
    topic: string,
    index: number,
    records: Buffer,
    acks: number,
    timeoutMs = this.timeoutMs - 500,
  ): Promise<ProducedPartition> {
    const answer = await this.to(
      brokerId,
      { request: produceRequest, response: produceResponse, version: 11 },
      { acks, timeoutMs, topicData: [{ name: topic, partitionData: [{ index, records }] }] },
    )
    const produced = answer.responses[0]!.partitionResponses[0]!
    const { leaderId, leaderEpoch } = produced.currentLeader
    if (leaderId !== -1) this.#learn(`${topic}-${index}`, { id: leaderId, epoch: leaderEpoch })
    return produced
  }

  async fetch(
    brokerId: number,
    positions: readonly Position[],
    { maxWaitMs = 100, maxBytes = 1 << 20 } = {},
  ): Promise<{ readonly position: Position; readonly fetched: FetchedPartition }[]> {
    const names = [...new Set(positions.map(({ topic }) => topic))]
    const topics = names.map((topic) => ({
      topic,
      partitions: positions
        .filter((position) => position.topic === topic)
        .map(({ index, offset, lastEpoch, leaderEpoch }) => ({
          partition: index,
          currentLeaderEpoch: leaderEpoch,
          fetchOffset: offset,
          lastFetchedEpoch: lastEpoch,
          logStartOffset: -1,
          partitionMaxBytes: maxBytes,
        })),
    }))
    const answer = await this.to(
      brokerId,
      { request: fetchRequest, response: fetchResponse, version: 12 },
      { maxWaitMs, minBytes: 1, maxBytes: 1 << 24, topics, forgottenTopicsData: [] },
    )
    return positions.map((position) => {
      const topic = answer.responses.find((each) => each.topic === position.topic)
      const fetched = topic?.partitions.find((each) => each.partitionIndex === position.index)
      if (fetched === undefined) throw new Error(`no answer for ${position.topic}-${position.index}`)
      const { leaderId, leaderEpoch } = fetched.currentLeader
      if (leaderId !== -1)
        this.#learn(`${position.topic}-${position.index}`, { id: leaderId, epoch: leaderEpoch })
      return { position, fetched }
    })
  }

  async listOffset(
    brokerId: number,
    topic: string,
    partitionIndex: number,
    timestamp: number,
    currentLeaderEpoch = -1,
  ): Promise<{ readonly errorCode: number; readonly offset: number; readonly leaderEpoch: number }> {
    const partitions = [{ partitionIndex, currentLeaderEpoch, timestamp }]
    const answer = await this.to(
      brokerId,
      { request: listOffsetsRequest, response: listOffsetsResponse, version: 5 },
      { replicaId: -1, isolationLevel: 0, topics: [{ name: topic, partitions }] },
    )
    return answer.topics[0]!.partitions[0]!
  }

  async initProducer(): Promise<{ readonly producerId: number; readonly producerEpoch: number }> {
    for (;;) {
      const call = { request: initProducerIdRequest, response: initProducerIdResponse, version: 4 } as const
      const answer = await this.send(this.#bootstrap(), call, {
        transactionalId: null,
        transactionTimeoutMs: 60_000,
      }).catch(ignoreNoAnswer)
      if (answer?.errorCode === 0) return answer
      await this.cluster.sleep(50)
    }
  }

  /** Null: there is none now. */
  async findCoordinator(groupId: string): Promise<number | null> {
    const answer = await this.send(
      this.#bootstrap(),
      { request: findCoordinatorRequest, response: findCoordinatorResponse, version: 2 },
      { key: groupId, keyType: 0 },
      15_000,
    )
    if (answer.errorCode !== 0) return null
    this.#addresses.set(answer.nodeId, { host: answer.host, port: answer.port })
    return answer.nodeId
  }

  /** The error code. */
  async commitOffset(
    coordinator: number,
    groupId: string,
    topic: string,
    partitionIndex: number,
    committedOffset: number,
  ): Promise<number> {
    const partitions = [{ partitionIndex, committedOffset, committedLeaderEpoch: -1, committedMetadata: '' }]
    const answer = await this.to(
      coordinator,
      { request: offsetCommitRequest, response: offsetCommitResponse, version: 7 },
      { groupId, generationIdOrMemberEpoch: -1, memberId: '', topics: [{ name: topic, partitions }] },
    )
    return answer.topics[0]!.partitions[0]!.errorCode
  }

  async committedOffset(
    coordinator: number,
    groupId: string,
    topic: string,
    index: number,
  ): Promise<{ readonly errorCode: number; readonly offset: number }> {
    const answer = await this.to(
      coordinator,
      { request: offsetFetchRequest, response: offsetFetchResponse, version: 5 },
      { groupId, topics: [{ name: topic, partitionIndexes: [index] }] },
    )
    const partition = answer.topics[0]?.partitions[0]
    const errorCode = answer.errorCode === 0 ? (partition?.errorCode ?? 0) : answer.errorCode
    return { errorCode, offset: Number(partition?.committedOffset ?? -1) }
  }

  /** To a broker that it was told of. */
  to<Request extends MessageSchema, Response extends MessageSchema>(
    brokerId: number,
    call: Call<Request, Response>,
    body: Encodable<Request>,
    timeoutMs?: number,
  ): Promise<Decoded<Response>> {
    const address = this.#addresses.get(brokerId)
    if (address === undefined) return Promise.reject(new NoAnswer(`nobody said where broker ${brokerId} is`))
    return this.send(address, call, body, timeoutMs)
  }

  /** Rejects with NoAnswer when there is none in time; the connection is closed then. */
  send<Request extends MessageSchema, Response extends MessageSchema>(
    address: Address,
    call: Call<Request, Response>,
    body: Encodable<Request>,
    timeoutMs = this.timeoutMs,
  ): Promise<Decoded<Response>> {
    const { sim } = this.cluster
    const connection = this.#connection(address)
    return new Promise((resolve, reject) => {
      if (connection === null) {
        sim.scheduler.schedule(1, 'refused', this.#owner, () => reject(new NoAnswer('refused')))
        return
      }
      const timer = sim.scheduler.schedule(timeoutMs, 'timeout', this.#owner, () => {
        connection.close()
        reject(new NoAnswer(`no answer to ${call.request.name} within ${timeoutMs} ms`))
      })
      connection.send(call, body).then(
        (answer) => {
          sim.scheduler.cancel(timer)
          resolve(answer)
        },
        (error: unknown) => {
          sim.scheduler.cancel(timer)
          reject(connection.closed ? new NoAnswer('the connection was closed') : (error as Error))
        },
      )
    })
  }

  #connection(address: Address): SimClient | null {
    const where = `${address.host}:${address.port}`
    const known = this.#connections.get(where)
    if (known?.closed === false) return known
    const socket = this.cluster.sim.fabric.connect(this.#owner, this.host, address)
    if (socket === null) return null
    const connection = SimClient.over(socket)
    this.#connections.set(where, connection)
    return connection
  }

  /** What it was configured with: whoever is refused tries the next one. */
  #bootstrap(brokerId?: number): Address {
    const { brokers, up, sim } = this.cluster
    const { machine } =
      brokerId === undefined ? sim.random.pick(up.length === 0 ? brokers : up) : this.cluster.broker(brokerId)
    return { host: machine.host, port: 9092 }
  }
}

/** For `catch`: what nobody answered is tried again. */
export function ignoreNoAnswer(error: unknown): null {
  if (error instanceof NoAnswer) return null
  throw error
}

/** Another broker leads now, or will soon, or this one is not ready: the client asks who, and tries again. */
const TRY_AGAIN: ReadonlySet<number> = new Set<ErrorCode>([
  ErrorCode.NOT_LEADER_OR_FOLLOWER,
  ErrorCode.LEADER_NOT_AVAILABLE,
  ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ErrorCode.FENCED_LEADER_EPOCH,
  ErrorCode.UNKNOWN_LEADER_EPOCH,
  ErrorCode.NOT_ENOUGH_REPLICAS,
  ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
  ErrorCode.REQUEST_TIMED_OUT,
  ErrorCode.OFFSET_NOT_AVAILABLE,
  ErrorCode.KAFKA_STORAGE_ERROR,
  ErrorCode.COORDINATOR_NOT_AVAILABLE,
  ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
  ErrorCode.NOT_COORDINATOR,
])

export function mayTryAgain(errorCode: number): boolean {
  return TRY_AGAIN.has(errorCode)
}
