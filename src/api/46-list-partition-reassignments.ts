import { ErrorCode } from '../../protocol/errors.ts'
import {
  listPartitionReassignmentsRequest,
  listPartitionReassignmentsResponse,
} from '../../protocol/messages/46-list-partition-reassignments.ts'
import { answer, defineApi } from './requests/handler.ts'

/**
 * ListPartitionReassignments, version 0 (KIP-455).
 *
 * Behavior: no partition is being reassigned; with one broker there is nowhere to move it.
 */
export const listPartitionReassignments = defineApi({
  request: listPartitionReassignmentsRequest,
  response: listPartitionReassignmentsResponse,
  versions: [0, 0],
  // Nobody looks at them: whatever is asked for, nothing is being reassigned.
  arrays: {
    topics: {
      repeats: 'kept',
      cost: 0,
      inside: { partitionIndexes: { repeats: 'kept', cost: 0 } },
    },
  },
  handle: answer(() => ({ errorCode: ErrorCode.NONE, errorMessage: null, topics: [] })),
})
