import { ErrorCode, errorName } from '../../../protocol/errors.ts'
import { fetchRequest, fetchResponse } from '../../../protocol/messages/01-fetch.ts'
import type { FetchResponse } from '../../../protocol/messages/01-fetch.ts'
import { listOffsetsRequest, listOffsetsResponse } from '../../../protocol/messages/02-list-offsets.ts'
import {
  offsetForLeaderEpochRequest,
  offsetForLeaderEpochResponse,
} from '../../../protocol/messages/23-offset-for-leader-epoch.ts'
import type { FollowerCore } from '../../core/replication/follower.ts'
import type { GatheredLines } from '../../metadata/gathered-lines.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import type { Clock, Counter, Timer, World } from '../../ports.ts'
import type { BrokerLink } from '../../wire/broker-link.ts'
import { LinkError } from '../../wire/link-error.ts'
import type { Partition } from '../partition.ts'
import { ReplicaFetcherLink } from './replica-fetcher-link.ts'
import { FollowedPartition, keyOf } from './replica-fetcher-partition.ts'
import type { Condition, FollowedOwner } from './replica-fetcher-partition.ts'
import { ReplicaFetcherSession } from './replica-fetcher-session.ts'

const fetch = { request: fetchRequest, response: fetchResponse, version: 17 } as const
const listOffsets = { request: listOffsetsRequest, response: listOffsetsResponse, version: 9 } as const
const offsetForLeaderEpoch = {
  request: offsetForLeaderEpochRequest,
  response: offsetForLeaderEpochResponse,
  version: 4,
} as const
const EARLIEST = -2

/** So long the next fetch waits for the writes of the last one: others must not wait for a disk that is slow. */
const PATIENCE_MS = 100
/** Then the leader is not to hold fetches for long, or it would hear of what was written late. */
const SHORT_WAIT_MS = 50
/** A fetch that is not answered by then is held by the leader until there are records. */
const PARKED_MS = 20
/** A leader whose last partition went may get another one at once. */
const LINGER_MS = 1_000

/** The leader does not know the session (any more), or not as this broker knows it. */
const SESSION_ERRORS: ReadonlySet<number> = new Set<ErrorCode>([
  ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
  ErrorCode.INVALID_FETCH_SESSION_EPOCH,
  ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR,
])

export interface FetcherParts {
  readonly world: World
  readonly metadata: Metadata
  readonly lines: GatheredLines
  readonly receivedBytes: Counter
  readonly refuses: (directory: string) => boolean
}

/**
 * Follows one leader with some of the partitions that it leads, over one connection, with one Fetch at a time.
 *
 * A fetch says how far everything is written, and the leader may hold it until there is more. So the next one is sent when
 * the writes of the last answer are done: what the leader commits by it costs one round trip and one write, and never has
 * to wait for the end of a long poll.
 */
export class ReplicaFetcher implements FollowedOwner {
  readonly leader: number
  readonly lines: GatheredLines
  readonly clock: Clock
  readonly #parts: FetcherParts
  readonly #link: ReplicaFetcherLink
  readonly #session = new ReplicaFetcherSession()
  readonly #followed = new Map<string, FollowedPartition>()
  readonly #idle: () => void
  /** How many of them are in each condition. */
  readonly #counts: Record<Condition, number> = { ready: 0, busy: 0, resting: 0 }
  /** Of the busy ones, those that a fetch did not wait for: the next ones do not either. */
  readonly #slow = new Set<FollowedPartition>()
  readonly #ends: FollowedPartition[] = []
  #ended = false
  /** Which fetch is under way; 0 for none. */
  #underWay = 0
  #fetches = 0
  /** It does not ask for all that it should. */
  #tooLong = 0
  #hurryTimer: Timer | null = null
  #wake: (() => void) | null = null

  /** `idle`: it has nothing to do any more, and has ended. */
  constructor(parts: FetcherParts, leader: number, idle: () => void) {
    const { world, metadata } = parts
    this.#parts = parts
    this.leader = leader
    this.clock = world.clock
    this.lines = parts.lines
    this.#idle = idle
    this.#link = new ReplicaFetcherLink(world, metadata, leader)
    void this.#run()
  }

