import { Codec, compress } from '../compression.ts'
import { BATCH_OVERHEAD, LOG_OVERHEAD, setCrc, writeInt64 } from './record-batch.ts'

export interface NewRecord {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly timestampMs: number
  readonly headers?: readonly { readonly key: string; readonly value: Buffer | null }[]
  /** Relative to the batch; its place in the list when left out. */
  readonly offsetDelta?: number
}

export interface BatchOptions {
  readonly baseOffset?: number
  readonly partitionLeaderEpoch?: number
  readonly codec?: number
  readonly producerId?: number
  readonly producerEpoch?: number
  readonly baseSequence?: number
  readonly transactional?: boolean
  readonly control?: boolean
  readonly logAppendTime?: boolean
  /** Overrides what the records say (compaction keeps the original). */
  readonly lastOffsetDelta?: number
  readonly baseTimestampMs?: number
  readonly maxTimestampMs?: number
  readonly deleteHorizon?: boolean
}

export interface WrapOptions extends BatchOptions {
  readonly lastOffsetDelta: number
  readonly baseTimestampMs: number
  readonly maxTimestampMs: number
}

/** Builds a magic 2 batch. A codec that cannot be written here becomes gzip, which every client reads. */
export function buildBatch(records: readonly NewRecord[], options: BatchOptions = {}): Buffer {
  const baseTimestamp = options.baseTimestampMs ?? records[0]?.timestampMs ?? -1
  let maxTimestamp = -1
  let lastDelta = records.length === 0 ? 0 : -1
  let bodyBytes = 0
  records.forEach((record, i) => {
    const delta = record.offsetDelta ?? i
    maxTimestamp = Math.max(maxTimestamp, record.timestampMs)
    lastDelta = Math.max(lastDelta, delta)
    const content = contentBytes(record, delta, baseTimestamp)
    bodyBytes += varintBytes(content) + content
  })
  const plain = Buffer.allocUnsafe(bodyBytes)
  let at = 0
  records.forEach((record, i) => {
    at = writeRecord(plain, at, record, record.offsetDelta ?? i, baseTimestamp)
  })
  return wrapRecords(plain, records.length, {
    ...options,
    baseTimestampMs: baseTimestamp,
    maxTimestampMs: options.maxTimestampMs ?? maxTimestamp,
    lastOffsetDelta: options.lastOffsetDelta ?? lastDelta,
  })
}

/** A magic 2 batch of records that are encoded already, relative to its base offset and base timestamp. */
export function wrapRecords(plain: Buffer, recordCount: number, options: WrapOptions): Buffer {
  const wanted = options.codec ?? Codec.NONE
  const compressed = compress(wanted, plain)
  const codec = compressed === null ? Codec.GZIP : wanted
  const body = compressed ?? compress(codec, plain) ?? plain
  const batch = Buffer.allocUnsafe(BATCH_OVERHEAD + body.length)
  body.copy(batch, BATCH_OVERHEAD)
  writeInt64(batch, options.baseOffset ?? 0, 0)
  batch.writeInt32BE(batch.length - LOG_OVERHEAD, 8)
  batch.writeInt32BE(options.partitionLeaderEpoch ?? -1, 12)
  batch.writeInt8(2, 16)
  batch.writeInt16BE(attributesOf(options, codec), 21)
  batch.writeInt32BE(options.lastOffsetDelta, 23)
  writeInt64(batch, options.baseTimestampMs, 27)
  writeInt64(batch, options.maxTimestampMs, 35)
  writeInt64(batch, options.producerId ?? -1, 43)
  batch.writeInt16BE(options.producerEpoch ?? -1, 51)
  batch.writeInt32BE(options.baseSequence ?? -1, 53)
  batch.writeInt32BE(recordCount, 57)
  setCrc(batch, 0)
  return batch
}

