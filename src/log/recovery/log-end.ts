import * as batch from '../../../protocol/records/record-batch.ts'
import type { File } from '../../ports.ts'
import { readAt } from '../files/disk-calls.ts'
import { MAX_RELATIVE_OFFSET } from '../segment/offset-index.ts'

const CHUNK_BYTES = 1 << 20
const ZEROS = Buffer.alloc(CHUNK_BYTES)
/** Checksums per byte looked at, before bytes that look like headers everywhere count as good. */
const MAX_CHECKS_PER_BYTE = 16

/**
 * What stands in a log file behind its last good batch.
 *
 * `unused`: zeros that were reserved. The log ends before it.
 * `stale`: batches of an earlier life of the file. The log ends before it too.
 * `torn`: bytes of a write that was cut short. Nothing good is behind them.
 * `damaged`: a good batch of this segment is behind something that is not one, or out of its place. What was
 * acknowledged may be missing.
 */
export type EndKind = 'unused' | 'stale' | 'torn' | 'damaged'

/**
 * Looks at all bytes from `start`, where no good batch with an offset of at least `nextOffset` begins, to `end`.
 *
 * A recycled file holds batches with offsets below the base of its segment, `baseOffset`; the last write may have
 * ended within one of them, so one stretch of anything may stand before the first of those.
 */
export function inspectEnd(
  file: File,
  start: number,
  end: number,
  nextOffset: number,
  baseOffset: number,
): Promise<EndKind> {
  return new EndInspection(file, start, end, nextOffset, baseOffset).run()
}

/** Is there a good batch of a segment that starts at `baseOffset` in the file? */
export async function holdsGoodBatch(file: File, baseOffset: number): Promise<boolean> {
  return (await inspectEnd(file, 0, file.sizeBytes, baseOffset, baseOffset)) === 'damaged'
}

class EndInspection {
  readonly #file: File
  #end: number
  readonly #nextOffset: number
  readonly #baseOffset: number
  readonly #chunk: Buffer
  /** In the file, of the chunk's first byte. */
  #position: number
  #length = 0
  /** In the chunk: everything before is accounted for. */
  #seen = 0
  #checksLeft: number
  /** What stands since the last stale batch is not all zeros. */
  #dirty = false
  #dirtyGaps = 0
  #startsLikeWrite = false
  #foundStale = false

  constructor(file: File, start: number, end: number, nextOffset: number, baseOffset: number) {
    this.#file = file
    this.#position = start
    this.#end = end
    this.#nextOffset = nextOffset
    this.#baseOffset = baseOffset
    this.#chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, Math.max(0, end - start)))
    this.#checksLeft = MAX_CHECKS_PER_BYTE * (end - start + CHUNK_BYTES)
  }

  async run(): Promise<EndKind> {
    await this.#load(this.#position)
    this.#startsLikeWrite = this.#length >= batch.MAGIC_END && this.#isNextHeader()
    for (;;) {
      const good = await this.#search()
      if (good) return 'damaged'
      if (this.#position + this.#length >= this.#end) break
      await this.#load(this.#position + this.#seen)
    }
    this.#account(this.#length)
    // What ends in rubbish was not behind a stale batch that a write ended in.
    if (this.#startsLikeWrite || this.#dirty || this.#dirtyGaps > 1) return 'torn'
    return this.#foundStale ? 'stale' : 'unused'
  }

  /** Goes through the chunk, as far as headers are whole in it. True: there is a good batch. */
  async #search(): Promise<boolean> {
    for (;;) {
      const at = this.#candidate()
      if (at < 0) return false
      const size = batch.batchSizeBytes(this.#chunk, at)
      if (at + size > this.#length && size <= this.#chunk.length) {
        this.#account(at)
        this.#checksLeft -= this.#chunk.length
        await this.#load(this.#position + at)
        continue
      }
      this.#checksLeft -= size
      if (this.#checksLeft < 0) return true
      const good =
        at + size <= this.#length ? isGood(this.#chunk, at, size) : await this.#isGoodBeyond(at, size)
      if (!good) {
        this.#account(at + 1)
        continue
      }
      // Of this segment, and not where it belongs: behind the damage, or written twice.
      if (batch.lastOffset(this.#chunk, at) >= this.#baseOffset) return true
      this.#account(at)
      this.#foundStale = true
      if (this.#dirty) this.#dirtyGaps += 1
      this.#dirty = false
      if (at + size > this.#length) {
        await this.#load(this.#position + at + size)
      } else {
        this.#seen = at + size
      }
    }
  }

  /** The next place that looks like a header; -1 when there is none in this chunk. Accounts for all before. */
  #candidate(): number {
    const last = this.#length - batch.BATCH_OVERHEAD
    for (let at = this.#seen; at <= last; at += 1) {
      const magicAt = this.#chunk.indexOf(2, at + batch.MAGIC_END - 1)
      if (magicAt < 0 || magicAt - (batch.MAGIC_END - 1) > last) break
      at = magicAt - (batch.MAGIC_END - 1)
      if (this.#looksGood(at)) return at
    }
    this.#account(Math.max(this.#seen, last + 1))
    return -1
  }

  #looksGood(at: number): boolean {
    const chunk = this.#chunk
    const base = batch.baseOffset(chunk, at)
    const size = batch.batchSizeBytes(chunk, at)
    const delta = batch.lastOffsetDelta(chunk, at)
    const count = batch.recordCount(chunk, at)
    return (
      base >= 0 &&
      base - this.#nextOffset <= MAX_RELATIVE_OFFSET &&
      size >= batch.BATCH_OVERHEAD &&
      size <= this.#end - this.#position - at &&
      delta >= 0 &&
      count >= 0 &&
      count <= delta + 1
    )
  }

  /** Of a batch larger than a chunk. */
  async #isGoodBeyond(at: number, size: number): Promise<boolean> {
    const whole = Buffer.allocUnsafe(size)
    const bytesRead = await readAt(this.#file, this.#position + at, whole)
    return bytesRead === size && isGood(whole, 0, size)
  }

  /** Is what stands at the start the header of the batch that is due? */
  #isNextHeader(): boolean {
    const chunk = this.#chunk
    const distance = batch.baseOffset(chunk, 0) - this.#nextOffset
    return batch.magic(chunk, 0) === 2 && distance >= 0 && distance <= MAX_RELATIVE_OFFSET
  }

  /** The bytes up to `to` belong to no good batch. */
  #account(to: number): void {
    if (!this.#dirty && to > this.#seen)
      this.#dirty = this.#chunk.compare(ZEROS, 0, to - this.#seen, this.#seen, to) !== 0
    this.#seen = to
  }

  async #load(position: number): Promise<void> {
    this.#position = position
    this.#seen = 0
    const length = Math.max(0, Math.min(this.#chunk.length, this.#end - position))
    this.#length = await readAt(this.#file, position, this.#chunk.subarray(0, length))
    if (this.#length < length) this.#end = position + this.#length
  }
}

function isGood(buffer: Buffer, at: number, size: number): boolean {
  return batch.batchProblem(buffer, at, at + size) === null
}
