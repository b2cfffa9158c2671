import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import { deleteAclsRequest, deleteAclsResponse } from '../../protocol/messages/31-delete-acls.ts'
import { deleteAcls } from '../../src/api/31-delete-acls.ts'
import { versionsOf, withAdmin } from './admin-harness.ts'

const FILTER = {
  resourceTypeFilter: 1,
  resourceNameFilter: null,
  principalFilter: null,
  hostFilter: null,
  operation: 1,
  permissionType: 1,
}

test('DeleteAcls answers each filter that there is no authorizer, in every version', async () => {
  await withAdmin(async (admin) => {
    for (const version of versionsOf(deleteAcls))
      for (const count of [0, 1, 3]) {
        const filters = Array.from({ length: count }, () => FILTER)
        const answer = await admin.call(deleteAcls, version, [deleteAclsRequest, deleteAclsResponse], {
          filters,
        })
        assert.deepEqual(
          answer.filterResults.map(({ errorCode, errorMessage, matchingAcls }) => [
            errorCode,
            errorMessage,
            matchingAcls,
          ]),
          filters.map(() => [ErrorCode.SECURITY_DISABLED, 'No Authorizer is configured.', []]),
        )
      }
  })
})
