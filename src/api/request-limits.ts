/** What one admin request may ask for, and the duplicates in it. */
import { ErrorCode } from '../../protocol/errors.ts'
import { refused } from '../metadata/layout/outcome.ts'
import type { Outcome } from '../metadata/layout/outcome.ts'
import type { RequestContext } from './handler.ts'
import { nextTurn } from './in-slices.ts'

/**
 * Topics, resources or groups in one request, and partitions it may create (KRaft's limit for those, KAFKA-17870). A
 * request to change more is refused as a whole; one that only asks is answered up to here.
 */
export const MAX_ELEMENTS = 10_000

/** The answer to each element of a request that wants to change more than that. */
export const TOO_MANY_CHANGES = refused(
  ErrorCode.POLICY_VIOLATION,
  `Nothing was changed: the request has more than ${MAX_ELEMENTS} elements.`,
)

/** The answer to what a request asks for beyond that. */
export const TOO_MANY_ASKED = refused(
  ErrorCode.POLICY_VIOLATION,
  `The request asks for more than ${MAX_ELEMENTS} elements.`,
)

/** The answer to a topic that `sortOut` found several times. */
export const TOPIC_REPEATED = refused(
  ErrorCode.INVALID_REQUEST,
  'The request names this topic more than once.',
)

/** As KRaft says it (KAFKA-17870). */
export const TOO_MANY_PARTITIONS = refused(
  ErrorCode.POLICY_VIOLATION,
  `Excessively large number of partitions per request: more than ${MAX_ELEMENTS}.`,
)

/**
 * An answer to every element of a request that has too many, after others had their turn. It says why with the first
 * ones only, because it is long as it is.
 */
export async function refuseEach<Item, Answer>(
  items: readonly Item[],
  outcome: Outcome,
  context: RequestContext,
  describe: (item: Item, outcome: Outcome) => Answer,
): Promise<Answer[]> {
  await nextTurn(context)
  const { errorCode } = outcome
  const brief = { errorCode, errorMessage: null }
  return items.map((item, index) => describe(item, index < MAX_EXPLAINED ? outcome : brief))
}

const MAX_EXPLAINED = 1_000

/** What is there once, and one of each that is there several times. */
export function sortOut<Item>(
  items: readonly Item[],
  keyOf: (item: Item) => string,
): { readonly once: Item[]; readonly repeated: Item[] } {
  const seen = new Map<string, Item>()
  const repeated = new Map<string, Item>()
  for (const item of items) {
    const key = keyOf(item)
    if (seen.has(key)) repeated.set(key, item)
    else seen.set(key, item)
  }
  if (repeated.size === 0) return { once: [...items], repeated: [] }
  const once = [...seen].filter(([key]) => !repeated.has(key)).map(([, item]) => item)
  return { once, repeated: [...repeated.values()] }
}
