import { array, bool, int16, int32, request, response, string, uuid } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * Brokers, topics, partitions and their leaders.
 *
 * v0 asks for every topic with an empty list, v1 and later with null. v4: allowAutoTopicCreation. v5:
 * offline replicas (KIP-112). v7: leader epochs (KIP-320). v8: authorized operations (KIP-430). v9:
 * flexible. v10: topic ids (KIP-516); v12: lookup by topic id. v13: an error for the whole answer
 * (KIP-1102).
 */

export const metadataRequest = request({
  key: 3,
  name: 'Metadata',
  versions: [0, 13],
  flexibleFrom: 9,
  fields: {
    topics: array(
      { topicId: uuid({ since: 10, ignorable: true }), name: string({ nullable: 10 }) },
      { nullable: 1 },
    ),
    allowAutoTopicCreation: bool({ since: 4, default: true }),
    includeClusterAuthorizedOperations: bool({ since: 8, until: 10 }),
    includeTopicAuthorizedOperations: bool({ since: 8 }),
  },
})

export type MetadataRequest = Decoded<typeof metadataRequest>

const metadataResponsePartition = {
  errorCode: int16(),
  partitionIndex: int32(),
  leaderId: int32(),
  leaderEpoch: int32({ since: 7, default: -1, ignorable: true }),
  replicaNodes: array(int32()),
  isrNodes: array(int32()),
  offlineReplicas: array(int32(), { since: 5, ignorable: true }),
}

const metadataResponseTopic = {
  errorCode: int16(),
  name: string({ nullable: 12 }),
  topicId: uuid({ since: 10, ignorable: true }),
  isInternal: bool({ since: 1, default: false, ignorable: true }),
  partitions: array(metadataResponsePartition),
  topicAuthorizedOperations: int32({ since: 8, default: -0x8000_0000 }),
}

export const metadataResponse = response({
  key: 3,
  name: 'Metadata',
  versions: [0, 13],
  flexibleFrom: 9,
  fields: {
    throttleTimeMs: int32({ since: 3, default: 0, ignorable: true }),
    brokers: array({
      nodeId: int32(),
      host: string(),
      port: int32(),
      rack: string({ since: 1, nullable: true, default: null, ignorable: true }),
    }),
    clusterId: string({ since: 2, nullable: true, default: null, ignorable: true }),
    controllerId: int32({ since: 1, default: -1, ignorable: true }),
    topics: array(metadataResponseTopic),
    clusterAuthorizedOperations: int32({ since: 8, until: 10, default: -0x8000_0000 }),
    errorCode: int16({ since: 13, ignorable: true }),
  },
})

export type MetadataResponse = Decoded<typeof metadataResponse>
