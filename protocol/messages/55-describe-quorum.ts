import { array, int16, int32, int64, request, response, string, uint16, uuid } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * The quorum that keeps the metadata of a cluster (KIP-595).
 *
 * v1: when replicas last fetched and caught up (KIP-836). v2: error messages, directory ids, endpoints (KIP-853).
 */

const replicaState = {
  replicaId: int32(),
  replicaDirectoryId: uuid({ since: 2 }),
  logEndOffset: int64(),
  lastFetchTimestamp: int64({ since: 1, default: -1, ignorable: true }),
  lastCaughtUpTimestamp: int64({ since: 1, default: -1, ignorable: true }),
}

const quorumPartition = {
  partitionIndex: int32(),
  errorCode: int16(),
  errorMessage: string({ since: 2, nullable: true, ignorable: true }),
  leaderId: int32(),
  leaderEpoch: int32(),
  highWatermark: int64(),
  currentVoters: array(replicaState),
  observers: array(replicaState),
}

export const describeQuorumRequest = request({
  key: 55,
  name: 'DescribeQuorum',
  versions: [0, 2],
  flexibleFrom: 0,
  fields: {
    topics: array({ topicName: string(), partitions: array({ partitionIndex: int32() }) }),
  },
})

export type DescribeQuorumRequest = Decoded<typeof describeQuorumRequest>

export const describeQuorumResponse = response({
  key: 55,
  name: 'DescribeQuorum',
  versions: [0, 2],
  flexibleFrom: 0,
  fields: {
    errorCode: int16(),
    errorMessage: string({ since: 2, nullable: true, ignorable: true }),
    topics: array({ topicName: string(), partitions: array(quorumPartition) }),
    nodes: array(
      { nodeId: int32(), listeners: array({ name: string(), host: string(), port: uint16() }) },
      { since: 2 },
    ),
  },
})

export type DescribeQuorumResponse = Decoded<typeof describeQuorumResponse>
