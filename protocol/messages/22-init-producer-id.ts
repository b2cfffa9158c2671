import { bool, int16, int32, int64, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * Gives out a producer id and epoch. v2: flexible. v3: an epoch bump of a known id (KIP-360). v6: two-
 * phase commit (KIP-939).
 */

export const initProducerIdRequest = request({
  key: 22,
  name: 'InitProducerId',
  versions: [0, 6],
  flexibleFrom: 2,
  fields: {
    transactionalId: string({ nullable: true }),
    transactionTimeoutMs: int32(),
    producerId: int64({ since: 3, default: -1 }),
    producerEpoch: int16({ since: 3, default: -1 }),
    enable2Pc: bool({ since: 6, default: false }),
    keepPreparedTxn: bool({ since: 6, default: false }),
  },
})

export type InitProducerIdRequest = Decoded<typeof initProducerIdRequest>

export const initProducerIdResponse = response({
  key: 22,
  name: 'InitProducerId',
  versions: [0, 6],
  flexibleFrom: 2,
  fields: {
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16(),
    producerId: int64({ default: -1 }),
    producerEpoch: int16(),
    ongoingTxnProducerId: int64({ since: 6, default: -1 }),
    ongoingTxnProducerEpoch: int16({ since: 6, default: -1 }),
  },
})

export type InitProducerIdResponse = Decoded<typeof initProducerIdResponse>
