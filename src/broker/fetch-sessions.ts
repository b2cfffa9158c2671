import { ErrorCode } from '../../protocol/errors.ts'
import type { FetchRequest } from '../../protocol/messages/01-fetch.ts'
import type { Clock, Random } from '../ports.ts'

/**
 * Incremental fetch sessions (KIP-227): the broker remembers which partitions a consumer fetches and what it last
 * told about each, so that a fetch names only what changed and an answer holds only what is new.
 *
 * Bounded twice: by the number of sessions (Kafka's cache slots) and by the memory of all of them. A host may hold as
 * much as would be left if it held as much again, so one host gets half and others always find room. Who finds none
 * fetches without a session.
 */

/** Sessions not used for this long may be evicted by a newcomer (Kafka's min.incremental.fetch.session.eviction.ms). */
const EVICTION_MS = 120_000
/** Estimated; names count, as clients may ask for topics that do not exist and have long ones. */
const MAX_BYTES_OF_ALL_SESSIONS = 128 * 1024 * 1024
const PARTITION_BYTES = 250
const CHARACTER_BYTES = 2

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
  readonly host: string
  readonly usesTopicIds: boolean
  readonly partitions = new Map<string, FetchTarget>()
  epoch = 1
  lastUsedMs: number
  #bytes = 0

  constructor(id: number, host: string, usesTopicIds: boolean, nowMs: number) {
    this.id = id
    this.host = host
    this.usesTopicIds = usesTopicIds
    this.lastUsedMs = nowMs
  }

  get bytes(): number {
    return this.#bytes
  }

  add(target: FetchTarget): void {
    const key = keyOf(target)
    const known = this.partitions.get(key)
    if (known !== undefined) {
      adopt(known, target)
      return
    }
    this.partitions.set(key, target)
    this.#bytes += bytesOf(key)
  }

  forget(key: string): void {
    if (this.partitions.delete(key)) this.#bytes -= bytesOf(key)
  }
}

/** What all sessions, or those of one host, take up. */
class Holding {
  bytes = 0
  /** Least recently used first. */
  readonly sessions = new Map<number, FetchSession>()
}

export class FetchSessions {
  readonly #clock: Clock
  readonly #random: Random
  readonly #maxSessions: number
  readonly #all = new Holding()
  readonly #hosts = new Map<string, Holding>()

  constructor(clock: Clock, random: Random, maxSessions: number) {
    this.#clock = clock
    this.#random = random
    this.#maxSessions = maxSessions
  }

  get size(): number {
    return this.#all.sessions.size
  }

  get bytes(): number {
    return this.#all.bytes
  }

  /** What this request fetches, or the error code that answers it as a whole. */
  resolve(request: FetchRequest, apiVersion: number, host: string): FetchContext | ErrorCode {
    const { sessionId, sessionEpoch } = request
    if (apiVersion < 7 || sessionEpoch === FINAL_EPOCH) {
      if (apiVersion >= 7 && sessionId !== SESSIONLESS_ID) this.#remove(sessionId)
      return { targets: targetsOf(request), sessionId: SESSIONLESS_ID, incremental: false }
    }
    if (sessionEpoch === INITIAL_EPOCH) {
      if (sessionId !== SESSIONLESS_ID) this.#remove(sessionId)
      return this.#open(request, apiVersion >= 13, host)
    }
    return this.#continue(request, apiVersion >= 13)
  }

  /** Partitions that returned data go to the end, so that a small byte limit does not starve the others. */
  moveToEnd(context: FetchContext, served: readonly FetchTarget[]): void {
    const session = this.#all.sessions.get(context.sessionId)
    if (session === undefined) return
    for (const target of served) {
      const key = keyOf(target)
      if (session.partitions.get(key) !== target) continue
      session.partitions.delete(key)
      session.partitions.set(key, target)
    }
  }

  #open(request: FetchRequest, usesTopicIds: boolean, host: string): FetchContext {
    const targets = targetsOf(request)
    const nowMs = this.#clock.monotonicMs()
    const session = new FetchSession(this.#freshId(), host, usesTopicIds, nowMs)
    for (const target of targets) session.add(target)
    if (!this.#makeRoom(session, nowMs)) {
      return { targets, sessionId: SESSIONLESS_ID, incremental: false }
    }
    this.#keep(session)
    return { targets: [...session.partitions.values()], sessionId: session.id, incremental: false }
  }

