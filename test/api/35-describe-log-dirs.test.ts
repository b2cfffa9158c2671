import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import {
  describeLogDirsRequest,
  describeLogDirsResponse,
} from '../../protocol/messages/35-describe-log-dirs.ts'
import { describeLogDirs } from '../../src/api/35-describe-log-dirs.ts'
import { makeBatch } from '../log/log-fixture.ts'
import { versionsOf } from './admin-harness.ts'
import { type SimBroker, withSimBroker } from './sim-broker.ts'

const SCHEMAS = [describeLogDirsRequest, describeLogDirsResponse] as const
type Asked = { topic: string; partitions: number[] }[] | null

const describe = async (broker: SimBroker, version: number, topics: Asked) =>
  (await broker.send(SCHEMAS, version, { topics })).results

const named = (results: Awaited<ReturnType<typeof describe>>): string[] =>
  results
    .flatMap(({ topics }) => topics)
    .flatMap(({ name, partitions }) => partitions.map(({ partitionIndex }) => `${name}-${partitionIndex}`))
    .sort()

test('DescribeLogDirs: all partitions or those asked for, with their sizes', async () => {
  await withSimBroker(
    async (broker) => {
      await broker.createTopics({ name: 'a', partitions: 3 }, { name: 'b', partitions: 1 })
      const records = makeBatch(10)
      const topicData = [{ name: 'a', partitionData: [{ index: 1, records }] }]
      await broker.send([produceRequest, produceResponse], 9, { acks: -1, timeoutMs: 1_000, topicData })
      for (const version of versionsOf(describeLogDirs)) {
        const all = await describe(broker, version, null)
        assert.deepEqual(all.map(({ logDir }) => logDir).sort(), ['/data/one', '/data/two'])
        assert.deepEqual(named(all), ['a-0', 'a-1', 'a-2', 'b-0'])
        for (const { errorCode, topics, totalBytes, usableBytes } of all) {
          assert.equal(errorCode, ErrorCode.NONE)
          assert.ok(topics.length > 0, 'partitions lie in both')
          assert.deepEqual([totalBytes >= 0, usableBytes >= 0], [version >= 4, version >= 4])
        }
        const partitions = all.flatMap(({ topics }) => topics.flatMap((topic) => topic.partitions))
        assert.deepEqual(
          partitions.map(({ partitionSize }) => partitionSize).sort((x, y) => x - y),
          [0, 0, 0, records.length],
        )
        assert.ok(partitions.every(({ offsetLag, isFutureKey }) => offsetLag === 0 && !isFutureKey))

        const some = await describe(broker, version, [
          { topic: 'a', partitions: [1, 1, 7] },
          { topic: 'missing', partitions: [0] },
        ])
        assert.deepEqual(named(some), ['a-1'])
        assert.deepEqual(named(await describe(broker, version, [])), [])
      }
    },
    { 'log.dirs': '/data/one,/data/two' },
  )
})

test('DescribeLogDirs: a directory that failed says so', async () => {
  await withSimBroker(
    async (broker) => {
      await broker.createTopics({ name: 'a', partitions: 2 })
      broker.sim.faults.add({ operation: 'write', code: 'EIO', path: /^\/data\/two\/a-/ })
      const partitionData = [0, 1].map((index) => ({ index, records: makeBatch() }))
      const topicData = [{ name: 'a', partitionData }]
      await broker.send([produceRequest, produceResponse], 9, { acks: -1, timeoutMs: 1_000, topicData })
      for (const version of versionsOf(describeLogDirs))
        assert.deepEqual(
          Object.fromEntries(
            (await describe(broker, version, null)).map(({ logDir, errorCode }) => [logDir, errorCode]),
          ),
          { '/data/one': ErrorCode.NONE, '/data/two': ErrorCode.KAFKA_STORAGE_ERROR },
        )
      broker.sim.faults.clear()
    },
    { 'log.dirs': '/data/one,/data/two' },
  )
})
