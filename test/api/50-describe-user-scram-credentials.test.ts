import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import {
  describeUserScramCredentialsRequest,
  describeUserScramCredentialsResponse,
} from '../../protocol/messages/50-describe-user-scram-credentials.ts'
import { describeUserScramCredentials } from '../../src/api/50-describe-user-scram-credentials.ts'
import { withAdmin } from './admin-harness.ts'

test('DescribeUserScramCredentials: nobody has any', async () => {
  await withAdmin(async (admin) => {
    const describe = async (...names: string[]) => {
      const users = names.length === 0 ? null : names.map((name) => ({ name }))
      const schemas = [describeUserScramCredentialsRequest, describeUserScramCredentialsResponse] as const
      const answer = await admin.call(describeUserScramCredentials, 0, schemas, { users })
      assert.deepEqual([answer.errorCode, answer.errorMessage], [ErrorCode.NONE, null])
      assert.ok(answer.results.every(({ credentialInfos }) => credentialInfos.length === 0))
      return answer.results.map(({ user, errorCode }) => [user, errorCode])
    }
    assert.deepEqual(await describe(), [])
    assert.deepEqual(await describe('a', 'b', 'b'), [
      ['a', ErrorCode.RESOURCE_NOT_FOUND],
      ['b', ErrorCode.DUPLICATE_RESOURCE],
    ])
  })
})
