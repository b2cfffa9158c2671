import { ErrorCode } from '../../protocol/errors.ts'
import { BrokenInvariant } from '../core/broken-invariant.ts'
import type { Proposal } from '../core/controller/controller-types.ts'
import { FollowerCore } from '../core/replication/follower.ts'
import type { LogView } from '../core/replication/follower.ts'
import { LeaderCore } from '../core/replication/leader.ts'
import type { IsrProposal } from '../core/replication/leader.ts'
import { sameMembers } from '../core/replication/partition-state.ts'
import type { BrokerView } from '../core/replication/partition-state.ts'
import { refused } from '../log/append/append-check.ts'
import type { Log } from '../log/log.ts'
import type { AppendResult } from '../log/log-types.ts'
import type { PartitionImage } from '../metadata/image/metadata-image.ts'
import { isInternalTopic } from '../metadata/layout/topic-names.ts'
import type { Clock } from '../ports.ts'
import { AppendLine } from './produce/append-line.ts'
import type { Following } from './following/following.ts'
import { AppendWaits, type AppendWaiter, type FetchWait, type FetchWaiter, FetchWaits } from './waits.ts'

/** What all partitions of a broker have in common. */
export interface PartitionParts {
  readonly nodeId: number
  readonly clock: Pick<Clock, 'monotonicMs'>
  /** `replica.lag.time.max.ms`, as it is now. */
  readonly lagTimeMaxMs: () => number
  /** As the metadata knows it. */
  readonly broker: (id: number) => BrokerView | undefined
  /** The process has this broker epoch, or had it: a leadership given to it under that is its own. */
  readonly isOwnEpoch: (brokerEpoch: number) => boolean
  /** Who hears of ISRs. */
  readonly isrs: IsrListener
  /** Its log may lack what was in it. */
  readonly damaged: (partition: Partition) => void
}

/** Hears of what becomes of the ISRs of partitions that this broker leads. */
export interface IsrListener {
  /** The leader wants another ISR than the one that is agreed on: see `Partition.takeProposal`. */
  wanted(partition: Partition): void
  /** Another ISR is agreed on than `before`. */
  changed(partition: Partition, before: readonly number[]): void
}

/** `none`: nobody leads it, or this broker did in an earlier life. */
export type Role = 'leader' | 'follower' | 'none'

/**
 * One partition that this broker has a replica of: where its log, its high watermark and those who wait for either meet.
 *
 * What it does with them is decided by the core of its role, `LeaderCore` or `FollowerCore`. Where the leader is the only
 * replica the high watermark is the end of what the log has written under the flush mode's promise.
 */
export class Partition {
  readonly topic: string
  readonly topicId: string
  readonly index: number
  /** Brokers keep it for themselves: no client writes to it or takes records out of it. */
  readonly isInternal: boolean
  /** Appends in the order they came, while the records of some are still looked at. */
  readonly appendLine = new AppendLine()
  /** What the follower in here decides on. */
  readonly logView: LogView
  /** Null while nobody fetches for it. */
  following: Following | null = null
  readonly #parts: PartitionParts
  /** Of producers with acks=all, for the high watermark. */
  readonly #commitWaits = new AppendWaits()
  /** Of the others, for the log. */
  readonly #writeWaits = new AppendWaits()
  /** Of consumers, for the high watermark. */
  readonly #fetchWaits = new FetchWaits()
  /** Of followers, for the log. */
  readonly #replicaWaits = new FetchWaits()
  #log: Log
  #image: PartitionImage
  #leader: LeaderCore | null = null
  #follower: FollowerCore | null = null
  /** The controller did not answer it as it should: it is proposed again later, and not with the next fetch or write. */
  #postponed: IsrProposal | null = null
  #highWatermark: number
  /** Bytes appended, of them those that are written, and those below the high watermark, since the partition opened. */
  #appendedBytes = 0
  #writtenBytes = 0
  #advancedBytes = 0
  #removed = false

  constructor(parts: PartitionParts, topic: string, topicId: string, image: PartitionImage, log: Log) {
    this.topic = topic
    this.isInternal = isInternalTopic(topic)
    this.topicId = topicId
    this.index = image.index
    this.#parts = parts
    this.#log = log
    this.#image = image
    this.#highWatermark = withinLog(log, log.checkpointedHighWatermark)
    this.logView = new PartitionLogView(this)
    this.update(image)
  }

