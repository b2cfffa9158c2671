import { leaveGroupRequest, leaveGroupResponse } from '../../protocol/messages/13-leave-group.ts'
import { defineApi } from './requests/handler.ts'

const FIRST_WITH_SEVERAL_MEMBERS = 3

/**
 * LeaveGroup, versions 0-5.
 *
 * Behavior: members go at once and the others rebalance. When the last one goes, the answer waits until the empty
 * group is in the log.
 *
 * Version notes: v3 several members, each with an error of its own, and static members by their instance id alone
 * (KIP-345), v5 reasons, which are logged (KIP-800).
 *
 * Not implemented: nothing.
 */
export const leaveGroup = defineApi({
  request: leaveGroupRequest,
  response: leaveGroupResponse,
  versions: [0, 5],
  // A member that is named twice has left at the second mention, and is told so.
  arrays: { members: { repeats: 'kept', cost: 0 } },
  handle(request, context, respond) {
    const { broker, apiVersion } = context
    const { groupId } = request
    const isBatch = apiVersion >= FIRST_WITH_SEVERAL_MEMBERS
    const members = isBatch
      ? request.members
      : [{ memberId: request.memberId, groupInstanceId: null, reason: null }]
    broker.groups.leave(
      { groupId, members },
      context.guard(({ errorCode, memberErrorCodes }) => {
        if (!isBatch) {
          respond({ errorCode: errorCode || memberErrorCodes[0]! })
          return
        }
        const answered = memberErrorCodes.map((memberErrorCode, i) => {
          const { memberId, groupInstanceId } = members[i]!
          return { memberId, groupInstanceId, errorCode: memberErrorCode }
        })
        respond({ errorCode, members: answered })
      }),
    )
  },
})
