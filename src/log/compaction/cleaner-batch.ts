import { CompressionError } from '../../../protocol/compression-error.ts'
import { decompress } from '../../../protocol/compression.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import { buildBatch, moveRecord, wrapRecords } from '../../../protocol/records/record-builder.ts'
import { readControlRecord, readOldMessage, RecordReader } from '../../../protocol/records/record-reader.ts'
import type { OldMessage } from '../../../protocol/records/record-reader.ts'
import { nextSequence } from '../../core/transaction/producer-state.ts'
import type { OffsetMap } from './offset-map.ts'
import { OpaqueBatch } from './opaque-batch.ts'
import type { PlainRecords } from './plain-records.ts'

/** "Never": the records' distances to it are still exact numbers. */
const LATEST_HORIZON_MS = 2 ** 51

export interface CleaningRules {
  readonly map: OffsetMap
  readonly nowMs: number
  readonly deleteRetentionMs: number
  /** More than this no batch may decompress to. */
  readonly maxDecompressedBytes: number
  /** What was decompressed away from the loop. */
  readonly plain?: PlainRecords
  /** Whether the batch is the newest of its producer (without a sequence: its last marker): its state is rebuilt from it. */
  readonly isNewestOfProducer: (producerId: number, epoch: number, lastSequence: number) => boolean
}

/** What is left of a batch: all of it, nothing, or another one, whose records are not compressed. */
export type Cleaned = 'all' | 'nothing' | Buffer

/** The records area of the batch, decompressed. Throws OpaqueBatch. */
export function recordsOf(buffer: Buffer, at: number, maxBytes: number): Buffer {
  const body = buffer.subarray(at + batch.BATCH_OVERHEAD, at + batch.batchSizeBytes(buffer, at))
  const codec = batch.codec(buffer, at)
  try {
    return codec === 0 ? body : decompress(codec, body, maxBytes)
  } catch (error) {
    if (!(error instanceof CompressionError)) throw error
    throw new OpaqueBatch(error.message, { cause: error })
  }
}

/** Notes the keys of a batch. Records without a key say nothing. Throws OpaqueBatch, and has noted nothing then. */
export function noteKeys(
  buffer: Buffer,
  at: number,
  map: OffsetMap,
  maxBytes: number,
  plain?: PlainRecords,
): void {
  if (batch.magic(buffer, at) < 2) {
    const { key, offset } = oldMessage(buffer, at)
    if (key !== null) map.set(key, offset)
    return
  }
  if (batch.isControl(buffer, at)) return
  const base = batch.baseOffset(buffer, at)
  const count = batch.recordCount(buffer, at)
  const body = plain?.of(buffer, at) ?? recordsOf(buffer, at, maxBytes)
  const reader = new RecordReader(body, count)
  while (reader.next());
  if (reader.problem !== null) throw new OpaqueBatch(reader.problem)
  reader.reset(body, count, 0, body.length)
  while (reader.next()) {
    const key = reader.key()
    if (key !== null) map.set(key, base + reader.offsetDelta)
  }
}

/**
 * Compacts one batch of data: each record that a later one of its key replaces goes, and records without a key, which
 * a compacted topic cannot hold. A tombstone stays `delete.retention.ms` from the first compaction that kept it: that
 * date is written into the batch (KIP-534). With `tombstonesStay` none goes: what they delete may stand in a batch
 * before that cannot be read. Offsets, sequences and the last offset of the batch do not change, nor a byte of what
 * stays. Throws OpaqueBatch.
 */
export function cleanBatch(
  buffer: Buffer,
  at: number,
  rules: CleaningRules,
  tombstonesStay = false,
): Cleaned {
  if (batch.magic(buffer, at) < 2) return cleanOldMessage(oldMessage(buffer, at), rules)
  const count = batch.recordCount(buffer, at)
  if (count === 0) return dropRecords(buffer, at, rules)
  const hasHorizon = batch.hasDeleteHorizon(buffer, at)
  const expired = hasHorizon && !tombstonesStay && batch.baseTimestamp(buffer, at) <= rules.nowMs
  const base = batch.baseOffset(buffer, at)
  const body = rules.plain?.of(buffer, at) ?? recordsOf(buffer, at, rules.maxDecompressedBytes)
  const reader = new RecordReader(body, count)
  const kept: KeptRecord[] = []
  let tombstones = 0
  while (reader.next()) {
    const key = reader.key()
    if (key === null || rules.map.latest(key) > base + reader.offsetDelta) continue
    const isTombstone = reader.valueLength < 0
    if (isTombstone && expired) continue
    if (isTombstone) tombstones += 1
    const { recordStart, restStart, recordEnd, timestampDelta } = reader
    kept.push({ start: recordStart, restStart, end: recordEnd, timestampDelta })
  }
  if (reader.problem !== null) throw new OpaqueBatch(reader.problem)
  if (kept.length === 0) return dropRecords(buffer, at, rules)
  const startsHorizon = tombstones > 0 && !hasHorizon
  if (kept.length === count && !startsHorizon) return 'all'
  return rebuild(buffer, at, body, kept, startsHorizon ? horizonOf(rules) : null)
}

/** What is left of a batch whose records nobody may read (its transaction was aborted). Throws OpaqueBatch. */
export function dropRecords(buffer: Buffer, at: number, rules: CleaningRules): Cleaned {
  const sequence = batch.baseSequence(buffer, at)
  const lastSequence = nextSequence(sequence, batch.lastOffsetDelta(buffer, at))
  if (sequence < 0 || !isNewest(buffer, at, rules, lastSequence)) return 'nothing'
  return batch.recordCount(buffer, at) === 0 ? 'all' : emptyBatch(buffer, at)
}

