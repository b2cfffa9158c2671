import assert from 'node:assert/strict'
import { syncDirectory } from '../files/disk-calls.ts'
import { CLEANED_SUFFIX, LOG_SUFFIX, segmentFile, SWAP_SUFFIX } from '../files/log-files.ts'
import { SegmentReplacement } from '../segment/segment-replacement.ts'
import type { Segment } from '../segment/segment.ts'
import type { LogBody } from './log-body.ts'

/** Starts a `.cleaned` segment that will take the place of closed segments from `baseOffset` on. */
export function beginReplacement(body: LogBody, baseOffset: number): SegmentReplacement {
  const { disk } = body.world
  const path = segmentFile(body.directory, baseOffset, LOG_SUFFIX + CLEANED_SUFFIX)
  assert(!disk.exists(path), 'two compactions of one segment at once')
  const segment = body.newSegment(baseOffset, CLEANED_SUFFIX)
  segment.create()
  return new SegmentReplacement(disk, segment)
}

/** Swaps `by` in for `replaced` (adjacent, closed, the first with its base offset), crash-safe. A task of the log. */
export async function replaceSegments(
  body: LogBody,
  replaced: readonly Segment[],
  by: SegmentReplacement,
): Promise<void> {
  const { list, transactions, world, directory } = body
  const at = list.all.indexOf(replaced[0]!)
  assert(at >= 0 && at + replaced.length < list.count, 'only closed segments can be replaced')
  assert(
    replaced.every((segment, i) => list.all[at + i] === segment) && replaced[0]!.baseOffset === by.baseOffset,
  )
  const endOffset = list.all[at + replaced.length]!.baseOffset
  const { segment } = by
  await by.complete(transactions.encode(by.baseOffset, endOffset))
  segment.rename(SWAP_SUFFIX)
  await syncDirectory(world.disk, directory)
  for (const old of replaced) await body.retire(old, -1, old.baseOffset === by.baseOffset)
  segment.rename('')
  segment.become('closed')
  list.swap(replaced, segment)
  await syncDirectory(world.disk, directory)
}
