/** What one request may ask for, and what is answered to what it asks for beyond that. */
import { ErrorCode } from '../../../protocol/errors.ts'
import { refused } from '../../metadata/layout/outcome.ts'

/**
 * Topics, resources or groups in one request, and partitions it may create (KRaft's limit for those, KAFKA-17870). A
 * request to change more is refused as a whole; one that only asks is answered up to here.
 */
export const MAX_COST = 10_000

/** Rules of elements that each change something, and of those that each ask for something large. */
export const CHANGE = {
  cost: 1,
  beyond: 'refuse all',
  excess: refused(
    ErrorCode.POLICY_VIOLATION,
    `Nothing was changed: the request has more than ${MAX_COST} elements.`,
  ),
} as const

export const QUESTION = {
  cost: 1,
  beyond: 'refuse the rest',
  excess: refused(ErrorCode.POLICY_VIOLATION, `The request asks for more than ${MAX_COST} elements.`),
} as const

/** The answer to a topic that a request changes several times. */
export const TOPIC_REPEATED = refused(
  ErrorCode.INVALID_REQUEST,
  'The request names this topic more than once.',
)

/** As KRaft says it (KAFKA-17870). */
export const TOO_MANY_PARTITIONS = refused(
  ErrorCode.POLICY_VIOLATION,
  `Excessively large number of partitions per request: more than ${MAX_COST}.`,
)
