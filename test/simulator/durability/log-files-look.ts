import { strict as assert } from 'node:assert'
import * as batch from '../../../protocol/records/record-batch.ts'
import type { Seen } from './seen.ts'
import type { SimDiskImage } from '../sim-disk-image.ts'

/** The log file of a segment, and its base offset. */
export const SEGMENT = /\/(\d{20})\.log$/

/** Where the batches of a segment end, and the offset that is due there. */
export function segmentEnd(bytes: Buffer, baseOffset: number): { position: number; nextOffset: number } {
  let position = 0
  let nextOffset = baseOffset
  while (position < bytes.length) {
    if (batch.batchProblem(bytes, position, bytes.length) !== null) break
    if (batch.baseOffset(bytes, position) < nextOffset) break
    nextOffset = batch.lastOffset(bytes, position) + 1
    position += batch.batchSizeBytes(bytes, position)
  }
  return { position, nextOffset }
}

/** The first good batch at or behind `position`, or -1. */
export function findBatch(bytes: Buffer, position: number): number {
  for (
    let magicAt = bytes.indexOf(2, position + 16);
    magicAt >= 0 && magicAt - 16 + batch.BATCH_OVERHEAD <= bytes.length;
    magicAt = bytes.indexOf(2, magicAt + 1)
  ) {
    if (batch.batchProblem(bytes, magicAt - 16, bytes.length) === null) return magicAt - 16
  }
  return -1
}

/** Counts what lies behind the ends of the segments. `stopped`: nothing may, the next start may be Apache Kafka's. */
export function lookAtLogs(image: SimDiskImage, seen: Seen, stopped = false): void {
  if (image.find('/data') === null) return
  for (const [path, file] of image.walk('/data')) {
    const base = SEGMENT.exec(path)?.[1]
    if (stopped) assert(!path.endsWith('.spare'), `${path} is left after a clean stop`)
    // A deleted partition's files are what they were when it was deleted.
    if (base === undefined || /-delete\/[^/]+$/.test(path)) continue
    const bytes = file.cached.all()
    const { position } = segmentEnd(bytes, Number(base))
    if (position === bytes.length) continue
    assert(!stopped, `${path} ends at ${bytes.length} instead of ${position} after a clean stop`)
    const tail = bytes.subarray(position)
    if (tail.every((byte) => byte === 0)) seen.count('zeros behind the end')
    else if (file.recycled && findBatch(bytes, position) >= 0) seen.count('stale batches behind the end')
    else seen.count('garbage behind the end')
  }
}
