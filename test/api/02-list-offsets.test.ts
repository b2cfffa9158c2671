import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import { listOffsetsRequest, listOffsetsResponse } from '../../protocol/messages/02-list-offsets.ts'
import { deleteRecordsRequest, deleteRecordsResponse } from '../../protocol/messages/21-delete-records.ts'
import { listOffsets } from '../../src/api/02-list-offsets.ts'
import {
  describeProducersRequest,
  describeProducersResponse,
} from '../../protocol/messages/61-describe-producers.ts'
import * as batch from '../../protocol/records/record-batch.ts'
import { makeBatch, NOW } from '../log/log-fixture.ts'
import { lookupWork } from '../support/lookup-work.ts'
import { versionsOf } from './admin-harness.ts'
import { type SimBroker, withSimBroker } from './sim-broker.ts'

const SCHEMAS = [listOffsetsRequest, listOffsetsResponse] as const
const [LATEST, EARLIEST, MAX_TIMESTAMP, EARLIEST_LOCAL, LATEST_TIERED, EARLIEST_NOT_TIERED] = [
  -1, -2, -3, -4, -5, -6,
]
const NOWHERE = [-1, -1, -1]

interface Asked {
  readonly topic?: string
  readonly partition?: number
  readonly timestamp: number
  readonly currentLeaderEpoch?: number
}

/** Error code, timestamp, offset and leader epoch. */
async function ask(broker: SimBroker, version: number, { topic = 't', partition = 0, ...asked }: Asked) {
  const { topics } = await broker.send(SCHEMAS, version, {
    replicaId: -1,
    topics: [{ name: topic, partitions: [{ partitionIndex: partition, ...asked }] }],
  })
  const answer = topics[0]!.partitions[0]!
  assert.deepEqual([topics[0]?.name, answer.partitionIndex], [topic, partition])
  return [answer.errorCode, Number(answer.timestamp), Number(answer.offset), answer.leaderEpoch]
}

/** Ten records at NOW, NOW + 1 ... of which the first two were deleted, then five that are a second older. */
async function withRecords(body: (broker: SimBroker, epoch: number) => Promise<void>): Promise<void> {
  await withSimBroker(async (broker) => {
    await broker.createTopics({ name: 't', partitions: 1 })
    for (const records of [makeBatch(10), makeBatch(5, 10, { timestampMs: NOW - 1_000 })]) {
      const topicData = [{ name: 't', partitionData: [{ index: 0, records }] }]
      await broker.send([produceRequest, produceResponse], 9, { acks: -1, timeoutMs: 1_000, topicData })
    }
    const topics = [{ name: 't', partitions: [{ partitionIndex: 0, offset: 2 }] }]
    await broker.send([deleteRecordsRequest, deleteRecordsResponse], 2, { topics, timeoutMs: 1_000 })
    await body(broker, broker.running.broker.partitions.get('t', 0)!.leaderEpoch)
  })
}

test('ListOffsets: the ends of a log, and leader epochs from version 4 on', async () => {
  await withRecords(async (broker, epoch) => {
    assert.ok(epoch >= 0)
    for (const version of versionsOf(listOffsets)) {
      const leaderEpoch = version >= 4 ? epoch : -1
      const about = `version ${version}`
      assert.deepEqual(await ask(broker, version, { timestamp: LATEST }), [0, -1, 15, leaderEpoch], about)
      assert.deepEqual(await ask(broker, version, { timestamp: EARLIEST }), [0, -1, 2, leaderEpoch], about)
    }
  })
})

test('ListOffsets by time: the first record at or after it, or nothing', async () => {
  await withRecords(async (broker, epoch) => {
    for (const version of versionsOf(listOffsets)) {
      const leaderEpoch = version >= 4 ? epoch : -1
      for (const [timestamp, foundMs, offset] of [
        [NOW + 9, NOW + 9, 9],
        [NOW + 5, NOW + 5, 5],
        [NOW - 2_000, NOW + 2, 2],
        [0, NOW + 2, 2],
      ] as const)
        assert.deepEqual(await ask(broker, version, { timestamp }), [0, foundMs, offset, leaderEpoch])
      assert.deepEqual(await ask(broker, version, { timestamp: NOW + 10 }), [0, ...NOWHERE])
    }
  })
})

