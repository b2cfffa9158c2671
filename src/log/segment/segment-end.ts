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

/**
 * Goes from header to header, from `start`, where a batch begins, to the end of a file of `sizeBytes`. What is between the
 * headers is not looked at.
 */
export async function endOf(
  file: File,
  start: number,
  sizeBytes: number,
  baseOffset: number,
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
  // What stands in an old message set is the last offset.
  const first = batch.magic(buffer, at) < 2 ? batch.lastOffset(buffer, at) : batch.baseOffset(buffer, at)
  if (first < nextOffset) return `offset ${first} where at least ${nextOffset} is due`
  const lastOffset = batch.lastOffset(buffer, at)
  return lastOffset < first || lastOffset - segmentBase > MAX_RELATIVE_OFFSET
    ? `offset ${lastOffset} does not fit the segment`
    : null
}
