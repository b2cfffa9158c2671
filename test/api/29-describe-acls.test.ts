import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import { describeAclsRequest, describeAclsResponse } from '../../protocol/messages/29-describe-acls.ts'
import { describeAcls } from '../../src/api/29-describe-acls.ts'
import { versionsOf, withAdmin } from './admin-harness.ts'

test('DescribeAcls says in every version that there is no authorizer', async () => {
  await withAdmin(async (admin) => {
    for (const version of versionsOf(describeAcls)) {
      const answer = await admin.call(describeAcls, version, [describeAclsRequest, describeAclsResponse], {
        resourceTypeFilter: 1,
        resourceNameFilter: null,
        principalFilter: null,
        hostFilter: null,
        operation: 1,
        permissionType: 1,
      })
      assert.deepEqual(answer, {
        throttleTimeMs: 0,
        errorCode: ErrorCode.SECURITY_DISABLED,
        errorMessage: 'No Authorizer is configured.',
        resources: [],
      })
    }
  })
})
