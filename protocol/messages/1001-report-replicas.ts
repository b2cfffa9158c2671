import { array, int16, int32, int64, request, response, uuid } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * Of brokers among themselves: what a controller must know of the sender's replicas before it elects one. Some may lack what
 * they had, because their log was damaged or their directory died: nobody is to count on them. Where nobody is certain to
 * have everything, those with the longest logs are to be found (KIP-966). Not in Kafka.
 */

export const reportReplicasRequest = request({
  key: 1001,
  name: 'ReportReplicas',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: {
    brokerId: int32(),
    brokerEpoch: int64(),
    damaged: array({ topicId: uuid(), partitionIndex: int32() }),
    logs: array({
      topicId: uuid(),
      partitionIndex: int32(),
      /** Of the last batch; -1: there is none. */
      lastEpoch: int32(),
      endOffset: int64(),
    }),
  },
})

export type ReportReplicasRequest = Decoded<typeof reportReplicasRequest>

export const reportReplicasResponse = response({
  key: 1001,
  name: 'ReportReplicas',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: { errorCode: int16() },
})

export type ReportReplicasResponse = Decoded<typeof reportReplicasResponse>