  get backoffMs(): number {
    return this.#parts.metadata.config['replica.fetch.backoff.ms']
  }

  /** `before`: when it resolves, whoever fetched for it before leaves its log alone. */
  add(partition: Partition, core: FollowerCore, before: Promise<void>): FollowedPartition {
    const followed = new FollowedPartition(this, partition, core)
    this.#followed.set(followed.key, followed)
    this.#counts[followed.condition] += 1
    void before.then(() => followed.begin())
    this.#hurry()
    return followed
  }

  /**
   * Whoever waits for the high watermark of a new leader waits for this broker's first fetch of the partition, which must not
   * wait for the end of a long poll. A fetch cannot be taken back, but a connection can be given up.
   */
  #hurry(): void {
    if (this.#underWay === 0) return
    this.#tooLong = this.#underWay
    this.#hurryTimer ??= this.clock.after(PARKED_MS, () => {
      this.#hurryTimer = null
      if (this.#tooLong === this.#underWay && !this.#ended) this.#link.giveUp()
    })
  }

  /** Resolves when its log is left alone. */
  remove(followed: FollowedPartition): Promise<void> {
    if (this.#followed.get(followed.key) === followed) {
      this.#followed.delete(followed.key)
      this.#counts[followed.condition] -= 1
      this.#slow.delete(followed)
      this.#session.left(followed)
      this.#changed()
    }
    return followed.leave()
  }

  /** Resolves when all logs are left alone. */
  async close(): Promise<void> {
    const quiet = [...this.#followed.values()].map((followed) => this.remove(followed))
    this.#end()
    await Promise.all(quiet)
  }

  // ------------------------------------------------------------------------------------------- what partitions tell

  became(followed: FollowedPartition, before: Condition): void {
    this.#counts[before] -= 1
    this.#counts[followed.condition] += 1
    this.#slow.delete(followed)
    this.#changed()
  }

  refuses({ log }: Partition): boolean {
    return this.#parts.refuses(log.directory)
  }

  askForEnds(followed: FollowedPartition): void {
    this.#ends.push(followed)
  }

  received(bytes: number): void {
    this.#parts.receivedBytes.add(bytes)
  }

  // ------------------------------------------------------------------------------------------------------- fetching

  async #run(): Promise<void> {
    while (!this.#ended) {
      try {
        if (await this.#somethingToFetch()) await this.#fetchOn(await this.#link.open())
      } catch (error) {
        if (!(error instanceof LinkError)) throw error
        this.#underWay = 0
        this.#link.lost(error)
        if (!this.#ended) await this.#sleep(this.#link.waitMs)
      }
    }
  }

  /** Until the connection is lost (rejects with a LinkError), or should be another one. */
  async #fetchOn(link: BrokerLink): Promise<void> {
    this.#session.beginAnew()
    while (await this.#somethingToFetch()) {
      if (!this.#link.isCurrent) return
      this.#underWay = ++this.#fetches
      const response = await link.send(fetch, this.#request())
      this.#underWay = 0
      this.#link.works()
      this.#answered(response)
      for (const followed of this.#ends.splice(0)) void this.#askForEnds(link, followed)
    }
  }

  /** False: it has ended. */
  async #somethingToFetch(): Promise<boolean> {
    const counts = this.#counts
    const sinceMs = this.clock.monotonicMs()
    while (!this.#ended) {
      const patienceMs = sinceMs + PATIENCE_MS - this.clock.monotonicMs()
      if (counts.ready > 0 && counts.busy === this.#slow.size) return true
      if (counts.ready > 0 && patienceMs <= 0) this.#goOnWithoutBusy()
      else if (counts.ready > 0) await this.#change(patienceMs)
      else if (this.#followed.size > 0) await this.#change(Infinity)
      else if (!(await this.#change(LINGER_MS))) this.#end()
    }
    return false
  }

  #goOnWithoutBusy(): void {
    for (const followed of this.#followed.values())
      if (followed.condition === 'busy') this.#slow.add(followed)
  }

  #request() {
    const { nodeId, brokerEpoch, config } = this.#parts.metadata
    const session = this.#session.request(this.#followed, config['replica.fetch.max.bytes'])
    return {
      ...session,
      replicaState: { replicaId: nodeId, replicaEpoch: brokerEpoch },
      maxWaitMs: Math.min(config['replica.fetch.wait.max.ms'], this.#untilNewsMs()),
      minBytes: config['replica.fetch.min.bytes'],
      maxBytes: config['replica.fetch.response.max.bytes'],
    }
  }

  /** Until there may be something to tell that this fetch does not say. */
  #untilNewsMs(): number {
    let waitMs = this.#counts.busy > 0 ? SHORT_WAIT_MS : Infinity
    if (this.#counts.resting === 0) return waitMs
    const nowMs = this.clock.monotonicMs()
    for (const { condition, restsUntilMs } of this.#followed.values())
      if (condition === 'resting') waitMs = Math.min(waitMs, restsUntilMs - nowMs)
    return Math.max(1, Math.ceil(waitMs))
  }

  #answered(response: FetchResponse): void {
    const { errorCode, responses } = response
    if (SESSION_ERRORS.has(errorCode)) return this.#session.beginAnew()
    if (errorCode !== ErrorCode.NONE) throw new LinkError('closed', `it answers ${errorName(errorCode)}`)
    this.#session.answered(response)
    for (const { topicId, partitions } of responses)
      for (const data of partitions) this.#followed.get(keyOf(topicId, data.partitionIndex))?.answered(data)
  }

  /** Nothing of what was asked for is there. */
  async #askForEnds(link: BrokerLink, followed: FollowedPartition): Promise<void> {
    const { topic, index } = followed.partition
    const { leaderEpoch } = followed.core
    const asked = { currentLeaderEpoch: leaderEpoch }
    const { nodeId } = this.#parts.metadata
    try {
      const [start, end] = await Promise.all([
        link.send(listOffsets, {
          replicaId: nodeId,
          isolationLevel: 0,
          topics: [{ name: topic, partitions: [{ ...asked, partitionIndex: index, timestamp: EARLIEST }] }],
        }),
        // It has assigned its epoch, and that ends where its log does.
        link.send(offsetForLeaderEpoch, {
          replicaId: nodeId,
          topics: [{ topic, partitions: [{ ...asked, partition: index, leaderEpoch }] }],
        }),
      ])
      const startOffset = start.topics[0]?.partitions[0]?.offset ?? -1
      const endOffset = end.topics[0]?.partitions[0]?.endOffset ?? -1
      const isKnown = startOffset >= 0 && endOffset >= 0
      followed.endsAnswered(isKnown ? { startOffset, endOffset } : null)
    } catch (error) {
      if (!(error instanceof LinkError)) throw error
      followed.endsAnswered(null)
    }
  }

  #end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#hurryTimer?.cancel()
    this.#link.close()
    this.#changed()
    this.#idle()
  }

  // ---------------------------------------------------------------------------------------------------------- waiting

  #changed(): void {
    this.#wake?.()
  }

  /** Resolves when a partition changes (true), or it has not within that time. */
  #change(withinMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      let timer: Timer | null = null
      const end = (hasChanged: boolean): void => {
        timer?.cancel()
        this.#wake = null
        resolve(hasChanged)
      }
      if (withinMs < Infinity) timer = this.clock.after(withinMs, () => end(false))
      this.#wake = () => end(true)
    })
  }

  /** Also until it ends. */
  async #sleep(delayMs: number): Promise<void> {
    const untilMs = this.clock.monotonicMs() + delayMs
    for (let leftMs = delayMs; leftMs > 0 && !this.#ended;) {
      await this.#change(leftMs)
      leftMs = untilMs - this.clock.monotonicMs()
    }
  }
}
