import { array, bool, int16, int32, request, response, string, struct, uuid } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/** Topics with their partitions, page by page, with eligible leader replicas (KIP-966). */

export const describeTopicPartitionsRequest = request({
  key: 75,
  name: 'DescribeTopicPartitions',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: {
    topics: array({ name: string() }),
    responsePartitionLimit: int32({ default: 2000 }),
    cursor: struct({ topicName: string(), partitionIndex: int32() }, { nullable: true, default: null }),
  },
})

export type DescribeTopicPartitionsRequest = Decoded<typeof describeTopicPartitionsRequest>

const describeTopicPartitionsResponsePartition = {
  errorCode: int16(),
  partitionIndex: int32(),
  leaderId: int32(),
  leaderEpoch: int32({ default: -1 }),
  replicaNodes: array(int32()),
  isrNodes: array(int32()),
  eligibleLeaderReplicas: array(int32(), { nullable: true, default: null }),
  lastKnownElr: array(int32(), { nullable: true, default: null }),
  offlineReplicas: array(int32()),
}

const describeTopicPartitionsResponseTopic = {
  errorCode: int16(),
  name: string({ nullable: true }),
  topicId: uuid(),
  isInternal: bool({ default: false }),
  partitions: array(describeTopicPartitionsResponsePartition),
  topicAuthorizedOperations: int32({ default: -0x8000_0000 }),
}

export const describeTopicPartitionsResponse = response({
  key: 75,
  name: 'DescribeTopicPartitions',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: {
    throttleTimeMs: int32({ default: 0 }),
    topics: array(describeTopicPartitionsResponseTopic),
    nextCursor: struct({ topicName: string(), partitionIndex: int32() }, { nullable: true, default: null }),
  },
})

export type DescribeTopicPartitionsResponse = Decoded<typeof describeTopicPartitionsResponse>
