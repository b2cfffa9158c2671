import { array, int16, int32, int64, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * The transactional ids of a coordinator (KIP-664).
 *
 * v1: only those that run for some time (KIP-994). v2: only ids of a pattern (KIP-1152).
 */

export const listTransactionsRequest = request({
  key: 66,
  name: 'ListTransactions',
  versions: [0, 2],
  flexibleFrom: 0,
  fields: {
    stateFilters: array(string()),
    producerIdFilters: array(int64()),
    durationFilter: int64({ since: 1, default: -1 }),
    transactionalIdPattern: string({ since: 2, nullable: true, default: null }),
  },
})

export type ListTransactionsRequest = Decoded<typeof listTransactionsRequest>

export const listTransactionsResponse = response({
  key: 66,
  name: 'ListTransactions',
  versions: [0, 2],
  flexibleFrom: 0,
  fields: {
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16(),
    unknownStateFilters: array(string()),
    transactionStates: array({ transactionalId: string(), producerId: int64(), transactionState: string() }),
  },
})

export type ListTransactionsResponse = Decoded<typeof listTransactionsResponse>
