import { array, int16, int32, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/** Partitions that are on the move (KIP-455). */

export const listPartitionReassignmentsRequest = request({
  key: 46,
  name: 'ListPartitionReassignments',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: {
    timeoutMs: int32({ default: 60000 }),
    topics: array({ name: string(), partitionIndexes: array(int32()) }, { nullable: true, default: null }),
  },
})

export type ListPartitionReassignmentsRequest = Decoded<typeof listPartitionReassignmentsRequest>

const ongoingTopicReassignment = {
  name: string(),
  partitions: array({
    partitionIndex: int32(),
    replicas: array(int32()),
    addingReplicas: array(int32()),
    removingReplicas: array(int32()),
  }),
}

export const listPartitionReassignmentsResponse = response({
  key: 46,
  name: 'ListPartitionReassignments',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: {
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16(),
    errorMessage: string({ nullable: true }),
    topics: array(ongoingTopicReassignment),
  },
})

export type ListPartitionReassignmentsResponse = Decoded<typeof listPartitionReassignmentsResponse>
