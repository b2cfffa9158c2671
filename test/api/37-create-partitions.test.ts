import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import {
  createPartitionsRequest,
  createPartitionsResponse,
} from '../../protocol/messages/37-create-partitions.ts'
import { createPartitions } from '../../src/api/37-create-partitions.ts'
import { newTopic } from '../metadata/metadata-harness.ts'
import { type AdminHarness, versionsOf, withAdmin } from './admin-harness.ts'

const SCHEMAS = [createPartitionsRequest, createPartitionsResponse] as const

interface Asked {
  readonly name: string
  readonly count: number
  readonly assignments?: number[][]
}

async function ask(admin: AdminHarness, version: number, validateOnly: boolean, ...asked: Asked[]) {
  const topics = asked.map(({ name, count, assignments }) => ({
    name,
    count,
    assignments: assignments?.map((brokerIds) => ({ brokerIds })) ?? null,
  }))
  const body = { topics, timeoutMs: 1, validateOnly }
  const { results } = await admin.call(createPartitions, version, SCHEMAS, body)
  return results.map(({ name, errorCode }) => [name, errorCode])
}

const sizes = (admin: AdminHarness): unknown =>
  Object.fromEntries([...admin.metadata.topics].map(([name, { partitions }]) => [name, partitions.length]))

test('CreatePartitions grows a topic, or only says that it would', async () => {
  await withAdmin(async (admin) => {
    await admin.metadata.createTopics([newTopic('a', 1), newTopic('b', 2)], false)
    let count = 1
    for (const version of versionsOf(createPartitions)) {
      count += 1
      assert.deepEqual(await ask(admin, version, true, { name: 'a', count }), [['a', ErrorCode.NONE]])
      assert.deepEqual(sizes(admin), { a: count - 1, b: 2 })
      assert.deepEqual(await ask(admin, version, false, { name: 'a', count }), [['a', ErrorCode.NONE]])
      assert.deepEqual(sizes(admin), { a: count, b: 2 })
    }
    const leaders = admin.metadata.topics.get('a')!.partitions.map(({ leader }) => leader)
    assert.deepEqual([...new Set(leaders)], [0])
  })
})

test('CreatePartitions refuses what would not grow, each topic for itself', async () => {
  await withAdmin(async (admin) => {
    await admin.metadata.createTopics([newTopic('a', 2), newTopic('b', 2), newTopic('c', 2)], false)
    for (const version of versionsOf(createPartitions)) {
      const before = sizes(admin)
      const { INVALID_PARTITIONS, UNKNOWN_TOPIC_OR_PARTITION, INVALID_REPLICA_ASSIGNMENT } = ErrorCode
      const refusedOnes: [Asked, number][] = [
        [{ name: 'a', count: 2 }, INVALID_PARTITIONS],
        [{ name: 'a', count: 1 }, INVALID_PARTITIONS],
        [{ name: 'a', count: 0 }, INVALID_PARTITIONS],
        [{ name: 'a', count: -1 }, INVALID_PARTITIONS],
        [{ name: 'missing', count: 3 }, UNKNOWN_TOPIC_OR_PARTITION],
        [{ name: 'a', count: 3, assignments: [[7]] }, INVALID_REPLICA_ASSIGNMENT],
        [{ name: 'a', count: 3, assignments: [[0], [0]] }, INVALID_REPLICA_ASSIGNMENT],
        [{ name: 'a', count: 3, assignments: [] }, INVALID_REPLICA_ASSIGNMENT],
        [{ name: 'a', count: 3, assignments: [[]] }, INVALID_REPLICA_ASSIGNMENT],
      ]
      for (const [asked, expected] of refusedOnes)
        assert.deepEqual(
          await ask(admin, version, false, asked),
          [[asked.name, expected]],
          JSON.stringify(asked),
        )
      const twice = await ask(admin, version, false, { name: 'b', count: 9 }, { name: 'b', count: 10 })
      assert.deepEqual(twice, [['b', ErrorCode.INVALID_REQUEST]])
      assert.deepEqual(sizes(admin), before)
    }
    const mixed = [
      { name: 'a', count: 1 },
      { name: 'c', count: 3, assignments: [[0]] },
    ]
    assert.deepEqual(await ask(admin, 3, false, ...mixed), [
      ['a', ErrorCode.INVALID_PARTITIONS],
      ['c', ErrorCode.NONE],
    ])
    assert.deepEqual(sizes(admin), { a: 2, b: 2, c: 3 })
  })
})

test('CreatePartitions makes 10,000 partitions at most in one request', async () => {
  await withAdmin(async (admin) => {
    await admin.metadata.createTopics([newTopic('a', 2), newTopic('b', 2)], false)
    const asked = [
      { name: 'a', count: 5_002 },
      { name: 'b', count: 5_003 },
    ]
    assert.deepEqual(await ask(admin, 3, true, ...asked), [
      ['a', ErrorCode.POLICY_VIOLATION],
      ['b', ErrorCode.POLICY_VIOLATION],
    ])
    assert.deepEqual(await ask(admin, 3, true, asked[0]!, { name: 'b', count: 5_002 }), [
      ['a', ErrorCode.NONE],
      ['b', ErrorCode.NONE],
    ])
  })
})
