import { endOf, YoungestCheck } from './segment-end.ts'
import type { Segment } from './segment.ts'

/**
 * Whether the segment is as old as its time index says. Its batches decide, from the one that the index calls the youngest
 * to the last. Where they say something else the indexes are made anew; `largestTimestampMs` is what they say then.
 */
export async function checkYoungest(segment: Segment): Promise<boolean> {
  if (!segment.indexed) await segment.load()
  const { offsetIndex, largestTimestampMs: timestampMs, largestTimestampOffset: offset } = segment
  const check = new YoungestCheck({ timestampMs, offset })
  const start = timestampMs < 0 ? 0 : (offsetIndex?.positionBefore(offset) ?? 0)
  const end = await segment.whileHeld((file) =>
    endOf(file, start, Math.min(segment.writtenBytes, file.sizeBytes), segment.baseOffset, check),
  )
  if (end.problem === null && check.seen && !check.disproved) return true
  await segment.repairIndexes()
  // Of damaged batches nobody knows how young they are.
  if (end.problem !== null) segment.largestTimestampMs = Math.max(segment.largestTimestampMs, timestampMs)
  return segment.largestTimestampMs === timestampMs
}
