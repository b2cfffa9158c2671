import { array, int16, int32, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * Groups that this broker coordinates. v3: flexible. v4: filter by state (KIP-518). v5: filter by type
 * (KIP-848).
 */

export const listGroupsRequest = request({
  key: 16,
  name: 'ListGroups',
  versions: [0, 5],
  flexibleFrom: 3,
  fields: {
    statesFilter: array(string(), { since: 4 }),
    typesFilter: array(string(), { since: 5 }),
  },
})

export type ListGroupsRequest = Decoded<typeof listGroupsRequest>

const listedGroup = {
  groupId: string(),
  protocolType: string(),
  groupState: string({ since: 4, ignorable: true }),
  groupType: string({ since: 5, ignorable: true }),
}

export const listGroupsResponse = response({
  key: 16,
  name: 'ListGroups',
  versions: [0, 5],
  flexibleFrom: 3,
  fields: {
    throttleTimeMs: int32({ since: 1, default: 0, ignorable: true }),
    errorCode: int16(),
    groups: array(listedGroup),
  },
})

export type ListGroupsResponse = Decoded<typeof listGroupsResponse>
