import { joinGroupRequest, joinGroupResponse } from '../../protocol/messages/11-join-group.ts'
import { defineApi } from './requests/handler.ts'

const FIRST_WITH_REBALANCE_TIMEOUT = 1
const FIRST_THAT_REQUIRES_MEMBER_ID = 4
const FIRST_WITH_NULL_PROTOCOL = 7
const FIRST_THAT_SKIPS_ASSIGNMENT = 9

/**
 * JoinGroup, versions 0-9.
 *
 * Behavior: answered when the group has its next generation; only the leader is told the members. An empty group
 * waits `group.initial.rebalance.delay.ms` for more members. A JoinGroup that the same member sends again, on another
 * connection, takes the place of the first, which gets REBALANCE_IN_PROGRESS.
 *
 * Version notes: v0 the session timeout is the rebalance timeout, v4 a new member gets its id with
 * MEMBER_ID_REQUIRED and joins again (KIP-394), v5 static members (KIP-345), v7 protocol type (KIP-559), v8 reason,
 * which is logged (KIP-800), v9 a static leader that comes back is told to skip the assignment (KIP-814).
 *
 * Not implemented: joining groups of the new protocol (KIP-848).
 */
export const joinGroup = defineApi({
  request: joinGroupRequest,
  response: joinGroupResponse,
  versions: [0, 9],
  // What a member may offer is bounded by its bytes (`core/group`), and of a name the first mention counts.
  arrays: { protocols: { repeats: 'kept', cost: 0 } },
  handle(request, context, respond) {
    const { apiVersion } = context
    const { groupId, memberId, groupInstanceId, sessionTimeoutMs, protocolType, protocols, reason } = request
    const join = {
      groupId,
      memberId,
      groupInstanceId,
      clientId: context.clientId ?? '',
      clientHost: `/${context.clientAddress.host}`,
      clientPort: context.clientAddress.port,
      sessionTimeoutMs,
      rebalanceTimeoutMs:
        apiVersion < FIRST_WITH_REBALANCE_TIMEOUT ? sessionTimeoutMs : request.rebalanceTimeoutMs,
      protocolType,
      protocols,
      reason,
      requiresKnownMemberId: apiVersion >= FIRST_THAT_REQUIRES_MEMBER_ID,
      supportsSkippingAssignment: apiVersion >= FIRST_THAT_SKIPS_ASSIGNMENT,
    }
    context.broker.groups.join(
      join,
      context.guard((joined) => {
        const protocolName = joined.protocolName ?? (apiVersion < FIRST_WITH_NULL_PROTOCOL ? '' : null)
        respond({ ...joined, protocolName })
      }),
    )
    context.parks()
  },
})
