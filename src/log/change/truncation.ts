import assert from 'node:assert/strict'
import { ErrorCode } from '../../../protocol/errors.ts'
import { syncDirectory } from '../files/disk-calls.ts'
import { floorSegment } from '../read/log-reader.ts'
import { loadProducers } from '../recovery/producer-recovery.ts'
import type { Segment } from '../segment/segment.ts'
import type { LogBody } from './log-body.ts'

/**
 * Takes back the end of a log, as a follower does whose leader has another one.
 *
 * The order is what makes it safe. First the checkpoints take back what they promise above the cut, durably: a crash
 * after that finds a log that is longer than it has to be, never one that is shorter than promised. Then, in one step,
 * the log ends there for everybody in this process; reads that are between two steps begin again. Only then the files
 * follow: segments go from the newest on, so that a crash leaves no gap, and the last one is cut, or, when somebody
 * still reads or sends its bytes, gets a copy of what is left, for the old bytes must not be written over.
 *
 * A task of the log that may be begun again where it stopped.
 */
export class Truncation {
  readonly #body: LogBody
  readonly #offset: number
  /** Out of the log, files still there; the oldest first. */
  readonly #removed: Segment[] = []
  #decided = false
  #fileCut = false
  #gap = false
  /** Without any there is nothing to read the segment again for. */
  #hasProducers = false

  constructor(body: LogBody, offset: number) {
    this.#body = body
    this.#offset = offset
  }

  async run(): Promise<void> {
    const { list, producers, snapshots, world, names } = this.#body
    if (!this.#decided) await this.#decide()
    await removeFiles(this.#body, this.#removed)
    if (!this.#fileCut) await list.active.cutFile()
    this.#fileCut = true
    const { logEndOffset } = this.#body
    await snapshots.removeAbove(logEndOffset)
    if (this.#hasProducers) await loadProducers(snapshots, list.all, producers, logEndOffset, world.clock)
    await names.persist()
    // The name of the next segment is what says where the log ends when no batch says it.
    if (!this.#gap) return
    this.#body.startSegment()
    // The snapshot is the proof that the gap before it is no loss.
    await snapshots.write(logEndOffset, producers.encodeSnapshot())
    await names.persist()
  }

  async #decide(): Promise<void> {
    const body = this.#body
    const { list } = body
    const keep = floorSegment(list.all, this.#offset)
    const segment = list.all[keep]
    assert(segment !== undefined)
    const cut = await segment.measureUpTo(this.#offset)
    await body.takeBackPromises(cut.keptEndOffset, cut.endOffset)
    this.#gap = cut.keptEndOffset < cut.endOffset
    this.#hasProducers = body.producers.size > 0
    for (const removed of list.keepOldest(keep + 1)) {
      removed.become('retired')
      this.#removed.push(removed)
    }
    segment.endAt(cut)
    body.endAt(cut.endOffset)
    body.epochs.truncateFromEnd(cut.endOffset)
    body.transactions.truncateFromEnd(cut.endOffset)
    this.#decided = true
  }
}

/** Drops all records; the next one gets `offset`. A task of the log that may be begun again where it stopped. */
export class FreshStart {
  readonly #body: LogBody
  readonly #offset: number
  readonly #removed: Segment[] = []
  #decided = false

  constructor(body: LogBody, offset: number) {
    this.#body = body
    this.#offset = offset
  }

  async run(): Promise<void> {
    const body = this.#body
    const { list, snapshots, names } = body
    if (!this.#decided) {
      // Between the last old file and the first new one a crash leaves an empty directory: a log that begins at 0.
      await body.takeBackPromises(0, this.#offset)
      for (const segment of list.all) {
        segment.become('retired')
        this.#removed.push(segment)
      }
      this.#decided = true
    }
    // Nothing can be read until there is a segment again.
    body.temporaryRefusal = ErrorCode.NOT_LEADER_OR_FOLLOWER
    await removeFiles(body, this.#removed)
    await snapshots.removeAbove(-1)
    if (list.oldest.retired) list.startOver(body.makeSegment(this.#offset))
    body.producers.clear()
    body.epochs.clear()
    body.transactions.truncateFromEnd(0)
    body.logStartOffset = this.#offset
    body.endAt(this.#offset)
    body.temporaryRefusal = ErrorCode.NONE
    await names.persist()
  }
}

/** The newest goes first and for good, then the one before: what a power loss leaves has no gap. */
async function removeFiles(body: LogBody, segments: Segment[]): Promise<void> {
  for (let last = segments.at(-1); last !== undefined; last = segments.at(-1)) {
    await body.bin.removeFiles(last)
    await syncDirectory(body.world.disk, body.directory)
    segments.pop()
  }
}
