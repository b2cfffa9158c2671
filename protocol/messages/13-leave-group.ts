import { array, int16, int32, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/** Members leave a classic group. v3: several at once (KIP-345). v4: flexible. v5: reason (KIP-800). */

const memberIdentity = {
  memberId: string(),
  groupInstanceId: string({ nullable: true, default: null }),
  reason: string({ since: 5, nullable: true, default: null, ignorable: true }),
}

export const leaveGroupRequest = request({
  key: 13,
  name: 'LeaveGroup',
  versions: [0, 5],
  flexibleFrom: 4,
  fields: {
    groupId: string(),
    memberId: string({ until: 2 }),
    members: array(memberIdentity, { since: 3 }),
  },
})

export type LeaveGroupRequest = Decoded<typeof leaveGroupRequest>

export const leaveGroupResponse = response({
  key: 13,
  name: 'LeaveGroup',
  versions: [0, 5],
  flexibleFrom: 4,
  fields: {
    throttleTimeMs: int32({ since: 1, default: 0, ignorable: true }),
    errorCode: int16(),
    members: array(
      { memberId: string(), groupInstanceId: string({ nullable: true }), errorCode: int16() },
      { since: 3 },
    ),
  },
})

export type LeaveGroupResponse = Decoded<typeof leaveGroupResponse>
