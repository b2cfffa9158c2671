import { crc32c } from '@node-rs/crc32'
import { codecOf, compressed, fillWithJson } from './compressed.ts'
import type { BatchShape } from './spec.ts'
import type { SeededRandom } from './random.ts'

/**
 * The few messages the benchmark speaks, encoded by hand and independent of the broker's own encoders, in versions
 * that Kafka 4.x and Samsa both serve and that use fixed-width lengths: Produce 7, Fetch 11, ListOffsets 1,
 * Metadata 4, CreateTopics 2, DeleteTopics 1.
 */

export const PRODUCE = { key: 0, version: 7 }
export const FETCH = { key: 1, version: 11 }
export const LIST_OFFSETS = { key: 2, version: 1 }
export const METADATA = { key: 3, version: 4 }
export const CREATE_TOPICS = { key: 19, version: 2 }
export const DELETE_TOPICS = { key: 20, version: 1 }

const CLIENT_ID = 'samsa-bench'
export const CORRELATION_AT = 8
const HEADER_BYTES = 4 + 2 + 2 + 4 + 2 + CLIENT_ID.length

/** Grows as it is written; for everything that is not on the hot path. */
export class ByteWriter {
  #buffer = Buffer.alloc(256)
  #at = 0

  get length(): number {
    return this.#at
  }

  #room(bytes: number): number {
    const at = this.#at
    if (at + bytes > this.#buffer.length) {
      const grown = Buffer.alloc(Math.max(this.#buffer.length * 2, at + bytes))
      this.#buffer.copy(grown)
      this.#buffer = grown
    }
    this.#at = at + bytes
    return at
  }

  int8(value: number): this {
    const at = this.#room(1)
    this.#buffer.writeInt8(value, at)
    return this
  }

  int16(value: number): this {
    const at = this.#room(2)
    this.#buffer.writeInt16BE(value, at)
    return this
  }

  int32(value: number): this {
    const at = this.#room(4)
    this.#buffer.writeInt32BE(value, at)
    return this
  }

  int64(value: number): this {
    const at = this.#room(8)
    this.#buffer.writeBigInt64BE(BigInt(value), at)
    return this
  }

  string(value: string | null): this {
    if (value === null) return this.int16(-1)
    this.int16(Buffer.byteLength(value))
    return this.bytes(Buffer.from(value))
  }

  varint(value: number): this {
    let zigzag = ((value << 1) ^ (value >> 31)) >>> 0
    while (zigzag > 0x7f) {
      this.#byte((zigzag & 0x7f) | 0x80)
      zigzag >>>= 7
    }
    this.#byte(zigzag)
    return this
  }

  #byte(value: number): void {
    const at = this.#room(1)
    this.#buffer[at] = value
  }

