import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import { electLeadersRequest, electLeadersResponse } from '../../protocol/messages/43-elect-leaders.ts'
import { electLeaders } from '../../src/api/43-elect-leaders.ts'
import { newTopic } from '../metadata/metadata-harness.ts'
import { type AdminHarness, versionsOf, withAdmin } from './admin-harness.ts'

const PREFERRED = 0
const UNCLEAN = 1

async function elect(
  admin: AdminHarness,
  version: number,
  electionType: number,
  topicPartitions: { topic: string; partitions: number[] }[] | null,
) {
  const type = version >= 1 ? { electionType } : {}
  const body = { ...type, topicPartitions, timeoutMs: 1 }
  const answer = await admin.call(electLeaders, version, [electLeadersRequest, electLeadersResponse], body)
  const results = answer.replicaElectionResults.flatMap(({ topic, partitionResult }) =>
    partitionResult.map(({ partitionId, errorCode }) => [topic, partitionId, errorCode]),
  )
  return [answer.errorCode, ...results]
}

test('ElectLeaders finds that there is nothing to elect', async () => {
  await withAdmin(async (admin) => {
    await admin.metadata.createTopics([newTopic('a', 2)], false)
    const { NONE, ELECTION_NOT_NEEDED, UNKNOWN_TOPIC_OR_PARTITION } = ErrorCode
    for (const version of versionsOf(electLeaders))
      for (const type of version >= 1 ? [PREFERRED, UNCLEAN] : [PREFERRED]) {
        const asked = [
          { topic: 'a', partitions: [0, 1, 2, 0] },
          { topic: 'missing', partitions: [0] },
        ]
        assert.deepEqual(await elect(admin, version, type, asked), [
          NONE,
          ['a', 0, ELECTION_NOT_NEEDED],
          ['a', 1, ELECTION_NOT_NEEDED],
          ['a', 2, UNKNOWN_TOPIC_OR_PARTITION],
          ['missing', 0, UNKNOWN_TOPIC_OR_PARTITION],
        ])
        assert.deepEqual(await elect(admin, version, type, null), [NONE])
        assert.deepEqual(await elect(admin, version, type, []), [NONE])
      }
  })
})

test('ElectLeaders refuses types of election that there are not', async () => {
  await withAdmin(async (admin) => {
    for (const version of [1, 2])
      for (const type of [-1, 2, 7])
        assert.deepEqual(await elect(admin, version, type, null), [ErrorCode.INVALID_REQUEST])
  })
})

test('ElectLeaders has nobody to elect for a partition whose records no broker holds', async () => {
  await withAdmin(async (admin) => {
    await admin.metadata.createTopics([newTopic('a', 1)], false)
    const topic = admin.metadata.topics.get('a')!
    const partitions = topic.partitions.map((partition) => ({ ...partition, leader: -1 }))
    Object.defineProperty(admin.metadata, 'topics', { value: new Map([['a', { ...topic, partitions }]]) })
    const asked = [{ topic: 'a', partitions: [0] }]
    const { NONE, PREFERRED_LEADER_NOT_AVAILABLE, ELIGIBLE_LEADERS_NOT_AVAILABLE } = ErrorCode
    for (const version of versionsOf(electLeaders))
      assert.deepEqual(await elect(admin, version, PREFERRED, asked), [
        NONE,
        ['a', 0, PREFERRED_LEADER_NOT_AVAILABLE],
      ])
    for (const version of [1, 2])
      assert.deepEqual(await elect(admin, version, UNCLEAN, asked), [
        NONE,
        ['a', 0, ELIGIBLE_LEADERS_NOT_AVAILABLE],
      ])
  })
})
