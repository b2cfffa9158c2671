import { ErrorCode } from '../../protocol/errors.ts'
import { syncGroupRequest, syncGroupResponse } from '../../protocol/messages/14-sync-group.ts'
import { failedSync } from '../core/group/answers.ts'
import { defineApi } from './requests/handler.ts'

const FIRST_WITH_PROTOCOL = 5

/**
 * SyncGroup, versions 0-5.
 *
 * Behavior: the leader's assignment is written to the log, then every member that waits gets its share; a member the
 * leader left out gets an empty one.
 *
 * Version notes: v3 static members (KIP-345), v5 protocol type and name are mandatory, checked and
 * returned (KIP-559).
 *
 * Not implemented: nothing.
 */
export const syncGroup = defineApi({
  request: syncGroupRequest,
  response: syncGroupResponse,
  versions: [0, 5],
  arrays: { assignments: { repeats: 'once', key: ({ memberId }) => memberId, cost: 0 } },
  handle(request, context, respond) {
    const { broker, apiVersion } = context
    if (
      apiVersion >= FIRST_WITH_PROTOCOL &&
      (request.protocolType === null || request.protocolName === null)
    ) {
      respond(failedSync(ErrorCode.INCONSISTENT_GROUP_PROTOCOL))
      return
    }
    broker.groups.sync(request, respond)
    context.parks()
  },
})