test('ListOffsets: special timestamps begin with their versions', async () => {
  await withRecords(async (broker, epoch) => {
    for (const version of versionsOf(listOffsets)) {
      const since = (first: number, ...found: number[]) =>
        version < first ? [ErrorCode.UNSUPPORTED_VERSION, ...NOWHERE] : [0, ...found]
      const about = `version ${version}`
      const largest = await ask(broker, version, { timestamp: MAX_TIMESTAMP })
      assert.deepEqual(largest, since(7, NOW + 9, 9, epoch), about)
      const local = await ask(broker, version, { timestamp: EARLIEST_LOCAL })
      assert.deepEqual(local, since(8, -1, 2, epoch), about)
      assert.deepEqual(await ask(broker, version, { timestamp: LATEST_TIERED }), since(9, ...NOWHERE), about)
      const notTiered = await ask(broker, version, { timestamp: EARLIEST_NOT_TIERED })
      assert.deepEqual(notTiered, since(11, ...NOWHERE), about)
      for (const timestamp of [-7, -100])
        assert.equal((await ask(broker, version, { timestamp }))[0], ErrorCode.UNSUPPORTED_VERSION, about)
    }
  })
})

test('ListOffsets: a client that believes in another leader epoch is told, from version 4 on', async () => {
  await withRecords(async (broker, epoch) => {
    for (const version of versionsOf(listOffsets).filter((v) => v >= 4)) {
      for (const timestamp of [LATEST, EARLIEST, NOW]) {
        const believe = async (currentLeaderEpoch: number) =>
          (await ask(broker, version, { timestamp, currentLeaderEpoch }))[0]
        assert.equal(await believe(-1), ErrorCode.NONE)
        assert.equal(await believe(epoch), ErrorCode.NONE)
        assert.equal(await believe(epoch + 1), ErrorCode.UNKNOWN_LEADER_EPOCH)
      }
    }
  })
})

test('ListOffsets refuses partitions that are not there, and those named twice', async () => {
  await withRecords(async (broker) => {
    for (const version of versionsOf(listOffsets)) {
      const missing = [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ...NOWHERE]
      assert.deepEqual(await ask(broker, version, { topic: 'missing', timestamp: LATEST }), missing)
      assert.deepEqual(await ask(broker, version, { partition: 1, timestamp: LATEST }), missing)
      const partitions = [LATEST, EARLIEST].map((timestamp) => ({ partitionIndex: 0, timestamp }))
      const { topics } = await broker.send(SCHEMAS, version, {
        replicaId: -1,
        topics: [{ name: 't', partitions }],
      })
      assert.deepEqual(
        [...new Set(topics[0]?.partitions.map(({ errorCode }) => errorCode))],
        [ErrorCode.INVALID_REQUEST],
      )
    }
  })
})

test('any 64 bits are a timestamp, and are answered as they are', async () => {
  const MAX = 2n ** 63n - 1n
  for (const stored of [2n ** 53n - 1n, 2n ** 53n, 2n ** 60n + 1n, MAX, -(2n ** 60n)])
    await withSimBroker(async (broker) => {
      const config = { 'message.timestamp.after.max.ms': `${MAX}` }
      await broker.createTopics({ name: 't', partitions: 1, config })
      const records = makeBatch(1, 0, { producerId: 7, producerEpoch: 0, baseSequence: 0 })
      records.writeBigInt64BE(stored, 27)
      batch.setCrc(records, 0)
      const topicData = [{ name: 't', partitionData: [{ index: 0, records }] }]
      for (const what of ['sent', 'repeated']) {
        const produced = { acks: -1, timeoutMs: 1_000, topicData }
        const { responses } = await broker.send([produceRequest, produceResponse], 9, produced)
        assert.equal(responses[0]!.partitionResponses[0]!.errorCode, ErrorCode.NONE, `${stored} ${what}`)
      }
      const [, , offset] = await ask(broker, 9, { timestamp: MAX_TIMESTAMP })
      assert.equal(offset, stored < 0 ? -1 : 0)
      const { log } = broker.running.broker.partitions.get('t', 0)!
      const found = await log.offsetOfMaxTimestamp(lookupWork())
      assert.equal(
        found?.timestamp ?? null,
        stored < 0 ? null : stored >= 2n ** 53n ? stored : Number(stored),
      )
      const topics = [{ name: 't', partitionIndexes: [0] }]
      const described = await broker.send([describeProducersRequest, describeProducersResponse], 0, {
        topics,
      })
      assert.equal(described.topics[0]!.partitions[0]!.activeProducers.length, 1)
    })
})
