import { array, bool, int16, int32, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * Moves partitions to other brokers (KIP-455). v1: whether the replication factor may change (KIP-860).
 */

const reassignableTopic = {
  name: string(),
  partitions: array({ partitionIndex: int32(), replicas: array(int32(), { nullable: true, default: null }) }),
}

export const alterPartitionReassignmentsRequest = request({
  key: 45,
  name: 'AlterPartitionReassignments',
  versions: [0, 1],
  flexibleFrom: 0,
  fields: {
    timeoutMs: int32({ default: 60000 }),
    allowReplicationFactorChange: bool({ since: 1, default: true }),
    topics: array(reassignableTopic),
  },
})

export type AlterPartitionReassignmentsRequest = Decoded<typeof alterPartitionReassignmentsRequest>

const reassignableTopicResponse = {
  name: string(),
  partitions: array({
    partitionIndex: int32(),
    errorCode: int16(),
    errorMessage: string({ nullable: true }),
  }),
}

export const alterPartitionReassignmentsResponse = response({
  key: 45,
  name: 'AlterPartitionReassignments',
  versions: [0, 1],
  flexibleFrom: 0,
  fields: {
    throttleTimeMs: int32({ default: 0 }),
    allowReplicationFactorChange: bool({ since: 1, default: true, ignorable: true }),
    errorCode: int16(),
    errorMessage: string({ nullable: true }),
    responses: array(reassignableTopicResponse),
  },
})

export type AlterPartitionReassignmentsResponse = Decoded<typeof alterPartitionReassignmentsResponse>
