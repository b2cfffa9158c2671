import type { Steps } from '../../protocol/compile.ts'
import { listGroupsRequest, listGroupsResponse } from '../../protocol/messages/16-list-groups.ts'
import { defineApi, inSteps } from './requests/handler.ts'

const CLASSIC = 'classic'

/**
 * ListGroups, versions 0-5.
 *
 * Behavior: the groups that this broker coordinates, simple consumers' among them (they have no protocol type). While
 * partitions of the offsets topic are being loaded the error says so, and the list is what is there already.
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
  arrays: { statesFilter: { repeats: 'once', cost: 0 }, typesFilter: { repeats: 'once', cost: 0 } },
  handle: inSteps(function* (request, { broker }) {
    const states = yield* lowerCase(request.statesFilter)
    const types = yield* lowerCase(request.typesFilter)
    const errorCode = broker.groups.listErrorCode
    if (types.size > 0 && !types.has(CLASSIC)) return { errorCode, groups: [] }
    const groups = []
    for (const group of broker.groups.list()) {
      if (states.size === 0 || states.has(group.groupState.toLowerCase()))
        groups.push({ ...group, groupType: CLASSIC })
      yield
    }
    return { errorCode, groups }
  }),
})

function* lowerCase(names: readonly string[]): Steps<ReadonlySet<string>> {
  const lower = new Set<string>()
  for (const name of names) {
    lower.add(name.toLowerCase())
    yield
  }
  return lower
}
