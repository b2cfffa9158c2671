import { ErrorCode } from '../../../protocol/errors.ts'
import { FollowerProgress } from './follower-progress.ts'
import { isActive, isNewer } from './partition-state.ts'
import type { BrokerView, PartitionState } from './partition-state.ts'

/** What a leader asks the controller for (AlterPartition, KIP-497). */
export interface IsrProposal {
  /** With the incarnation that is in sync (KIP-903): what one that is gone had fetched says nothing about the next. */
  readonly isr: readonly { readonly id: number; readonly epoch: number }[]
  readonly leaderEpoch: number
  readonly partitionEpoch: number
  readonly recovered: boolean
}

export interface LeaderOptions {
  readonly self: number
  readonly state: PartitionState
  readonly replicas: readonly number[]
  /** The own log holds everything below it under its flush promise. */
  readonly endOffset: number
  /** As the last checkpoint, or the follower that this broker was, knew it: a hint, true once it has passed `epochStartOffset`. */
  readonly highWatermark: number
  /** `replica.lag.time.max.ms` */
  readonly lagTimeMaxMs: number
  readonly broker: (id: number) => BrokerView | undefined
  readonly nowMs: number
}

/** What the caller has to do about it; it empties this. */
export interface LeaderOutbox {
  highWatermarkMoved: boolean
  proposal: IsrProposal | null
  /** A committed shrink: what waits for the high watermark fails now (NOT_ENOUGH_REPLICAS_AFTER_APPEND). */
  fellBelowMinIsr: boolean
}

/** Between two attempts to have somebody join whom the controller does not let, while brokers seem to be as they are. */
const REFUSED_MS = 500

/** The controller certainly did nothing. */
const NOT_APPLIED: ReadonlySet<number> = new Set<ErrorCode>([
  ErrorCode.INELIGIBLE_REPLICA,
  ErrorCode.OPERATION_NOT_ATTEMPTED,
])
/** Something newer is agreed on already, and on its way here. */
const NEWS_COME: ReadonlySet<number> = new Set<ErrorCode>([
  ErrorCode.NONE,
  ErrorCode.FENCED_LEADER_EPOCH,
  ErrorCode.INVALID_UPDATE_VERSION,
  ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ErrorCode.UNKNOWN_TOPIC_ID,
  ErrorCode.INVALID_REQUEST,
  ErrorCode.NEW_LEADER_ELECTED,
])

/**
 * What the leader of a partition decides: how far its records are committed, and who is in sync.
 *
 * All offsets are of what a log has *written* under its flush promise, on both sides. So with `flush.messages=1` a record
 * below the high watermark is on the device of every member of the ISR.
 *
 * While a change of the ISR is proposed nobody knows whether the controller has made it. So the high watermark waits for
 * all members of both, the *maximal* ISR; and it stands still while the *committed* ISR has fewer than `minIsr` members,
 * which is what makes those that left eligible for leadership (KIP-966).
 */
export class LeaderCore {
  readonly outbox: LeaderOutbox = { highWatermarkMoved: false, proposal: null, fellBelowMinIsr: false }
  readonly #self: number
  readonly #lagTimeMaxMs: number
  readonly #broker: (id: number) => BrokerView | undefined
  readonly #followers = new Map<number, FollowerProgress>()
  #committed: PartitionState
  /** The committed ISR, and who may have joined or not yet left it. */
  #maximalIsr: ReadonlySet<number>
  #pending: IsrProposal | null = null
  /** Until then what was answered, and must have changed something, is waited for; then it is asked again. */
  #newsDueMs = Infinity
  /** Nobody is asked for to join before, since the controller knows of one that it may not. */
  #refusedUntilMs = -Infinity
  #endOffset: number
  #highWatermark: number
  #epochStartOffset: number
  #nowMs: number
  /** The only replica, and it may commit: nothing to decide. */
  #isAlone = false

