import { ErrorCode } from '../../protocol/errors.ts'
import type { FetchRequest } from '../../protocol/messages/01-fetch.ts'
import type { Clock, Random } from '../ports.ts'

/**
 * Incremental fetch sessions (KIP-227): the broker remembers which partitions a consumer fetches and what it last
 * told about each, so that a fetch names only what changed and an answer holds only what is new.
 *
 * Bounded twice: by the number of sessions (Kafka's cache slots) and by the partitions remembered in all of them.
 */

/** Sessions not used for this long may be evicted by a newcomer (Kafka's min.incremental.fetch.session.eviction.ms). */
const EVICTION_MS = 120_000
const MAX_PARTITIONS_IN_ALL_SESSIONS = 500_000

const SESSIONLESS_ID = 0
const FINAL_EPOCH = -1
const INITIAL_EPOCH = 0
const MAX_EPOCH = 2 ** 31 - 1

/** One partition to fetch, as the client asked for it. Lives as long as its session, else as long as its request. */
export interface FetchTarget {
  /** Empty in requests that name topics by id (v13). */
  readonly topic: string
  readonly topicId: string
  readonly partition: number
  currentLeaderEpoch: number
  fetchOffset: number
  lastFetchedEpoch: number
  partitionMaxBytes: number
  /** What the last answer of the session said; -1 before the first. */
  sentHighWatermark: number
  sentLogStartOffset: number
}

export interface FetchContext {
  /** In the order they are served. */
  readonly targets: FetchTarget[]
  /** Id to put into the answer; 0 without a session. */
  readonly sessionId: number
  /** The answer may leave out partitions without news. */
  readonly incremental: boolean
}

class FetchSession {
  readonly id: number
  readonly usesTopicIds: boolean
  readonly partitions = new Map<string, FetchTarget>()
  epoch = 1
  lastUsedMs: number

  constructor(id: number, usesTopicIds: boolean, nowMs: number) {
    this.id = id
    this.usesTopicIds = usesTopicIds
    this.lastUsedMs = nowMs
  }
}

export class FetchSessions {
  readonly #clock: Clock
  readonly #random: Random
  readonly #maxSessions: number
  /** Least recently used first. */
  readonly #sessions = new Map<number, FetchSession>()
  #partitionCount = 0

  constructor(clock: Clock, random: Random, maxSessions: number) {
    this.#clock = clock
    this.#random = random
    this.#maxSessions = maxSessions
  }

  get size(): number {
    return this.#sessions.size
  }

  get partitionCount(): number {
    return this.#partitionCount
  }

  /** What this request fetches, or the error code that answers it as a whole. */
  resolve(request: FetchRequest, apiVersion: number): FetchContext | ErrorCode {
    const { sessionId, sessionEpoch } = request
    if (apiVersion < 7 || sessionEpoch === FINAL_EPOCH) {
      if (apiVersion >= 7 && sessionId !== SESSIONLESS_ID) this.#remove(sessionId)
      return { targets: targetsOf(request), sessionId: SESSIONLESS_ID, incremental: false }
    }
    if (sessionEpoch === INITIAL_EPOCH) {
      if (sessionId !== SESSIONLESS_ID) this.#remove(sessionId)
      return this.#open(request, apiVersion >= 13)
    }
    return this.#continue(request, apiVersion >= 13)
  }

  /** Partitions that returned data go to the end, so that a small byte limit does not starve the others. */
  moveToEnd(context: FetchContext, served: readonly FetchTarget[]): void {
    const session = this.#sessions.get(context.sessionId)
    if (session === undefined) return
    for (const target of served) {
      const key = keyOf(target)
      if (session.partitions.get(key) !== target) continue
      session.partitions.delete(key)
      session.partitions.set(key, target)
    }
  }

