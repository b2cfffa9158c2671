import type { FetchRequest, FetchResponse } from '../../../protocol/messages/01-fetch.ts'
import type { FollowerRequest } from '../../core/replication/follower.ts'
import type { FollowedPartition } from './replica-fetcher-partition.ts'
import { epochAfter } from '../fetch/fetch-sessions.ts'

const SESSIONLESS_ID = 0
const INITIAL_EPOCH = 0
const NOTHING: readonly Open<number>[] = []

interface Named extends FollowerRequest {
  readonly partition: number
  readonly partitionMaxBytes: number
}

/** The part of a Fetch that depends on what the leader remembers. */
type SessionRequest = Pick<FetchRequest, 'sessionId' | 'sessionEpoch'> & {
  readonly topics: readonly Open<Named>[]
  readonly forgottenTopicsData: readonly Open<number>[]
}

interface Open<Partition> {
  readonly topic: string
  readonly topicId: string
  readonly partitions: Partition[]
}

/**
 * What the leader remembers of a follower's fetches (KIP-227): the first request names all partitions, the next ones only
 * those of which something else is to be told, and those that are not to be fetched now. One connection has one of them.
 */
export class ReplicaFetcherSession {
  #id = SESSIONLESS_ID
  #epoch = INITIAL_EPOCH
  /** The leader would go on to fetch them. */
  readonly #toForget = new Map<string, FollowedPartition>()

  /** It is not followed here any more. */
  left(followed: FollowedPartition): void {
    if (followed.told === null) return
    followed.told = null
    this.#toForget.set(followed.key, followed)
  }

  /** `all`: by their keys. `maxBytes`: of each. */
  request(all: ReadonlyMap<string, FollowedPartition>, maxBytes: number): SessionRequest {
    // Of one that is followed anew the leader believes to have told what nobody heard any more.
    for (const key of this.#toForget.keys()) if (all.get(key)?.condition === 'ready') this.beginAnew()
    const isFull = this.#epoch === INITIAL_EPOCH
    if (isFull) this.#toForget.clear()
    const topics: Open<Named>[] = []
    for (const followed of all.values()) {
      const before = isFull ? null : followed.told
      if (followed.condition === 'ready') {
        const next = followed.next(before)
        if (next !== before) openTopic(topics, followed).partitions.push(named(followed, next, maxBytes))
        followed.told = next
      } else {
        if (before !== null) this.#toForget.set(followed.key, followed)
        followed.told = null
      }
    }
    return { sessionId: this.#id, sessionEpoch: this.#epoch, topics, forgottenTopicsData: this.#forgotten() }
  }

  #forgotten(): readonly Open<number>[] {
    // Even of an empty Map `clear` makes a new table, with every fetch.
    if (this.#toForget.size === 0) return NOTHING
    const topics: Open<number>[] = []
    for (const followed of this.#toForget.values())
      openTopic(topics, followed).partitions.push(followed.partition.index)
    this.#toForget.clear()
    return topics
  }

  answered({ sessionId }: FetchResponse): void {
    if (sessionId === SESSIONLESS_ID) {
      this.#id = SESSIONLESS_ID
      this.#epoch = INITIAL_EPOCH
    } else {
      this.#id = sessionId
      this.#epoch = epochAfter(this.#epoch)
    }
  }

  /** The next request names everything; what the leader may remember under the old id goes with it. */
  beginAnew(): void {
    this.#epoch = INITIAL_EPOCH
  }
}

/** What is named twice in a row lies in one topic; elsewhere a topic may be named again. */
function openTopic<T>(topics: Open<T>[], { partition }: FollowedPartition): Open<T> {
  const last = topics.at(-1)
  if (last !== undefined && last.topicId === partition.topicId) return last
  const opened: Open<T> = { topic: '', topicId: partition.topicId, partitions: [] }
  topics.push(opened)
  return opened
}

function named({ partition }: FollowedPartition, next: FollowerRequest, maxBytes: number): Named {
  return { partition: partition.index, partitionMaxBytes: maxBytes, ...next }
}