  bytes(value: Buffer): this {
    const at = this.#room(value.length)
    value.copy(this.#buffer, at)
    return this
  }

  /** A copy of what was written. */
  done(): Buffer {
    return Buffer.from(this.#buffer.subarray(0, this.#at))
  }
}

/** Reads in order; throws RangeError past the end. */
export class ByteReader {
  readonly #buffer: Buffer
  #at: number

  constructor(buffer: Buffer, at: number) {
    this.#buffer = buffer
    this.#at = at
  }

  get position(): number {
    return this.#at
  }

  int8(): number {
    this.#at += 1
    return this.#buffer.readInt8(this.#at - 1)
  }

  int16(): number {
    this.#at += 2
    return this.#buffer.readInt16BE(this.#at - 2)
  }

  int32(): number {
    this.#at += 4
    return this.#buffer.readInt32BE(this.#at - 4)
  }

  int64(): number {
    this.#at += 8
    return Number(this.#buffer.readBigInt64BE(this.#at - 8))
  }

  string(): string | null {
    const length = this.int16()
    if (length < 0) return null
    this.#at += length
    return this.#buffer.toString('utf8', this.#at - length, this.#at)
  }

  skip(bytes: number): void {
    this.#at += bytes
  }
}

/** Starts a request frame; the size is filled in by `sealFrame`. */
export function startRequest(api: { key: number; version: number }): ByteWriter {
  return new ByteWriter().int32(0).int16(api.key).int16(api.version).int32(0).string(CLIENT_ID)
}

export function sealFrame(writer: ByteWriter): Buffer {
  const frame = writer.done()
  frame.writeInt32BE(frame.length - 4, 0)
  return frame
}

// ------------------------------------------------------------------------------------------------- record batches

const BATCH_LENGTH_AT = 8
const BATCH_CRC_AT = 17
const BATCH_ATTRIBUTES_AT = 21
const BATCH_LAST_OFFSET_DELTA_AT = 23
export const BATCH_HEADER_BYTES = 61

/** RecordBatch v2: no keys, no headers, random (incompressible) values or compressed JSON, right CRC. */
export function encodeBatch(shape: BatchShape, random: SeededRandom, timestampMs: number): Buffer {
  const value = Buffer.alloc(shape.valueBytes)
  const writer = new ByteWriter()
  writer.int64(0).int32(0).int32(-1).int8(2).int32(0)
  writer.int16(codecOf(shape.compression)).int32(shape.records - 1)
  writer.int64(timestampMs).int64(timestampMs)
  writer.int64(-1).int16(-1).int32(-1)
  writer.int32(shape.records)
  const records = new ByteWriter()
  for (let i = 0; i < shape.records; i++) {
    if (shape.compression === undefined) random.fill(value, 0, value.length)
    else fillWithJson(value, random)
    const record = new ByteWriter()
    record.int8(0).varint(0).varint(i).varint(-1).varint(value.length).bytes(value).varint(0)
    records.varint(record.length).bytes(record.done())
  }
  writer.bytes(compressed(shape.compression, records.done()))
  const batch = writer.done()
  batch.writeInt32BE(batch.length - BATCH_LENGTH_AT - 4, BATCH_LENGTH_AT)
  sealBatch(batch, 0, batch.length)
  return batch
}

/** Writes the CRC of the batch that lies in [start, end). */
export function sealBatch(buffer: Buffer, start: number, end: number): void {
  const crc = crc32c(buffer.subarray(start + BATCH_ATTRIBUTES_AT, end))
  buffer.writeUInt32BE(crc, start + BATCH_CRC_AT)
}

/** Where the value of the only record of a batch begins, for a value of `valueBytes`. */
export function singleRecordValueAt(valueBytes: number): number {
  const inner = new ByteWriter().int8(0).varint(0).varint(0).varint(-1).varint(valueBytes).length
  const outer = new ByteWriter().varint(inner + valueBytes + 1).length
  return BATCH_HEADER_BYTES + outer + inner
}

/**
 * Calls `visit` for every whole batch of [start, end): its position and the offset after its last record. A batch
 * cut off at the end is skipped, as brokers may send one.
 */
export function walkBatches(
  buffer: Buffer,
  start: number,
  end: number,
  visit: (at: number, baseOffset: number, nextOffset: number) => void,
): void {
  let at = start
  while (at + BATCH_HEADER_BYTES <= end) {
    const bytes = buffer.readInt32BE(at + BATCH_LENGTH_AT) + BATCH_LENGTH_AT + 4
    if (bytes < BATCH_HEADER_BYTES) throw new Error(`a batch of ${bytes} bytes in a Fetch response`)
    if (at + bytes > end) return
    const baseOffset = Number(buffer.readBigInt64BE(at))
    visit(at, baseOffset, baseOffset + buffer.readInt32BE(at + BATCH_LAST_OFFSET_DELTA_AT) + 1)
    at += bytes
  }
}

// ------------------------------------------------------------------------------------------------- Produce, Fetch

/** Places in a Produce 7 frame with one topic and one partition. */
export function produceLayout(topic: string): {
  partitionAt: number
  batchAt: number
  responseErrorAt: number
} {
  const partitionAt = HEADER_BYTES + 2 + 2 + 4 + 4 + 2 + topic.length + 4
  return { partitionAt, batchAt: partitionAt + 8, responseErrorAt: 22 + topic.length }
}

export function encodeProduce(topic: string, acks: number, batch: Buffer): Buffer {
  const writer = startRequest(PRODUCE)
  writer.string(null).int16(acks).int32(30_000)
  writer.int32(1).string(topic).int32(1).int32(0)
  writer.int32(batch.length).bytes(batch)
  return sealFrame(writer)
}

export interface FetchOptions {
  readonly maxWaitMs: number
  readonly minBytes: number
  readonly maxBytes: number
  readonly partitionMaxBytes: number
}

/** Places in a Fetch 11 frame with one topic; partition entries follow each other every `entryBytes`. */
export function fetchLayout(topic: string): { firstEntryAt: number; offsetIn: number; entryBytes: number } {
  return {
    firstEntryAt: HEADER_BYTES + 4 * 4 + 1 + 4 + 4 + 4 + 2 + topic.length + 4,
    offsetIn: 8,
    entryBytes: 28,
  }
}

/** Sessionless: every request names what it wants. */
export function encodeFetch(topic: string, partitions: readonly number[], options: FetchOptions): Buffer {
  const writer = startRequest(FETCH)
  writer.int32(-1).int32(options.maxWaitMs).int32(options.minBytes).int32(options.maxBytes)
  writer.int8(0).int32(0).int32(-1)
  writer.int32(1).string(topic).int32(partitions.length)
  for (const partition of partitions) {
    writer.int32(partition).int32(-1).int64(0).int64(-1).int32(options.partitionMaxBytes)
  }
  writer.int32(0).string('')
  return sealFrame(writer)
}

/** Places in a Fetch 11 response with one topic and one partition without aborted transactions. */
export function fetchResponseLayout(topic: string): {
  topErrorAt: number
  errorAt: number
  recordsLengthAt: number
} {
  const errorAt = 32 + topic.length
  return { topErrorAt: 12, errorAt, recordsLengthAt: errorAt + 2 + 24 + 4 + 4 }
}

export interface FetchedPartition {
  readonly partition: number
  readonly error: number
  readonly recordsStart: number
  readonly recordsEnd: number
}

/** A whole Fetch 11 response frame, any number of topics and partitions. */
export function decodeFetchResponse(frame: Buffer, visit: (fetched: FetchedPartition) => void): number {
  const reader = new ByteReader(frame, 8)
  reader.int32()
  const topError = reader.int16()
  reader.int32()
  for (let topics = reader.int32(); topics > 0; topics--) {
    reader.string()
    for (let partitions = reader.int32(); partitions > 0; partitions--) {
      const partition = reader.int32()
      const error = reader.int16()
      reader.skip(24)
      const aborted = reader.int32()
      if (aborted > 0) reader.skip(aborted * 16)
      reader.int32()
      const length = Math.max(0, reader.int32())
      const recordsStart = reader.position
      reader.skip(length)
      visit({ partition, error, recordsStart, recordsEnd: recordsStart + length })
    }
  }
  return topError
}
