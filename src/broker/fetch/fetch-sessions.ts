import type { Steps } from '../../../protocol/compile.ts'
import { ErrorCode } from '../../../protocol/errors.ts'
import type { FetchRequest } from '../../../protocol/messages/01-fetch.ts'
import type { Clock, Random } from '../../ports.ts'

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
  /** Of the follower's log; -1 for consumers. */
  logStartOffset: number
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
  /** Of its bytes, what counts among those of its host and of all. */
  countedBytes = 0
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

/** A request on its way into the session that it opens or continues, if any. It may take several turns. */
interface Entry {
  /** Null: it fetches what it names. */
  readonly session: FetchSession | null
  readonly targets: FetchTarget[]
  readonly incremental: boolean
}

/** What all sessions, or those of one host, take up. */
class Holding {
  bytes = 0
  /** In no order of use: each fetch would take one out and put it back, and a Map makes its table anew for that. */
  readonly sessions = new Map<number, FetchSession>()

  /** Undefined: it has none. */
  leastRecentlyUsed(): FetchSession | undefined {
    let oldest: FetchSession | undefined
    for (const session of this.sessions.values())
      if (oldest === undefined || session.lastUsedMs < oldest.lastUsedMs) oldest = session
    return oldest
  }
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

  /**
   * Partitions that answering takes into account: those that the request names, and those that its session remembers. A
   * session may be continued from any connection, with a request that names none.
   */
  partitionsOf(request: FetchRequest, apiVersion: number): number {
    let partitions = 0
    for (const topic of request.topics) partitions += topic.partitions.length
    for (const topic of request.forgottenTopicsData) partitions += topic.partitions.length
    if (apiVersion < 7 || request.sessionEpoch === FINAL_EPOCH || request.sessionEpoch === INITIAL_EPOCH)
      return partitions
    return partitions + (this.#all.sessions.get(request.sessionId)?.partitions.size ?? 0)
  }

  /** What this request fetches, or the error code that answers it as a whole. */
  resolve(request: FetchRequest, apiVersion: number, host: string): FetchContext | ErrorCode {
    const entry = this.#enter(request, apiVersion, host)
    if (typeof entry === 'number') return entry
    for (const topic of request.topics) {
      for (const partition of topic.partitions) add(entry, targetOf(topic, partition))
    }
    for (const topic of request.forgottenTopicsData) {
      for (const partition of topic.partitions) forget(entry, topic, partition)
    }
    return this.#entered(entry)
  }

  /** As `resolve`, for requests of very many partitions. */
  *resolveInSteps(request: FetchRequest, apiVersion: number, host: string): Steps<FetchContext | ErrorCode> {
    const entry = this.#enter(request, apiVersion, host)
    if (typeof entry === 'number') return entry
    for (const topic of request.topics) {
      for (const partition of topic.partitions) {
        add(entry, targetOf(topic, partition))
        yield
      }
    }
    for (const topic of request.forgottenTopicsData) {
      for (const partition of topic.partitions) {
        forget(entry, topic, partition)
        yield
      }
    }
    return this.#entered(entry)
  }

  /** A partition that returned data where another found no room goes to the end, so that the limit starves nobody. */
  moveToEnd(sessionId: number, served: FetchTarget): void {
    const session = this.#all.sessions.get(sessionId)
    if (session === undefined) return
    const key = keyOf(served)
    if (session.partitions.get(key) !== served) return
    session.partitions.delete(key)
    session.partitions.set(key, served)
  }

  #enter(request: FetchRequest, apiVersion: number, host: string): Entry | ErrorCode {
    const { sessionId, sessionEpoch } = request
    const endsOne = sessionEpoch === FINAL_EPOCH || sessionEpoch === INITIAL_EPOCH
    if (apiVersion >= 7 && endsOne && sessionId !== SESSIONLESS_ID) this.#remove(sessionId)
    if (apiVersion < 7 || sessionEpoch === FINAL_EPOCH)
      return { session: null, targets: [], incremental: false }
    const usesTopicIds = apiVersion >= 13
    if (sessionEpoch === INITIAL_EPOCH) {
      const session = new FetchSession(this.#freshId(), host, usesTopicIds, this.#clock.monotonicMs())
      return { session, targets: [], incremental: false }
    }
    const session = this.#all.sessions.get(sessionId)
    if (session === undefined) return ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    if (session.epoch !== sessionEpoch) return ErrorCode.INVALID_FETCH_SESSION_EPOCH
    if (session.usesTopicIds !== usesTopicIds) return ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR
    session.epoch = epochAfter(session.epoch)
    return { session, targets: [], incremental: true }
  }

  #entered({ session, targets, incremental }: Entry): FetchContext | ErrorCode {
    if (session === null) return { targets, sessionId: SESSIONLESS_ID, incremental }
    return incremental ? this.#continued(session) : this.#opened(session)
  }