  // ------------------------------------------------------------------------------------------------------------ roles

  get role(): Role {
    if (this.#leader !== null) return 'leader'
    return this.#follower === null ? 'none' : 'follower'
  }

  /** Null unless this broker leads. */
  get leader(): LeaderCore | null {
    return this.#leader
  }

  /** Null unless another broker leads. Another one for each leader epoch. */
  get follower(): FollowerCore | null {
    return this.#follower
  }

  /** As the metadata says. */
  get image(): PartitionImage {
    return this.#image
  }

  /** -1: none. */
  get leaderId(): number {
    return this.#image.leader
  }

  get leaderEpoch(): number {
    return this.#image.leaderEpoch
  }

  /** The metadata says something new about it. Whoever waits for what will not come is told. */
  update(image: PartitionImage): void {
    const before = this.#image
    this.#image = image
    const { nodeId } = this.#parts
    const leads = image.leader === nodeId && this.#parts.isOwnEpoch(image.leaderBrokerEpoch)
    if (leads) this.#lead(before)
    else if (image.leader === -1 || image.leader === nodeId) this.#follow(null)
    else this.#follow(image)
  }

  /** On every election, even without an append: a client may ask where this epoch ends (KAFKA-20961). */
  #lead(before: PartitionImage): void {
    const { nodeId, broker, clock, lagTimeMaxMs, isrs } = this.#parts
    const state = this.#image
    const isNewTerm = this.#leader === null || before.leaderEpoch !== state.leaderEpoch
    if (isNewTerm) this.#log.epochs.assign(state.leaderEpoch, this.#log.logEndOffset)
    this.#follower = null
    const nowMs = clock.monotonicMs()
    if (this.#leader === null) {
      this.#writtenBytes = this.#advancedBytes = this.#appendedBytes
      const { replicas } = state
      const endOffset = this.#log.writtenEndOffset
      const highWatermark = this.#highWatermark
      this.#leader = new LeaderCore({
        self: nodeId,
        state,
        replicas,
        endOffset,
        highWatermark,
        lagTimeMaxMs: lagTimeMaxMs(),
        broker,
        nowMs,
      })
    } else {
      this.#leader.stateCommitted(state, state.replicas, nowMs)
      // Who waits asked the leader of an earlier term.
      if (isNewTerm) this.#endFetches()
    }
    this.#carryOut(this.#leader)
    if (!isNewTerm && !sameMembers(before.isr, state.isr)) isrs.changed(this, before.isr)
  }

  /** Null: nobody. */
  #follow(state: PartitionImage | null): void {
    const led = this.#leader !== null
    this.#leader = null
    if (state === null) this.#follower = null
    else if (this.#follower?.leaderEpoch !== state.leaderEpoch)
      this.#follower = new FollowerCore({
        leaderEpoch: state.leaderEpoch,
        highWatermark: this.#highWatermark,
      })
    if (led) this.#endWaits(ErrorCode.NOT_LEADER_OR_FOLLOWER)
  }

  // ----------------------------------------------------------------------------------------------------------- state

  /** Another one once the partition moved to another log directory. */
  get log(): Log {
    return this.#log
  }

  get highWatermark(): number {
    return this.#highWatermark
  }

  /** Where a read_committed reader must stop: below the first open transaction. */
  get lastStableOffset(): number {
    const firstOpen = this.log.firstOpenTransactionOffset
    return firstOpen < 0 ? this.#highWatermark : Math.min(this.#highWatermark, firstOpen)
  }

  /** A leader that was just elected does not know yet how far its predecessor had come (KIP-207). */
  get highWatermarkMayBeStale(): boolean {
    return this.#leader !== null && this.#highWatermark < this.#leader.epochStartOffset
  }

  /** Error code of the partition as a whole, 0 when it serves. */
  get errorCode(): ErrorCode {
    if (this.#removed) return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    return this.log.failed ? ErrorCode.KAFKA_STORAGE_ERROR : ErrorCode.NONE
  }

  /**
   * What a request gets that only the leader may answer, 0 when this is the leader that the client means. KIP-320:
   * `currentLeaderEpoch` is what it believes, -1 when it does not say.
   */
  leaderError(currentLeaderEpoch: number): ErrorCode {
    const { errorCode } = this
    return errorCode === ErrorCode.NONE ? this.#leaderEpochError(currentLeaderEpoch) : errorCode
  }

  #leaderEpochError(currentLeaderEpoch: number): ErrorCode {
    const { leaderEpoch } = this.#image
    if (currentLeaderEpoch !== -1 && currentLeaderEpoch !== leaderEpoch)
      return currentLeaderEpoch < leaderEpoch ? ErrorCode.FENCED_LEADER_EPOCH : ErrorCode.UNKNOWN_LEADER_EPOCH
    return this.#leader === null ? ErrorCode.NOT_LEADER_OR_FOLLOWER : ErrorCode.NONE
  }

  /** What a producer with acks=all gets before anything is appended, 0 when it may. */
  get acksAllError(): ErrorCode {
    return this.#leader !== null && this.#leader.underMinIsr ? ErrorCode.NOT_ENOUGH_REPLICAS : ErrorCode.NONE
  }

  // -------------------------------------------------------------------------------------------------- as the leader

  /** Appends one validated batch, which belongs to the log from here on unless it is a duplicate or refused. */
  append(batch: Buffer): AppendResult {
    if (this.#leader === null) return refused(ErrorCode.NOT_LEADER_OR_FOLLOWER, 'another broker leads')
    const sizeBytes = batch.length
    const result = this.#change(batch)
    if (result.errorCode === ErrorCode.NONE && !result.duplicate) this.#appendedBytes += sizeBytes
    return result
  }

  /** A log that throws in the middle of a change is in no state to go on from. */
  #change(batch: Buffer): AppendResult {
    try {
      return this.log.append(batch, this.#image.leaderEpoch)
    } catch (error) {
      throw new BrokenInvariant(`append to ${this.topic}-${this.index}`, error)
    }
  }

  /** Calls the waiter once every replica in sync has everything below `endOffset`; at once when they already have. */
  awaitAppended(endOffset: number, waiter: AppendWaiter, tag: number): void {
    if (endOffset <= this.#highWatermark) return waiter.appendSettled(tag, ErrorCode.NONE)
    this.#await(this.#commitWaits, endOffset, waiter, tag)
    if (endOffset <= this.log.writtenEndOffset) waiter.appendWritten?.(tag)
  }

  /** Calls the waiter once everything below `endOffset` is written here; at once when it already is. */
  awaitWritten(endOffset: number, waiter: AppendWaiter, tag: number): void {
    if (endOffset <= this.log.writtenEndOffset) waiter.appendSettled(tag, ErrorCode.NONE)
    else this.#await(this.#writeWaits, endOffset, waiter, tag)
  }

  #await(waits: AppendWaits, endOffset: number, waiter: AppendWaiter, tag: number): void {
    const errorCode = this.leaderError(-1)
    if (errorCode === ErrorCode.NONE) waits.add(endOffset, waiter, tag)
    else waiter.appendSettled(tag, errorCode)
  }

  /** Tells the waiter what happens below the high watermark until the wait ends; a follower, what the log has written. */
  awaitRecords(waiter: FetchWaiter, isFollower: boolean): FetchWait {
    return (isFollower ? this.#replicaWaits : this.#fetchWaits).add(waiter)
  }

  /**
   * A follower asks for what comes at `fetchOffset`, and so says that it has written all before. Called before the read,
   * and once. Answers an error code.
   */
  followerFetched(
    replica: number,
    brokerEpoch: number,
    fetchOffset: number,
    logStartOffset: number,
  ): ErrorCode {
    const leader = this.#leader
    if (leader === null) return ErrorCode.NOT_LEADER_OR_FOLLOWER
    const nowMs = this.#parts.clock.monotonicMs()
    const errorCode = leader.followerFetched(replica, brokerEpoch, fetchOffset, logStartOffset, nowMs)
    if (errorCode === ErrorCode.NONE) this.#carryOut(leader)
    return errorCode
  }

  /** The ISR that the leader wants, once; null when it wants none. The answer comes back as `proposalAnswered`. */
  takeProposal(): { readonly wanted: IsrProposal; readonly proposal: Proposal } | null {
    const wanted = this.#leader?.outbox.proposal ?? null
    if (this.#leader === null || wanted === null) return null
    this.#leader.outbox.proposal = null
    this.#postponed = null
    const { topicId, index } = this
    return { wanted, proposal: { ...wanted, topicId, index } }
  }

  /** True: it is to be proposed again, later. */
  proposalAnswered(wanted: IsrProposal, errorCode: ErrorCode): boolean {
    const leader = this.#leader
    if (leader === null) return false
    leader.proposalAnswered(wanted, errorCode)
    if (leader.outbox.proposal !== wanted) {
      this.#carryOut(leader)
      return false
    }
    this.#postponed = wanted
    return true
  }

  /** Every half of `replica.lag.time.max.ms` while several have it. Of a leader that cannot be read nobody can have all. */
  tick(nowMs: number): void {
    if (this.#leader === null || this.errorCode !== ErrorCode.NONE) return
    this.#leader.tick(nowMs)
    this.#carryOut(this.#leader)
  }

  /** What is known of brokers has changed. */
  brokersChanged(nowMs: number): void {
    if (this.#leader === null) return
    this.#leader.brokersChanged(nowMs)
    this.#carryOut(this.#leader)
  }

  /** Where a follower's log ends, as far as it has told the leader in here; -1 when it has not. */
  endOffsetOf(replica: number): number {
    return this.#leader?.progress(replica)?.endOffset ?? -1
  }

  /** Everything below is in the log of every replica, in sync or not; -1 while one of them has not told the leader in here. */
  get fullyReplicatedOffset(): number {
    const { replicas } = this.#image
    const { nodeId } = this.#parts
    const { writtenEndOffset } = this.log
    return Math.min(
      ...replicas.map((replica) => (replica === nodeId ? writtenEndOffset : this.endOffsetOf(replica))),
    )
  }

  /** In this order: what the high watermark reached is acknowledged, and then what it will not reach is refused. */
  #carryOut(leader: LeaderCore): void {
    const { outbox } = leader
    if (outbox.highWatermarkMoved) {
      outbox.highWatermarkMoved = false
      this.#advance(leader.highWatermark)
    }
    if (outbox.fellBelowMinIsr) {
      outbox.fellBelowMinIsr = false
      this.#commitWaits.fail(ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND)
    }
    if (outbox.proposal !== null && outbox.proposal !== this.#postponed) this.#parts.isrs.wanted(this)
  }

  #advance(highWatermark: number): void {
    const before = this.#highWatermark
    if (highWatermark <= before) return
    this.#highWatermark = highWatermark
    const bytes = this.#bytesBetween(before, highWatermark)
    this.#advancedBytes += bytes
    this.#commitWaits.reached(highWatermark)
    // It may say that there are none: what others led was not counted.
    this.#fetchWaits.advanced(Math.max(1, bytes))
  }

  /** Of what was appended and is not below the high watermark yet. Only a guess where it does not reach the end. */
  #bytesBetween(before: number, highWatermark: number): number {
    const bytes = this.#appendedBytes - this.#advancedBytes
    const { writtenEndOffset } = this.log
    return highWatermark >= writtenEndOffset
      ? bytes
      : Math.ceil((bytes * (highWatermark - before)) / (writtenEndOffset - before))
  }

  // ------------------------------------------------------------------------------------------------- as a follower

  /** Appends what the leader sent. Any error but KAFKA_STORAGE_ERROR and CORRUPT_MESSAGE: fetch again later. */
  appendFetched(records: Buffer): AppendResult {
    if (this.#follower === null) return refused(ErrorCode.NOT_LEADER_OR_FOLLOWER, 'nobody is followed')
    // On its way to another directory.
    if (!this.appendLine.isEmpty) return refused(ErrorCode.NOT_LEADER_OR_FOLLOWER, 'the log is on the move')
    try {
      return this.log.appendAsFollower(records)
    } catch (error) {
      throw new BrokenInvariant(`append to ${this.topic}-${this.index}`, error)
    }
  }

  /** What an answer of the leader brought is written, or it brought nothing. */
  advanceAsFollower(leaderHighWatermark: number, leaderLogStartOffset: number): void {
    const follower = this.#follower
    if (follower === null) return
    const startOffset = follower.written(this.logView, leaderHighWatermark, leaderLogStartOffset)
    if (startOffset !== null) this.log.deleteRecordsBefore(startOffset)
    this.#highWatermark = withinLog(this.log, follower.highWatermark)
  }

  /** The leader's log and this one part at `offset`. */
  async truncate(offset: number): Promise<void> {
    await this.log.truncateTo(offset)
    this.#wasCut()
  }

  /** The leader has nothing of what is here: it begins anew at `offset`. */
  async startOver(offset: number): Promise<void> {
    await this.log.truncateFullyAndStartAt(offset)
    this.#wasCut()
  }

  #wasCut(): void {
    this.#follower?.truncated(this.logView)
    this.#highWatermark = withinLog(this.log, this.#highWatermark)
  }

  // ---------------------------------------------------------------------------------------------- what the log tells

  /** The log has written everything below `endOffset`. */
  written(endOffset: number): void {
    this.#writeWaits.reached(endOffset)
    const leader = this.#leader
    if (leader === null) {
      this.following?.written()
      return
    }
    const bytes = this.#appendedBytes - this.#writtenBytes
    this.#writtenBytes = this.#appendedBytes
    this.#replicaWaits.advanced(Math.max(1, bytes))
    leader.appended(endOffset)
    this.#carryOut(leader)
    if (this.#commitWaits.size > 0) this.#commitWaits.written(endOffset)
  }

  holdAppends(): Promise<() => void> {
    return this.appendLine.halt()
  }

  moved(log: Log): void {
    if (this.#leader !== null) log.epochs.assign(this.#image.leaderEpoch, log.logEndOffset)
    this.#log = log
  }

  /** The log failed: nothing that waits can be promised any more. */
  failed(): void {
    this.#endWaits(ErrorCode.KAFKA_STORAGE_ERROR)
    this.following?.failed()
    this.#parts.damaged(this)
  }

  /** The disk does not answer. Who waits for it may learn otherwise by asking again. */
  stalled(): void {
    this.#writeWaits.fail(ErrorCode.KAFKA_STORAGE_ERROR)
    this.#commitWaits.fail(ErrorCode.KAFKA_STORAGE_ERROR)
    this.following?.stalled()
  }

  /** The topic was deleted, or this broker has no replica of it any more. */
  removed(): void {
    this.#removed = true
    this.#leader = null
    this.#follower = null
    this.#endWaits(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
  }

  #endWaits(errorCode: ErrorCode): void {
    this.#writeWaits.fail(errorCode)
    this.#commitWaits.fail(errorCode)
    this.#endFetches()
  }

  #endFetches(): void {
    this.#fetchWaits.changed()
    this.#replicaWaits.changed()
  }

  /** DeleteRecords: the log starts at `offset` (-1: the high watermark) or where it starts already, if that is later. */
  deleteRecordsBefore(offset: number): number {
    const { cleanupPolicy } = this.log.config
    if (cleanupPolicy.compact && !cleanupPolicy.delete) return ErrorCode.POLICY_VIOLATION
    const target = offset === -1 ? this.#highWatermark : offset
    if (target < 0 || target > this.#highWatermark) return ErrorCode.OFFSET_OUT_OF_RANGE
    if (target > this.log.logStartOffset) this.log.deleteRecordsBefore(target)
    return ErrorCode.NONE
  }
}

class PartitionLogView implements LogView {
  readonly #partition: Partition

  constructor(partition: Partition) {
    this.#partition = partition
  }

  get logStartOffset(): number {
    return this.#partition.log.logStartOffset
  }

  get logEndOffset(): number {
    return this.#partition.log.logEndOffset
  }

  get writtenEndOffset(): number {
    return this.#partition.log.writtenEndOffset
  }

  get latestEpoch(): number {
    return this.#partition.log.epochs.latestEpoch
  }

  endOffsetFor(epoch: number): { readonly epoch: number; readonly endOffset: number } {
    const { log } = this.#partition
    return log.epochs.endOffsetFor(epoch, log.logEndOffset)
  }
}

function withinLog(log: Log, offset: number): number {
  return Math.max(log.logStartOffset, Math.min(offset, log.writtenEndOffset))
}
