import { ErrorCode } from '../../protocol/errors.ts'
import { describeAclsRequest, describeAclsResponse } from '../../protocol/messages/29-describe-acls.ts'
import { answer, defineApi } from './requests/handler.ts'

/** What the ACL APIs say while there is no authorizer. */
export const NO_AUTHORIZER = {
  errorCode: ErrorCode.SECURITY_DISABLED,
  errorMessage: 'No Authorizer is configured.',
} as const

/**
 * DescribeAcls, versions 0-3.
 *
 * Behavior: SECURITY_DISABLED, as Kafka answers without an authorizer.
 *
 * Version notes: v1 pattern types (KIP-290), v2 flexible, v3 user resources (KIP-373).
 *
 * Not implemented: an authorizer.
 */
export const describeAcls = defineApi({
  request: describeAclsRequest,
  response: describeAclsResponse,
  versions: [0, 3],
  arrays: {},
  handle: answer(() => ({ ...NO_AUTHORIZER, resources: [] })),
})
