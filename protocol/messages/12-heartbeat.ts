import { int16, int32, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/** A member of a classic group is alive. v3: static members (KIP-345). v4: flexible. */

export const heartbeatRequest = request({
  key: 12,
  name: 'Heartbeat',
  versions: [0, 4],
  flexibleFrom: 4,
  fields: {
    groupId: string(),
    generationId: int32(),
    memberId: string(),
    groupInstanceId: string({ since: 3, nullable: true, default: null }),
  },
})

export type HeartbeatRequest = Decoded<typeof heartbeatRequest>

export const heartbeatResponse = response({
  key: 12,
  name: 'Heartbeat',
  versions: [0, 4],
  flexibleFrom: 4,
  fields: {
    throttleTimeMs: int32({ since: 1, default: 0, ignorable: true }),
    errorCode: int16(),
  },
})

export type HeartbeatResponse = Decoded<typeof heartbeatResponse>
