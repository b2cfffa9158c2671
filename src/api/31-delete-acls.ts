import { deleteAclsRequest, deleteAclsResponse } from '../../protocol/messages/31-delete-acls.ts'
import { NO_AUTHORIZER } from './29-describe-acls.ts'
import { defineApi, inSteps } from './requests/handler.ts'

const NOTHING_DELETED = { ...NO_AUTHORIZER, matchingAcls: [] }

/**
 * DeleteAcls, versions 0-3.
 *
 * Behavior: SECURITY_DISABLED for every filter, as Kafka answers without an authorizer.
 *
 * Version notes: v1 pattern types (KIP-290), v2 flexible, v3 user resources (KIP-373).
 *
 * Not implemented: an authorizer.
 */
export const deleteAcls = defineApi({
  request: deleteAclsRequest,
  response: deleteAclsResponse,
  versions: [0, 3],
  arrays: { filters: { repeats: 'kept', cost: 0 } },
  handle: inSteps(function* (request) {
    const filterResults = []
    for (let i = 0; i < request.filters.length; i++) {
      filterResults.push(NOTHING_DELETED)
      yield
    }
    return { filterResults }
  }),
})
