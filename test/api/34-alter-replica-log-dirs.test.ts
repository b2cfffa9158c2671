import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import { fetchRequest, fetchResponse } from '../../protocol/messages/01-fetch.ts'
import { listOffsetsRequest, listOffsetsResponse } from '../../protocol/messages/02-list-offsets.ts'
import {
  alterReplicaLogDirsRequest,
  alterReplicaLogDirsResponse,
} from '../../protocol/messages/34-alter-replica-log-dirs.ts'
import {
  describeLogDirsRequest,
  describeLogDirsResponse,
} from '../../protocol/messages/35-describe-log-dirs.ts'
import { alterReplicaLogDirs } from '../../src/api/34-alter-replica-log-dirs.ts'
import { MAX_COST } from '../../src/api/requests/request-limits.ts'
import { makeBatch } from '../log/log-fixture.ts'
import { versionsOf } from './admin-harness.ts'
import { type SimBroker, withSimBroker } from './sim-broker.ts'

const SCHEMAS = [alterReplicaLogDirsRequest, alterReplicaLogDirsResponse] as const
const DESCRIBE = [describeLogDirsRequest, describeLogDirsResponse] as const
const config = { 'log.dirs': '/data/one,/data/two' }

const FETCH = { request: fetchRequest, response: fetchResponse, version: 11 } as const
const LIST_OFFSETS = { request: listOffsetsRequest, response: listOffsetsResponse, version: 5 } as const

type Dirs = Record<string, Record<string, number[]>>

/** Error codes by partition. */
async function alter(broker: SimBroker, version: number, dirs: Dirs): Promise<Record<string, number>> {
  const { results } = await broker.send(SCHEMAS, version, {
    dirs: Object.entries(dirs).map(([path, topics]) => ({
      path,
      topics: Object.entries(topics).map(([name, partitions]) => ({ name, partitions })),
    })),
  })
  return Object.fromEntries(
    results.flatMap(({ topicName, partitions }) =>
      partitions.map(({ partitionIndex, errorCode }) => [`${topicName}-${partitionIndex}`, errorCode]),
    ),
  )
}

function fetchFrom(fetchOffset: number) {
  const partitions = [{ partition: 0, fetchOffset, partitionMaxBytes: 1 << 20 }]
  return { replicaId: -1, maxWaitMs: 0, minBytes: 1, maxBytes: 1 << 20, topics: [{ topic: 't', partitions }] }
}

async function placesOf(broker: SimBroker, topic: string): Promise<string[]> {
  const { results } = await broker.send(DESCRIBE, 4, { topics: null })
  return results.flatMap(({ logDir, topics }) =>
    topics
      .filter(({ name }) => name === topic)
      .flatMap(({ partitions }) =>
        partitions.map(
          ({ partitionIndex, isFutureKey, offsetLag }) =>
            `${partitionIndex} ${isFutureKey ? `goes to ${logDir}, ${offsetLag} behind` : `in ${logDir}`}`,
        ),
      ),
  )
}

test('AlterReplicaLogDirs: DescribeLogDirs shows the move, producers and consumers do not notice it', async () => {
  for (const version of versionsOf(alterReplicaLogDirs))
    await withSimBroker(async (broker) => {
      await broker.createTopics({ name: 't', partitions: 1 })
      const produce = async (): Promise<number> => {
        const topicData = [{ name: 't', partitionData: [{ index: 0, records: makeBatch(10) }] }]
        const body = { acks: -1, timeoutMs: 1_000, topicData }
        const { responses } = await broker.send([produceRequest, produceResponse], 9, body)
        const [answer] = responses[0]!.partitionResponses
        assert.equal(answer!.errorCode, ErrorCode.NONE)
        return answer!.baseOffset
      }
      await produce()
      const [place] = await placesOf(broker, 't')
      const to = place === '0 in /data/one' ? '/data/two' : '/data/one'
      assert.deepEqual(await alter(broker, version, { [to]: { t: [0] } }), { 't-0': ErrorCode.NONE })
      assert.deepEqual((await placesOf(broker, 't')).toSorted(), [`0 goes to ${to}, 10 behind`, place])
      let next = 10
      while ((await placesOf(broker, 't')).length > 1) {
        assert.equal(await produce(), next)
        next += 10
        await broker.sim.sleep(1)
      }
      assert.deepEqual(await placesOf(broker, 't'), [`0 in ${to}`])
      assert.equal(await produce(), next)
      const { responses } = await broker.client.send(FETCH, fetchFrom(0))
      assert.equal(responses[0]!.partitions[0]!.highWatermark, next + 10)
    }, config)
})

