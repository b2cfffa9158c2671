import { strict as assert } from 'node:assert'
import * as batch from '../../../protocol/records/record-batch.ts'
import { readControlRecord, RecordReader } from '../../../protocol/records/record-reader.ts'

export interface StoredRecord {
  readonly offset: number
  readonly key: string
  /** Null: a tombstone. */
  readonly value: string | null
  readonly timestampMs: number
}

/** A batch as a consumer sees it. */
export interface StoredBatch {
  readonly baseOffset: number
  readonly lastOffset: number
  readonly sizeBytes: number
  readonly maxTimestampMs: number
  readonly leaderEpoch: number
  readonly producerId: number
  readonly transactional: boolean
  /** Of a marker that ends a transaction. */
  readonly control: 'COMMIT' | 'ABORT' | null
  readonly records: readonly StoredRecord[]
}

/** Trusts nobody: every checksum and every record is looked at. */
export function parseBatches(bytes: Buffer, where: string): StoredBatch[] {
  const batches: StoredBatch[] = []
  for (let at = 0; at < bytes.length; at += batch.batchSizeBytes(bytes, at)) {
    assert.equal(batch.batchProblem(bytes, at, bytes.length), null, `${where}: a bad batch`)
    batches.push(parseBatch(bytes, at, where))
  }
  return batches
}

function parseBatch(bytes: Buffer, at: number, where: string): StoredBatch {
  const baseOffset = batch.baseOffset(bytes, at)
  const start = at + batch.BATCH_OVERHEAD
  const end = at + batch.batchSizeBytes(bytes, at)
  const marker = batch.isControl(bytes, at) ? readControlRecord(bytes, start, end) : null
  const records: StoredRecord[] = []
  const reader = new RecordReader(bytes, batch.recordCount(bytes, at), start, end)
  while (marker === null && reader.next())
    records.push({
      offset: baseOffset + reader.offsetDelta,
      key: reader.key()?.toString() ?? '',
      value: reader.value()?.toString() ?? null,
      timestampMs: batch.baseTimestamp(bytes, at) + reader.timestampDelta,
    })
  assert.equal(reader.problem, null, `${where}: batch ${baseOffset}`)
  return {
    baseOffset,
    lastOffset: batch.lastOffset(bytes, at),
    sizeBytes: end - at,
    maxTimestampMs: batch.maxTimestamp(bytes, at),
    leaderEpoch: batch.partitionLeaderEpoch(bytes, at),
    producerId: batch.producerId(bytes, at),
    transactional: batch.isTransactional(bytes, at),
    control: marker === null ? null : marker.type === 1 ? 'COMMIT' : 'ABORT',
    records,
  }
}
