import { CompressionError } from '../../../protocol/compression-error.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import { RecordStream } from '../../../protocol/records/record-stream.ts'
import type { RecordShape } from '../../../protocol/records/record-stream.ts'
import type { Clock, File } from '../../ports.ts'
import { BatchScanner } from '../files/batch-scanner.ts'
import { diskProblem, patiently } from '../files/disk-problem.ts'
import type { OffsetAndTimestamp } from '../log-types.ts'
import type { Segment } from '../segment/segment.ts'

/** Near an index entry the first batches decide; a long scan then reads on in these steps. */
const CHUNK_BYTES = 64 * 1024
/** Sums of numbers within it are exact. */
const EXACT = 2 ** 52

/** What a lookup may cost, and whether anybody still waits for it. Several lookups may share one. */
export interface LookupWork {
  readonly abandoned: boolean
  /**
   * Bytes of records that may still be looked at in vain: what a batch's header says of its timestamps need not be so.
   * When they are spent, headers are believed.
   */
  vainBytesLeft: number
  /** As `Codecs.decompress`. */
  decompress(codec: number, data: Buffer, piece: (bytes: Buffer) => boolean): Promise<void>
}

interface Lookup {
  readonly timestampMs: number
  readonly fromOffset: number
  readonly work: LookupWork
}

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
  work: LookupWork,
): Promise<OffsetAndTimestamp | null> {
  const mayWait = (): boolean => source.refusal === 0 && !work.abandoned
  while (source.refusal === 0 && !work.abandoned) {
    const { segments, cuts } = source
    try {
      const asked = { timestampMs, fromOffset: source.logStartOffset, work }
      const find = () => findIn(segments, asked)
      const found = await patiently(clock, mayWait, find)
      if (cuts === source.cuts) return found
    } catch (error) {
      // Retention, compaction and truncation may take segments away while they are searched.
      if (segments !== source.segments || source.refusal !== 0 || work.abandoned) continue
      // Of what is stored, or a mistake in here: the disk is not to blame.
      if (diskProblem(error) === 'invariant') throw error
      source.readFailed(error)
    }
  }
  return null
}

async function findIn(segments: readonly Segment[], asked: Lookup): Promise<OffsetAndTimestamp | null> {
  for (const [i, segment] of segments.entries()) {
    if ((segments[i + 1]?.baseOffset ?? Infinity) <= asked.fromOffset) continue
    if (segment.largestTimestampMs < asked.timestampMs) continue
    const found = await segment.whileHeld((file) => findInSegment(segment, file, asked))
    if (found !== null) return found
  }
  return null
}

async function findInSegment(
  segment: Segment,
  file: File,
  asked: Lookup,
): Promise<OffsetAndTimestamp | null> {
  const { timestampMs, fromOffset, work } = asked
  while (!segment.indexed) await segment.load()
  const before = segment.timeIndex?.offsetBefore(timestampMs) ?? segment.baseOffset
  const start = segment.offsetIndex?.positionBefore(Math.max(before, fromOffset)) ?? 0
  const scanner = new BatchScanner(file, start, segment.writtenBytes, CHUNK_BYTES)
  while (!work.abandoned && (await scanner.fill())) {
    while (scanner.step()) {
      const { buffer, at } = scanner
      if (batch.maxTimestamp(buffer, at) < timestampMs || batch.lastOffset(buffer, at) < fromOffset) continue
      const found = await findInBatch(buffer, at, asked)
      if (found !== null) return found
    }
  }
  if (scanner.problem === null || start === 0 || segment.indexesChecked) return null
  // No batch begins where the index says, perhaps.
  await segment.repairIndexes()
  return findInSegment(segment, file, asked)
}

async function findInBatch(buffer: Buffer, at: number, asked: Lookup): Promise<OffsetAndTimestamp | null> {
  const { timestampMs, fromOffset, work } = asked
  const base = batch.baseOffset(buffer, at)
  if (batch.magic(buffer, at) < 2) {
    const timestamp = batch.nearestInt64(batch.maxTimestamp(buffer, at))
    return { offset: base, timestamp, leaderEpoch: -1 }
  }
  const leaderEpoch = batch.partitionLeaderEpoch(buffer, at)
  const timestamp = batch.exactMaxTimestamp(buffer, at)
  const byHeader = { offset: Math.max(base, fromOffset), timestamp, leaderEpoch }
  if (batch.isLogAppendTime(buffer, at) || work.vainBytesLeft <= 0) return byHeader
  const compressed = buffer.subarray(at + batch.BATCH_OVERHEAD, at + batch.batchSizeBytes(buffer, at))
  const stream = new RecordStream(batch.recordCount(buffer, at))
  let found: OffsetAndTimestamp | null = null
  let lookedAtBytes = 0
  try {
    await work.decompress(batch.codec(buffer, at), compressed, (bytes) => {
      stream.feed(bytes)
      while (stream.next()) {
        const timestamp = timestampOf(buffer, at, stream)
        const offset = base + stream.offsetDelta
        if (Number(timestamp) < timestampMs || offset < fromOffset) continue
        found = { offset, timestamp, leaderEpoch }
        return false
      }
      lookedAtBytes += bytes.length
      return stream.problem === null && !work.abandoned
    })
  } catch (error) {
    if (!(error instanceof CompressionError)) throw error
    return byHeader
  }
  if (found === null) work.vainBytesLeft -= lookedAtBytes
  return found
}

function timestampOf(
  buffer: Buffer,
  at: number,
  { timestampDelta, wideDelta }: RecordShape,
): number | bigint {
  const base = batch.baseTimestamp(buffer, at)
  if (wideDelta === null && Math.abs(base) <= EXACT && Math.abs(timestampDelta) <= EXACT)
    return base + timestampDelta
  const delta = wideDelta ?? BigInt(timestampDelta)
  const exact = BigInt.asIntN(64, batch.exactBaseTimestamp(buffer, at) + delta)
  const rounded = Number(exact)
  return Number.isSafeInteger(rounded) ? rounded : exact
}
