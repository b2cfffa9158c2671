import { CompressionError } from '../../../protocol/compression-error.ts'
import { decompress } from '../../../protocol/compression.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import { RecordReader } from '../../../protocol/records/record-reader.ts'
import type { Clock, File } from '../../ports.ts'
import { BatchScanner } from '../files/batch-scanner.ts'
import { patiently } from '../files/disk-problem.ts'
import type { OffsetAndTimestamp } from '../log-types.ts'
import type { Segment } from '../segment/segment.ts'

/** A batch that decompresses to more is answered by its header. */
const MAX_BATCH_BYTES = 64 << 20
/** Near an index entry the first batches decide; a long scan then reads on in these steps. */
const CHUNK_BYTES = 64 * 1024

export interface LookupSource {
  readonly segments: readonly Segment[]
  readonly logStartOffset: number
  /** Why nothing can be read any more, as an error code; 0 while it can. */
  readonly refusal: number
  /** How often the log was cut. */
  readonly cuts: number
  /** The disk failed while reading. */
  readFailed(error: unknown): void
}

/** The earliest record whose timestamp is at least `timestampMs`; null when there is none, or the log refuses. */
export async function findByTimestamp(
  source: LookupSource,
  timestampMs: number,
  clock: Clock,
): Promise<OffsetAndTimestamp | null> {
  const mayWait = (): boolean => source.refusal === 0
  while (source.refusal === 0) {
    const { segments, cuts } = source
    try {
      const find = () => findIn(segments, timestampMs, source.logStartOffset)
      const found = await patiently(clock, mayWait, find)
      if (cuts === source.cuts) return found
    } catch (error) {
      // Retention, compaction and truncation may take segments away while they are searched.
      if (segments === source.segments && source.refusal === 0) source.readFailed(error)
    }
  }
  return null
}

async function findIn(
  segments: readonly Segment[],
  timestampMs: number,
  fromOffset: number,
): Promise<OffsetAndTimestamp | null> {
  for (const [i, segment] of segments.entries()) {
    if ((segments[i + 1]?.baseOffset ?? Infinity) <= fromOffset) continue
    if (segment.largestTimestampMs < timestampMs) continue
    const found = await segment.whileHeld((file) => findInSegment(segment, file, timestampMs, fromOffset))
    if (found !== null) return found
  }
  return null
}

async function findInSegment(
  segment: Segment,
  file: File,
  timestampMs: number,
  fromOffset: number,
): Promise<OffsetAndTimestamp | null> {
  while (!segment.indexed) await segment.load()
  const before = segment.timeIndex?.offsetBefore(timestampMs) ?? segment.baseOffset
  const start = segment.offsetIndex?.positionBefore(Math.max(before, fromOffset)) ?? 0
  const scanner = new BatchScanner(file, start, segment.writtenBytes, CHUNK_BYTES)
  while (await scanner.fill()) {
    while (scanner.step()) {
      const { buffer, at } = scanner
      if (batch.maxTimestamp(buffer, at) < timestampMs || batch.lastOffset(buffer, at) < fromOffset) continue
      const found = findInBatch(buffer, at, timestampMs, fromOffset)
      if (found !== null) return found
    }
  }
  return null
}

function findInBatch(
  buffer: Buffer,
  at: number,
  timestampMs: number,
  fromOffset: number,
): OffsetAndTimestamp | null {
  const base = batch.baseOffset(buffer, at)
  if (batch.magic(buffer, at) < 2) {
    return { offset: base, timestamp: batch.maxTimestamp(buffer, at), leaderEpoch: -1 }
  }
  const leaderEpoch = batch.partitionLeaderEpoch(buffer, at)
  const maxTimestamp = batch.maxTimestamp(buffer, at)
  if (batch.isLogAppendTime(buffer, at)) {
    return { offset: Math.max(base, fromOffset), timestamp: maxTimestamp, leaderEpoch }
  }
  const whole = buffer.subarray(at + batch.BATCH_OVERHEAD, at + batch.batchSizeBytes(buffer, at))
  let body: Buffer
  try {
    body = decompress(batch.codec(buffer, at), whole, MAX_BATCH_BYTES)
  } catch (error) {
    if (!(error instanceof CompressionError)) throw error
    return { offset: Math.max(base, fromOffset), timestamp: maxTimestamp, leaderEpoch }
  }
  const baseTimestamp = batch.baseTimestamp(buffer, at)
  const reader = new RecordReader(body, batch.recordCount(buffer, at))
  while (reader.next()) {
    const timestamp = baseTimestamp + reader.timestampDelta
    const offset = base + reader.offsetDelta
    if (timestamp >= timestampMs && offset >= fromOffset) return { offset, timestamp, leaderEpoch }
  }
  return null
}