/** An end-of-transaction marker. */
export function buildControlBatch(
  type: 'ABORT' | 'COMMIT',
  coordinatorEpoch: number,
  producer: { readonly producerId: number; readonly producerEpoch: number },
  timestampMs: number,
): Buffer {
  const key = Buffer.alloc(4)
  key.writeInt16BE(type === 'COMMIT' ? 1 : 0, 2)
  const value = Buffer.alloc(6)
  value.writeInt32BE(coordinatorEpoch, 2)
  return buildBatch([{ key, value, timestampMs }], { ...producer, transactional: true, control: true })
}

function attributesOf(options: BatchOptions, codec: number): number {
  return (
    codec |
    (options.logAppendTime === true ? 0x08 : 0) |
    (options.transactional === true ? 0x10 : 0) |
    (options.control === true ? 0x20 : 0) |
    (options.deleteHorizon === true ? 0x40 : 0)
  )
}

/** What a record without headers takes in a batch of records with its timestamp; of a key and a value of these bytes. */
export function recordBytes(keyBytes: number, valueBytes: number, offsetDelta: number): number {
  const fields = varintBytes(keyBytes) + keyBytes + varintBytes(valueBytes) + valueBytes
  // Attributes, a distance in time of 0 and no headers are a byte each.
  const content = 3 + varintBytes(offsetDelta) + fields
  return varintBytes(content) + content
}

function contentBytes(record: NewRecord, offsetDelta: number, baseTimestamp: number): number {
  let bytes = 1 + varlongBytes(record.timestampMs - baseTimestamp) + varintBytes(offsetDelta)
  bytes += fieldBytes(record.key) + fieldBytes(record.value) + varintBytes(record.headers?.length ?? 0)
  for (const header of record.headers ?? []) {
    const keyLength = Buffer.byteLength(header.key)
    bytes += varintBytes(keyLength) + keyLength + fieldBytes(header.value)
  }
  return bytes
}

function writeRecord(
  to: Buffer,
  start: number,
  record: NewRecord,
  delta: number,
  baseTimestamp: number,
): number {
  let at = writeVarlong(to, start, contentBytes(record, delta, baseTimestamp))
  to[at++] = 0
  at = writeVarlong(to, at, record.timestampMs - baseTimestamp)
  at = writeVarlong(to, at, delta)
  at = writeField(to, at, record.key)
  at = writeField(to, at, record.value)
  at = writeVarlong(to, at, record.headers?.length ?? 0)
  for (const header of record.headers ?? []) {
    at = writeField(to, at, Buffer.from(header.key))
    at = writeField(to, at, header.value)
  }
  return at
}

function fieldBytes(field: Buffer | null): number {
  return field === null ? 1 : varintBytes(field.length) + field.length
}

function writeField(to: Buffer, start: number, field: Buffer | null): number {
  const at = writeVarlong(to, start, field === null ? -1 : field.length)
  return field === null ? at : at + field.copy(to, at)
}

/** A record whose distance to the base timestamp is another; `rest` is what comes behind that (`RecordReader.restStart`). */
export function moveRecord(timestampDelta: number, rest: Buffer): Buffer {
  const content = 1 + varlongBytes(timestampDelta) + rest.length
  const moved = Buffer.allocUnsafe(varintBytes(content) + content)
  let at = writeVarlong(moved, 0, content)
  moved[at++] = 0
  at = writeVarlong(moved, at, timestampDelta)
  rest.copy(moved, at)
  return moved
}

function varintBytes(value: number): number {
  return varlongBytes(value)
}

function zigzag(value: number): number {
  return value >= 0 ? value * 2 : -value * 2 - 1
}

function varlongBytes(value: number): number {
  let rest = zigzag(value)
  let bytes = 1
  while (rest >= 128) {
    rest = Math.floor(rest / 128)
    bytes++
  }
  return bytes
}

function writeVarlong(to: Buffer, start: number, value: number): number {
  let rest = zigzag(value)
  let at = start
  while (rest >= 128) {
    to[at++] = (rest % 128) | 0x80
    rest = Math.floor(rest / 128)
  }
  to[at++] = rest
  return at
}
