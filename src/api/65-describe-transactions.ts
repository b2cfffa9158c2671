import { ErrorCode } from '../../protocol/errors.ts'
import {
  describeTransactionsRequest,
  describeTransactionsResponse,
} from '../../protocol/messages/65-describe-transactions.ts'
import { defineApi, inSteps } from './requests/handler.ts'

/**
 * DescribeTransactions, version 0 (KIP-664).
 *
 * Behavior: TRANSACTIONAL_ID_NOT_FOUND for every id, since none can be in use; INVALID_REQUEST for an empty one.
 *
 * Not implemented: transactions.
 */
export const describeTransactions = defineApi({
  request: describeTransactionsRequest,
  response: describeTransactionsResponse,
  versions: [0, 0],
  arrays: { transactionalIds: { repeats: 'kept', cost: 0 } },
  handle: inSteps(function* ({ transactionalIds }) {
    const transactionStates = []
    for (const transactionalId of transactionalIds) {
      const { INVALID_REQUEST, TRANSACTIONAL_ID_NOT_FOUND } = ErrorCode
      transactionStates.push({
        ...NOTHING_KNOWN,
        transactionalId,
        errorCode: transactionalId === '' ? INVALID_REQUEST : TRANSACTIONAL_ID_NOT_FOUND,
      })
      yield
    }
    return { transactionStates }
  }),
})

const NOTHING_KNOWN = {
  transactionState: '',
  transactionTimeoutMs: 0,
  transactionStartTimeMs: 0,
  producerId: 0,
  producerEpoch: 0,
  topics: [],
}
