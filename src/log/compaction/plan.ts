import * as batch from '../../../protocol/records/record-batch.ts'
import type { ManagedLog } from '../directory/managed-log.ts'
import { MAX_RELATIVE_OFFSET } from '../segment/offset-index.ts'
import type { Segment } from '../segment/segment.ts'

/** What one pass over a log looks at. */
export interface Plan {
  /** How often the log had been cut: with another number nothing of it holds. */
  readonly cuts: number
  /** Closed segments below the first that must not be cleaned, oldest first. */
  readonly segments: readonly Segment[]
  /** First offset of which no earlier pass took notice. */
  readonly dirtyOffset: number
  /** Base offset of the first segment not to be cleaned. */
  readonly endOffset: number
}

/** Adjacent segments that become one. */
export interface SegmentGroup {
  readonly segments: Segment[]
  endOffset: number
  sizeBytes: number
}

/** Null when the log needs no pass. */
export async function planPass(managed: ManagedLog, nowMs: number): Promise<Plan | null> {
  const { log } = managed
  const { minCompactionLagMs, maxCompactionLagMs, minCleanableDirtyRatio } = log.config
  const { cuts, segments: all } = log
  const count = countCleanable(managed, nowMs, minCompactionLagMs)
  const first = all[0]
  const next = all[count]
  if (count === 0 || first === undefined || next === undefined) return null
  const known = managed.cleanedEndOffset
  const dirtyOffset = known > log.logEndOffset || known < first.baseOffset ? first.baseOffset : known
  let cleanBytes = 0
  let dirtyBytes = 0
  let oldestDirtyMs = -1
  for (let index = 0; index < count; index++) {
    const segment = all[index] as Segment
    if ((all[index + 1] as Segment).baseOffset <= dirtyOffset) {
      cleanBytes += segment.sizeBytes
      continue
    }
    if (dirtyBytes === 0) oldestDirtyMs = await firstTimestampMs(segment)
    dirtyBytes += segment.sizeBytes
  }
  if (dirtyBytes === 0) return null
  const overdue = oldestDirtyMs >= 0 && nowMs - oldestDirtyMs > maxCompactionLagMs
  if (!overdue && dirtyBytes / (cleanBytes + dirtyBytes) < minCleanableDirtyRatio) return null
  return { cuts, segments: all.slice(0, count), dirtyOffset, endOffset: next.baseOffset }
}

/** How many of the oldest segments are closed, old enough, and hold nothing that is not decided yet. */
function countCleanable({ log, highWatermark }: ManagedLog, nowMs: number, minLagMs: number): number {
  const all = log.segments
  const open = log.firstOpenTransactionOffset
  const stableOffset = open < 0 ? highWatermark : Math.min(highWatermark, open)
  let count = 0
  while (count < all.length - 1) {
    const segment = all[count] as Segment
    const endOffset = (all[count + 1] as Segment).baseOffset
    const tooYoung = minLagMs > 0 && segment.largestTimestampMs > nowMs - minLagMs
    if (endOffset > stableOffset || tooYoung) break
    count += 1
  }
  return count
}

/** Adjacent segments that fit into one, in order. Those behind `mappedOffset` are left out. */
export function groupsOf(plan: Plan, mappedOffset: number, segmentBytes: number): SegmentGroup[] {
  const groups: SegmentGroup[] = []
  for (const [index, segment] of plan.segments.entries()) {
    if (segment.baseOffset >= mappedOffset) break
    const endOffset = plan.segments[index + 1]?.baseOffset ?? plan.endOffset
    const group = groups.at(-1)
    const fits =
      group !== undefined &&
      group.sizeBytes + segment.sizeBytes <= segmentBytes &&
      endOffset - group.segments[0]!.baseOffset <= MAX_RELATIVE_OFFSET
    if (fits) {
      group.segments.push(segment)
      group.endOffset = endOffset
      group.sizeBytes += segment.sizeBytes
    } else {
      groups.push({ segments: [segment], endOffset, sizeBytes: segment.sizeBytes })
    }
  }
  return groups
}

/** Timestamp of the first batch; -1 when the segment is empty. */
export async function firstTimestampMs(segment: Segment): Promise<number> {
  const header = Buffer.alloc(batch.BATCH_OVERHEAD)
  const length = await segment.read(0, header)
  return length < batch.BATCH_OVERHEAD ? -1 : batch.maxTimestamp(header, 0)
}
