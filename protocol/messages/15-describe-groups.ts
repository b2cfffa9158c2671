import { array, bool, bytes, int16, int32, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * State and members of classic groups.
 *
 * v3: authorized operations (KIP-430). v4: static members (KIP-345). v5: flexible. v6: errorMessage, and
 * GROUP_ID_NOT_FOUND for a group that does not exist (KIP-1043).
 */

export const describeGroupsRequest = request({
  key: 15,
  name: 'DescribeGroups',
  versions: [0, 6],
  flexibleFrom: 5,
  fields: {
    groups: array(string()),
    includeAuthorizedOperations: bool({ since: 3 }),
  },
})

export type DescribeGroupsRequest = Decoded<typeof describeGroupsRequest>

const describedGroupMember = {
  memberId: string(),
  groupInstanceId: string({ since: 4, nullable: true, default: null, ignorable: true }),
  clientId: string(),
  clientHost: string(),
  memberMetadata: bytes(),
  memberAssignment: bytes(),
}

const describedGroup = {
  errorCode: int16(),
  errorMessage: string({ since: 6, nullable: true, default: null }),
  groupId: string(),
  groupState: string(),
  protocolType: string(),
  protocolData: string(),
  members: array(describedGroupMember),
  authorizedOperations: int32({ since: 3, default: -0x8000_0000 }),
}

export const describeGroupsResponse = response({
  key: 15,
  name: 'DescribeGroups',
  versions: [0, 6],
  flexibleFrom: 5,
  fields: {
    throttleTimeMs: int32({ since: 1, default: 0, ignorable: true }),
    groups: array(describedGroup),
  },
})

export type DescribeGroupsResponse = Decoded<typeof describeGroupsResponse>
