import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import {
  describeClientQuotasRequest,
  describeClientQuotasResponse,
} from '../../protocol/messages/48-describe-client-quotas.ts'
import { describeClientQuotas } from '../../src/api/48-describe-client-quotas.ts'
import { versionsOf, withAdmin } from './admin-harness.ts'

test('DescribeClientQuotas: none match, in every version', async () => {
  await withAdmin(async (admin) => {
    for (const version of versionsOf(describeClientQuotas))
      for (const components of [[], [{ entityType: 'user', matchType: 2, match: null }]])
        for (const strict of [true, false]) {
          const schemas = [describeClientQuotasRequest, describeClientQuotasResponse] as const
          assert.deepEqual(await admin.call(describeClientQuotas, version, schemas, { components, strict }), {
            throttleTimeMs: 0,
            errorCode: ErrorCode.NONE,
            errorMessage: null,
            entries: [],
          })
        }
  })
})

test('DescribeClientQuotas: a filter that cannot be applied is refused, and says why', async () => {
  await withAdmin(async (admin) => {
    const schemas = [describeClientQuotasRequest, describeClientQuotasResponse] as const
    const user = { entityType: 'user', matchType: 0, match: 'u' }
    const cases: [object[], number, RegExp | null][] = [
      [[user, { ...user, entityType: 'client-id' }], ErrorCode.NONE, null],
      [[{ ...user, entityType: 'ip' }], ErrorCode.NONE, null],
      [[{ ...user, matchType: 1, match: null }], ErrorCode.NONE, null],
      [[{ ...user, entityType: '' }], ErrorCode.INVALID_REQUEST, /empty/],
      [[user, user], ErrorCode.INVALID_REQUEST, /user stands in the filter twice/],
      [[{ ...user, entityType: 'group' }], ErrorCode.UNSUPPORTED_VERSION, /of type group/],
      [[user, { ...user, entityType: 'ip' }], ErrorCode.INVALID_REQUEST, /IP address/],
      [[{ ...user, match: null }], ErrorCode.INVALID_REQUEST, /exact match needs/],
      [[{ ...user, matchType: 1 }], ErrorCode.INVALID_REQUEST, /Only an exact match/],
      [[{ ...user, matchType: 2 }], ErrorCode.INVALID_REQUEST, /Only an exact match/],
      [[{ ...user, matchType: 3 }], ErrorCode.INVALID_REQUEST, /no match type 3/],
      [[{ ...user, matchType: -1, match: null }], ErrorCode.INVALID_REQUEST, /no match type -1/],
    ]
    for (const version of versionsOf(describeClientQuotas))
      for (const [components, expected, text] of cases) {
        const body = { components: components as (typeof user)[], strict: false }
        const { errorCode, errorMessage } = await admin.call(describeClientQuotas, version, schemas, body)
        assert.equal(errorCode, expected, JSON.stringify(components))
        if (text === null) assert.equal(errorMessage, null)
        else assert.match(errorMessage ?? '', text)
      }
  })
})
