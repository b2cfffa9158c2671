import { ErrorCode } from '../../protocol/errors.ts'
import { describeGroupsRequest, describeGroupsResponse } from '../../protocol/messages/15-describe-groups.ts'
import type { Outcome } from '../metadata/layout/outcome.ts'
import { GROUP_OPERATIONS, OPERATIONS_NOT_ASKED } from './requests/authorized-operations.ts'
import { defineApi, inSteps } from './requests/handler.ts'
import type { RequestContext } from './requests/handler.ts'
import { QUESTION } from './requests/request-limits.ts'

/**
 * DescribeGroups, versions 0-5.
 *
 * Behavior: a group that does not exist is Dead, without an error. Metadata of members is shown in Stable only.
 * A group that is named twice is described once. Beyond 10,000 groups each answers POLICY_VIOLATION.
 *
 * Version notes: v3 authorized operations (KIP-430), v4 static members (KIP-345).
 *
 * Not implemented: v6 GROUP_ID_NOT_FOUND (KIP-1043).
 */
export const describeGroups = defineApi({
  request: describeGroupsRequest,
  response: describeGroupsResponse,
  versions: [0, 5],
  arrays: { groups: { repeats: 'once', ...QUESTION } },
  handle: inSteps(function* (request, context, refusals) {
    const groups = []
    for (const groupId of request.groups) {
      groups.push(describe(groupId, request.includeAuthorizedOperations, context))
      yield
    }
    for (const { element, outcome } of refusals.of(request, 'groups')) {
      groups.push(beyondLimit(element, outcome))
      yield
    }
    return { groups }
  }),
})

function describe(groupId: string, includeAuthorizedOperations: boolean, { broker }: RequestContext) {
  const described = broker.groups.describe(groupId)
  const mayTell = includeAuthorizedOperations && described.errorCode === ErrorCode.NONE
  return {
    ...described,
    // As in Kafka: no state at all where the group could not be asked.
    groupState: described.errorCode === ErrorCode.NONE ? described.groupState : '',
    authorizedOperations: mayTell ? GROUP_OPERATIONS : OPERATIONS_NOT_ASKED,
  }
}

function beyondLimit(groupId: string, { errorCode }: Outcome) {
  return {
    errorCode,
    groupId,
    groupState: '',
    protocolType: '',
    protocolData: '',
    members: [],
    authorizedOperations: OPERATIONS_NOT_ASKED,
  }
}
