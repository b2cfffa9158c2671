import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import { createTopicsRequest, createTopicsResponse } from '../../protocol/messages/19-create-topics.ts'
import {
  createPartitionsRequest,
  createPartitionsResponse,
} from '../../protocol/messages/37-create-partitions.ts'
import { deleteTopicsRequest, deleteTopicsResponse } from '../../protocol/messages/20-delete-topics.ts'
import { ZERO_UUID } from '../../protocol/schema.ts'
import { createTopics } from '../../src/api/19-create-topics.ts'
import { deleteTopics } from '../../src/api/20-delete-topics.ts'
import { createPartitions } from '../../src/api/37-create-partitions.ts'
import { newTopic } from '../metadata/metadata-harness.ts'
import { versionsOf, withAdmin } from './admin-harness.ts'
import type { AdminHarness } from './admin-harness.ts'

function create(
  admin: AdminHarness,
  version: number,
  topics: ReturnType<typeof newTopic>[],
  validateOnly = false,
) {
  const body = { topics, timeoutMs: 1000, ...(version >= 1 ? { validateOnly } : {}) }
  return admin.call(createTopics, version, [createTopicsRequest, createTopicsResponse], body)
}

describe('CreateTopics', () => {
  it('creates and refuses topics in every version', async () => {
    await withAdmin(async (admin) => {
      for (const version of versionsOf(createTopics)) {
        const configs = [{ name: 'retention.ms', value: '7' }]
        const { topics } = await create(admin, version, [
          newTopic(`t${version}`, 2, { replicationFactor: 1, configs }),
          newTopic('bad name', 1),
        ])
        const [made, refused] = topics
        assert.deepEqual([made?.name, made?.errorCode], [`t${version}`, ErrorCode.NONE])
        assert.deepEqual([refused?.name, refused?.errorCode], ['bad name', ErrorCode.INVALID_TOPIC_EXCEPTION])
        assert.equal((refused?.errorMessage ?? '') !== '', version >= 1)
        assert.equal(made?.numPartitions, version >= 5 ? 2 : -1)
        assert.equal(made.replicationFactor, version >= 5 ? 1 : -1)
        const retention = made.configs?.find(({ name }) => name === 'retention.ms')
        assert.deepEqual(
          version >= 5 ? retention : null,
          version >= 5
            ? { name: 'retention.ms', value: '7', readOnly: false, configSource: 1, isSensitive: false }
            : null,
        )
        assert.equal(
          made.topicId,
          version >= 7 ? admin.metadata.topics.get(`t${version}`)!.topicId : ZERO_UUID,
        )
      }
    })
  })

  it('refuses a topic that it names twice, and only that', async () => {
    await withAdmin(async (admin) => {
      const { topics } = await create(admin, 7, [newTopic('a', 1), newTopic('b', 1), newTopic('a', 2)])
      assert.deepEqual(
        topics.map(({ name, errorCode }) => [name, errorCode]),
        [
          ['b', ErrorCode.NONE],
          ['a', ErrorCode.INVALID_REQUEST],
        ],
      )
      assert.equal(admin.metadata.topics.has('a'), false)
    })
  })

  it('creates nothing when it shall only look', async () => {
    await withAdmin(async (admin) => {
      const { topics } = await create(admin, 7, [newTopic('a', 5)], true)
      assert.deepEqual([topics[0]?.errorCode, topics[0]?.numPartitions], [0, 5])
      assert.notEqual(topics[0]?.topicId, ZERO_UUID, 'as Kafka does it: the id that it would have had')
      assert.equal(admin.metadata.topics.size, 0)
    })
  })
})

describe('DeleteTopics', () => {
  const schemas = [deleteTopicsRequest, deleteTopicsResponse] as const

  it('deletes by name in every version, and by id in the last', async () => {
    await withAdmin(async (admin) => {
      for (const version of versionsOf(deleteTopics)) {
        await admin.metadata.createTopics([newTopic('a', 1), newTopic('b', 1)], false)
        const { topicId } = admin.metadata.topics.get('b')!
        const names = ['a', 'unknown', 'twice', 'twice']
        const body =
          version < 6
            ? { topicNames: names, timeoutMs: 1000 }
            : {
                topics: [
                  ...names.map((name) => ({ name, topicId: ZERO_UUID })),
                  { name: null, topicId },
                  { name: null, topicId: 'AAAAAAAAAAAAAAAAAAAAAQ' },
                  { name: 'b', topicId },
                  { name: null, topicId: ZERO_UUID },
                ],
                timeoutMs: 1000,
              }
        const { responses } = await admin.call(deleteTopics, version, schemas, body)
        const seen = responses.map(({ name, errorCode }) => [name, errorCode])
        const byName = [
          ['a', ErrorCode.NONE],
          ['unknown', ErrorCode.UNKNOWN_TOPIC_OR_PARTITION],
        ]
        const repeated = [['twice', ErrorCode.INVALID_REQUEST]]
        const byId = [
          ['b', ErrorCode.NONE],
          [null, ErrorCode.UNKNOWN_TOPIC_ID],
          ['b', ErrorCode.INVALID_REQUEST],
          [null, ErrorCode.INVALID_REQUEST],
        ]
        assert.deepEqual(seen, version < 6 ? [...byName, ...repeated] : [...byName, ...byId, ...repeated])
        assert.equal(admin.metadata.topics.has('a'), false)
        if (version >= 6) assert.equal(admin.metadata.topics.has('b'), false)
      }
    })
  })

  it('can be switched off', async () => {
    await withAdmin(
      async (admin) => {
        await admin.metadata.createTopics([newTopic('a', 1)], false)
        for (const version of [0, 2, 3, 5]) {
          const { responses } = await admin.call(deleteTopics, version, schemas, {
            topicNames: ['a'],
            timeoutMs: 1,
          })
          const expected = version < 3 ? ErrorCode.INVALID_REQUEST : ErrorCode.TOPIC_DELETION_DISABLED
          assert.equal(responses[0]?.errorCode, expected)
        }
        assert.ok(admin.metadata.topics.has('a'))
      },
      { 'delete.topic.enable': 'false' },
    )
  })
})

describe('CreatePartitions', () => {
  it('grows topics in every version', async () => {
    await withAdmin(async (admin) => {
      await admin.metadata.createTopics([newTopic('a', 1)], false)
      for (const version of versionsOf(createPartitions)) {
        const topics = [
          { name: 'a', count: version + 2, assignments: version === 1 ? [{ brokerIds: [0] }] : null },
          { name: 'unknown', count: 2, assignments: null },
          { name: 'twice', count: 2, assignments: null },
          { name: 'twice', count: 3, assignments: null },
        ]
        const schemas = [createPartitionsRequest, createPartitionsResponse] as const
        const body = { topics, timeoutMs: 1000, validateOnly: false }
        const { results } = await admin.call(createPartitions, version, schemas, body)
        assert.deepEqual(
          results.map(({ name, errorCode }) => [name, errorCode]),
          [
            ['a', ErrorCode.NONE],
            ['unknown', ErrorCode.UNKNOWN_TOPIC_OR_PARTITION],
            ['twice', ErrorCode.INVALID_REQUEST],
          ],
        )
        assert.equal(admin.metadata.topics.get('a')?.partitions.length, version + 2)
      }
    })
  })
})
