import { createAclsRequest, createAclsResponse } from '../../protocol/messages/30-create-acls.ts'
import { NO_AUTHORIZER } from './29-describe-acls.ts'
import { defineApi, inSteps } from './requests/handler.ts'

/**
 * CreateAcls, versions 0-3.
 *
 * Behavior: SECURITY_DISABLED for every ACL, as Kafka answers without an authorizer.
 *
 * Version notes: v1 pattern types (KIP-290), v2 flexible, v3 user resources (KIP-373).
 *
 * Not implemented: an authorizer.
 */
export const createAcls = defineApi({
  request: createAclsRequest,
  response: createAclsResponse,
  versions: [0, 3],
  arrays: { creations: { repeats: 'kept', cost: 0 } },
  handle: inSteps(function* (request) {
    const results = []
    for (let i = 0; i < request.creations.length; i++) {
      results.push(NO_AUTHORIZER)
      yield
    }
    return { results }
  }),
})
