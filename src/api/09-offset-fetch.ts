import { ErrorCode } from '../../protocol/errors.ts'
import { offsetFetchRequest, offsetFetchResponse } from '../../protocol/messages/09-offset-fetch.ts'
import type { FetchedTopic } from '../core/group/group-types.ts'
import { answer, defineApi } from './handler.ts'
import type { RequestContext } from './handler.ts'

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
  handle: answer((request, context) => {
    if (context.apiVersion >= FIRST_WITH_SEVERAL_GROUPS) {
      const asked = new Asked()
      const groups = request.groups.map(({ groupId, topics }) => ({
        groupId,
        ...fetchGroup(context, groupId, asked.news(groupId, topics)),
      }))
      return { topics: [], groups }
    }
    const { groupId } = request
    const { errorCode, topics } = fetchGroup(context, groupId, new Asked().news(groupId, request.topics))
    if (errorCode !== ErrorCode.NONE && context.apiVersion < FIRST_WITH_GROUP_ERROR) {
      return { topics: failedTopics(request.topics ?? [], errorCode), errorCode }
    }
    return { topics, errorCode }
  }),
})

/**
 * What one request has asked for already. A few bytes name an offset that has kilobytes of metadata: named a million
 * times they must not become gigabytes, so every offset is answered once.
 */
class Asked {
  readonly #partitions = new Map<string, Set<number>>()
  readonly #wholeGroups = new Set<string>()

  /** What of it was not asked for before. Null: all of the group. */
  news(groupId: string, topics: readonly AskedTopic[] | null): readonly AskedTopic[] | null {
    if (topics !== null) {
      return topics.map(({ name, partitionIndexes }) => ({
        name,
        partitionIndexes: this.#newPartitions(`${groupId}\0${name}`, partitionIndexes),
      }))
    }
    if (this.#wholeGroups.has(groupId)) return []
    this.#wholeGroups.add(groupId)
    return null
  }

  #newPartitions(topic: string, partitionIndexes: readonly number[]): readonly number[] {
    const asked = this.#partitions.get(topic) ?? new Set()
    this.#partitions.set(topic, asked)
    return partitionIndexes.filter((index) => !asked.has(index) && asked.add(index))
  }
}

function fetchGroup(
  { broker }: RequestContext,
  groupId: string,
  topics: readonly AskedTopic[] | null,
): Fetched {
  const fetched = broker.groups.fetchOffsets({
    groupId,
    topics: topics?.map(({ name, partitionIndexes }) => ({ name, partitions: partitionIndexes })) ?? null,
  })
  return typeof fetched === 'number'
    ? { errorCode: fetched, topics: [] }
    : { errorCode: ErrorCode.NONE, topics: fetched }
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
