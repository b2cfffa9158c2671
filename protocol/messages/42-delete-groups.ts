import { array, int16, int32, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/** Deletes empty groups. v2: flexible. */

export const deleteGroupsRequest = request({
  key: 42,
  name: 'DeleteGroups',
  versions: [0, 2],
  flexibleFrom: 2,
  fields: {
    groupsNames: array(string()),
  },
})

export type DeleteGroupsRequest = Decoded<typeof deleteGroupsRequest>

export const deleteGroupsResponse = response({
  key: 42,
  name: 'DeleteGroups',
  versions: [0, 2],
  flexibleFrom: 2,
  fields: {
    throttleTimeMs: int32({ default: 0 }),
    results: array({ groupId: string(), errorCode: int16() }),
  },
})

export type DeleteGroupsResponse = Decoded<typeof deleteGroupsResponse>
