import * as batch from '../../protocol/records/record-batch.ts'
import type { File } from '../ports.ts'
import { readAt } from './disk-calls.ts'

const CHUNK_BYTES = 1 << 20

/**
 * Steps over the batches of a file in order, reading a chunk at a time:
 *
 *     while (await scanner.fill()) while (scanner.step()) use(scanner.buffer, scanner.at)
 *     scanner.problem, scanner.position
 *
 * Each `fill` waits for the disk, so other work goes on between chunks.
 */
export class BatchScanner {
  /** Holds the current batch from `at` on. Overwritten by the next `fill`. */
  buffer: Buffer
  at = 0
  /** Of the current batch in the file; at the end of the scan the first byte that belongs to no good batch. */
  position: number
  sizeBytes = 0
  /** What stopped the scan before the end; null while nothing did. */
  problem: string | null = null
  readonly #file: File
  readonly #end: number
  #filled = 0
  #stepped = false

  constructor(file: File, start: number, end: number, chunkBytes = CHUNK_BYTES) {
    this.#file = file
    this.position = start
    this.#end = end
    this.buffer = Buffer.allocUnsafe(Math.max(batch.BATCH_OVERHEAD, Math.min(chunkBytes, end - start)))
  }

  /** False when the scan is over. */
  async fill(): Promise<boolean> {
    if (this.#stepped) this.#leave()
    if (this.problem !== null || this.position >= this.#end) return false
    const kept = this.#filled - this.at
    const wanted = kept >= batch.MAGIC_END ? batch.batchSizeBytes(this.buffer, this.at) : 0
    if (wanted > this.buffer.length) {
      const larger = Buffer.allocUnsafe(wanted)
      this.buffer.copy(larger, 0, this.at, this.#filled)
      this.buffer = larger
    } else if (this.at > 0) {
      this.buffer.copyWithin(0, this.at, this.#filled)
    }
    this.at = 0
    this.#filled = kept
    const length = Math.min(this.buffer.length - kept, this.#end - this.position - kept)
    const bytesRead = await readAt(
      this.#file,
      this.position + kept,
      this.buffer.subarray(kept, kept + length),
    )
    this.#filled += bytesRead
    if (bytesRead < length) this.problem = 'the file ends early'
    return bytesRead > 0
  }

  /** On to the next batch that is in memory as a whole. False: fill again. */
  step(): boolean {
    if (this.#stepped) this.#leave()
    const have = this.#filled - this.at
    const left = this.#end - this.position
    if (left <= 0) return false
    if (have < batch.MAGIC_END) {
      if (have === left) this.problem = 'shorter than the start of a batch'
      return false
    }
    const problem = batch.frameProblem(this.buffer, this.at, this.at + left)
    if (problem !== null) {
      this.problem = problem
      return false
    }
    const size = batch.batchSizeBytes(this.buffer, this.at)
    if (size > have) return false
    this.sizeBytes = size
    this.#stepped = true
    return true
  }

  /** The current batch is not good: the scan ends before it. */
  reject(problem: string): void {
    this.problem = problem
    this.#stepped = false
  }

  #leave(): void {
    this.at += this.sizeBytes
    this.position += this.sizeBytes
    this.#stepped = false
  }
}

/**
 * Position of the first good batch at or after `start` with an offset of at least `minOffset`; -1 when there is
 * none. Tells a torn tail from damage in the middle.
 */
export async function findGoodBatch(
  file: File,
  start: number,
  end: number,
  minOffset: number,
): Promise<number> {
  const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, Math.max(0, end - start)))
  let position = start
  while (end - position >= batch.BATCH_OVERHEAD) {
    const length = await readAt(file, position, chunk.subarray(0, Math.min(chunk.length, end - position)))
    if (length < batch.BATCH_OVERHEAD) return -1
    const last = length - batch.BATCH_OVERHEAD
    for (
      let magicAt = chunk.indexOf(2, 16);
      magicAt >= 0 && magicAt - 16 <= last;
      magicAt = chunk.indexOf(2, magicAt + 1)
    ) {
      const at = magicAt - 16
      if (!looksGood(chunk, at, end - position - at, minOffset)) continue
      const whole = Buffer.allocUnsafe(batch.batchSizeBytes(chunk, at))
      const bytesRead = await readAt(file, position + at, whole)
      if (bytesRead === whole.length && batch.batchProblem(whole, 0, whole.length) === null)
        return position + at
    }
    position += last + 1
  }
  return -1
}

function looksGood(buffer: Buffer, at: number, left: number, minOffset: number): boolean {
  const base = batch.baseOffset(buffer, at)
  const size = batch.batchSizeBytes(buffer, at)
  const delta = batch.lastOffsetDelta(buffer, at)
  const count = batch.recordCount(buffer, at)
  return (
    base >= minOffset &&
    base - minOffset <= 0x7fff_ffff &&
    size >= batch.BATCH_OVERHEAD &&
    size <= left &&
    delta >= 0 &&
    count >= 0 &&
    count <= delta + 1
  )
}
