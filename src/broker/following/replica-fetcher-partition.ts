import { ErrorCode, errorName } from '../../../protocol/errors.ts'
import type { FetchResponse } from '../../../protocol/messages/01-fetch.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import type { FollowerCore, FollowerRequest, FollowerStep } from '../../core/replication/follower.ts'
import type { AppendResult } from '../../log/log-types.ts'
import type { GatheredLines } from '../../metadata/gathered-lines.ts'
import type { Timer, World } from '../../ports.ts'
import type { Following } from './following.ts'
import type { Partition } from '../partition.ts'

export type FetchedData = FetchResponse['responses'][number]['partitions'][number]

/** `busy`: its log is being written or cut, or the leader is asked about it. `resting`: it is not fetched for a while. */
export type Condition = 'ready' | 'busy' | 'resting'

/** Whoever fetches for it. */
export interface FollowedOwner {
  readonly clock: World['clock']
  readonly lines: GatheredLines
  readonly leader: number
  /** `replica.fetch.backoff.ms` */
  readonly backoffMs: number
  /** Its volume takes no records now. */
  refuses(partition: Partition): boolean
  became(followed: FollowedPartition, before: Condition): void
  /** Calls `answered` when the leader has told where its log starts and ends, with null when it does not. */
  askForEnds(followed: FollowedPartition): void
  received(bytes: number): void
}

const NO_ROOM = 'its volume takes no records now'
/** Of a leader that may not know yet that it leads: it is asked again soon, and then less and less often. */
const FIRST_BACKOFF_MS = 20
/** Between two lines about what lasts. */
const TELL_AGAIN_MS = 30_000

/**
 * One partition that is followed, under one leader epoch: carries out what `FollowerCore` makes of the answers.
 *
 * The next fetch says how far the log is written, so from an append to its end the partition is busy, and not fetched.
 */
export class FollowedPartition implements Following {
  readonly partition: Partition
  readonly key: string
  readonly core: FollowerCore
  /** What the leader knows of it by the session; null: it does not fetch it. */
  told: FollowerRequest | null = null
  /** When a rest ends; Infinity when it does not by itself. */
  restsUntilMs = Infinity
  readonly #owner: FollowedOwner
  #condition: Condition = 'busy'
  #left = false
  /** Something may have changed since `told`. */
  #hasNews = true
  #writing = false
  #cutting = false
  #leaderHighWatermark = -1
  #leaderLogStart = -1
  #backoffMs = FIRST_BACKOFF_MS
  /** Why it was not fetched, as it was told last; null when it has been since. */
  #toldReason: string | null = null
  #tellAgainMs = 0
  #timer: Timer | null = null
  #whenQuiet: (() => void)[] = []

  constructor(owner: FollowedOwner, partition: Partition, core: FollowerCore) {
    this.#owner = owner
    this.partition = partition
    this.core = core
    this.key = keyOf(partition.topicId, partition.index)
  }

  get condition(): Condition {
    return this.#condition
  }

