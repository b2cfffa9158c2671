import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import {
  listPartitionReassignmentsRequest,
  listPartitionReassignmentsResponse,
} from '../../protocol/messages/46-list-partition-reassignments.ts'
import { listPartitionReassignments } from '../../src/api/46-list-partition-reassignments.ts'
import { newTopic } from '../metadata/metadata-harness.ts'
import { withAdmin } from './admin-harness.ts'

test('ListPartitionReassignments: none is under way, whatever is asked for', async () => {
  await withAdmin(async (admin) => {
    await admin.metadata.createTopics([newTopic('a', 1)], false)
    const schemas = [listPartitionReassignmentsRequest, listPartitionReassignmentsResponse] as const
    for (const topics of [
      null,
      [],
      [{ name: 'a', partitionIndexes: [0] }],
      [{ name: 'b', partitionIndexes: [0] }],
    ])
      assert.deepEqual(await admin.call(listPartitionReassignments, 0, schemas, { timeoutMs: 1, topics }), {
        throttleTimeMs: 0,
        errorCode: ErrorCode.NONE,
        errorMessage: null,
        topics: [],
      })
  })
})
