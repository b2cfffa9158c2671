/** Produce, Fetch and ListOffsets of a partition with several replicas: its leader in here, its followers forged. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import { fetchRequest, fetchResponse } from '../../protocol/messages/01-fetch.ts'
import { listOffsetsRequest, listOffsetsResponse } from '../../protocol/messages/02-list-offsets.ts'
import { brokerHelloRequest, brokerHelloResponse } from '../../protocol/messages/1002-broker-hello.ts'
import type { Partition } from '../../src/broker/partition.ts'
import type { BrokerImage, PartitionImage } from '../../src/metadata/image/metadata-image.ts'
import type { ClusterDuties } from '../../src/metadata/cluster-duties.ts'
import { makeBatch } from '../log/log-fixture.ts'
import type { SimClient } from '../simulator/sim-client.ts'
import { type SimBroker, withSimBroker } from './sim-broker.ts'

const hello = { request: brokerHelloRequest, response: brokerHelloResponse, version: 0 } as const
const LATEST = -1

/** Where a follower is: it has written all before. */
interface At {
  readonly offset: number
  readonly lastEpoch?: number
  readonly waitMs?: number
}

class Follower {
  readonly client: SimClient
  readonly #of: Replicated
  readonly #id: number
  readonly #epoch: number
  #session = { sessionId: 0, sessionEpoch: 0 }

  constructor(of: Replicated, client: SimClient, id: number, epoch: number) {
    this.#of = of
    this.client = client
    this.#id = id
    this.#epoch = epoch
  }

  /** What is said of the partition; undefined when there is no news of it. */
  async fetch({ offset, lastEpoch = -1, waitMs = 0 }: At, version = 17) {
    const { topicId, partition } = this.#of
    const { leaderEpoch } = partition
    const answer = await this.client.send(
      { request: fetchRequest, response: fetchResponse, version },
      {
        replicaState: { replicaId: this.#id, replicaEpoch: this.#epoch },
        maxWaitMs: waitMs,
        minBytes: 1,
        maxBytes: 1 << 20,
        ...this.#session,
        topics: [
          {
            topicId,
            partitions: [
              {
                partition: 0,
                currentLeaderEpoch: leaderEpoch,
                fetchOffset: offset,
                lastFetchedEpoch: lastEpoch,
                logStartOffset: 0,
                partitionMaxBytes: 1 << 20,
              },
            ],
          },
        ],
      },
    )
    assert.equal(answer.errorCode, ErrorCode.NONE)
    const { sessionId } = answer
    this.#session = { sessionId, sessionEpoch: this.#session.sessionEpoch + 1 }
    return answer.responses[0]?.partitions[0]
  }
}

/** Partition t-0 of the brokers 0, 1 and 2, which broker 0 leads; what the cluster agrees on about it is what a test says. */
class Replicated {
  readonly broker: SimBroker
  readonly partition: Partition
  readonly topicId: string

  constructor(broker: SimBroker) {
    this.broker = broker
    this.partition = broker.running.broker.partitions.get('t', 0)!
    this.topicId = this.partition.topicId
    const { metadata } = broker.running.broker
    const cluster: Pick<
      ClusterDuties,
      'proposeIsrs' | 'isOwnEpoch' | 'reportDamaged' | 'leave' | 'isRegistered' | 'addressOf'
    > = {
      leave: () => Promise.resolve(),
      isRegistered: () => Promise.resolve(true),
      proposeIsrs: (proposals) => Promise.resolve(proposals.map(() => ErrorCode.NONE)),
      isOwnEpoch: (epoch) => epoch === metadata.brokerEpoch,
      reportDamaged: () => {},
      addressOf: () => null,
    }
    Object.defineProperty(metadata, 'cluster', { value: cluster })
    const brokers = metadata.brokers as Map<number, BrokerImage>
    for (const id of [1, 2])
      brokers.set(id, {
        id,
        epoch: 100 * id,
        fenced: false,
        shuttingDown: false,
        rack: null,
        endpoints: new Map([['PLAINTEXT', { host: `broker-${id}`, port: 9092 }]]),
      })
    this.agree({ replicas: [0, 1, 2], isr: [0, 1, 2], minIsr: 2 })
  }

  agree(changes: Partial<PartitionImage>): void {
    const { image } = this.partition
    this.partition.update({ ...image, partitionEpoch: image.partitionEpoch + 1, ...changes })
  }