  /** Records that the leader has committed, and this log does not have. */
  get lag(): number {
    return Math.max(0, this.#leaderHighWatermark - this.partition.logView.logEndOffset)
  }

  /** Whoever fetched for it before leaves its log alone. What it appended when it led may still be on its way. */
  begin(): void {
    if (this.#left) return
    this.#writing = true
    if (this.partition.errorCode !== ErrorCode.NONE) this.failed()
    else this.written()
  }

  /** Resolves when its log is neither written nor cut by this any more. */
  leave(): Promise<void> {
    this.#left = true
    this.#timer?.cancel()
    if (!this.#writing && !this.#cutting) return Promise.resolve()
    return new Promise((resolve) => this.#whenQuiet.push(resolve))
  }

  /** Another one takes its place, and hears of what is written. */
  replaced(): void {
    void this.leave()
    this.#writing = false
    if (!this.#cutting) this.#quiet()
  }

  /** For the next fetch, while it is ready; `before` itself when that says it already. */
  next(before: FollowerRequest | null): FollowerRequest {
    if (before !== null && !this.#hasNews) return before
    this.#hasNews = false
    const { logEndOffset, latestEpoch, logStartOffset } = this.partition.logView
    const isSame =
      before !== null &&
      before.fetchOffset === logEndOffset &&
      before.lastFetchedEpoch === latestEpoch &&
      before.logStartOffset === logStartOffset
    if (isSame) return before
    return {
      fetchOffset: logEndOffset,
      lastFetchedEpoch: latestEpoch,
      currentLeaderEpoch: this.core.leaderEpoch,
      logStartOffset,
    }
  }

  // ------------------------------------------------------------------------------------------------------- answers

  /** `records` belong to the log, if it takes them. */
  answered(data: FetchedData): void {
    const asked = this.told
    if (asked === null || this.#condition !== 'ready' || this.#left) return
    this.#hasNews = true
    const { errorCode, highWatermark, logStartOffset, divergingEpoch, records } = data
    const hasRecords = records !== null && records.length > 0
    const parts = divergingEpoch.endOffset < 0 ? null : divergingEpoch
    const answer = { errorCode, highWatermark, logStartOffset, divergingEpoch: parts, hasRecords }
    const step = this.core.answered(this.partition.logView, asked, answer)
    if (errorCode === ErrorCode.NONE && parts === null) {
      this.#leaderHighWatermark = highWatermark
      this.#leaderLogStart = logStartOffset
    }
    if (step.kind === 'append') this.#append(records!)
    else this.#take(step, errorName(errorCode))
  }

  /** Where the leader's log starts and ends; null: it did not tell. */
  endsAnswered(ends: { readonly startOffset: number; readonly endOffset: number } | null): void {
    if (this.#left || this.#condition !== 'busy') return
    const { logView } = this.partition
    const step = ends === null ? null : this.core.outOfRange(logView, ends.startOffset, ends.endOffset)
    this.#take(step ?? { kind: 'retry-later' }, errorName(ErrorCode.OFFSET_OUT_OF_RANGE))
  }

  #take(step: FollowerStep, reason: string): void {
    switch (step.kind) {
      case 'ignore':
      case 'append':
        return
      case 'advance':
        this.#backoffMs = FIRST_BACKOFF_MS
        this.#advance()
        return
      case 'truncate':
        void this.#cut(step.endOffset)
        return
      case 'start-over':
        void this.#startOver(step.offset).then((goesOn) => {
          if (goesOn) this.#become('ready')
        })
        return
      case 'ask-for-ends':
        this.#become('busy')
        this.#owner.askForEnds(this)
        return
      case 'wait-for-metadata':
      case 'retry-later':
        this.#rest(reason)
    }
  }

  // --------------------------------------------------------------------------------------------- writing and cutting

  #append(records: Buffer): void {
    if (this.#owner.refuses(this.partition)) return this.#rest(NO_ROOM)
    this.#become('busy')
    const { logStartOffset, logEndOffset } = this.partition.logView
    const base = logStartOffset === logEndOffset ? baseAround(records, logEndOffset) : -1
    if (base === -1) this.#appendNow(records)
    else void this.#appendAround(records, base)
  }

  /**
   * The leader's log starts in the middle of a batch, where this one ends: it takes the batch whole, and then starts
   * there as well.
   */
  async #appendAround(records: Buffer, base: number): Promise<void> {
    if (await this.#startOver(base)) this.#appendNow(records)
  }

  #appendNow(records: Buffer): void {
    const result = this.partition.appendFetched(records)
    if (result.errorCode !== ErrorCode.NONE) return this.#refused(result)
    this.#owner.received(records.length)
    // Not one whole batch: it will come when this partition is the first of an answer.
    if (result.baseOffset === -1) return this.#rest('not one whole batch came')
    this.#backoffMs = FIRST_BACKOFF_MS
    this.#toldReason = null
    this.#writing = true
    this.written()
  }

  #refused({ errorCode, errorMessage }: AppendResult): void {
    if (errorCode === ErrorCode.KAFKA_STORAGE_ERROR && this.partition.errorCode !== ErrorCode.NONE)
      this.failed()
    else this.#rest(errorMessage ?? errorName(errorCode), true)
  }

  /** The log has written more. */
  written(): void {
    if (!this.#writing) return
    const { writtenEndOffset, logEndOffset } = this.partition.logView
    if (writtenEndOffset < logEndOffset) return
    this.#writing = false
    this.#quiet()
    if (this.#leaderHighWatermark >= 0) this.#advance()
    this.#become('ready')
  }

  /** The log has failed: nothing comes of it until the next start. */
  failed(): void {
    this.#writing = false
    this.#quiet()
    this.#timer?.cancel()
    this.restsUntilMs = Infinity
    this.#become('resting')
  }

  /**
   * Whoever waits for the end of the write does not wait for a device that does not answer: what is appended next comes behind
   * it. Of a log that is being cut nobody knows where it will end.
   */
  stalled(): void {
    if (!this.#cutting) this.#quiet()
  }

  #advance(): void {
    if (this.partition.follower !== this.core) return
    this.partition.advanceAsFollower(this.#leaderHighWatermark, this.#leaderLogStart)
  }

  async #cut(offset: number): Promise<void> {
    const { partition } = this
    const { logEndOffset, latestEpoch } = partition.logView
    const { highWatermark } = this.core
    if (offset < logEndOffset)
      this.#tell(
        'the leader has another log from here on',
        `${logEndOffset} back to ${offset}, committed ${highWatermark}`,
      )
    if (!(await this.#change(() => partition.truncate(offset)))) return
    const after = partition.logView
    // It would be cut like this again and again.
    const hasChanged = after.logEndOffset !== logEndOffset || after.latestEpoch !== latestEpoch
    if (hasChanged) this.#become('ready')
    else this.#rest('its log and that of the leader part, and nobody knows where')
  }

  /** The leader has nothing of what is here: false when there is nothing to go on with. */
  #startOver(offset: number): Promise<boolean> {
    const { logEndOffset, logStartOffset } = this.partition.logView
    if (logStartOffset < logEndOffset)
      this.#tell('the leader has nothing of this log any more', `${logStartOffset} to ${logEndOffset}`)
    return this.#change(() => this.partition.startOver(offset))
  }

  /** False: the log failed, or it is followed no more. */
  async #change(change: () => Promise<void>): Promise<boolean> {
    this.#become('busy')
    this.#cutting = true
    // It does not move to another log directory meanwhile.
    const release = await this.partition.holdAppends()
    await change()
    release()
    this.#cutting = false
    this.#quiet()
    if (this.partition.errorCode !== ErrorCode.NONE) this.failed()
    return !this.#left && this.partition.errorCode === ErrorCode.NONE
  }

  #quiet(): void {
    for (const resolve of this.#whenQuiet.splice(0)) resolve()
  }

  // ---------------------------------------------------------------------------------------------------------- resting

  #rest(reason: string, isGrave = false): void {
    if (this.#left) return
    const { clock, backoffMs } = this.#owner
    const delayMs = Math.min(this.#backoffMs, backoffMs)
    this.#backoffMs = Math.min(this.#backoffMs * 2, backoffMs)
    if (isGrave || delayMs === backoffMs) this.#tellWhy(reason)
    this.restsUntilMs = clock.monotonicMs() + delayMs
    this.#timer = clock.after(delayMs, () => {
      this.restsUntilMs = Infinity
      if (this.#owner.refuses(this.partition)) this.#rest(NO_ROOM)
      else this.#become('ready')
    })
    this.#become('resting')
  }

  #become(condition: Condition): void {
    if (this.#left || condition === this.#condition) return
    const before = this.#condition
    this.#condition = condition
    this.#hasNews = true
    this.#owner.became(this, before)
  }

  #tellWhy(reason: string): void {
    const nowMs = this.#owner.clock.monotonicMs()
    if (reason === this.#toldReason && nowMs < this.#tellAgainMs) return
    this.#toldReason = reason
    this.#tellAgainMs = nowMs + TELL_AGAIN_MS
    this.#tell('partitions could not be fetched', reason)
  }

  /** `what` may differ from one to the next, and so does not make a line of its own. */
  #tell(message: string, what: string): void {
    const { topic, index } = this.partition
    const { lines, leader } = this.#owner
    lines.add('warn', message, { leader }, () => `${topic}-${index}: ${what}`)
  }
}

/** Where the first batch begins, when `offset` lies inside of it; -1 otherwise. */
function baseAround(records: Buffer, offset: number): number {
  if (records.length < batch.MAGIC_END || batch.magic(records, 0) < 2) return -1
  if (records.length < batch.BATCH_OVERHEAD) return -1
  const base = batch.baseOffset(records, 0)
  return base >= 0 && base < offset && batch.lastOffset(records, 0) >= offset ? base : -1
}

export function keyOf(topicId: string, index: number): string {
  return `${topicId}/${index}`
}
