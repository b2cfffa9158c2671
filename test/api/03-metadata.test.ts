import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import { metadataRequest, metadataResponse } from '../../protocol/messages/03-metadata.ts'
import { ZERO_UUID } from '../../protocol/schema.ts'
import { metadata as api } from '../../src/api/03-metadata.ts'
import { newTopic } from '../metadata/metadata-harness.ts'
import { versionsOf, withAdmin } from './admin-harness.ts'
import type { AdminHarness } from './admin-harness.ts'

const schemas = [metadataRequest, metadataResponse] as const

interface Asked {
  readonly name: string | null
  readonly topicId?: string
}

function ask(
  admin: AdminHarness,
  version: number,
  topics: readonly Asked[] | null,
  allowAutoTopicCreation = true,
) {
  return admin.call(api, version, schemas, { topics, ...(version >= 4 ? { allowAutoTopicCreation } : {}) })
}

describe('Metadata', () => {
  it('describes the cluster and a topic in every version', async () => {
    await withAdmin(
      async (admin) => {
        await admin.metadata.createTopics([newTopic('a', 2)], false)
        for (const version of versionsOf(api)) {
          const response = await ask(admin, version, [{ name: 'a' }])
          const { nodeId, host, port, rack } = response.brokers[0]!
          assert.deepEqual([nodeId, host, port], [0, 'reached.example', 9092])
          assert.equal(rack, version >= 1 ? 'r1' : null)
          assert.equal(response.controllerId, version >= 1 ? 0 : -1)
          assert.equal(response.clusterId, version >= 2 ? admin.metadata.clusterId : null)
          const [topic] = response.topics
          assert.deepEqual([response.topics.length, topic?.errorCode, topic?.name], [1, ErrorCode.NONE, 'a'])
          assert.equal(topic?.topicId, version >= 10 ? admin.metadata.topics.get('a')!.topicId : ZERO_UUID)
          assert.deepEqual(topic.partitions[1], {
            errorCode: ErrorCode.NONE,
            partitionIndex: 1,
            leaderId: 0,
            leaderEpoch: version >= 7 ? 0 : -1,
            replicaNodes: [0],
            isrNodes: [0],
            offlineReplicas: [],
          })
        }
      },
      { 'broker.rack': 'r1' },
    )
  })

  it('takes null for all topics, and an empty list for all only in version 0', async () => {
    await withAdmin(async (admin) => {
      await admin.metadata.createTopics([newTopic('a', 1), newTopic('b', 1)], false)
      assert.equal((await ask(admin, 0, [])).topics.length, 2)
      for (const version of versionsOf(api).slice(1)) {
        assert.equal((await ask(admin, version, [])).topics.length, 0)
        assert.equal((await ask(admin, version, null)).topics.length, 2)
      }
    })
  })

  it('creates a missing topic before it answers, unless that is forbidden', async () => {
    await withAdmin(async (admin) => {
      assert.equal(
        (await ask(admin, 4, [{ name: 'a' }], false)).topics[0]?.errorCode,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
      )
      assert.equal(admin.metadata.topics.size, 0)
      const [topic] = (await ask(admin, 4, [{ name: 'a' }])).topics
      assert.deepEqual([topic?.errorCode, topic?.partitions[0]?.leaderId], [ErrorCode.NONE, 0])
      assert.deepEqual(admin.listener.events, ['created a:1'])
      assert.equal((await ask(admin, 1, [{ name: 'b' }])).topics[0]?.errorCode, ErrorCode.NONE)
    })
    await withAdmin(
      async (admin) => {
        const [topic] = (await ask(admin, 12, [{ name: 'a' }])).topics
        assert.equal(topic?.errorCode, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
      },
      { 'auto.create.topics.enable': 'false' },
    )
  })

  it('lets one bad topic fail alone', async () => {
    await withAdmin(async (admin) => {
      await admin.metadata.createTopics([newTopic('x.y', 1)], false)
      const names = ['good', 'a b', '', '..', 'x'.repeat(250), 'x_y', 'good', '__consumer_offsets']
      const { topics } = await ask(
        admin,
        9,
        names.map((name) => ({ name })),
      )
      assert.deepEqual(
        topics.map(({ name, errorCode, isInternal }) => [name, errorCode, isInternal]),
        [
          ['good', ErrorCode.NONE, false],
          ['a b', ErrorCode.INVALID_TOPIC_EXCEPTION, false],
          ['', ErrorCode.INVALID_TOPIC_EXCEPTION, false],
          ['..', ErrorCode.INVALID_TOPIC_EXCEPTION, false],
          ['x'.repeat(250), ErrorCode.INVALID_TOPIC_EXCEPTION, false],
          ['x_y', ErrorCode.INVALID_TOPIC_EXCEPTION, false],
          ['__consumer_offsets', ErrorCode.NONE, true],
        ],
      )
    })
  })

  it('finds topics by id from version 12 on', async () => {
    await withAdmin(async (admin) => {
      await admin.metadata.createTopics([newTopic('a', 1)], false)
      const { topicId } = admin.metadata.topics.get('a')!
      const unknown = 'AAAAAAAAAAAAAAAAAAAAAQ'
      const tell = (topics: Awaited<ReturnType<typeof ask>>['topics']) =>
        topics.map(({ errorCode, name, topicId: id }) => [errorCode, name, id])
      for (const version of [12, 13]) {
        const byId = await ask(admin, version, [
          { name: null, topicId },
          { name: null, topicId: unknown },
          { name: 'never' },
          { name: null },
        ])
        assert.deepEqual(tell(byId.topics), [
          [ErrorCode.NONE, 'a', topicId],
          [ErrorCode.UNKNOWN_TOPIC_ID, null, unknown],
        ])
        assert.deepEqual(tell((await ask(admin, version, [{ name: null }])).topics), [
          [ErrorCode.INVALID_TOPIC_EXCEPTION, null, ZERO_UUID],
        ])
        assert.equal(admin.metadata.topics.has('never'), false, 'where ids are asked for, names are not')
      }
      for (const version of [10, 11]) {
        const early = await ask(admin, version, [{ name: 'a', topicId }])
        assert.deepEqual(tell(early.topics), [[ErrorCode.INVALID_REQUEST, 'a', topicId]])
        assert.deepEqual([early.brokers, early.clusterId, early.controllerId], [[], null, -1])
        const nameless = await ask(admin, version, [{ name: 'a' }, { name: null }])
        assert.deepEqual(
          nameless.topics.map(({ errorCode, name }) => [errorCode, name]),
          [
            [ErrorCode.INVALID_REQUEST, 'a'],
            [ErrorCode.INVALID_REQUEST, ''],
          ],
        )
      }
    })
  })

  it('tells of internal topics also where they are missing', async () => {
    await withAdmin(async (admin) => {
      const names = ['__transaction_state', '__share_group_state', '__cluster_metadata', 'other']
      const { topics } = await ask(
        admin,
        9,
        names.map((name) => ({ name })),
        false,
      )
      assert.deepEqual(
        topics.map(({ errorCode, isInternal }) => [errorCode, isInternal]),
        [true, true, false, false].map((isInternal) => [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, isInternal]),
      )
    })
  })

  it('names the operations a client may perform when it asks', async () => {
    await withAdmin(async (admin) => {
      await admin.metadata.createTopics([newTopic('a', 1)], false)
      const body = {
        topics: null,
        includeTopicAuthorizedOperations: true,
        includeClusterAuthorizedOperations: true,
      }
      const response = await admin.call(api, 8, schemas, body)
      assert.equal(response.topics[0]?.topicAuthorizedOperations, 0b1101_1111_1000)
      assert.equal(response.clusterAuthorizedOperations, 0b1_1111_1010_0000)
      const silent = await ask(admin, 8, null)
      assert.equal(silent.topics[0]?.topicAuthorizedOperations, -0x8000_0000)
    })
  })
})
