import * as batch from '../../../protocol/records/record-batch.ts'
import type { File } from '../../ports.ts'
import { readAt } from '../files/disk-calls.ts'
import type { OffsetIndex } from './offset-index.ts'
import type { TimeIndex } from './time-index.ts'

interface Indexed {
  readonly offsetIndex: OffsetIndex | null
  readonly timeIndex: TimeIndex | null
}

/** What indexes say of the batches below an offset. */
export interface Skipped {
  readonly offsetIndex: OffsetIndex
  readonly timeIndex: TimeIndex
  /** Where the batch of the last entry starts. */
  readonly position: number
  readonly firstTimestampMs: number
}

/**
 * A cut of the log needs not read all of a segment, which may be a gigabyte for each of a thousand partitions: the batches
 * before the last entry that ends below `offset` stay. Null: there is none, or no such batch starts where it says.
 */
export async function skipByIndex(
  file: File,
  { offsetIndex, timeIndex }: Indexed,
  offset: number,
): Promise<Skipped | null> {
  if (offsetIndex === null || timeIndex === null) return null
  const entries = offsetIndex.below(offset)
  const { lastOffset, lastPosition } = entries
  if (lastPosition === 0) return null
  const header = Buffer.alloc(batch.BATCH_OVERHEAD)
  if ((await readAt(file, lastPosition, header)) < header.length) return null
  if (batch.lastOffset(header, 0) !== lastOffset) return null
  if ((await readAt(file, 0, header)) < header.length) return null
  const firstTimestampMs = batch.maxTimestamp(header, 0)
  const times = timeIndex.below(lastOffset + 1)
  return { offsetIndex: entries, timeIndex: times, position: lastPosition, firstTimestampMs }
}
