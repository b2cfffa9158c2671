import * as batch from '../../../protocol/records/record-batch.ts'
import { SamsaError } from '../../core/samsa-error.ts'
import type { SegmentReplacement } from '../segment/segment-replacement.ts'
import type { Segment } from '../segment/segment.ts'
import type { Pace } from './pace.ts'
import type { PlainRecords } from './plain-records.ts'

const CHUNK_BYTES = 256 * 1024
/** Positions in a segment are 32 bits. */
const MAX_SEGMENT_BYTES = 0x7fff_ffff

/** Is shown a batch, puts out what is to be kept of it, and says whether to go on. */
export type VisitBatch = (buffer: Buffer, at: number, output: BatchOutput) => boolean

/** Batches on their way into a replacement. */
export class BatchOutput {
  readonly #into: SegmentReplacement | null
  #batches: Buffer[] = []
  #sizeBytes = 0
  #left: { readonly bytes: Buffer; readonly codec: number } | null = null

  constructor(into: SegmentReplacement | null) {
    this.#into = into
  }

  get full(): boolean {
    return this.#sizeBytes >= CHUNK_BYTES
  }

  /** May be a view of what is read into: it is flushed before more is read. */
  push(batches: Buffer): void {
    this.#batches.push(batches)
    this.#sizeBytes += batches.length
  }

  /** What is left of a batch of that codec, not compressed yet. */
  pushLeft(left: Buffer, codec: number): void {
    this.#left = { bytes: left, codec }
  }

  /** After each batch. */
  async compressLeft(plain: PlainRecords): Promise<void> {
    const left = this.#left
    if (left === null) return
    this.#left = null
    this.push(await plain.compress(left.bytes, left.codec))
  }

  get hasLeft(): boolean {
    return this.#left !== null
  }

  async flush(): Promise<void> {
    if (this.#into === null || this.#sizeBytes === 0) return
    const bytes = this.#batches.length === 1 ? this.#batches[0]! : Buffer.concat(this.#batches)
    this.#batches = []
    this.#sizeBytes = 0
    if (this.#into.sizeBytes + bytes.length > MAX_SEGMENT_BYTES)
      throw new SamsaError('SAMSA_LOG_CORRUPT', `${this.#into.segment.path}: too large when written again`)
    await this.#into.append(bytes)
  }
}

/**
 * Shows every batch of a segment to `visit`, with its records in `plain`, until it says no, and appends what it puts out. Lets requests through in
 * between, and reads no faster than allowed. False when `leaving`. Throws SAMSA_LOG_CORRUPT where the bytes are not what
 * was written.
 */
export async function scanSegment(
  segment: Segment,
  pace: Pace,
  leaving: () => boolean,
  visit: VisitBatch,
  plain: PlainRecords,
  into: SegmentReplacement | null = null,
): Promise<boolean> {
  const end = segment.sizeBytes
  const output = new BatchOutput(into)
  let buffer = Buffer.allocUnsafe(CHUNK_BYTES)
  let position = 0
  while (position < end) {
    const wanted = Math.min(buffer.length, end - position)
    await pace.before(wanted)
    if (leaving()) return false
    const length = await segment.read(position, buffer.subarray(0, wanted))
    let at = 0
    let more = true
    while (more && length - at >= batch.MAGIC_END) {
      const size = batch.batchSizeBytes(buffer, at)
      if (size > length - at && size <= end - position - at) break
      const problem = batch.batchProblem(buffer, at, length)
      if (problem !== null) throw damaged(segment, buffer, at, problem)
      if (plain.needs(buffer, at)) await plain.prepare(buffer, at)
      if (leaving()) return false
      more = visit(buffer, at, output)
      if (output.hasLeft) await output.compressLeft(plain)
      at += size
      if (output.full) await output.flush()
      // A batch may decompress to a lot, and a chunk holds many.
      if (pace.sliceOver) await pace.before(0)
      if (leaving()) return false
    }
    await output.flush()
    if (!more) return true
    if (at === 0) {
      const needed = length >= batch.MAGIC_END ? batch.batchSizeBytes(buffer, 0) : 0
      if (needed <= buffer.length) throw damaged(segment, buffer, 0, 'the file ends early')
      buffer = Buffer.allocUnsafe(needed)
    }
    position += at
  }
  return true
}

function damaged(segment: Segment, buffer: Buffer, at: number, problem: string): SamsaError {
  const offset = batch.baseOffset(buffer, at)
  return new SamsaError('SAMSA_LOG_CORRUPT', `${segment.path}: batch with offset ${offset}: ${problem}`)
}
