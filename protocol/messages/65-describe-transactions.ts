import { array, int16, int32, int64, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/** The state of transactional ids (KIP-664). */

export const describeTransactionsRequest = request({
  key: 65,
  name: 'DescribeTransactions',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: {
    transactionalIds: array(string()),
  },
})

export type DescribeTransactionsRequest = Decoded<typeof describeTransactionsRequest>

export const describeTransactionsResponse = response({
  key: 65,
  name: 'DescribeTransactions',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: {
    throttleTimeMs: int32({ default: 0 }),
    transactionStates: array({
      errorCode: int16(),
      transactionalId: string(),
      transactionState: string(),
      transactionTimeoutMs: int32(),
      transactionStartTimeMs: int64(),
      producerId: int64(),
      producerEpoch: int16(),
      topics: array({ topic: string(), partitions: array(int32()) }),
    }),
  },
})

export type DescribeTransactionsResponse = Decoded<typeof describeTransactionsResponse>