  async follower(id: number, epoch = 100 * id): Promise<Follower> {
    const client = this.broker.connect()
    const { clusterId } = this.broker.running.broker.metadata
    const { errorCode } = await client.send(hello, { clusterId, brokerId: id, brokerEpoch: epoch })
    assert.equal(errorCode, ErrorCode.NONE)
    return new Follower(this, client, id, epoch)
  }

  async produce(acks: number, version = 11, client = this.broker.client, records = makeBatch(1)) {
    const answer = await client.send(
      { request: produceRequest, response: produceResponse, version },
      {
        acks,
        timeoutMs: 1_000,
        topicData: [{ name: 't', partitionData: [{ index: 0, records }] }],
      },
    )
    return { ...answer.responses[0]!.partitionResponses[0]!, nodeEndpoints: answer.nodeEndpoints }
  }

  async consume(offset: number, waitMs = 0, version = 11) {
    const answer = await this.broker.connect().send(
      { request: fetchRequest, response: fetchResponse, version },
      {
        replicaId: -1,
        maxWaitMs: waitMs,
        minBytes: 1,
        maxBytes: 1 << 20,
        topics: [
          {
            ...(version < 13 ? { topic: 't' } : { topicId: this.topicId }),
            partitions: [{ partition: 0, fetchOffset: offset, partitionMaxBytes: 1 << 20 }],
          },
        ],
      },
    )
    return { ...answer.responses[0]!.partitions[0]!, nodeEndpoints: answer.nodeEndpoints }
  }

