import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import { deleteTopicsRequest, deleteTopicsResponse } from '../../protocol/messages/20-delete-topics.ts'
import { ZERO_UUID } from '../../protocol/schema.ts'
import { deleteTopics } from '../../src/api/20-delete-topics.ts'
import { newTopic } from '../metadata/metadata-harness.ts'
import { type AdminHarness, versionsOf, withAdmin } from './admin-harness.ts'

const SCHEMAS = [deleteTopicsRequest, deleteTopicsResponse] as const
const UNKNOWN_ID = 'AAAAAAAAQACAAAAAAAAAAQ'

interface Asked {
  readonly name: string | null
  readonly topicId?: string
}

async function ask(admin: AdminHarness, version: number, ...asked: Asked[]) {
  const topics = asked.map(({ name, topicId = ZERO_UUID }) => ({ name, topicId }))
  const topicNames = asked.map(({ name }) => name ?? '')
  const body = version >= 6 ? { topics, timeoutMs: 1 } : { topicNames, timeoutMs: 1 }
  const { responses } = await admin.call(deleteTopics, version, SCHEMAS, body)
  return responses
}

const create = (admin: AdminHarness, ...names: string[]) =>
  admin.metadata.createTopics(
    names.map((name) => newTopic(name, 1)),
    false,
  )

test('DeleteTopics deletes by name in every version, and says what is not there', async () => {
  await withAdmin(async (admin) => {
    for (const version of versionsOf(deleteTopics)) {
      await create(admin, 'a', 'b')
      const { topicId } = admin.metadata.topics.get('a')!
      const [a, missing] = await ask(admin, version, { name: 'a' }, { name: 'missing' })
      assert.deepEqual(a, {
        name: 'a',
        topicId: version >= 6 ? topicId : ZERO_UUID,
        errorCode: ErrorCode.NONE,
        errorMessage: null,
      })
      assert.deepEqual([missing?.name, missing?.errorCode], ['missing', ErrorCode.UNKNOWN_TOPIC_OR_PARTITION])
      assert.equal(typeof missing?.errorMessage, version >= 5 ? 'string' : 'object')
      assert.deepEqual([...admin.metadata.topics.keys()], ['b'])
    }
  })
})

test('DeleteTopics by id: the name comes back; an unknown id, both and neither are refused', async () => {
  await withAdmin(async (admin) => {
    await create(admin, 'a', 'b')
    const { topicId } = admin.metadata.topics.get('a')!
    const answers = await ask(
      admin,
      6,
      { name: null, topicId },
      { name: null, topicId: UNKNOWN_ID },
      { name: 'b', topicId: UNKNOWN_ID },
      { name: null },
    )
    assert.deepEqual(
      answers.map(({ name, topicId: id, errorCode }) => [name, id, errorCode]),
      [
        ['a', topicId, ErrorCode.NONE],
        [null, UNKNOWN_ID, ErrorCode.UNKNOWN_TOPIC_ID],
        ['b', UNKNOWN_ID, ErrorCode.INVALID_REQUEST],
        [null, ZERO_UUID, ErrorCode.INVALID_REQUEST],
      ],
    )
    assert.deepEqual([...admin.metadata.topics.keys()], ['b'])
  })
})

test('DeleteTopics deletes nothing that is named twice', async () => {
  await withAdmin(async (admin) => {
    await create(admin, 'a', 'b')
    for (const version of versionsOf(deleteTopics)) {
      const answers = await ask(admin, version, { name: 'a' }, { name: 'a' })
      assert.deepEqual([...new Set(answers.map(({ errorCode }) => errorCode))], [ErrorCode.INVALID_REQUEST])
    }
    assert.deepEqual([...admin.metadata.topics.keys()], ['a', 'b'])
  })
})

test('DeleteTopics without delete.topic.enable: the code is older clients’ below version 3', async () => {
  await withAdmin(
    async (admin) => {
      await create(admin, 'a')
      for (const version of versionsOf(deleteTopics)) {
        const [a] = await ask(admin, version, { name: 'a' })
        assert.equal(
          a?.errorCode,
          version < 3 ? ErrorCode.INVALID_REQUEST : ErrorCode.TOPIC_DELETION_DISABLED,
        )
      }
      assert.deepEqual([...admin.metadata.topics.keys()], ['a'])
    },
    { 'delete.topic.enable': 'false' },
  )
})
