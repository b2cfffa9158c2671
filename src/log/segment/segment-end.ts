import * as batch from '../../../protocol/records/record-batch.ts'
import type { File } from '../../ports.ts'
import { readAt } from '../files/disk-calls.ts'
import { MAX_RELATIVE_OFFSET } from './offset-index.ts'

const LOOK_BYTES = 4096

/** Where the batches of a segment end. */
export interface SegmentEnd {
  readonly nextOffset: number
  readonly validBytes: number
  /** Why it ends there; null when that is where the file ends. */
  readonly problem: string | null
}

/** What a time index says of the youngest record of a segment; `timestampMs` is -1 when it says of none. */
export interface Youngest {
  readonly timestampMs: number
  /** Of the record, or of another one in its batch. */
  readonly offset: number
}

/** What batches say about that. */
export class YoungestCheck {
  /** The batch with that offset was there. */
  seen: boolean
  /** It has another timestamp, or one of the batches a later one. */
  disproved = false
  readonly #claim: Youngest

  constructor(claim: Youngest) {
    this.#claim = claim
    this.seen = claim.timestampMs < 0
  }

  batch(buffer: Buffer, at: number): void {
    const { offset, timestampMs } = this.#claim
    const maxTimestampMs = batch.maxTimestamp(buffer, at)
    if (maxTimestampMs > timestampMs) this.disproved = true
    if (timestampMs < 0 || batch.lastOffset(buffer, at) < offset) return
    const holdsIt =
      batch.magic(buffer, at) < 2
        ? batch.lastOffset(buffer, at) === offset
        : batch.baseOffset(buffer, at) <= offset
    if (!holdsIt) return
    this.seen = true
    if (maxTimestampMs !== timestampMs) this.disproved = true
  }
}

/**
 * Goes from header to header, from `start`, where a batch begins, to the end of a file of `sizeBytes`. What is between the
 * headers is not looked at.
 */
export async function endOf(
  file: File,
  start: number,
  sizeBytes: number,
  baseOffset: number,
  youngest: YoungestCheck | null = null,
): Promise<SegmentEnd> {
  const chunk = Buffer.allocUnsafe(LOOK_BYTES)
  let chunkAt = start
  let chunkBytes = 0
  let nextOffset = baseOffset
  for (let position = start; position < sizeBytes;) {
    const wanted = Math.min(batch.BATCH_OVERHEAD, sizeBytes - position)
    if (position + wanted > chunkAt + chunkBytes) {
      chunkAt = position
      chunkBytes = await readAt(file, position, chunk.subarray(0, Math.min(LOOK_BYTES, sizeBytes - position)))
    }
    const at = position - chunkAt
    const problem =
      chunkBytes - at < wanted
        ? 'the file ends early'
        : headerProblem(chunk, at, sizeBytes - position, nextOffset, baseOffset)
    if (problem !== null) return { nextOffset, validBytes: position, problem }
    youngest?.batch(chunk, at)
    nextOffset = batch.lastOffset(chunk, at) + 1
    position += batch.batchSizeBytes(chunk, at)
  }
  return { nextOffset, validBytes: sizeBytes, problem: null }
}

function headerProblem(
  buffer: Buffer,
  at: number,
  leftBytes: number,
  nextOffset: number,
  segmentBase: number,
): string | null {
  const problem = batch.frameProblem(buffer, at, at + leftBytes)
  if (problem !== null) return problem
  return orderProblem(buffer, at, nextOffset, segmentBase)
}

/** Why the offsets of a batch cannot be those that come next in a segment; null when they can. */
export function orderProblem(
  buffer: Buffer,
  at: number,
  nextOffset: number,
  segmentBase: number,
): string | null {
  // What stands in an old message set is the last offset.
  const first = batch.magic(buffer, at) < 2 ? batch.lastOffset(buffer, at) : batch.baseOffset(buffer, at)
  if (first < nextOffset) return `offset ${first} where at least ${nextOffset} is due`
  const lastOffset = batch.lastOffset(buffer, at)
  return lastOffset < first || lastOffset - segmentBase > MAX_RELATIVE_OFFSET
    ? `offset ${lastOffset} does not fit the segment`
    : null
}
