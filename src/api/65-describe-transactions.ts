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
      transactionStates.push(new UnknownTransaction(transactionalId))
      yield
    }
    return { transactionStates }
  }),
})

/** One of perhaps very many: it keeps its name only. */
class UnknownTransaction {
  readonly transactionalId: string

  constructor(transactionalId: string) {
    this.transactionalId = transactionalId
  }

  get errorCode(): number {
    return this.transactionalId === '' ? ErrorCode.INVALID_REQUEST : ErrorCode.TRANSACTIONAL_ID_NOT_FOUND
  }

  get transactionState(): string {
    return ''
  }

  get transactionTimeoutMs(): number {
    return 0
  }

  get transactionStartTimeMs(): number {
    return 0
  }

  get producerId(): number {
    return 0
  }

  get producerEpoch(): number {
    return 0
  }

  get topics(): [] {
    return []
  }
}
