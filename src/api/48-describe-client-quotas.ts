import { ErrorCode } from '../../protocol/errors.ts'
import {
  describeClientQuotasRequest,
  describeClientQuotasResponse,
} from '../../protocol/messages/48-describe-client-quotas.ts'
import type { DescribeClientQuotasRequest } from '../../protocol/messages/48-describe-client-quotas.ts'
import { refused } from '../metadata/layout/outcome.ts'
import type { Outcome } from '../metadata/layout/outcome.ts'
import { answer, defineApi } from './requests/handler.ts'

/**
 * DescribeClientQuotas, versions 0-1.
 *
 * Behavior: no quota matches any filter, for none can be set. A filter that says nothing sensible is refused as in Kafka.
 *
 * Version notes: v0 KIP-546, v1 flexible.
 *
 * Not implemented: quotas.
 */
export const describeClientQuotas = defineApi({
  request: describeClientQuotasRequest,
  response: describeClientQuotasResponse,
  versions: [0, 1],
  arrays: { components: { repeats: 'kept', cost: 0 } },
  handle: answer(({ components }) => {
    const problem = filterProblem(components)
    return problem === null
      ? { errorCode: ErrorCode.NONE, errorMessage: null, entries: [] }
      : { ...problem, entries: null }
  }),
})

type Component = DescribeClientQuotasRequest['components'][number]

const ENTITY_TYPES: ReadonlySet<string> = new Set(['user', 'client-id', 'ip'])
const EXACT = 0
const DEFAULT = 1
const SPECIFIED = 2

/** Null when the filter can be applied. */
function filterProblem(components: readonly Component[]): Outcome | null {
  const seen = new Set<string>()
  for (const component of components) {
    const { entityType } = component
    if (entityType === '') return refused(ErrorCode.INVALID_REQUEST, 'An entity type is empty.')
    if (seen.has(entityType))
      return refused(ErrorCode.INVALID_REQUEST, `Entity type ${entityType} stands in the filter twice.`)
    if (!ENTITY_TYPES.has(entityType))
      return refused(ErrorCode.UNSUPPORTED_VERSION, `There are no quotas for entities of type ${entityType}.`)
    const problem = matchProblem(component)
    if (problem !== null) return refused(ErrorCode.INVALID_REQUEST, problem)
    seen.add(entityType)
  }
  if (seen.has('ip') && seen.size > 1)
    return refused(ErrorCode.INVALID_REQUEST, 'A quota of an IP address is no quota of a user or client.')
  return null
}

function matchProblem({ matchType, match }: Component): string | null {
  if (matchType === EXACT) return match === null ? 'An exact match needs what to match.' : null
  if (matchType !== DEFAULT && matchType !== SPECIFIED) return `There is no match type ${matchType}.`
  return match === null ? null : 'Only an exact match has something to match.'
}