  async offset(timestamp: number, version = 9, replicaId = -1, client = this.broker.client) {
    const answer = await client.send(
      { request: listOffsetsRequest, response: listOffsetsResponse, version },
      { replicaId, topics: [{ name: 't', partitions: [{ partitionIndex: 0, timestamp }] }] },
    )
    const { errorCode, offset } = answer.topics[0]!.partitions[0]!
    return [errorCode, offset]
  }
}

function replicated(
  body: (of: Replicated) => Promise<void>,
  properties: Readonly<Record<string, string>> = {},
): Promise<void> {
  return withSimBroker(async (broker) => {
    await broker.createTopics({ name: 't', partitions: 1 })
    await body(new Replicated(broker))
  }, properties)
}

const isEmpty = (records: Buffer | null | undefined): boolean => records?.length === 0

test('acks=all waits for all in sync; nobody reads before; followers are woken by the log, consumers by what is common', async () => {
  await replicated(async (of) => {
    const [one, two] = [await of.follower(1), await of.follower(2)]
    for (const each of [one, two]) await each.fetch({ offset: 0 })
    const woken = one.fetch({ offset: 0, waitMs: 500 })
    const consumed = of.consume(0, 10_000)
    let isDone = false
    const produced = of.produce(-1, 11, of.broker.connect()).then((answer) => {
      isDone = true
      return answer
    })
    const first = await woken
    assert.ok(!isEmpty(first?.records) && first?.highWatermark === 0)
    assert.equal((await of.produce(1)).errorCode, ErrorCode.NONE)
    assert.deepEqual([(await of.consume(0)).records?.length, await of.offset(LATEST)], [0, [0, 0]])
    await one.fetch({ offset: 2, lastEpoch: of.partition.leaderEpoch })
    assert.equal(isDone, false)
    const told = await two.fetch({ offset: 1, lastEpoch: of.partition.leaderEpoch })
    assert.equal(told?.highWatermark, 1)
    assert.equal((await produced).errorCode, ErrorCode.NONE)
    const { highWatermark, records } = await consumed
    assert.deepEqual([highWatermark, isEmpty(records)], [1, false])
    // The follower is told of the high watermark, though nothing else is new.
    const news = await one.fetch({ offset: 2, lastEpoch: of.partition.leaderEpoch })
    assert.deepEqual([news?.highWatermark, news?.records?.length], [1, 0])
    assert.equal(await one.fetch({ offset: 2, lastEpoch: of.partition.leaderEpoch }), undefined)
  })
})

test('below the minimum acks=all is refused before, and what waits at once', async () => {
  await replicated(async (of) => {
    const waiting = of.produce(-1, 11, of.broker.connect())
    await of.broker.sim.sleep(10)
    of.agree({ isr: [0], elr: [1, 2] })
    assert.equal((await waiting).errorCode, ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND)
    const refused = await of.produce(-1)
    assert.deepEqual([refused.errorCode, refused.baseOffset], [ErrorCode.NOT_ENOUGH_REPLICAS, -1])
    const written = await of.produce(1)
    assert.deepEqual([written.errorCode, written.baseOffset], [ErrorCode.NONE, 1])
    assert.equal((await of.consume(0)).highWatermark, 0)
  })
})

test('who leads no more says so to all who wait, and who leads instead', async () => {
  await replicated(async (of) => {
    const waiting = of.produce(-1, 11, of.broker.connect())
    const consuming = of.consume(0, 10_000, 16)
    await of.broker.sim.sleep(10)
    const { image } = of.partition
    const topics = of.broker.running.broker.metadata.topics as Map<string, unknown>
    const topic = of.broker.running.broker.metadata.topics.get('t')!
    topics.set('t', { ...topic, partitions: [{ ...image, leader: 2, leaderEpoch: image.leaderEpoch + 1 }] })
    of.agree({ leader: 2, leaderEpoch: image.leaderEpoch + 1 })
    const leads = { leaderId: 2, leaderEpoch: image.leaderEpoch + 1 }
    const endpoints = [{ nodeId: 2, host: 'broker-2', port: 9092, rack: null }]
    const { NOT_LEADER_OR_FOLLOWER } = ErrorCode
    for (const answer of [
      await waiting,
      await consuming,
      await of.produce(1, 10),
      await of.consume(0, 0, 18),
    ]) {
      assert.equal(answer.errorCode, NOT_LEADER_OR_FOLLOWER)
      assert.deepEqual([answer.currentLeader, answer.nodeEndpoints], [leads, endpoints])
    }
    for (const answer of [await of.produce(1, 9), await of.consume(0, 0, 15)]) {
      assert.equal(answer.errorCode, NOT_LEADER_OR_FOLLOWER)
      assert.deepEqual([answer.currentLeader.leaderId, answer.nodeEndpoints], [-1, []])
    }
    assert.deepEqual(await of.offset(LATEST), [NOT_LEADER_OR_FOLLOWER, -1])
  })
})

test('a leader that was just elected does not tell a latest offset that may be stale', async () => {
  await replicated(async (of) => {
    await of.produce(1)
    of.agree({ leaderEpoch: of.partition.leaderEpoch + 1 })
    const { OFFSET_NOT_AVAILABLE, LEADER_NOT_AVAILABLE } = ErrorCode
    assert.deepEqual(await of.offset(LATEST), [OFFSET_NOT_AVAILABLE, -1])
    assert.deepEqual(await of.offset(LATEST, 4), [LEADER_NOT_AVAILABLE, -1])
    assert.deepEqual(await of.offset(0), [OFFSET_NOT_AVAILABLE, -1])
    assert.deepEqual(await of.offset(-3), [OFFSET_NOT_AVAILABLE, -1])
    assert.deepEqual(await of.offset(-2), [ErrorCode.NONE, 0])
    const { client } = await of.follower(1)
    assert.deepEqual(
      await of.offset(LATEST, 9, 1, client),
      [ErrorCode.NONE, 1],
      'a replica is told of the log',
    )
    assert.deepEqual(
      await of.offset(LATEST, 9, -2),
      [ErrorCode.NONE, 1],
      'and who says that it is for debugging',
    )
    for (const pretender of [client, of.broker.client])
      assert.deepEqual(await of.offset(LATEST, 9, 2, pretender), [OFFSET_NOT_AVAILABLE, -1])
    for (const id of [1, 2]) await (await of.follower(id)).fetch({ offset: 1, lastEpoch: 0 })
    assert.deepEqual(await of.offset(LATEST), [ErrorCode.NONE, 1])
    assert.deepEqual(await of.offset(-3), [ErrorCode.NONE, 0])
  })
})

test('a follower whose log is another one learns where they part, and makes no progress', async () => {
  await replicated(async (of) => {
    await of.produce(1)
    const epoch = of.partition.leaderEpoch
    of.agree({ leaderEpoch: epoch + 2 })
    await of.produce(1)
    const one = await of.follower(1)
    const diverging = await one.fetch({ offset: 2, lastEpoch: epoch + 1 })
    assert.deepEqual(diverging?.divergingEpoch, { epoch, endOffset: 1 })
    assert.deepEqual([of.partition.endOffsetOf(1), isEmpty(diverging?.records)], [-1, true])
    const beyond = await one.fetch({ offset: 5 })
    assert.deepEqual([beyond?.errorCode, beyond?.logStartOffset], [ErrorCode.OFFSET_OUT_OF_RANGE, 0])
    assert.equal(of.partition.endOffsetOf(1), -1)
    assert.equal((await one.fetch({ offset: 1, lastEpoch: epoch }))?.errorCode, ErrorCode.NONE)
    assert.equal(of.partition.endOffsetOf(1), 1)
  })
})

test('only a broker that is one of the replicas, in its present incarnation, is a follower', async () => {
  await replicated(async (of) => {
    const errorOf = async (follower: Follower): Promise<unknown> =>
      (await follower.fetch({ offset: 0 }))?.errorCode
    assert.equal(await errorOf(await of.follower(7)), ErrorCode.UNKNOWN_LEADER_EPOCH)
    assert.equal(await errorOf(await of.follower(1, 99)), ErrorCode.STALE_BROKER_EPOCH)
    // Who did not say hello as that broker.
    const { NOT_LEADER_OR_FOLLOWER } = ErrorCode
    assert.equal(await errorOf(new Follower(of, of.broker.connect(), 1, 100)), NOT_LEADER_OR_FOLLOWER)
    const { client } = await of.follower(2)
    assert.equal(await errorOf(new Follower(of, client, 1, 100)), NOT_LEADER_OR_FOLLOWER)
    // In another life than the one in which it said hello.
    for (const epoch of [199, 201])
      assert.equal(await errorOf(new Follower(of, client, 2, epoch)), ErrorCode.STALE_BROKER_EPOCH)
    assert.deepEqual([of.partition.endOffsetOf(1), of.partition.endOffsetOf(2)], [-1, -1])
  })
})

test('what waits for replicas alone keeps no memory from others, be it many times the budget', async () => {
  const big = (): Buffer => makeBatch(1, 200_000)
  const body = async (of: Replicated): Promise<void> => {
    const connected = (): SimClient => of.broker.connect()
    const waiting = Array.from({ length: 20 }, () => of.produce(-1, 11, connected(), big()))
    await of.broker.sim.sleep(400)
    assert.equal((await of.produce(1, 11, connected(), big())).errorCode, ErrorCode.NONE)
    const { highWatermark, log } = of.partition
    assert.deepEqual([highWatermark, log.writtenEndOffset], [0, 21])
    for (const id of [1, 2]) await (await of.follower(id)).fetch({ offset: 21, lastEpoch: 0 })
    const answers = await Promise.all(waiting)
    assert.deepEqual(
      answers
        .map(({ errorCode, baseOffset }) => [errorCode, Number(baseOffset)])
        .sort(([, a], [, b]) => a! - b!),
      answers.map((_, index) => [ErrorCode.NONE, index]),
    )
    const counts = of.broker.process.metrics.samples('kafka_server_brokertopicmetrics_messagesin_total')
    assert.deepEqual(counts.at(-1)?.value, 21)
  }
  await replicated(body, { 'queued.max.request.bytes': '500000' })
})

test('figures tell who is out of sync, and what every replica has', async () => {
  await replicated(async (of) => {
    const { metrics } = of.broker.process
    const figures = (): unknown[] =>
      ['leadercount', 'underreplicatedpartitions', 'underminisrpartitioncount', 'atminisrpartitioncount'].map(
        (name) => metrics.samples(`kafka_server_replicamanager_${name}`)[0]?.value,
      )
    const everywhere = (): unknown => metrics.samples('samsa_fully_replicated_offset')[0]?.value
    await of.produce(1)
    assert.deepEqual([figures(), everywhere()], [[1, 0, 0, 0], -1])
    for (const id of [1, 2]) await (await of.follower(id)).fetch({ offset: id - 1 })
    assert.equal(everywhere(), 0)
    of.agree({ isr: [0, 1] })
    assert.deepEqual(figures(), [1, 1, 0, 1])
    of.agree({ isr: [0], elr: [1] })
    assert.deepEqual(figures(), [1, 1, 1, 0])
    of.agree({ leader: 1, leaderEpoch: of.partition.leaderEpoch + 1 })
    assert.deepEqual([figures(), everywhere()], [[0, 0, 0, 0], undefined])
  })
})
