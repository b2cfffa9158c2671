import { listGroupsRequest, listGroupsResponse } from '../../protocol/messages/16-list-groups.ts'
import { answer, defineApi } from './handler.ts'

const CLASSIC = 'classic'

/**
 * ListGroups, versions 0-5.
 *
 * Behavior: all groups of this broker, simple consumers' among them (they have no protocol type). While partitions of
 * the offsets topic are being loaded the error says so, and the list is what is there already.
 *
 * Version notes: v4 filter by state (KIP-518), v5 filter by type (KIP-848); both compare without regard to case and
 * an empty filter lets everything through.
 *
 * Not implemented: types other than classic do not exist.
 */
export const listGroups = defineApi({
  request: listGroupsRequest,
  response: listGroupsResponse,
  versions: [0, 5],
  handle: answer((request, { broker }) => {
    const states = new Set(request.statesFilter.map((state) => state.toLowerCase()))
    const types = request.typesFilter.map((type) => type.toLowerCase())
    const { errorCode, groups } = broker.groups.list()
    if (types.length > 0 && !types.includes(CLASSIC)) return { errorCode, groups: [] }
    const listed = groups.filter(
      ({ groupState }) => states.size === 0 || states.has(groupState.toLowerCase()),
    )
    return { errorCode, groups: listed.map((group) => ({ ...group, groupType: CLASSIC })) }
  }),
})
