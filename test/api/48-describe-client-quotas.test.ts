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
