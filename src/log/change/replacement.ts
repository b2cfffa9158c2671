import assert from 'node:assert/strict'
import { isError } from '../../core/is-error.ts'
import { syncDirectory } from '../files/disk-calls.ts'
import { isNoRoom } from '../files/disk-problem.ts'
import { CLEANED_SUFFIX, DELETED_SUFFIX, LOG_SUFFIX, segmentFile, SWAP_SUFFIX } from '../files/log-files.ts'
import type { AbortedTransaction } from '../log-types.ts'
import { SegmentReplacement } from '../segment/segment-replacement.ts'
import type { Segment } from '../segment/segment.ts'
import type { LogBody } from './log-body.ts'

/**
 * Starts a `.cleaned` segment that will take the place of closed segments from `baseOffset` on. `cuts`: of the log, when
 * what is known of it was looked up.
 */
export function beginReplacement(body: LogBody, baseOffset: number, cuts: number): SegmentReplacement {
  const { disk } = body.world
  const path = segmentFile(body.directory, baseOffset, LOG_SUFFIX + CLEANED_SUFFIX)
  assert(!disk.exists(path), 'two compactions of one segment at once')
  const segment = body.newSegment(baseOffset, CLEANED_SUFFIX)
  segment.create()
  return new SegmentReplacement(disk, segment, cuts)
}

/**
 * Swaps `by` in for `replaced` (adjacent, closed, the first with its base offset), crash-safe. `ended`: aborted
 * transactions of which no batch is left. For readers it is one step: they find the old segments, or the new one. A task
 * of the log that may be begun again where it stopped.
 *
 * A start that finds the `.swap` removes the segments below its last offset. Those behind, of which nothing was kept, are
 * not covered by that: they go after it has its name, oldest first, each durably, so that a power loss never leaves a
 * record without the tombstone that came after it.
 */
export class SegmentSwap {
  /** False: nothing happened, for the log was cut since the replacement was begun. */
  swapped = false
  /** Why nothing happened, where the volume took no more: the log and its directory are as they were. */
  noRoom: Error | null = null
  #completed = false
  readonly #body: LogBody
  readonly #replaced: readonly Segment[]
  readonly #by: SegmentReplacement
  readonly #ended: ReadonlySet<AbortedTransaction>

  constructor(
    body: LogBody,
    replaced: readonly Segment[],
    by: SegmentReplacement,
    ended: ReadonlySet<AbortedTransaction>,
  ) {
    this.#body = body
    this.#replaced = replaced
    this.#by = by
    this.#ended = ended
  }

  async run(): Promise<void> {
    const covered = this.#replaced.slice(0, this.#coveredCount)
    const behind = this.#replaced.slice(this.#coveredCount)
    if (!this.swapped) {
      if (this.#by.cuts !== this.#body.cuts) return
      // Once: when this is begun again its files may have the next suffix already.
      if (!this.#completed && !(await this.#complete())) return
      // The snapshot where a segment starts is the proof that a gap before it is no loss: it comes before the gap.
      await this.#syncNames()
      this.#by.segment.rename(SWAP_SUFFIX)
      await this.#syncNames()
      for (const old of covered) old.rename(DELETED_SUFFIX)
      await this.#syncNames()
      this.#swap()
    }
    for (const { baseOffset } of covered.slice(1)) await this.#body.snapshots.remove(baseOffset)
    await this.#syncNames()
    for (const old of behind) {
      old.rename(DELETED_SUFFIX)
      await this.#syncNames()
      await this.#body.snapshots.remove(old.baseOffset)
    }
  }

  /** False: there is no room for it. What a sync did not take is not tried again, but made anew later. */
  async #complete(): Promise<boolean> {
    try {
      await this.#by.complete(this.#transactionIndex())
      this.#completed = true
    } catch (error) {
      if (!isError(error) || !isNoRoom(error)) throw error
      this.noRoom = error
    }
    return this.#completed
  }

  get #coveredCount(): number {
    return Math.max(1, this.#replaced.filter(({ baseOffset }) => baseOffset < this.#by.endOffset).length)
  }

  #transactionIndex(): Buffer | null {
    const { list, transactions } = this.#body
    const [first] = this.#replaced
    assert(first !== undefined && first.baseOffset === this.#by.baseOffset)
    const at = list.all.indexOf(first)
    assert(at >= 0 && at + this.#replaced.length < list.count, 'only closed segments can be replaced')
    assert(this.#replaced.every((segment, i) => list.all[at + i] === segment))
    const endOffset = list.all[at + this.#replaced.length]!.baseOffset
    return transactions.encode(first.baseOffset, endOffset, this.#ended)
  }

  #swap(): void {
    const { segment } = this.#by
    segment.rename('')
    segment.become('closed')
    // It is opened again when it is read.
    segment.evict()
    this.#body.transactions.remove(this.#ended)
    this.#body.list.swap(this.#replaced, segment)
    for (const old of this.#replaced) this.#body.bin.retire(old, -1)
    this.swapped = true
  }

  #syncNames(): Promise<void> {
    return syncDirectory(this.#body.world.disk, this.#body.directory)
  }
}