  #open(request: FetchRequest, usesTopicIds: boolean): FetchContext {
    const targets = targetsOf(request)
    const nowMs = this.#clock.monotonicMs()
    if (targets.length === 0 || !this.#makeRoom(targets.length, nowMs)) {
      return { targets, sessionId: SESSIONLESS_ID, incremental: false }
    }
    const session = new FetchSession(this.#freshId(), usesTopicIds, nowMs)
    for (const target of targets) session.partitions.set(keyOf(target), target)
    this.#partitionCount += session.partitions.size
    this.#sessions.set(session.id, session)
    return { targets: [...session.partitions.values()], sessionId: session.id, incremental: false }
  }

  #continue(request: FetchRequest, usesTopicIds: boolean): FetchContext | ErrorCode {
    const session = this.#sessions.get(request.sessionId)
    if (session === undefined) return ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    if (session.epoch !== request.sessionEpoch) return ErrorCode.INVALID_FETCH_SESSION_EPOCH
    if (session.usesTopicIds !== usesTopicIds) return ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR
    if (!this.#update(session, request)) {
      this.#remove(session.id)
      return ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    }
    session.epoch = session.epoch === MAX_EPOCH ? 1 : session.epoch + 1
    session.lastUsedMs = this.#clock.monotonicMs()
    this.#sessions.delete(session.id)
    if (session.partitions.size === 0) {
      return { targets: [], sessionId: SESSIONLESS_ID, incremental: false }
    }
    this.#sessions.set(session.id, session)
    return { targets: [...session.partitions.values()], sessionId: session.id, incremental: true }
  }

  /** False when the session would outgrow the cache. */
  #update(session: FetchSession, request: FetchRequest): boolean {
    const before = session.partitions.size
    for (const target of targetsOf(request)) {
      const known = session.partitions.get(keyOf(target))
      if (known === undefined) session.partitions.set(keyOf(target), target)
      else adopt(known, target)
    }
    for (const forgotten of request.forgottenTopicsData) {
      for (const partition of forgotten.partitions) {
        session.partitions.delete(`${forgotten.topic}/${forgotten.topicId}/${partition}`)
      }
    }
    this.#partitionCount += session.partitions.size - before
    return this.#partitionCount <= MAX_PARTITIONS_IN_ALL_SESSIONS
  }

  #makeRoom(partitions: number, nowMs: number): boolean {
    if (this.#maxSessions === 0) return false
    while (
      this.#sessions.size >= this.#maxSessions ||
      this.#partitionCount + partitions > MAX_PARTITIONS_IN_ALL_SESSIONS
    ) {
      const oldest = this.#sessions.values().next().value
      if (oldest === undefined || nowMs - oldest.lastUsedMs < EVICTION_MS) return false
      this.#remove(oldest.id)
    }
    return true
  }

  #remove(id: number): void {
    const session = this.#sessions.get(id)
    if (session === undefined) return
    this.#sessions.delete(id)
    this.#partitionCount -= session.partitions.size
  }

  #freshId(): number {
    for (;;) {
      const id = this.#random.uint32() >>> 1
      if (id !== SESSIONLESS_ID && !this.#sessions.has(id)) return id
    }
  }
}

function keyOf(target: FetchTarget): string {
  return `${target.topic}/${target.topicId}/${target.partition}`
}

function adopt(known: FetchTarget, asked: FetchTarget): void {
  known.currentLeaderEpoch = asked.currentLeaderEpoch
  known.fetchOffset = asked.fetchOffset
  known.lastFetchedEpoch = asked.lastFetchedEpoch
  known.partitionMaxBytes = asked.partitionMaxBytes
}

function targetsOf(request: FetchRequest): FetchTarget[] {
  const targets: FetchTarget[] = []
  for (const topic of request.topics) {
    for (const partition of topic.partitions) {
      targets.push({
        topic: topic.topic,
        topicId: topic.topicId,
        partition: partition.partition,
        currentLeaderEpoch: partition.currentLeaderEpoch,
        fetchOffset: partition.fetchOffset,
        lastFetchedEpoch: partition.lastFetchedEpoch,
        partitionMaxBytes: partition.partitionMaxBytes,
        sentHighWatermark: -1,
        sentLogStartOffset: -1,
      })
    }
  }
  return targets
}
