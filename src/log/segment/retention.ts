import type { Clock } from '../../ports.ts'
import type { LogConfig } from '../log-config.ts'
import { MAX_RELATIVE_OFFSET } from './offset-index.ts'
import type { Segment } from './segment.ts'

/** What retention looks at. */
export interface RetentionView {
  readonly segments: readonly Segment[]
  readonly sizeBytes: number
  readonly logStartOffset: number
  readonly logEndOffset: number
}

/**
 * How many of the oldest segments may go: those wholly below the log start, and where the policy says delete, those
 * that are too many bytes or too old. Never at or above `highWatermark`; an empty active segment stays.
 */
export function countDeletable(
  view: RetentionView,
  config: LogConfig,
  nowMs: number,
  highWatermark: number,
): number {
  let count = countWhile(view, 0, highWatermark, (_, endOffset) => endOffset <= view.logStartOffset)
  if (!config.cleanupPolicy.delete) return count
  if (config.retentionBytes >= 0) {
    let excess = view.sizeBytes - config.retentionBytes
    for (const segment of view.segments.slice(0, count)) excess -= segment.sizeBytes
    count = countWhile(view, count, highWatermark, (segment) => {
      excess -= segment.sizeBytes
      return excess >= 0
    })
  }
  if (config.retentionMs >= 0) {
    count = countWhile(
      view,
      count,
      highWatermark,
      (segment) => nowMs - ageBasis(segment) > config.retentionMs,
    )
  }
  return count
}

/** Without timestamps in its records a segment is as old as this process knows it. */
function ageBasis(segment: Segment): number {
  return segment.largestTimestampMs >= 0 ? segment.largestTimestampMs : segment.createdMs
}

function countWhile(
  view: RetentionView,
  from: number,
  highWatermark: number,
  deletable: (segment: Segment, endOffset: number) => boolean,
): number {
  let count = from
  for (;;) {
    const segment = view.segments[count]
    if (segment === undefined) return count
    const next = view.segments[count + 1]
    const endOffset = next?.baseOffset ?? view.logEndOffset
    const emptyActive = next === undefined && segment.sizeBytes === 0
    if (emptyActive || endOffset > highWatermark || !deletable(segment, endOffset)) return count
    count++
  }
}

/** Whether a batch of `sizeBytes` that ends at `lastOffset` must go to a segment of its own. */
export function mustRoll(
  active: Segment,
  config: LogConfig,
  jitterMs: number,
  clock: Clock,
  sizeBytes: number,
  maxTimestamp: number,
  lastOffset: number,
): boolean {
  if (active.sizeBytes === 0) return lastOffset - active.baseOffset > MAX_RELATIVE_OFFSET
  if (active.sizeBytes + sizeBytes > config.segmentBytes) return true
  if (lastOffset - active.baseOffset > MAX_RELATIVE_OFFSET) return true
  if ((active.offsetIndex?.count ?? 0) >= Math.floor(config.segmentIndexBytes / 8)) return true
  if ((active.timeIndex?.count ?? 0) >= Math.floor(config.segmentIndexBytes / 12) - 1) return true
  const waitedMs =
    active.firstTimestampMs >= 0 ? maxTimestamp - active.firstTimestampMs : clock.nowMs() - active.createdMs
  return waitedMs > config.segmentMs - jitterMs
}

/** FNV-1a over the name of a segment: the jitter of rolling by time must differ between partitions and repeat in a replay. */
export function rollJitterMs(config: LogConfig, name: string, baseOffset: number): number {
  if (config.segmentJitterMs <= 0) return 0
  let hash = 0x811c9dc5
  for (const char of `${name}/${baseOffset}`) hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193)
  return (hash >>> 0) % Math.min(config.segmentJitterMs, config.segmentMs)
}
