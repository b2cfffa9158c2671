import assert from 'node:assert/strict'
import { syncDirectory } from '../files/disk-calls.ts'
import { diskProblem } from '../files/disk-problem.ts'
import { DELETED_SUFFIX } from '../files/log-files.ts'
import { checkYoungest } from '../segment/check-youngest.ts'
import { countDeletable } from '../segment/retention.ts'
import type { Segment } from '../segment/segment.ts'
import type { LogBody } from './log-body.ts'

/** Whether a round of retention would find something to do. */
export function needsRetention(body: LogBody, nowMs: number, highWatermark: number): boolean {
  return countDeletable(body, body.config, nowMs, Math.min(highWatermark, body.writtenEndOffset)) > 0
}

/**
 * One round of retention over one log. A task of the log that may be begun again where it stopped.
 *
 * The start of a log never goes back, whatever fails in between: the segment that comes after those that go is there
 * for good before the first of them goes, they go oldest first, each for good before the next, and the log starts
 * behind them, for readers and checkpoints, when a power loss cannot bring the last of them back. Until then they can
 * be read.
 */
export class RetentionRound {
  /** How many segments went. */
  count = 0
  readonly #body: LogBody
  readonly #nowMs: number
  readonly #highWatermark: number
  /** Those that go, once that is decided. */
  #going: readonly Segment[] = []

  constructor(body: LogBody, nowMs: number, highWatermark: number) {
    this.#body = body
    this.#nowMs = nowMs
    this.#highWatermark = highWatermark
  }

  async run(): Promise<void> {
    const { bin, list, logger, snapshots, world, directory } = this.#body
    if (this.#going.length === 0) this.#going = await this.#decide()
    if (this.#going.length === 0) return
    for (const segment of this.#going) {
      segment.rename(DELETED_SUFFIX)
      await syncDirectory(world.disk, directory)
    }
    const successor = list.all[this.#going.length]
    assert(successor !== undefined, 'the active segment stays')
    list.removeOldest(this.#going.length)
    this.#body.startAt(Math.max(this.#body.logStartOffset, successor.baseOffset))
    for (const [i, segment] of this.#going.entries())
      bin.retire(segment, (this.#going[i + 1] ?? successor).baseOffset)
    this.count = this.#going.length
    for (const { baseOffset } of this.#going) await snapshots.remove(baseOffset)
    logger.info({ segments: this.count, logStartOffset: this.#body.logStartOffset }, 'deleted old segments')
  }

  /** No record goes on the word of a time index alone. */
  async #checkAge(segment: Segment): Promise<void> {
    if (this.#body.config.retentionMs < 0) return
    const { largestTimestampMs } = segment
    try {
      if (await checkYoungest(segment)) return
    } catch (error) {
      // Somebody took its file away: there is nothing left to be deleted too early.
      if (diskProblem(error) === 'gone') return
      throw error
    }
    this.#body.logger.warn(
      { segment: segment.path, timeIndexMs: largestTimestampMs, youngestMs: segment.largestTimestampMs },
      'time index says something else than the batches: they decide when the segment is deleted',
    )
  }

  /** When it resolves, the segment that comes after them is there for good. */
  async #decide(): Promise<readonly Segment[]> {
    const body = this.#body
    const highWatermark = Math.min(this.#highWatermark, body.writtenEndOffset)
    const countNow = (): number => countDeletable(body, body.config, this.#nowMs, highWatermark)
    for (const segment of body.list.all.slice(0, countNow())) await this.#checkAge(segment)
    const count = countNow()
    if (count === 0 || body.closing) return []
    if (count === body.list.count) body.startSegment()
    if (!body.names.durable) await body.names.persist()
    return body.list.all.slice(0, Math.min(count, body.list.count - 1))
  }
}
