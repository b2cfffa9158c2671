import { array, int16, int32, int64, int8, request, response, uuid } from '../schema.ts'
import type { Decoded, Encodable } from '../schema.ts'

/**
 * A leader asks the controller for another ISR (KIP-497). v2: topic ids (KIP-841); what came before it, by names, Kafka has given
 * up. v3: the incarnation of each member (KIP-903).
 */

const brokerState = { brokerId: int32(), brokerEpoch: int64({ default: -1 }) }

const askedPartition = {
  partitionIndex: int32(),
  leaderEpoch: int32(),
  newIsr: array(int32(), { until: 2 }),
  newIsrWithEpochs: array(brokerState, { since: 3 }),
  leaderRecoveryState: int8({ default: 0 }),
  partitionEpoch: int32(),
}

const askedTopic = {
  topicId: uuid(),
  partitions: array(askedPartition),
}

export const alterPartitionRequest = request({
  key: 56,
  name: 'AlterPartition',
  versions: [2, 3],
  flexibleFrom: 0,
  fields: {
    brokerId: int32(),
    brokerEpoch: int64({ default: -1 }),
    topics: array(askedTopic),
  },
})

export type AlterPartitionRequest = Decoded<typeof alterPartitionRequest>

const partitionResult = {
  partitionIndex: int32(),
  errorCode: int16(),
  leaderId: int32(),
  leaderEpoch: int32(),
  isr: array(int32()),
  leaderRecoveryState: int8({ default: 0 }),
  partitionEpoch: int32(),
}

const topicResult = {
  topicId: uuid(),
  partitions: array(partitionResult),
}

export const alterPartitionResponse = response({
  key: 56,
  name: 'AlterPartition',
  versions: [2, 3],
  flexibleFrom: 0,
  fields: {
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16(),
    topics: array(topicResult),
  },
})

export type AlterPartitionResponse = Encodable<typeof alterPartitionResponse>
