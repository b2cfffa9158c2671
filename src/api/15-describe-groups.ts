import { ErrorCode } from '../../protocol/errors.ts'
import { describeGroupsRequest, describeGroupsResponse } from '../../protocol/messages/15-describe-groups.ts'
import type { Outcome } from '../metadata/layout/outcome.ts'
import { GROUP_OPERATIONS, OPERATIONS_NOT_ASKED } from './requests/authorized-operations.ts'
import { defineApi, inSteps } from './requests/handler.ts'
import type { RequestContext } from './requests/handler.ts'
import { QUESTION } from './requests/request-limits.ts'

const FIRST_WITH_GROUP_ID_NOT_FOUND = 6

/**
 * DescribeGroups, versions 0-6.
 *
 * Behavior: a group that does not exist is Dead, without an error before v6. Metadata of members is shown in Stable only.
 * Groups of other brokers answer NOT_COORDINATOR. A group that is named twice is described once. Beyond 10,000 groups each
 * answers POLICY_VIOLATION.
 *
 * Version notes: v3 authorized operations (KIP-430), v4 static members (KIP-345), v6 GROUP_ID_NOT_FOUND for a group that
 * does not exist (KIP-1043).
 */
export const describeGroups = defineApi({
  request: describeGroupsRequest,
  response: describeGroupsResponse,
  versions: [0, 6],
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

function describe(groupId: string, includeAuthorizedOperations: boolean, context: RequestContext) {
  const described = context.broker.groups.describe(groupId)
  const isMissing = described.errorCode === ErrorCode.NONE && described.groupState === 'Dead'
  if (isMissing && context.apiVersion >= FIRST_WITH_GROUP_ID_NOT_FOUND)
    return {
      ...described,
      errorCode: ErrorCode.GROUP_ID_NOT_FOUND,
      errorMessage: `Group ${groupId} not found.`,
      authorizedOperations: OPERATIONS_NOT_ASKED,
    }
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