  #continue(request: FetchRequest, usesTopicIds: boolean): FetchContext | ErrorCode {
    const session = this.#all.sessions.get(request.sessionId)
    if (session === undefined) return ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    if (session.epoch !== request.sessionEpoch) return ErrorCode.INVALID_FETCH_SESSION_EPOCH
    if (session.usesTopicIds !== usesTopicIds) return ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR
    if (!this.#update(session, request)) {
      this.#remove(session.id)
      return ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    }
    session.epoch = epochAfter(session.epoch)
    if (session.partitions.size === 0) {
      this.#remove(session.id)
      return { targets: [], sessionId: SESSIONLESS_ID, incremental: false }
    }
    this.#used(session)
    return { targets: [...session.partitions.values()], sessionId: session.id, incremental: true }
  }

  /** False when the session would outgrow the cache. */
  #update(session: FetchSession, request: FetchRequest): boolean {
    const before = session.bytes
    for (const target of targetsOf(request)) session.add(target)
    for (const forgotten of request.forgottenTopicsData) {
      for (const partition of forgotten.partitions) {
        session.forget(`${forgotten.topic}/${forgotten.topicId}/${partition}`)
      }
    }
    const grownBytes = session.bytes - before
    for (const holding of this.#holdingsOf(session.host)) holding.bytes += grownBytes
    return grownBytes <= 0 || this.#leftBytes(session.host) >= 0
  }

  #makeRoom(session: FetchSession, nowMs: number): boolean {
    while (this.#leftSessions(session.host) < 1 || this.#leftBytes(session.host) < session.bytes) {
      const [host, all] = this.#holdingsOf(session.host)
      // Who holds the better part of all makes room by its own.
      const holding = host.sessions.size * 2 >= all.sessions.size && host.sessions.size > 0 ? host : all
      const oldest = holding.sessions.values().next().value
      if (oldest === undefined || nowMs - oldest.lastUsedMs < EVICTION_MS) return false
      this.#remove(oldest.id)
    }
    return true
  }

  #leftSessions(host: string): number {
    return this.#holdingsOf(host).reduce((left, { sessions }) => left - sessions.size, this.#maxSessions)
  }

  #leftBytes(host: string): number {
    return this.#holdingsOf(host).reduce((left, { bytes }) => left - bytes, MAX_BYTES_OF_ALL_SESSIONS)
  }

  #holdingsOf(host: string): readonly [Holding, Holding] {
    return [this.#hosts.get(host) ?? new Holding(), this.#all]
  }

  #keep(session: FetchSession): void {
    const holdings = this.#holdingsOf(session.host)
    this.#hosts.set(session.host, holdings[0])
    for (const holding of holdings) {
      holding.sessions.set(session.id, session)
      holding.bytes += session.bytes
    }
  }

  /** It is the last to go. */
  #used(session: FetchSession): void {
    session.lastUsedMs = this.#clock.monotonicMs()
    for (const { sessions } of this.#holdingsOf(session.host)) {
      sessions.delete(session.id)
      sessions.set(session.id, session)
    }
  }

  #remove(id: number): void {
    const session = this.#all.sessions.get(id)
    if (session === undefined) return
    const holdings = this.#holdingsOf(session.host)
    for (const holding of holdings) {
      holding.sessions.delete(id)
      holding.bytes -= session.bytes
    }
    if (holdings[0].sessions.size === 0) this.#hosts.delete(session.host)
  }

  #freshId(): number {
    for (;;) {
      const id = this.#random.uint32() >>> 1
      if (id !== SESSIONLESS_ID && !this.#all.sessions.has(id)) return id
    }
  }
}

/** It wraps past the two epochs that open and end a session (KIP-227). */
export function epochAfter(epoch: number): number {
  return epoch === MAX_EPOCH ? INITIAL_EPOCH + 1 : epoch + 1
}

function keyOf(target: FetchTarget): string {
  return `${target.topic}/${target.topicId}/${target.partition}`
}

function bytesOf(key: string): number {
  return PARTITION_BYTES + key.length * CHARACTER_BYTES
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
