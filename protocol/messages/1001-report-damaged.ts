import { array, int16, int32, int64, request, response, uuid } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * Of brokers among themselves: replicas of the sender that may lack what they had, because their log was damaged or their
 * directory died. Nobody is to count on them (KIP-966). Not in Kafka.
 */

export const reportDamagedRequest = request({
  key: 1001,
  name: 'ReportDamaged',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: {
    brokerId: int32(),
    brokerEpoch: int64(),
    replicas: array({ topicId: uuid(), partitionIndex: int32() }),
  },
})

export type ReportDamagedRequest = Decoded<typeof reportDamagedRequest>

export const reportDamagedResponse = response({
  key: 1001,
  name: 'ReportDamaged',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: { errorCode: int16() },
})

export type ReportDamagedResponse = Decoded<typeof reportDamagedResponse>
