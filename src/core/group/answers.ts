import { ErrorCode } from '../../../protocol/errors.ts'
import { excerpt } from '../printable.ts'
import { NO_BYTES } from './group.ts'
import type { Group } from './group.ts'
import type { JoinResponse, SyncResponse } from './group-types.ts'
import { NO_GENERATION, NO_MEMBER_ID } from './group-types.ts'

/** Whether a request speaks for a member: UNKNOWN_MEMBER_ID, or FENCED_INSTANCE_ID when its successor is here. */
export function memberError(group: Group, memberId: string, groupInstanceId: string | null): number {
  if (groupInstanceId !== null) {
    const current = group.staticMembers.get(groupInstanceId)
    if (current === undefined) return ErrorCode.UNKNOWN_MEMBER_ID
    if (current !== memberId) return ErrorCode.FENCED_INSTANCE_ID
  }
  return group.members.has(memberId) ? ErrorCode.NONE : ErrorCode.UNKNOWN_MEMBER_ID
}

export function failedJoin(memberId: string, errorCode: number): JoinResponse {
  return {
    errorCode,
    generationId: NO_GENERATION,
    protocolType: null,
    protocolName: null,
    leader: NO_MEMBER_ID,
    skipAssignment: false,
    memberId,
    members: [],
  }
}

export function failedSync(errorCode: number): SyncResponse {
  return { errorCode, protocolType: null, protocolName: null, assignment: NO_BYTES }
}

const NAMES_SHOWN = 10
const MAX_NAME_LENGTH = 100

/** For the log: the first few names, and how many more there are. */
export function some(names: readonly string[]): string {
  const shown = names
    .slice(0, NAMES_SHOWN)
    .map((name) => excerpt(name, MAX_NAME_LENGTH))
    .join(', ')
  return names.length <= NAMES_SHOWN ? shown : `${shown} and ${names.length - NAMES_SHOWN} more`
}
