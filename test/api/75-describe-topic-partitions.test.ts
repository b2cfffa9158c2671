import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import {
  describeTopicPartitionsRequest,
  describeTopicPartitionsResponse,
} from '../../protocol/messages/75-describe-topic-partitions.ts'
import { describeTopicPartitions } from '../../src/api/75-describe-topic-partitions.ts'
import { newTopic } from '../metadata/metadata-harness.ts'
import { withAdmin } from './admin-harness.ts'
import type { AdminHarness } from './admin-harness.ts'

interface Cursor {
  readonly topicName: string
  readonly partitionIndex: number
}

function ask(
  admin: AdminHarness,
  names: readonly string[],
  responsePartitionLimit = 2000,
  cursor: Cursor | null = null,
) {
  const schemas = [describeTopicPartitionsRequest, describeTopicPartitionsResponse] as const
  const topics = names.map((name) => ({ name }))
  return admin.call(describeTopicPartitions, 0, schemas, { topics, responsePartitionLimit, cursor })
}

describe('DescribeTopicPartitions', () => {
  it('walks through all partitions page by page, each once', async () => {
    await withAdmin(async (admin) => {
      const sizes = { c: 1, a: 5, b: 3, d: 2 }
      await admin.metadata.createTopics(
        Object.entries(sizes).map(([name, count]) => newTopic(name, count)),
        false,
      )
      for (const limit of [1, 2, 3, 4, 11, 100]) {
        const seen: string[] = []
        let cursor: Cursor | null = null
        do {
          const page: Awaited<ReturnType<typeof ask>> = await ask(admin, [], limit, cursor)
          const before = seen.length
          for (const topic of page.topics)
            for (const { partitionIndex } of topic.partitions) seen.push(`${topic.name}-${partitionIndex}`)
          assert.ok(seen.length - before <= limit)
          assert.ok(seen.length > before || page.nextCursor === null)
          cursor = page.nextCursor
        } while (cursor !== null)
        const expected = ['a', 'b', 'c', 'd'].flatMap((name) =>
          Array.from({ length: sizes[name as keyof typeof sizes] }, (_, index) => `${name}-${index}`),
        )
        assert.deepEqual(seen, expected, `limit ${limit}`)
      }
    })
  })

  it('keeps to the limit of the broker, and to one partition at least', async () => {
    await withAdmin(
      async (admin) => {
        await admin.metadata.createTopics([newTopic('a', 9)], false)
        for (const limit of [2_147_483_647, 4])
          assert.equal((await ask(admin, [], limit)).topics[0]?.partitions.length, 4)
        for (const limit of [0, -5])
          assert.equal((await ask(admin, [], limit)).topics[0]?.partitions.length, 1)
      },
      { 'max.request.partition.size.limit': '4' },
    )
  })

  it('describes partitions', async () => {
    await withAdmin(async (admin) => {
      await admin.metadata.createTopics([newTopic('a', 1)], false)
      const [topic] = (await ask(admin, ['a'])).topics
      assert.equal(topic?.topicId, admin.metadata.topics.get('a')!.topicId)
      assert.deepEqual(topic.partitions[0], {
        errorCode: ErrorCode.NONE,
        partitionIndex: 0,
        leaderId: 0,
        leaderEpoch: 0,
        replicaNodes: [0],
        isrNodes: [0],
        eligibleLeaderReplicas: [],
        lastKnownElr: [],
        offlineReplicas: [],
      })
    })
  })

  it('answers for topics that are not there, and goes on behind one that went', async () => {
    await withAdmin(async (admin) => {
      await admin.metadata.createTopics([newTopic('a', 1), newTopic('c', 1)], false)
      const { topics } = await ask(admin, ['c', 'b', 'a', 'x y', 'a'])
      assert.deepEqual(
        topics.map(({ name, errorCode }) => [name, errorCode]),
        [
          ['a', ErrorCode.NONE],
          ['b', ErrorCode.UNKNOWN_TOPIC_OR_PARTITION],
          ['c', ErrorCode.NONE],
          ['x y', ErrorCode.INVALID_TOPIC_EXCEPTION],
        ],
      )
      const next = await ask(admin, [], 10, { topicName: 'b', partitionIndex: 7 })
      assert.deepEqual(
        next.topics.map(({ name, partitions }) => [name, partitions.length]),
        [['c', 1]],
      )
      const behind = await ask(admin, ['a'], 10, { topicName: 'a', partitionIndex: 5 })
      assert.deepEqual([behind.topics[0]?.partitions, behind.nextCursor], [[], null])
    })
  })
})
