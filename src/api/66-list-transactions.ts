import { ErrorCode } from '../../protocol/errors.ts'
import {
  listTransactionsRequest,
  listTransactionsResponse,
} from '../../protocol/messages/66-list-transactions.ts'
import { answer, defineApi } from './requests/handler.ts'

const STATES: ReadonlySet<string> = new Set([
  'Empty',
  'Ongoing',
  'PrepareCommit',
  'PrepareAbort',
  'CompleteCommit',
  'CompleteAbort',
  'Dead',
  'PrepareEpochFence',
])

/**
 * ListTransactions, versions 0-2 (KIP-664).
 *
 * Behavior: there are none. States that nobody knows are told, and a pattern that is none is refused with
 * INVALID_REGULAR_EXPRESSION, as in Kafka.
 *
 * Version notes: v1 only those that run for some time (KIP-994), v2 only ids of a pattern (KIP-1152).
 *
 * Not implemented: transactions.
 */
export const listTransactions = defineApi({
  request: listTransactionsRequest,
  response: listTransactionsResponse,
  versions: [0, 2],
  arrays: {
    stateFilters: { repeats: 'once', cost: 0 },
    producerIdFilters: { repeats: 'kept', cost: 0 },
  },
  handle: answer(({ stateFilters, transactionalIdPattern }) =>
    transactionalIdPattern !== null && !isPattern(transactionalIdPattern)
      ? { errorCode: ErrorCode.INVALID_REGULAR_EXPRESSION, unknownStateFilters: [], transactionStates: [] }
      : {
          errorCode: ErrorCode.NONE,
          unknownStateFilters: stateFilters.filter((state) => !STATES.has(state)),
          transactionStates: [],
        },
  ),
})

/** Of RE2, which has flags within a pattern; otherwise what it takes JavaScript takes too. */
function isPattern(pattern: string): boolean {
  const withoutFlags = pattern.replaceAll(/\(\?[a-zA-Z-]+\)/g, '').replaceAll(/\(\?[a-zA-Z-]+:/g, '(?:')
  try {
    return RegExp(withoutFlags) instanceof RegExp
  } catch {
    return false
  }
}
