import { array, bool, int16, int32, int8, request, response, string, uuid } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * Creates topics.
 *
 * v1: validateOnly. v4: -1 for partitions and replication factor means the broker's default (KIP-464). v5:
 * flexible; the configuration comes back (KIP-525). v7: the topic id comes back (KIP-516).
 */

const creatableTopic = {
  name: string(),
  numPartitions: int32(),
  replicationFactor: int16(),
  assignments: array({ partitionIndex: int32(), brokerIds: array(int32()) }),
  configs: array({ name: string(), value: string({ nullable: true }) }),
}

export const createTopicsRequest = request({
  key: 19,
  name: 'CreateTopics',
  versions: [0, 7],
  flexibleFrom: 5,
  fields: {
    topics: array(creatableTopic),
    timeoutMs: int32({ default: 60000 }),
    validateOnly: bool({ since: 1, default: false }),
  },
})

export type CreateTopicsRequest = Decoded<typeof createTopicsRequest>

const creatableTopicConfigs = {
  name: string(),
  value: string({ nullable: true }),
  readOnly: bool(),
  configSource: int8({ default: -1 }),
  isSensitive: bool(),
}

const creatableTopicResult = {
  name: string(),
  topicId: uuid({ since: 7, ignorable: true }),
  errorCode: int16(),
  errorMessage: string({ since: 1, nullable: true, ignorable: true }),
  topicConfigErrorCode: int16({ since: 5, tag: 0, ignorable: true }),
  numPartitions: int32({ since: 5, default: -1, ignorable: true }),
  replicationFactor: int16({ since: 5, default: -1, ignorable: true }),
  configs: array(creatableTopicConfigs, { since: 5, nullable: true, ignorable: true }),
}

export const createTopicsResponse = response({
  key: 19,
  name: 'CreateTopics',
  versions: [0, 7],
  flexibleFrom: 5,
  fields: {
    throttleTimeMs: int32({ since: 2, default: 0, ignorable: true }),
    topics: array(creatableTopicResult),
  },
})

export type CreateTopicsResponse = Decoded<typeof createTopicsResponse>
