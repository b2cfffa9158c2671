import * as batch from '../../../protocol/records/record-batch.ts'
import type { Disk, Logger } from '../../ports.ts'
import { BatchScanner } from '../files/batch-scanner.ts'
import { removePath, syncDirectory } from '../files/disk-calls.ts'
import {
  INDEX_SUFFIX,
  isSegmentFile,
  LOG_SUFFIX,
  offsetOf,
  segmentFile,
  SEGMENT_SUFFIXES,
  SWAP_SUFFIX,
} from '../files/log-files.ts'
import { orderProblem } from '../segment/segment-end.ts'

/** What stands in a `.log.swap`. */
interface SwapContent {
  readonly nextOffset: number
  /** Why it is not what a compaction made; null when it is. */
  readonly problem: string | null
}

/**
 * Puts `.swap` files in the place of the segments that they cover. One that compaction cannot have made replaces nothing:
 * all of them go, and what they would have replaced stays. `gapLimit`: compaction may have made gaps that end at or below.
 */
export async function finishSwap(
  disk: Disk,
  directory: string,
  names: readonly string[],
  swaps: readonly string[],
  gapLimit: number,
  logger: Logger,
): Promise<void> {
  let from = Infinity
  let to = -1
  const wrong: { readonly file: string; readonly problem: string }[] = []
  for (const name of swaps) {
    if (!name.endsWith(LOG_SUFFIX + SWAP_SUFFIX)) continue
    const baseOffset = offsetOf(name)
    const { nextOffset, problem } = await contentOf(disk, directory, baseOffset, gapLimit)
    from = Math.min(from, baseOffset)
    to = Math.max(to, baseOffset + 1, nextOffset)
    if (problem !== null) wrong.push({ file: name, problem })
  }
  // Where nothing is left to be kept instead, what is in it is better than nothing.
  if (wrong.length > 0 && disk.exists(segmentFile(directory, from, LOG_SUFFIX))) {
    for (const fields of wrong)
      logger.error(fields, 'a compacted segment is damaged: the segments that it was to replace stay')
    for (const name of swaps) await removePath(disk, `${directory}/${name}`)
    return
  }
  // While the `.swap` could be lost, the segments that it replaces must stay: a killed process left it in memory only.
  await syncDirectory(disk, directory)
  for (const name of names) {
    const offset = offsetOf(name)
    if (isSegmentFile(name, SEGMENT_SUFFIXES) && offset >= from && offset < to)
      await removePath(disk, `${directory}/${name}`)
  }
  // While a segment could come back, the `.swap` must say that it is replaced.
  await syncDirectory(disk, directory)
  for (const name of swaps) {
    logger.info({ file: name }, 'finishing an interrupted compaction')
    disk.rename(`${directory}/${name}`, `${directory}/${name.slice(0, -SWAP_SUFFIX.length)}`)
  }
}

async function contentOf(
  disk: Disk,
  directory: string,
  baseOffset: number,
  gapLimit: number,
): Promise<SwapContent> {
  const file = disk.open(segmentFile(directory, baseOffset, LOG_SUFFIX + SWAP_SUFFIX), 'read')
  let next = baseOffset
  let gapEnd = -1
  try {
    const scanner = new BatchScanner(file, 0, file.sizeBytes)
    while (await scanner.fill()) {
      while (scanner.step()) {
        const { buffer, at, sizeBytes } = scanner
        const problem =
          batch.batchProblem(buffer, at, at + sizeBytes) ?? orderProblem(buffer, at, next, baseOffset)
        if (problem !== null) {
          scanner.reject(problem)
          break
        }
        if (batch.magic(buffer, at) >= 2 && batch.baseOffset(buffer, at) > next)
          gapEnd = batch.baseOffset(buffer, at)
        next = batch.lastOffset(buffer, at) + 1
      }
    }
    // Of a segment may nothing be kept, but then it has an index of which nothing is left either.
    const isEmpty = file.sizeBytes === 0 && !hasEmptyIndex(disk, directory, baseOffset)
    const problem = scanner.problem ?? (isEmpty ? 'it is empty' : null)
    const tooFar =
      gapEnd > gapLimit ? `a gap that ends at ${gapEnd}, and compaction went to ${gapLimit}` : null
    return { nextOffset: next, problem: problem ?? tooFar }
  } finally {
    file.close()
  }
}

function hasEmptyIndex(disk: Disk, directory: string, baseOffset: number): boolean {
  const path = segmentFile(directory, baseOffset, INDEX_SUFFIX + SWAP_SUFFIX)
  return disk.exists(path) && disk.readFile(path).length === 0
}
