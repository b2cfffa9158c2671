import type { Steps } from '../../protocol/compile.ts'
import { ErrorCode } from '../../protocol/errors.ts'
import { offsetFetchRequest, offsetFetchResponse } from '../../protocol/messages/09-offset-fetch.ts'
import type { FetchedTopic } from '../core/group/group-types.ts'
import { PARTITIONS_BY_TOPIC } from './requests/array-rules.ts'
import { defineApi, inSteps } from './requests/handler.ts'
import type { RequestContext } from './requests/handler.ts'

const FIRST_WITH_SEVERAL_GROUPS = 8
const FIRST_WITH_GROUP_ERROR = 2

interface AskedTopic {
  readonly name: string
  readonly partitionIndexes: readonly number[]
}

interface Fetched {
  readonly errorCode: number
  readonly topics: FetchedTopic[]
}

/**
 * OffsetFetch, versions 1-9.
 *
 * Behavior: the offsets that are in the log; -1 with no error for a partition, or a group, that has none. Offsets of
 * any group may be read by anybody. An offset that is named twice in a request is answered once.
 *
 * Version notes: v2 null topics for all (KIP-88) and an error for the group, v5 leader epochs (KIP-320), v7
 * requireStable (KIP-447; there are no transactions, so every offset is stable), v8 several groups (KIP-709).
 *
 * Not implemented: v9 member epochs of new-style groups are not checked (KIP-848), v10 topic ids.
 */
export const offsetFetch = defineApi({
  request: offsetFetchRequest,
  response: offsetFetchResponse,
  versions: [1, 9],
  arrays: {
    topics: PARTITIONS_BY_TOPIC,
    groups: {
      repeats: 'merged',
      key: ({ groupId }) => groupId,
      cost: 0,
      inside: {
        topics: PARTITIONS_BY_TOPIC,
      },
    },
  },
  handle: inSteps(function* (request, context) {
    if (context.apiVersion >= FIRST_WITH_SEVERAL_GROUPS) {
      const groups = []
      for (const { groupId, topics } of request.groups)
        groups.push({ groupId, ...(yield* fetchGroup(context, groupId, topics)) })
      return { topics: [], groups }
    }
    const { groupId } = request
    const { errorCode, topics } = yield* fetchGroup(context, groupId, request.topics)
    if (errorCode !== ErrorCode.NONE && context.apiVersion < FIRST_WITH_GROUP_ERROR) {
      return { topics: failedTopics(request.topics ?? [], errorCode), errorCode }
    }
    return { topics, errorCode }
  }),
})

/** Offsets that are looked up in one step. */
const AT_ONCE = 512

/** `topics` null: all of the group. */
function* fetchGroup(
  { broker }: RequestContext,
  groupId: string,
  topics: readonly AskedTopic[] | null,
): Steps<Fetched> {
  yield
  if (topics === null) {
    const all = broker.groups.fetchOffsets({ groupId, topics })
    return typeof all === 'number'
      ? { errorCode: all, topics: [] }
      : { errorCode: ErrorCode.NONE, topics: all }
  }
  const fetched: FetchedTopic[] = []
  for (const { name, partitionIndexes } of topics) {
    const partitions: FetchedTopic['partitions'][number][] = []
    for (let at = 0; at < Math.max(1, partitionIndexes.length); at += AT_ONCE) {
      const some = [{ name, partitions: partitionIndexes.slice(at, at + AT_ONCE) }]
      const found = broker.groups.fetchOffsets({ groupId, topics: some })
      if (typeof found === 'number') return { errorCode: found, topics: [] }
      partitions.push(...found[0]!.partitions)
      yield
    }
    fetched.push({ name, partitions })
  }
  return { errorCode: ErrorCode.NONE, topics: fetched }
}

function failedTopics(topics: readonly AskedTopic[], errorCode: number): FetchedTopic[] {
  return topics.map(({ name, partitionIndexes }) => ({
    name,
    partitions: partitionIndexes.map((partitionIndex) => ({
      partitionIndex,
      committedOffset: -1,
      committedLeaderEpoch: -1,
      metadata: '',
      errorCode,
    })),
  }))
}
