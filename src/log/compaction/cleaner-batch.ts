import * as batch from '../../../protocol/records/record-batch.ts'
import { decompress } from '../../../protocol/compression.ts'
import { buildBatch } from '../../../protocol/records/record-builder.ts'
import type { NewRecord } from '../../../protocol/records/record-builder.ts'
import { RecordReader } from '../../../protocol/records/record-reader.ts'
import { nextSequence } from '../../core/transaction/producer-state.ts'

/** Beyond what a client may send in one batch, whatever its codec. */
const MAX_DECOMPRESSED_BYTES = 1 << 30

/** Byte for byte, so that keys are equal exactly when these are. */
export function keyString(key: Buffer): string {
  return key.toString('latin1')
}

/** The newest offset of each key, as far as the memory goes. */
export class OffsetMap {
  readonly #offsets = new Map<string, number>()
  readonly #maxBytes: number
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get full(): boolean {
    return this.#bytes >= this.#maxBytes
  }

  get size(): number {
    return this.#offsets.size
  }

  set(key: string, offset: number): void {
    this.#offsets.set(key, offset)
    // Roughly: what an entry costs beside its key. A known key is counted again, which errs on the safe side.
    this.#bytes += key.length + 64
  }

  /** -1 when nothing is known of the key. */
  latest(key: string): number {
    return this.#offsets.get(key) ?? -1
  }
}

export interface CleaningRules {
  readonly map: OffsetMap
  readonly nowMs: number
  readonly deleteRetentionMs: number
  /** Whether the batch is the newest of its producer: its sequence must be found again when the state is rebuilt. */
  readonly isNewestOfProducer: (producerId: number, epoch: number, lastSequence: number) => boolean
}

/** What is left of a batch: all of it, nothing, or another one. */
export type Cleaned = 'all' | 'nothing' | Buffer

/** The records area of the batch, decompressed. Throws CompressionError. */
export function recordsOf(buffer: Buffer, at: number): Buffer {
  const body = buffer.subarray(at + batch.BATCH_OVERHEAD, at + batch.batchSizeBytes(buffer, at))
  return decompress(batch.codec(buffer, at), body, MAX_DECOMPRESSED_BYTES)
}

/**
 * Notes the keys of a batch. Returns false when the batch does not parse. Control batches and records without a key
 * say nothing about keys.
 */
export function noteKeys(buffer: Buffer, at: number, map: OffsetMap): boolean {
  if (batch.magic(buffer, at) < 2 || batch.isControl(buffer, at)) return true
  const base = batch.baseOffset(buffer, at)
  const reader = new RecordReader(recordsOf(buffer, at), batch.recordCount(buffer, at))
  while (reader.next()) {
    const key = reader.key()
    if (key !== null) map.set(keyString(key), base + reader.offsetDelta)
  }
  return reader.problem === null
}

/**
 * Compacts one batch: each record that a later one of its key replaces goes, and records without a key, which a
 * compacted topic cannot hold. A tombstone stays `delete.retention.ms` from the first compaction that kept it: that
 * date is written into the batch (KIP-534). Offsets, sequences and the last offset of the batch do not change.
 * Null when the batch does not parse.
 */
export function cleanBatch(buffer: Buffer, at: number, rules: CleaningRules): Cleaned | null {
  // Messages from before Kafka 0.11 carry neither sequences nor a place for the horizon: they stay as they are.
  if (batch.magic(buffer, at) < 2 || batch.isControl(buffer, at)) return 'all'
  const count = batch.recordCount(buffer, at)
  if (count === 0) return dropRecords(buffer, at, rules)
  const base = batch.baseOffset(buffer, at)
  const hasHorizon = batch.hasDeleteHorizon(buffer, at)
  const horizonMs = batch.baseTimestamp(buffer, at)
  const expired = hasHorizon && horizonMs < rules.nowMs
  const reader = new RecordReader(recordsOf(buffer, at), count)
  const kept: NewRecord[] = []
  let tombstones = 0
  while (reader.next()) {
    const key = reader.key()
    const offset = base + reader.offsetDelta
    if (key === null || rules.map.latest(keyString(key)) > offset) continue
    const value = reader.value()
    if (value === null && expired) continue
    if (value === null) tombstones += 1
    kept.push({
      key,
      value,
      timestampMs: horizonMs + reader.timestampDelta,
      headers: reader.headers(),
      offsetDelta: reader.offsetDelta,
    })
  }
  if (reader.problem !== null) return null
  if (kept.length === 0) return dropRecords(buffer, at, rules)
  const startsHorizon = tombstones > 0 && !hasHorizon
  if (kept.length === count && !startsHorizon) return 'all'
  return rebuild(buffer, at, kept, startsHorizon ? rules.nowMs + rules.deleteRetentionMs : null)
}

/** What is left of a batch whose records nobody may read (its transaction was aborted). */
export function dropRecords(buffer: Buffer, at: number, rules: CleaningRules): Cleaned {
  if (!keepsSequence(buffer, at, rules)) return 'nothing'
  return batch.recordCount(buffer, at) === 0 ? 'all' : emptyBatch(buffer, at)
}

function keepsSequence(buffer: Buffer, at: number, rules: CleaningRules): boolean {
  const producerId = batch.producerId(buffer, at)
  const sequence = batch.baseSequence(buffer, at)
  if (producerId < 0 || sequence < 0) return false
  const lastSequence = nextSequence(sequence, batch.lastOffsetDelta(buffer, at))
  return rules.isNewestOfProducer(producerId, batch.producerEpoch(buffer, at), lastSequence)
}

function rebuild(
  buffer: Buffer,
  at: number,
  records: readonly NewRecord[],
  horizonMs: number | null,
): Buffer {
  const logAppendTime = batch.isLogAppendTime(buffer, at)
  return buildBatch(records, {
    ...headerOf(buffer, at),
    codec: batch.codec(buffer, at),
    baseTimestampMs: horizonMs ?? batch.baseTimestamp(buffer, at),
    deleteHorizon: horizonMs !== null || batch.hasDeleteHorizon(buffer, at),
    // Under LogAppendTime it is the time of all records, whatever they say themselves.
    ...(logAppendTime ? { maxTimestampMs: batch.maxTimestamp(buffer, at) } : {}),
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

function headerOf(buffer: Buffer, at: number) {
  return {
    baseOffset: batch.baseOffset(buffer, at),
    partitionLeaderEpoch: batch.partitionLeaderEpoch(buffer, at),
    producerId: batch.producerId(buffer, at),
    producerEpoch: batch.producerEpoch(buffer, at),
    baseSequence: batch.baseSequence(buffer, at),
    transactional: batch.isTransactional(buffer, at),
    logAppendTime: batch.isLogAppendTime(buffer, at),
    lastOffsetDelta: batch.lastOffsetDelta(buffer, at),
  }
}
