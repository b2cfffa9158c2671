import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import {
  alterPartitionReassignmentsRequest,
  alterPartitionReassignmentsResponse,
} from '../../protocol/messages/45-alter-partition-reassignments.ts'
import { alterPartitionReassignments } from '../../src/api/45-alter-partition-reassignments.ts'
import { newTopic } from '../metadata/metadata-harness.ts'
import { versionsOf, withAdmin } from './admin-harness.ts'

const SCHEMAS = [alterPartitionReassignmentsRequest, alterPartitionReassignmentsResponse] as const

/** As in Kafka. */
const WITHOUT_TEXT = new Set<number>([ErrorCode.NONE, ErrorCode.NO_REASSIGNMENT_IN_PROGRESS])

test('AlterPartitionReassignments succeeds only for what is so already', async () => {
  await withAdmin(async (admin) => {
    await admin.metadata.createTopics([newTopic('a', 1)], false)
    const cases: [number, number[] | null, number][] = [
      [0, [0], ErrorCode.NONE],
      [0, null, ErrorCode.NO_REASSIGNMENT_IN_PROGRESS],
      [0, [1], ErrorCode.INVALID_REPLICA_ASSIGNMENT],
      [0, [0, 0], ErrorCode.INVALID_REPLICA_ASSIGNMENT],
      [0, [0, 1], ErrorCode.INVALID_REPLICA_ASSIGNMENT],
      [0, [], ErrorCode.INVALID_REPLICA_ASSIGNMENT],
      [3, [0], ErrorCode.UNKNOWN_TOPIC_OR_PARTITION],
      [0, [0], ErrorCode.NONE],
    ]
    for (const version of versionsOf(alterPartitionReassignments)) {
      const partitions = cases.map(([partitionIndex, replicas]) => ({ partitionIndex, replicas }))
      const answer = await admin.call(alterPartitionReassignments, version, SCHEMAS, {
        timeoutMs: 1,
        topics: [
          { name: 'a', partitions },
          { name: 'missing', partitions: [{ partitionIndex: 0, replicas: [0] }] },
        ],
      })
      assert.deepEqual([answer.errorCode, answer.errorMessage], [ErrorCode.NONE, null])
      assert.deepEqual(
        answer.responses.map(({ name, partitions: answers }) => [
          name,
          answers.map(({ partitionIndex, errorCode }) => [partitionIndex, errorCode]),
        ]),
        [
          ['a', cases.map(([index, , expected]) => [index, expected])],
          ['missing', [[0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]]],
        ],
      )
      for (const { errorCode, errorMessage } of answer.responses.flatMap((topic) => topic.partitions))
        assert.equal(errorMessage === null, WITHOUT_TEXT.has(errorCode))
    }
  })
})

test('AlterPartitionReassignments v1 repeats whether the replication factor may change', async () => {
  await withAdmin(async (admin) => {
    for (const allowReplicationFactorChange of [true, false]) {
      const body = { timeoutMs: 1, topics: [], allowReplicationFactorChange }
      const answer = await admin.call(alterPartitionReassignments, 1, SCHEMAS, body)
      assert.equal(answer.allowReplicationFactorChange, allowReplicationFactorChange)
    }
  })
})