  constructor(options: LeaderOptions) {
    this.#self = options.self
    this.#lagTimeMaxMs = options.lagTimeMaxMs
    this.#broker = options.broker
    this.#committed = options.state
    this.#maximalIsr = new Set(options.state.isr)
    this.#endOffset = options.endOffset
    this.#epochStartOffset = options.endOffset
    this.#highWatermark = Math.min(options.highWatermark, options.endOffset)
    this.#nowMs = options.nowMs
    this.#assign(options.replicas)
    for (const follower of this.#followers.values())
      follower.beginTerm(this.#maximalIsr.has(follower.id), options.nowMs)
    this.#decide()
  }

  /** Never goes down while this leader epoch lasts. */
  get highWatermark(): number {
    return this.#highWatermark
  }

  /** Where this leader epoch began: below it the high watermark may be stale (OFFSET_NOT_AVAILABLE). */
  get epochStartOffset(): number {
    return this.#epochStartOffset
  }

  get committed(): PartitionState {
    return this.#committed
  }

  get maximalIsr(): ReadonlySet<number> {
    return this.#maximalIsr
  }

  /** What the controller was asked for and may do, or has done. */
  get pending(): IsrProposal | null {
    return this.#pending
  }

  /** The high watermark stands still, and acks=all is refused (NOT_ENOUGH_REPLICAS). */
  get underMinIsr(): boolean {
    return this.#committed.isr.length < this.#committed.minIsr
  }

  /** Undefined: not a replica. */
  progress(replica: number): FollowerProgress | undefined {
    return this.#followers.get(replica)
  }

  /** The own log has written everything below `endOffset`. */
  appended(endOffset: number): void {
    this.#endOffset = endOffset
    if (!this.#isAlone) return this.#moveHighWatermark()
    this.#highWatermark = endOffset
    this.outbox.highWatermarkMoved = true
  }

  /**
   * A follower asks for what comes at `fetchOffset`, and so says that it has written all before. Called before the read, or
   * what is appended meanwhile would make it lag. Nobody is believed to have what this leader has not written: one that was
   * ahead of it says so again, and of one that is wrong nothing counts that comes here later. Answers an error code.
   */
  followerFetched(
    replica: number,
    brokerEpoch: number,
    fetchOffset: number,
    logStartOffset: number,
    nowMs: number,
  ): ErrorCode {
    this.#nowMs = nowMs
    const follower = this.#followers.get(replica)
    if (follower === undefined) return ErrorCode.UNKNOWN_LEADER_EPOCH
    const known = this.#broker(replica)
    if (known !== undefined && brokerEpoch < known.epoch) return ErrorCode.STALE_BROKER_EPOCH
    const offset = Math.min(fetchOffset, this.#endOffset)
    follower.fetched(brokerEpoch, offset, logStartOffset, this.#endOffset, nowMs)
    this.#decide()
    return ErrorCode.NONE
  }

  /** A newer agreement, by the metadata or by the answer to a proposal, whichever comes first. */
  stateCommitted(state: PartitionState, replicas: readonly number[], nowMs: number): void {
    if (!isNewer(state, this.#committed)) return
    this.#nowMs = nowMs
    const before = this.#committed
    const wasUnderMin = this.underMinIsr
    const proposal = this.#pending
    this.#committed = state
    this.#pending = null
    this.#newsDueMs = Infinity
    this.#refusedUntilMs = -Infinity
    this.outbox.proposal = null
    this.#maximalIsr = new Set(state.isr)
    this.#assign(replicas)
    if (state.leaderEpoch !== before.leaderEpoch) this.#beginTerm(nowMs)
    else if (proposal !== null) this.#noteWhoLagged(before, proposal)
    this.#decide()
    if (this.underMinIsr && !wasUnderMin) this.outbox.fellBelowMinIsr = true
  }

  proposalAnswered(proposal: IsrProposal, errorCode: number): void {
    if (proposal !== this.#pending) return
    if (NEWS_COME.has(errorCode)) {
      this.#newsDueMs = this.#nowMs + this.#lagTimeMaxMs
      return
    }
    if (!NOT_APPLIED.has(errorCode)) {
      this.outbox.proposal = proposal
      return
    }
    this.#pending = null
    this.#refusedUntilMs = this.#nowMs + REFUSED_MS
    this.#maximalIsr = new Set(this.#committed.isr)
    this.#moveHighWatermark()
  }

  /** What is known of brokers has changed. */
  brokersChanged(nowMs: number): void {
    this.#nowMs = nowMs
    this.#refusedUntilMs = -Infinity
    this.#decide()
  }

  /** Every half of `lagTimeMaxMs`, while there are followers. */
  tick(nowMs: number): void {
    this.#nowMs = nowMs
    if (nowMs >= this.#newsDueMs) this.#askAgain()
    this.#shrink()
    this.#decide()
  }

  /** Whatever became of the news: what is agreed on already is answered so, and changes nothing. */
  #askAgain(): void {
    this.#newsDueMs = Infinity
    this.outbox.proposal = this.#pending
  }

  // ------------------------------------------------------------------------------------------------------- followers

  /** Of a replica that was taken away and came again nothing may be known from before: its log is another one. */
  #assign(replicas: readonly number[]): void {
    for (const id of this.#followers.keys()) if (!replicas.includes(id)) this.#followers.delete(id)
    for (const id of replicas)
      if (id !== this.#self && !this.#followers.has(id)) this.#followers.set(id, new FollowerProgress(id))
  }

  #beginTerm(nowMs: number): void {
    this.#epochStartOffset = this.#endOffset
    for (const follower of this.#followers.values())
      follower.beginTerm(this.#maximalIsr.has(follower.id), nowMs)
  }

  #noteWhoLagged(before: PartitionState, { isr }: IsrProposal): void {
    for (const id of before.isr)
      if (!this.#maximalIsr.has(id) && !isr.some((member) => member.id === id))
        this.#followers.get(id)?.lagged(this.#endOffset)
  }

  // ------------------------------------------------------------------------------------------------- high watermark

  #decide(): void {
    this.#isAlone = this.#followers.size === 0 && !this.underMinIsr && this.#maximalIsr.has(this.#self)
    this.#moveHighWatermark()
    this.#recover()
    this.#expand()
  }

  #moveHighWatermark(): void {
    if (this.underMinIsr) return
    let offset = this.#endOffset
    for (const follower of this.#followers.values())
      if (follower.endOffset < offset && this.#isWaitedFor(follower)) offset = follower.endOffset
    if (offset <= this.#highWatermark) return
    this.#highWatermark = offset
    this.outbox.highWatermarkMoved = true
  }

  /** Also who is about to join: it would have to run after the high watermark for ever. */
  #isWaitedFor(follower: FollowerProgress): boolean {
    if (this.#maximalIsr.has(follower.id)) return true
    return this.#mayEverJoin(follower) && !this.#lags(follower)
  }

  // ------------------------------------------------------------------------------------------------------------- ISR

  #expand(): void {
    const allAreIn = this.#maximalIsr.size > this.#followers.size
    if (allAreIn || this.#pending !== null || this.#committed.leaderRecoveryState === 1) return
    if (this.#nowMs < this.#refusedUntilMs) return
    const joining = [...this.#followers.values()].filter((follower) => this.#mayJoin(follower))
    if (joining.length === 0) return
    this.#maximalIsr = new Set([...this.#committed.isr, ...joining.map(({ id }) => id)])
    this.#propose([...this.#maximalIsr], false)
  }

  #mayJoin(follower: FollowerProgress): boolean {
    if (this.#maximalIsr.has(follower.id) || !this.#mayEverJoin(follower)) return false
    // It would leave at once: what its last fetch said was long ago.
    if (this.#lags(follower)) return false
    // What was committed in an earlier term may lie above a stale high watermark, but not above this.
    if (follower.endOffset < Math.max(this.#highWatermark, this.#epochStartOffset)) return false
    // A high watermark that stands still is soon reached by one that lags: it would join and leave, join and leave
    // (KAFKA-19996).
    return this.underMinIsr ? follower.keepsPace : follower.mayReturn(this.#nowMs, this.#lagTimeMaxMs / 2)
  }

  /** The incarnation that fetched is the one that is registered, and it is to stay. */
  #mayEverJoin(follower: FollowerProgress): boolean {
    const broker = this.#broker(follower.id)
    return follower.fetchedInTerm && isActive(broker) && broker.epoch === follower.brokerEpoch
  }

  #shrink(): void {
    if (this.#pending !== null) return
    const staying = this.#committed.isr.filter((id) => {
      const follower = this.#followers.get(id)
      return follower === undefined || !this.#lags(follower)
    })
    if (staying.length < this.#committed.isr.length) this.#propose(staying, false)
  }

  /** Who has all that there is never lags, however long it was silent. */
  #lags(follower: FollowerProgress): boolean {
    return follower.endOffset < this.#endOffset && this.#nowMs - follower.caughtUpMs > this.#lagTimeMaxMs
  }

  /** After an unclean election: what is lost is lost, from here on it is an ordinary leader (KIP-704). */
  #recover(): void {
    if (this.#pending === null && this.#committed.leaderRecoveryState === 1)
      this.#propose(this.#committed.isr, true)
  }

  #propose(isr: readonly number[], recovered: boolean): void {
    const { leaderEpoch, partitionEpoch } = this.#committed
    const members = isr.map((id) => ({ id, epoch: this.#epochOf(id) }))
    this.#pending = { isr: members, leaderEpoch, partitionEpoch, recovered }
    this.outbox.proposal = this.#pending
  }

  /** Of a member that stays nothing is checked (-1) when it has not fetched in this term. */
  #epochOf(id: number): number {
    const follower = this.#followers.get(id)
    if (follower === undefined) return this.#committed.leaderBrokerEpoch
    return follower.fetchedInTerm ? follower.brokerEpoch : -1
  }
}
