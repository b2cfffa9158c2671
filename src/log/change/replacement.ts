import assert from 'node:assert/strict'
import { syncDirectory } from '../files/disk-calls.ts'
import { CLEANED_SUFFIX, LOG_SUFFIX, segmentFile, SWAP_SUFFIX } from '../files/log-files.ts'
import type { AbortedTransaction } from '../log-types.ts'
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

/**
 * Swaps `by` in for `replaced` (adjacent, closed, the first with its base offset), crash-safe. `ended`: aborted
 * transactions of which no batch is left. A task of the log.
 *
 * A start that finds the `.swap` removes the segments below its last offset. Those behind, of which nothing was kept, are
 * not covered by that: they go after it has its name, oldest first, each durably, so that a power loss never leaves a
 * record without the tombstone that came after it.
 */
export async function replaceSegments(
  body: LogBody,
  replaced: readonly Segment[],
  by: SegmentReplacement,
  ended: ReadonlySet<AbortedTransaction>,
): Promise<void> {
  const { list, transactions, world, directory } = body
  const at = list.all.indexOf(replaced[0]!)
  assert(at >= 0 && at + replaced.length < list.count, 'only closed segments can be replaced')
  assert(
    replaced.every((segment, i) => list.all[at + i] === segment) && replaced[0]!.baseOffset === by.baseOffset,
  )
  const endOffset = list.all[at + replaced.length]!.baseOffset
  const { segment } = by
  transactions.remove(ended)
  await by.complete(transactions.encode(by.baseOffset, endOffset))
  // The snapshot where a segment starts is the proof that a gap before it is no loss: it comes before the gap.
  await syncDirectory(world.disk, directory)
  segment.rename(SWAP_SUFFIX)
  await syncDirectory(world.disk, directory)
  // Before the old ones leave: a segment of the list can always be read.
  segment.become('closed')
  list.swap(replaced, segment)
  const covered = Math.max(1, replaced.filter(({ baseOffset }) => baseOffset < by.endOffset).length)
  for (const old of replaced.slice(0, covered)) await body.retire(old, -1, old.baseOffset === by.baseOffset)
  await syncDirectory(world.disk, directory)
  segment.rename('')
  await syncDirectory(world.disk, directory)
  for (const old of replaced.slice(covered)) {
    await body.retire(old, -1, true)
    await syncDirectory(world.disk, directory)
    await body.snapshots.remove(old.baseOffset)
  }
}
