import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import { fetchRequest, fetchResponse } from '../../protocol/messages/01-fetch.ts'
import type { Encodable } from '../../protocol/schema.ts'
import { fetch as fetchApi } from '../../src/api/01-fetch.ts'
import { Broker } from '../../src/index.ts'
import { RawClient } from '../support/raw-client.ts'
import { versionsOf } from './admin-harness.ts'
import { type SimBroker, withSimBroker } from './sim-broker.ts'

const fetch = { request: fetchRequest, response: fetchResponse, version: 11 } as const

test('a fetch that names a partition very many times does not wait for as long as it says', async () => {
  await using broker = await Broker.start()
  await broker.createTopics([{ name: 't', partitions: 1 }])
  const client = await RawClient.connect(broker.port)
  const partition = { partition: 0, fetchOffset: 0, partitionMaxBytes: 1 }
  const wants = (count: number, maxWaitMs: number) => ({
    replicaId: -1,
    maxWaitMs,
    minBytes: 1,
    maxBytes: 1,
    topics: [{ topic: 't', partitions: Array.from({ length: count }, () => partition) }],
  })
  const answered = await client.send(fetch, wants(5_000, 3_600_000))
  assert.deepEqual(
    answered.responses[0]?.partitions.map(({ errorCode, highWatermark }) => [errorCode, highWatermark]),
    [[0, 0]],
  )
  client.close()
})

/** What is said of partition 0 of each topic. */
async function fetchFrom(broker: SimBroker, version: number, asked: Partial<Encodable<typeof fetchRequest>>) {
  const partitions = [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1_000 }]
  const topicIdOf = (name: string) => broker.running.broker.metadata.topics.get(name)?.topicId ?? UNKNOWN_ID
  const names = ['there', 'missing']
  const topics = names.map((topic) =>
    version < 13 ? { topic, partitions } : { topicId: topicIdOf(topic), partitions },
  )
  const body = { maxWaitMs: 0, minBytes: 1, maxBytes: 1_000, topics, ...asked }
  const { responses } = await broker.send([fetchRequest, fetchResponse], version, body)
  return responses.map(({ partitions: [answer] }) => answer!)
}

const UNKNOWN_ID = 'AAAAAAAAAAAAAAAAAAAAAQ'

test('Fetch: aborted transactions are a list where somebody looked for them, or nobody could', async () => {
  await withSimBroker(async (broker) => {
    await broker.createTopics({ name: 'there', partitions: 1 })
    for (const version of versionsOf(fetchApi)) {
      const [there, missing] = await fetchFrom(broker, version, {})
      assert.deepEqual([there!.errorCode, there!.abortedTransactions], [ErrorCode.NONE, null])
      const unknown = version < 13 ? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION : ErrorCode.UNKNOWN_TOPIC_ID
      assert.deepEqual([missing!.errorCode, missing!.abortedTransactions], [unknown, []])
      const [committed] = await fetchFrom(broker, version, { isolationLevel: 1 })
      assert.deepEqual([committed!.errorCode, committed!.abortedTransactions], [ErrorCode.NONE, []])
    }
  })
})

test('Fetch: who says to be a replica is no consumer', async () => {
  await withSimBroker(async (broker) => {
    await broker.createTopics({ name: 'there', partitions: 1 })
    for (const version of versionsOf(fetchApi))
      for (const replicaId of [0, 1, 99, -1, -2]) {
        const asked = version < 15 ? { replicaId } : { replicaState: { replicaId, replicaEpoch: -1 } }
        const [there, missing] = await fetchFrom(broker, version, asked)
        const isReplica = replicaId >= 0
        assert.equal(there!.errorCode, isReplica ? ErrorCode.NOT_LEADER_OR_FOLLOWER : ErrorCode.NONE)
        assert.deepEqual([there!.highWatermark, there!.abortedTransactions], [isReplica ? -1 : 0, null])
        assert.notEqual(missing!.errorCode, ErrorCode.NOT_LEADER_OR_FOLLOWER)
      }
  })
})

test('Fetch by id: the id of none is an id that nobody has', async () => {
  await withSimBroker(async (broker) => {
    for (const version of versionsOf(fetchApi)) {
      const partitions = [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1_000 }]
      const [nothing] = await fetchFrom(broker, version, { topics: [{ topic: '', partitions }] })
      const { UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION } = ErrorCode
      assert.equal(nothing!.errorCode, version < 13 ? UNKNOWN_TOPIC_OR_PARTITION : UNKNOWN_TOPIC_ID)
    }
  })
})
