import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import { createAclsRequest, createAclsResponse } from '../../protocol/messages/30-create-acls.ts'
import { createAcls } from '../../src/api/30-create-acls.ts'
import { versionsOf, withAdmin } from './admin-harness.ts'

const ACL = {
  resourceType: 2,
  resourceName: 'a',
  principal: 'User:a',
  host: '*',
  operation: 2,
  permissionType: 3,
}

test('CreateAcls answers each ACL that there is no authorizer, in every version', async () => {
  await withAdmin(async (admin) => {
    for (const version of versionsOf(createAcls))
      for (const count of [0, 1, 3]) {
        const creations = Array.from({ length: count }, () => ACL)
        const answer = await admin.call(createAcls, version, [createAclsRequest, createAclsResponse], {
          creations,
        })
        const disabled = {
          errorCode: ErrorCode.SECURITY_DISABLED,
          errorMessage: 'No Authorizer is configured.',
        }
        assert.deepEqual(
          answer.results,
          creations.map(() => disabled),
        )
      }
  })
})
