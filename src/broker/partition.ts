import { ErrorCode } from '../../protocol/errors.ts'
import { BrokenInvariant } from '../core/broken-invariant.ts'
import type { Log } from '../log/log.ts'
import type { AppendResult } from '../log/log-types.ts'
import { isInternalTopic } from '../metadata/layout/topic-names.ts'
import { AppendLine } from './append-line.ts'
import { AppendWaits, type AppendWaiter, type FetchWait, type FetchWaiter, FetchWaits } from './waits.ts'

/**
 * One partition this broker leads: where its log, its high watermark and those who wait for either meet.
 *
 * With one replica the in-sync set is the leader alone, so the high watermark is the end of what the log has
 * written under the flush mode's promise.
 */
export class Partition {
  readonly topic: string
  readonly topicId: string
  readonly index: number
  /** Brokers keep it for themselves: no client writes to it or takes records out of it. */
  readonly isInternal: boolean
  /** Appends in the order they came, while the records of some are still looked at. */
  readonly appendLine = new AppendLine()
  readonly #appendWaits = new AppendWaits()
  readonly #fetchWaits = new FetchWaits()
  #log: Log
  #leaderEpoch: number
  #highWatermark: number
  /** Bytes appended and bytes of them below the high watermark, counted since the partition opened. */
  #appendedBytes = 0
  #advancedBytes = 0
  #removed = false

  constructor(topic: string, topicId: string, index: number, leaderEpoch: number, log: Log) {
    this.topic = topic
    this.isInternal = isInternalTopic(topic)
    this.topicId = topicId
    this.index = index
    this.#log = log
    this.#leaderEpoch = leaderEpoch
    this.#highWatermark = log.writtenEndOffset
  }

  /** Another one once the partition moved to another log directory. */
  get log(): Log {
    return this.#log
  }

  get leaderEpoch(): number {
    return this.#leaderEpoch
  }

  get highWatermark(): number {
    return this.#highWatermark
  }

  /** Where a read_committed reader must stop: below the first open transaction. */
  get lastStableOffset(): number {
    const firstOpen = this.log.firstOpenTransactionOffset
    return firstOpen < 0 ? this.#highWatermark : Math.min(this.#highWatermark, firstOpen)
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
    if (currentLeaderEpoch === -1 || currentLeaderEpoch === this.#leaderEpoch) return ErrorCode.NONE
    return currentLeaderEpoch < this.#leaderEpoch
      ? ErrorCode.FENCED_LEADER_EPOCH
      : ErrorCode.UNKNOWN_LEADER_EPOCH
  }

  /** Appends one validated batch, which belongs to the log from here on unless it is a duplicate or refused. */
  append(batch: Buffer): AppendResult {
    const sizeBytes = batch.length
    const result = this.#change(batch)
    if (result.errorCode === ErrorCode.NONE && !result.duplicate) this.#appendedBytes += sizeBytes
    return result
  }

  /** A log that throws in the middle of a change is in no state to go on from. */
  #change(batch: Buffer): AppendResult {
    try {
      return this.log.append(batch, this.#leaderEpoch)
    } catch (error) {
      throw new BrokenInvariant(`append to ${this.topic}-${this.index}`, error)
    }
  }

  /** Calls the waiter once everything below `endOffset` is safe; at once when it already is. */
  awaitAppended(endOffset: number, waiter: AppendWaiter, tag: number): void {
    if (endOffset <= this.#highWatermark) waiter.appendSettled(tag, ErrorCode.NONE)
    else if (this.errorCode !== ErrorCode.NONE) waiter.appendSettled(tag, this.errorCode)
    else this.#appendWaits.add(endOffset, waiter, tag)
  }

  /** Tells the waiter what happens here until the wait ends. */
  awaitRecords(waiter: FetchWaiter): FetchWait {
    return this.#fetchWaits.add(waiter)
  }

  /** The log has written everything below `endOffset`. */
  written(endOffset: number): void {
    if (endOffset <= this.#highWatermark) return
    this.#highWatermark = endOffset
    const bytes = this.#appendedBytes - this.#advancedBytes
    this.#advancedBytes = this.#appendedBytes
    this.#appendWaits.reached(endOffset)
    this.#fetchWaits.advanced(bytes)
  }

  holdAppends(): Promise<() => void> {
    return this.appendLine.halt()
  }

  moved(log: Log): void {
    log.epochs.assign(this.#leaderEpoch, log.logEndOffset)
    this.#log = log
  }

  /** The log failed: nothing that waits can be promised any more. */
  failed(): void {
    this.#appendWaits.fail(ErrorCode.KAFKA_STORAGE_ERROR)
    this.#fetchWaits.changed()
  }

  /** The disk does not answer. Who waits for it may learn otherwise by asking again. */
  stalled(): void {
    this.#appendWaits.fail(ErrorCode.KAFKA_STORAGE_ERROR)
  }

  /** The topic was deleted. */
  removed(): void {
    this.#removed = true
    this.#appendWaits.fail(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    this.#fetchWaits.changed()
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