/**
 * What is left of a marker whose transaction has no batch in the log any more: it goes `delete.retention.ms` after the
 * first compaction that found it so (KIP-534), for a reader on its way needs it. One that alone knows the epoch of its
 * producer stays. Throws OpaqueBatch.
 */
export function cleanMarker(buffer: Buffer, at: number, rules: CleaningRules): Cleaned {
  if (isNewest(buffer, at, rules, -1)) return 'all'
  if (batch.recordCount(buffer, at) === 0) return 'nothing'
  if (batch.hasDeleteHorizon(buffer, at))
    return batch.baseTimestamp(buffer, at) <= rules.nowMs ? 'nothing' : 'all'
  const body = buffer.subarray(at + batch.BATCH_OVERHEAD, at + batch.batchSizeBytes(buffer, at))
  const reader = new RecordReader(body, 1)
  if (!reader.next()) return 'all'
  const { recordStart, restStart, recordEnd, timestampDelta } = reader
  const record = { start: recordStart, restStart, end: recordEnd, timestampDelta }
  return rebuild(buffer, at, body, [record], horizonOf(rules))
}

/** Whether the control batch ends a transaction (Kafka leaves the header alone of some); others are about something else. */
export function isTransactionMarker(buffer: Buffer, at: number): boolean {
  if (batch.recordCount(buffer, at) === 0) return true
  const end = at + batch.batchSizeBytes(buffer, at)
  const type = readControlRecord(buffer, at + batch.BATCH_OVERHEAD, end)?.type
  return type === 0 || type === 1
}

/** When what is dated now may go. */
function horizonOf({ nowMs, deleteRetentionMs }: CleaningRules): number {
  return Math.min(nowMs + deleteRetentionMs, LATEST_HORIZON_MS)
}

interface KeptRecord {
  readonly start: number
  readonly restStart: number
  readonly end: number
  readonly timestampDelta: number
}

function isNewest(buffer: Buffer, at: number, rules: CleaningRules, lastSequence: number): boolean {
  const producerId = batch.producerId(buffer, at)
  return (
    producerId >= 0 && rules.isNewestOfProducer(producerId, batch.producerEpoch(buffer, at), lastSequence)
  )
}

/**
 * Messages from before Kafka 0.11. They have no place for the date at which a tombstone may go, so it stays. Throws
 * OpaqueBatch for a compressed set.
 */
function cleanOldMessage({ key, offset }: OldMessage, rules: CleaningRules): Cleaned {
  return key === null || rules.map.latest(key) > offset ? 'nothing' : 'all'
}

function oldMessage(buffer: Buffer, at: number): OldMessage {
  const message = readOldMessage(buffer, at, at + batch.batchSizeBytes(buffer, at))
  if (message === null || message.codec !== 0) throw new OpaqueBatch('a message set of an old format')
  return message
}

/** The batch with these of its records; `horizonMs` not null: and with that as its delete horizon. */
function rebuild(
  buffer: Buffer,
  at: number,
  body: Buffer,
  kept: readonly KeptRecord[],
  horizonMs: number | null,
): Buffer {
  const baseMs = batch.baseTimestamp(buffer, at)
  const shiftMs = horizonMs === null ? 0 : horizonMs - baseMs
  const records = kept.map(({ start, restStart, end, timestampDelta }) =>
    horizonMs === null
      ? body.subarray(start, end)
      : moveRecord(timestampDelta - shiftMs, body.subarray(restStart, end)),
  )
  const latestDelta = kept.reduce((latest, record) => Math.max(latest, record.timestampDelta), -Infinity)
  // Under LogAppendTime it is the time of all records, whatever they say themselves.
  const logAppendTime = batch.isLogAppendTime(buffer, at)
  return wrapRecords(Buffer.concat(records), kept.length, {
    ...headerOf(buffer, at),
    baseTimestampMs: horizonMs ?? baseMs,
    maxTimestampMs: logAppendTime ? batch.maxTimestamp(buffer, at) : Math.max(-1, baseMs + latestDelta),
    deleteHorizon: horizonMs !== null || batch.hasDeleteHorizon(buffer, at),
  })
}

/** The header alone, for the sake of its sequence numbers. */
function emptyBatch(buffer: Buffer, at: number): Buffer {
  const timestampMs = batch.maxTimestamp(buffer, at)
  return buildBatch([], {
    ...headerOf(buffer, at),
    baseTimestampMs: timestampMs,
    maxTimestampMs: timestampMs,
  })
}

/** Throws OpaqueBatch where a number is none that can be written again as it was. */
function headerOf(buffer: Buffer, at: number) {
  const producerId = batch.producerId(buffer, at)
  for (const value of [producerId, batch.baseTimestamp(buffer, at), batch.maxTimestamp(buffer, at)])
    if (!Number.isSafeInteger(value)) throw new OpaqueBatch(`${value} in the header of the batch`)
  return {
    baseOffset: batch.baseOffset(buffer, at),
    partitionLeaderEpoch: batch.partitionLeaderEpoch(buffer, at),
    producerId,
    producerEpoch: batch.producerEpoch(buffer, at),
    baseSequence: batch.baseSequence(buffer, at),
    transactional: batch.isTransactional(buffer, at),
    control: batch.isControl(buffer, at),
    logAppendTime: batch.isLogAppendTime(buffer, at),
    lastOffsetDelta: batch.lastOffsetDelta(buffer, at),
  }
}