test('AlterReplicaLogDirs: what is not there is refused, and the last mention counts', async () => {
  await withSimBroker(async (broker) => {
    await broker.createTopics({ name: 't', partitions: 2 })
    const { LOG_DIR_NOT_FOUND, NONE, UNKNOWN_TOPIC_OR_PARTITION } = ErrorCode
    assert.deepEqual(await alter(broker, 2, { '/data/three': { t: [0], none: [0] } }), {
      't-0': LOG_DIR_NOT_FOUND,
      'none-0': LOG_DIR_NOT_FOUND,
    })
    assert.deepEqual(await alter(broker, 2, { '/data/one': { t: [2], none: [0] } }), {
      't-2': UNKNOWN_TOPIC_OR_PARTITION,
      'none-0': UNKNOWN_TOPIC_OR_PARTITION,
    })
    assert.deepEqual(await alter(broker, 2, { '/data/three': { t: [0, 1] }, '/data/one': { t: [0] } }), {
      't-0': NONE,
      't-1': LOG_DIR_NOT_FOUND,
    })
    assert.deepEqual(await alter(broker, 2, {}), {})
  }, config)
})

test('AlterReplicaLogDirs: a request for more than one may change moves nothing', async () => {
  await withSimBroker(async (broker) => {
    await broker.createTopics({ name: 't', partitions: 2 })
    const many = Array.from({ length: MAX_COST + 1 }, (_, index) => index)
    const before = await placesOf(broker, 't')
    const codes = await alter(broker, 2, { '/data/one': { t: many }, '/data/two': { other: [0] } })
    assert.equal(codes['t-0'], ErrorCode.POLICY_VIOLATION)
    assert.equal(codes[`t-${MAX_COST}`], ErrorCode.POLICY_VIOLATION)
    assert.equal(codes['other-0'], ErrorCode.POLICY_VIOLATION)
    assert.deepEqual(await placesOf(broker, 't'), before)
  }, config)
})

test('AlterReplicaLogDirs: nothing moves while a log directory is offline', async () => {
  await withSimBroker(
    async (broker) => {
      await broker.createTopics({ name: 't', partitions: 3 })
      broker.sim.faults.add({ operation: 'write', code: 'EIO', path: /^\/data\/three\/t-/ })
      const partitionData = [0, 1, 2].map((index) => ({ index, records: makeBatch() }))
      const topicData = [{ name: 't', partitionData }]
      await broker.send([produceRequest, produceResponse], 9, { acks: -1, timeoutMs: 1_000, topicData })
      broker.sim.faults.clear()
      const places = await placesOf(broker, 't')
      const index = Number(places.find((place) => place.endsWith('/data/one'))!.split(' ')[0])
      const gone = [0, 1, 2].find((each) => !places.some((place) => place.startsWith(`${each} `)))!
      const { KAFKA_STORAGE_ERROR, NONE } = ErrorCode
      assert.deepEqual(await alter(broker, 2, { '/data/two': { t: [index] } }), {
        [`t-${index}`]: KAFKA_STORAGE_ERROR,
      })
      assert.deepEqual(await alter(broker, 2, { '/data/three': { t: [index] } }), {
        [`t-${index}`]: KAFKA_STORAGE_ERROR,
      })
      assert.deepEqual(await alter(broker, 2, { '/data/one': { t: [index, gone] } }), {
        [`t-${index}`]: NONE,
        [`t-${gone}`]: KAFKA_STORAGE_ERROR,
      })
    },
    { 'log.dirs': '/data/one,/data/two,/data/three' },
  )
})

test('AlterReplicaLogDirs: a lookup that the change of the directory interrupts is made again', async () => {
  await withSimBroker(async (broker) => {
    await broker.createTopics({ name: 't', partitions: 1 })
    const topicData = [{ name: 't', partitionData: [{ index: 0, records: makeBatch(3) }] }]
    await broker.send([produceRequest, produceResponse], 9, { acks: -1, timeoutMs: 1_000, topicData })
    const partition = broker.running.broker.partitions.get('t', 0)!
    const { log } = partition
    const to = log.directory === '/data/one/t-0' ? '/data/two' : '/data/one'
    // A log that was given up finds nothing.
    log.offsetForTimestamp = async () => {
      assert.equal(broker.running.broker.logs.alterDirectory('t', 0, to), ErrorCode.NONE)
      while (partition.log === log) await broker.sim.sleep(1)
      return null
    }
    const { topics } = await broker.client.send(LIST_OFFSETS, {
      replicaId: -1,
      topics: [{ name: 't', partitions: [{ partitionIndex: 0, timestamp: 1 }] }],
    })
    const { errorCode, offset } = topics[0]!.partitions[0]!
    assert.deepEqual([errorCode, offset], [ErrorCode.NONE, 0])
    assert.equal(partition.log.directory, `${to}/t-0`)
  }, config)
})
