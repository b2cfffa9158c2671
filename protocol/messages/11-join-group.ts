import { array, bool, bytes, int16, int32, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * A member joins a classic group.
 *
 * v1: rebalance timeout. v4: the coordinator hands out the member id first (KIP-394). v5: static members
 * (KIP-345). v6: flexible. v7: the protocol type in the answer (KIP-559). v8: reason (KIP-800). v9:
 * skipAssignment (KIP-814).
 */

export const joinGroupRequest = request({
  key: 11,
  name: 'JoinGroup',
  versions: [0, 9],
  flexibleFrom: 6,
  fields: {
    groupId: string(),
    sessionTimeoutMs: int32(),
    rebalanceTimeoutMs: int32({ since: 1, default: -1, ignorable: true }),
    memberId: string(),
    groupInstanceId: string({ since: 5, nullable: true, default: null }),
    protocolType: string(),
    protocols: array({ name: string(), metadata: bytes() }),
    reason: string({ since: 8, nullable: true, default: null, ignorable: true }),
  },
})

export type JoinGroupRequest = Decoded<typeof joinGroupRequest>

export const joinGroupResponse = response({
  key: 11,
  name: 'JoinGroup',
  versions: [0, 9],
  flexibleFrom: 6,
  fields: {
    throttleTimeMs: int32({ since: 2, default: 0, ignorable: true }),
    errorCode: int16(),
    generationId: int32({ default: -1 }),
    protocolType: string({ since: 7, nullable: true, default: null, ignorable: true }),
    protocolName: string({ nullable: 7 }),
    leader: string(),
    skipAssignment: bool({ since: 9, default: false }),
    memberId: string(),
    members: array({
      memberId: string(),
      groupInstanceId: string({ since: 5, nullable: true, default: null, ignorable: true }),
      metadata: bytes(),
    }),
  },
})

export type JoinGroupResponse = Decoded<typeof joinGroupResponse>
