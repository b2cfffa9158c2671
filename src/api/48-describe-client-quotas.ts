import { ErrorCode } from '../../protocol/errors.ts'
import {
  describeClientQuotasRequest,
  describeClientQuotasResponse,
} from '../../protocol/messages/48-describe-client-quotas.ts'
import { answer, defineApi } from './requests/handler.ts'

/**
 * DescribeClientQuotas, versions 0-1.
 *
 * Behavior: no quota matches any filter, for none can be set.
 *
 * Version notes: v0 KIP-546, v1 flexible.
 *
 * Not implemented: quotas.
 */
export const describeClientQuotas = defineApi({
  request: describeClientQuotasRequest,
  response: describeClientQuotasResponse,
  versions: [0, 1],
  // Nobody looks at them: no quota matches.
  arrays: { components: { repeats: 'kept', cost: 0 } },
  handle: answer(() => ({ errorCode: ErrorCode.NONE, errorMessage: null, entries: [] })),
})
