import { deleteGroupsRequest, deleteGroupsResponse } from '../../protocol/messages/42-delete-groups.ts'
import type { Broker } from '../broker/broker.ts'
import { answer, defineApi } from './requests/handler.ts'
import { inSlices } from './requests/in-slices.ts'
import { QUESTION } from './requests/request-limits.ts'

/**
 * DeleteGroups, versions 0-2.
 *
 * Behavior: groups without members go, with all their offsets, when the tombstones are in the log; NON_EMPTY_GROUP
 * and GROUP_ID_NOT_FOUND otherwise, NOT_COORDINATOR for groups of other brokers. Beyond 10,000 groups each answers
 * POLICY_VIOLATION.
 *
 * Version notes: v1 and v2 (flexible) change nothing.
 *
 * Not implemented: nothing.
 */
export const deleteGroups = defineApi({
  request: deleteGroupsRequest,
  response: deleteGroupsResponse,
  versions: [0, 2],
  arrays: { groupsNames: { repeats: 'once', ...QUESTION } },
  handle: answer(async (request, context, refusals) => {
    const deleted = await inSlices(request.groupsNames, context, (some) =>
      Promise.all(some.map((groupId) => deleteGroup(context.broker, groupId))),
    )
    const refused = await inSlices(refusals.of(request, 'groupsNames'), context, (some) =>
      some.map(({ element, outcome }) => ({ groupId: element, errorCode: outcome.errorCode })),
    )
    return { results: [...deleted, ...refused] }
  }),
})

function deleteGroup(broker: Broker, groupId: string): Promise<{ groupId: string; errorCode: number }> {
  return new Promise((resolve) => {
    broker.groups.deleteGroup(groupId, (errorCode) => resolve({ groupId, errorCode }))
  })
}