  #opened(session: FetchSession): FetchContext {
    const isKept = this.#makeRoom(session, this.#clock.monotonicMs())
    if (isKept) this.#keep(session)
    const sessionId = isKept ? session.id : SESSIONLESS_ID
    return { targets: [...session.partitions.values()], sessionId, incremental: false }
  }

  #continued(session: FetchSession): FetchContext | ErrorCode {
    // It may have gone meanwhile.
    if (this.#all.sessions.get(session.id) !== session) return ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    if (!this.#count(session)) {
      this.#remove(session.id)
      return ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    }
    if (session.partitions.size === 0) {
      this.#remove(session.id)
      return { targets: [], sessionId: SESSIONLESS_ID, incremental: false }
    }
    session.lastUsedMs = this.#clock.monotonicMs()
    return { targets: [...session.partitions.values()], sessionId: session.id, incremental: true }
  }

  /** False when the session has outgrown the cache. */
  #count(session: FetchSession): boolean {
    const grownBytes = session.bytes - session.countedBytes
    session.countedBytes = session.bytes
    for (const holding of this.#holdingsOf(session.host)) holding.bytes += grownBytes
    return grownBytes <= 0 || this.#leftBytes(session.host) >= 0
  }

  #makeRoom(session: FetchSession, nowMs: number): boolean {
    while (this.#leftSessions(session.host) < 1 || this.#leftBytes(session.host) < session.bytes) {
      const [host, all] = this.#holdingsOf(session.host)
      // Who holds the better part of all makes room by its own.
      const holding = host.sessions.size * 2 >= all.sessions.size && host.sessions.size > 0 ? host : all
      const oldest = holding.leastRecentlyUsed()
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
    for (const holding of holdings) holding.sessions.set(session.id, session)
    this.#count(session)
  }

  #remove(id: number): void {
    const session = this.#all.sessions.get(id)
    if (session === undefined) return
    const holdings = this.#holdingsOf(session.host)
    for (const holding of holdings) {
      holding.sessions.delete(id)
      holding.bytes -= session.countedBytes
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
  // A follower that begins anew has dropped what it was told before.
  if (known.currentLeaderEpoch !== asked.currentLeaderEpoch) known.sentHighWatermark = -1
  known.currentLeaderEpoch = asked.currentLeaderEpoch
  known.fetchOffset = asked.fetchOffset
  known.lastFetchedEpoch = asked.lastFetchedEpoch
  known.logStartOffset = asked.logStartOffset
  known.partitionMaxBytes = asked.partitionMaxBytes
}

type RequestedTopic = FetchRequest['topics'][number]
type RequestedPartition = RequestedTopic['partitions'][number]
type ForgottenTopic = FetchRequest['forgottenTopicsData'][number]

function add({ session, targets }: Entry, target: FetchTarget): void {
  if (session === null) targets.push(target)
  else session.add(target)
}

function forget(
  { session, incremental }: Entry,
  { topic, topicId }: ForgottenTopic,
  partition: number,
): void {
  if (incremental) session?.forget(`${topic}/${topicId}/${partition}`)
}

function targetOf({ topic, topicId }: RequestedTopic, partition: RequestedPartition): FetchTarget {
  return {
    topic,
    topicId,
    partition: partition.partition,
    currentLeaderEpoch: partition.currentLeaderEpoch,
    fetchOffset: partition.fetchOffset,
    lastFetchedEpoch: partition.lastFetchedEpoch,
    logStartOffset: partition.logStartOffset,
    partitionMaxBytes: partition.partitionMaxBytes,
    sentHighWatermark: -1,
    sentLogStartOffset: -1,
  }
}
