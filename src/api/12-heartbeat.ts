import { heartbeatRequest, heartbeatResponse } from '../../protocol/messages/12-heartbeat.ts'
import { defineApi } from './requests/handler.ts'

/**
 * Heartbeat, versions 0-4.
 *
 * Behavior: keeps the member's session alive; REBALANCE_IN_PROGRESS tells it to join again.
 *
 * Version notes: v3 static members (KIP-345), v4 flexible.
 *
 * Not implemented: nothing.
 */
export const heartbeat = defineApi({
  request: heartbeatRequest,
  response: heartbeatResponse,
  versions: [0, 4],
  arrays: {},
  handle(request, { broker }, respond) {
    broker.groups.heartbeat(request, (errorCode) => respond({ errorCode }))
  },
})
