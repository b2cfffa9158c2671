import { deleteGroupsRequest, deleteGroupsResponse } from '../../protocol/messages/42-delete-groups.ts'
import type { Broker } from '../broker/broker.ts'
import { answer, defineApi } from './handler.ts'

/**
 * DeleteGroups, versions 0-2.
 *
 * Behavior: groups without members go, with all their offsets, when the tombstones are in the log; NON_EMPTY_GROUP
 * and GROUP_ID_NOT_FOUND otherwise.
 *
 * Version notes: v1 and v2 (flexible) change nothing.
 *
 * Not implemented: nothing.
 */
export const deleteGroups = defineApi({
  request: deleteGroupsRequest,
  response: deleteGroupsResponse,
  versions: [0, 2],
  handle: answer(async ({ groupsNames }, { broker }) => ({
    results: await Promise.all(Array.from(new Set(groupsNames), (groupId) => deleteGroup(broker, groupId))),
  })),
})

function deleteGroup(broker: Broker, groupId: string): Promise<{ groupId: string; errorCode: number }> {
  return new Promise((resolve) => {
    broker.groups.deleteGroup(groupId, (errorCode) => resolve({ groupId, errorCode }))
  })
}
