import { ErrorCode } from '../../../protocol/errors.ts'

/** What a follower decides on; offsets and epochs of its own log. */
export interface LogView {
  readonly logStartOffset: number
  readonly logEndOffset: number
  /** Below it everything is written under the flush promise. */
  readonly writtenEndOffset: number
  /** -1: the log knows none. */
  readonly latestEpoch: number
  /** The largest epoch not above `epoch`, and where it ended; -1/-1: nobody knows. */
  endOffsetFor(epoch: number): { readonly epoch: number; readonly endOffset: number }
}

/** What the next Fetch says of the partition. */
export interface FollowerRequest {
  readonly fetchOffset: number
  readonly lastFetchedEpoch: number
  readonly currentLeaderEpoch: number
  readonly logStartOffset: number
}

/** What the leader answered for the partition. */
export interface FetchAnswer {
  readonly errorCode: number
  readonly highWatermark: number
  readonly logStartOffset: number
  /** Where the leader's log left the one of the follower; its records would not fit. */
  readonly divergingEpoch: { readonly epoch: number; readonly endOffset: number } | null
  readonly hasRecords: boolean
}

/** What to do with an answer. */
export type FollowerStep =
  | { readonly kind: 'ignore' }
  | { readonly kind: 'append' }
  /** Nothing new: high watermark and log start may have moved. */
  | { readonly kind: 'advance' }
  | { readonly kind: 'truncate'; readonly endOffset: number }
  /** The leader has nothing of what this log has: it begins anew there. */
  | { readonly kind: 'start-over'; readonly offset: number }
  /** The leader has nothing at this offset, and nobody said on which side it lies: see `outOfRange`. */
  | { readonly kind: 'ask-for-ends' }
  /** Only newer metadata can help. */
  | { readonly kind: 'wait-for-metadata' }
  | { readonly kind: 'retry-later' }

/**
 * What the follower of a partition decides, for one leader epoch: what to fetch, and what to make of the answer.
 *
 * It says in its fetch how far it has *written*, so it fetches nothing while a write is under way. It cuts its log where the
 * leader says that theirs part (KIP-101, KIP-279, truncation on fetch), never at its high watermark, which may be stale.
 * The high watermark follows the leader's once what lies below is written here.
 */
export class FollowerCore {
  readonly leaderEpoch: number
  #highWatermark: number

  constructor(options: { readonly leaderEpoch: number; readonly highWatermark: number }) {
    this.leaderEpoch = options.leaderEpoch
    this.#highWatermark = options.highWatermark
  }

  get highWatermark(): number {
    return this.#highWatermark
  }

  /** Null while a write is under way. */
  request(log: LogView): FollowerRequest | null {
    if (log.writtenEndOffset !== log.logEndOffset) return null
    return {
      fetchOffset: log.logEndOffset,
      lastFetchedEpoch: log.latestEpoch,
      currentLeaderEpoch: this.leaderEpoch,
      logStartOffset: log.logStartOffset,
    }
  }

  /** `asked`: what the answer is to. One that is to an earlier question says nothing about this log any more. */
  answered(log: LogView, asked: FollowerRequest, answer: FetchAnswer): FollowerStep {
    const isCurrent =
      asked.currentLeaderEpoch === this.leaderEpoch &&
      asked.fetchOffset === log.logEndOffset &&
      asked.lastFetchedEpoch === log.latestEpoch
    if (!isCurrent) return { kind: 'ignore' }
    const { errorCode, divergingEpoch, hasRecords, logStartOffset } = answer
    if (errorCode === ErrorCode.OFFSET_OUT_OF_RANGE)
      return logStartOffset > log.logEndOffset
        ? { kind: 'start-over', offset: logStartOffset }
        : { kind: 'ask-for-ends' }
    // Whoever does not know the partition, or that it leads it, may be the one whose metadata is behind.
    if (errorCode === ErrorCode.FENCED_LEADER_EPOCH) return { kind: 'wait-for-metadata' }
    if (errorCode !== ErrorCode.NONE) return { kind: 'retry-later' }
    if (divergingEpoch !== null) return { kind: 'truncate', endOffset: commonEnd(log, divergingEpoch) }
    return { kind: hasRecords ? 'append' : 'advance' }
  }

  /** Where the leader's log starts and ends, after it answered that it has nothing at the offset that was asked for. */
  outOfRange(log: LogView, startOffset: number, endOffset: number): FollowerStep {
    if (endOffset < log.logEndOffset) return { kind: 'truncate', endOffset }
    return startOffset > log.logEndOffset
      ? { kind: 'start-over', offset: startOffset }
      : { kind: 'retry-later' }
  }

  /**
   * What the answer brought is written. Answers the offset before which the log is to be deleted, as the leader's is; null
   * when it starts there already.
   */
  written(log: LogView, leaderHighWatermark: number, leaderLogStartOffset: number): number | null {
    const within = Math.min(leaderHighWatermark, log.writtenEndOffset)
    // A leader that was just elected may know less than we do for a moment.
    this.#highWatermark = Math.max(within, log.logStartOffset)
    return leaderLogStartOffset > log.logStartOffset
      ? Math.min(leaderLogStartOffset, log.writtenEndOffset)
      : null
  }

  /** The log was cut. */
  truncated(log: LogView): void {
    this.#highWatermark = Math.max(log.logStartOffset, Math.min(this.#highWatermark, log.logEndOffset))
  }
}

/** Where both logs are the same for certain. It may take more rounds until they are the same to their ends. */
function commonEnd(log: LogView, diverging: { readonly epoch: number; readonly endOffset: number }): number {
  const own = log.endOffsetFor(diverging.epoch)
  if (own.endOffset === -1) return Math.min(diverging.endOffset, log.logEndOffset)
  if (own.epoch !== diverging.epoch) return own.endOffset
  return Math.min(own.endOffset, diverging.endOffset, log.logEndOffset)
}
