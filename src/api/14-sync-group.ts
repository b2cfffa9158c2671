import { syncGroupRequest, syncGroupResponse } from '../../protocol/messages/14-sync-group.ts'
import { defineApi } from './handler.ts'

/**
 * SyncGroup, versions 0-5.
 *
 * Behavior: the leader's assignment is written to the log, then every member that waits gets its share; a member the
 * leader left out gets an empty one.
 *
 * Version notes: v3 static members (KIP-345), v5 protocol type and name are checked and returned (KIP-559).
 *
 * Not implemented: nothing.
 */
export const syncGroup = defineApi({
  request: syncGroupRequest,
  response: syncGroupResponse,
  versions: [0, 5],
  handle(request, { broker }, respond) {
    broker.groups.sync(request, respond)
  },
})
