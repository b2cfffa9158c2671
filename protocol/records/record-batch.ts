import { crc32c, crc32Ieee } from '../crc32c.ts'

/**
 * The header of a record batch (magic 2) read and written in place. Every function takes the buffer and the position
 * `at` of the batch in it; none checks bounds beyond what Buffer does, so look at `batchProblem` first when the bytes
 * come from outside.
 *
 * Messages of magic 0 and 1 share the first 17 bytes with a batch as far as offset, size and magic go; the functions
 * that say so work on both.
 */

/** Offset and length: what stands before the bytes that `batchLength` counts. */
export const LOG_OVERHEAD = 12
/** Header of a magic 2 batch; the records follow. */
export const BATCH_OVERHEAD = 61
/** Up to and including the magic byte. */
export const MAGIC_END = 17
/** Where the checksummed part starts. */
export const CRC_START = 21

const LENGTH_AT = 8
const LEADER_EPOCH_AT = 12
const MAGIC_AT = 16
const CRC_AT = 17
const ATTRIBUTES_AT = 21
const LAST_OFFSET_DELTA_AT = 23
const BASE_TIMESTAMP_AT = 27
const MAX_TIMESTAMP_AT = 35
const PRODUCER_ID_AT = 43
const PRODUCER_EPOCH_AT = 51
const BASE_SEQUENCE_AT = 53
const RECORD_COUNT_AT = 57

const CODEC_MASK = 0x07
const MAX_INT32 = 0x7fff_ffff
const MAX_INT64 = 0x7fff_ffff_ffff_ffffn
const TIMESTAMP_TYPE_MASK = 0x08
const TRANSACTIONAL_MASK = 0x10
const CONTROL_MASK = 0x20
const DELETE_HORIZON_MASK = 0x40
const KNOWN_MASK = 0x7f

/** An int64 as a number. Beyond 2^53 it is inexact: check `Number.isSafeInteger` on what comes from outside. */
export function readInt64(buffer: Buffer, at: number): number {
  return buffer.readInt32BE(at) * 0x1_0000_0000 + buffer.readUInt32BE(at + 4)
}

/** What `readInt64` gave, for an answer: beyond 2^53 the int64 that is nearest. */
export function nearestInt64(value: number): number | bigint {
  if (Number.isSafeInteger(value)) return value
  return value >= 2 ** 63 ? MAX_INT64 : BigInt(value)
}

/** What no int64 holds (2^63 is how `readInt64` gives the largest) becomes the nearest that one does. */
export function writeInt64(buffer: Buffer, value: number, at: number): void {
  const high = Math.floor(value / 0x1_0000_0000)
  if (high > MAX_INT32 || high < -MAX_INT32 - 1) {
    buffer.writeInt32BE(high > 0 ? MAX_INT32 : -MAX_INT32 - 1, at)
    buffer.writeUInt32BE(high > 0 ? 0xffff_ffff : 0, at + 4)
    return
  }
  buffer.writeInt32BE(high, at)
  buffer.writeUInt32BE(value >>> 0, at + 4)
}

/** Any magic. Of magic 0 and 1 the offset of the message (of a compressed set: of its last message). */
export function baseOffset(buffer: Buffer, at: number): number {
  return readInt64(buffer, at)
}

/** Any magic. Total bytes, the 12 before the length included. Not checked: may be negative or beyond the buffer. */
export function batchSizeBytes(buffer: Buffer, at: number): number {
  return buffer.readInt32BE(at + LENGTH_AT) + LOG_OVERHEAD
}

export function partitionLeaderEpoch(buffer: Buffer, at: number): number {
  return buffer.readInt32BE(at + LEADER_EPOCH_AT)
}

/** Any magic. */
export function magic(buffer: Buffer, at: number): number {
  return buffer.readInt8(at + MAGIC_AT)
}

export function crc(buffer: Buffer, at: number): number {
  return buffer.readUInt32BE(at + CRC_AT)
}

export function attributes(buffer: Buffer, at: number): number {
  return buffer.readInt16BE(at + ATTRIBUTES_AT)
}

/** 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd. */
export function codec(buffer: Buffer, at: number): number {
  return buffer.readInt16BE(at + ATTRIBUTES_AT) & CODEC_MASK
}

export function isLogAppendTime(buffer: Buffer, at: number): boolean {
  return (buffer.readInt16BE(at + ATTRIBUTES_AT) & TIMESTAMP_TYPE_MASK) !== 0
}

export function isTransactional(buffer: Buffer, at: number): boolean {
  return (buffer.readInt16BE(at + ATTRIBUTES_AT) & TRANSACTIONAL_MASK) !== 0
}

export function isControl(buffer: Buffer, at: number): boolean {
  return (buffer.readInt16BE(at + ATTRIBUTES_AT) & CONTROL_MASK) !== 0
}

/** KIP-534: the base timestamp is then the time from which tombstones and markers of the batch may go. */
export function hasDeleteHorizon(buffer: Buffer, at: number): boolean {
  return (buffer.readInt16BE(at + ATTRIBUTES_AT) & DELETE_HORIZON_MASK) !== 0
}

export function lastOffsetDelta(buffer: Buffer, at: number): number {
  return buffer.readInt32BE(at + LAST_OFFSET_DELTA_AT)
}

/** Any magic. */
export function lastOffset(buffer: Buffer, at: number): number {
  const base = readInt64(buffer, at)
  return magic(buffer, at) >= 2 ? base + buffer.readInt32BE(at + LAST_OFFSET_DELTA_AT) : base
}

export function baseTimestamp(buffer: Buffer, at: number): number {
  return readInt64(buffer, at + BASE_TIMESTAMP_AT)
}

export function exactBaseTimestamp(buffer: Buffer, at: number): bigint {
  return buffer.readBigInt64BE(at + BASE_TIMESTAMP_AT)
}

/** Any magic; -1 for magic 0, which has no timestamps. */
export function maxTimestamp(buffer: Buffer, at: number): number {
  const version = magic(buffer, at)
  if (version >= 2) return readInt64(buffer, at + MAX_TIMESTAMP_AT)
  return version === 1 ? readInt64(buffer, at + 18) : -1
}

/** Magic 2. */
export function exactMaxTimestamp(buffer: Buffer, at: number): number | bigint {
  const rounded = readInt64(buffer, at + MAX_TIMESTAMP_AT)
  return Number.isSafeInteger(rounded) ? rounded : buffer.readBigInt64BE(at + MAX_TIMESTAMP_AT)
}

export function producerId(buffer: Buffer, at: number): number {
  return readInt64(buffer, at + PRODUCER_ID_AT)
}

export function producerEpoch(buffer: Buffer, at: number): number {
  return buffer.readInt16BE(at + PRODUCER_EPOCH_AT)
}

export function baseSequence(buffer: Buffer, at: number): number {
  return buffer.readInt32BE(at + BASE_SEQUENCE_AT)
}

export function recordCount(buffer: Buffer, at: number): number {
  return buffer.readInt32BE(at + RECORD_COUNT_AT)
}

export function setBaseOffset(buffer: Buffer, at: number, offset: number): void {
  writeInt64(buffer, offset, at)
}

export function setPartitionLeaderEpoch(buffer: Buffer, at: number, epoch: number): void {
  buffer.writeInt32BE(epoch, at + LEADER_EPOCH_AT)
}

/** The checksum has to be set again afterwards. */
export function setMaxTimestamp(buffer: Buffer, at: number, timestampMs: number | bigint): void {
  if (typeof timestampMs === 'bigint') buffer.writeBigInt64BE(timestampMs, at + MAX_TIMESTAMP_AT)
  else writeInt64(buffer, timestampMs, at + MAX_TIMESTAMP_AT)
}

/**
 * Sets timestamp type and max timestamp, and the checksum with them, where they are others. As in Kafka the attributes
 * that nobody knows go then.
 */
export function setTimestamps(
  buffer: Buffer,
  at: number,
  isAppendTime: boolean,
  maxTimestampMs: number | bigint,
): void {
  const isSame =
    isLogAppendTime(buffer, at) === isAppendTime &&
    (typeof maxTimestampMs === 'number'
      ? readInt64(buffer, at + MAX_TIMESTAMP_AT) === maxTimestampMs
      : buffer.readBigInt64BE(at + MAX_TIMESTAMP_AT) === maxTimestampMs)
  if (isSame) return
  const others = attributes(buffer, at) & KNOWN_MASK & ~TIMESTAMP_TYPE_MASK
  buffer.writeInt16BE(others | (isAppendTime ? TIMESTAMP_TYPE_MASK : 0), at + ATTRIBUTES_AT)
  setMaxTimestamp(buffer, at, maxTimestampMs)
  setCrc(buffer, at)
}

/** The batch at the start of `buffer` with other bytes as its records, which are the same in another codec. */
export function withRecords(buffer: Buffer, codecNumber: number, records: Buffer): Buffer {
  const batch = Buffer.allocUnsafe(BATCH_OVERHEAD + records.length)
  buffer.copy(batch, 0, 0, BATCH_OVERHEAD)
  records.copy(batch, BATCH_OVERHEAD)
  batch.writeInt32BE(batch.length - LOG_OVERHEAD, LENGTH_AT)
  batch.writeInt16BE((attributes(buffer, 0) & KNOWN_MASK & ~CODEC_MASK) | codecNumber, ATTRIBUTES_AT)
  setCrc(batch, 0)
  return batch
}

export function computeCrc(buffer: Buffer, at: number): number {
  return crc32c(buffer.subarray(at + CRC_START, at + batchSizeBytes(buffer, at)))
}

export function setCrc(buffer: Buffer, at: number): void {
  buffer.writeUInt32BE(computeCrc(buffer, at), at + CRC_AT)
}

/**
 * What is wrong with the frame of the batch at `at`, of which all bytes up to `end` are there; null when nothing is.
 * Any magic. The checksum is not looked at.
 */
export function frameProblem(buffer: Buffer, at: number, end: number): string | null {
  if (end - at < MAGIC_END) return 'shorter than the start of a batch'
  const size = batchSizeBytes(buffer, at)
  const version = magic(buffer, at)
  if (version === 2) {
    if (size < BATCH_OVERHEAD) return `batch length ${size - LOG_OVERHEAD} is smaller than a batch header`
  } else if (version === 0 || version === 1) {
    if (size < (version === 0 ? 26 : 34))
      return `message size ${size - LOG_OVERHEAD} is smaller than a message header`
  } else {
    return `unknown magic ${version}`
  }
  if (size > end - at) return `batch length ${size - LOG_OVERHEAD} goes beyond the end`
  return null
}

/** As `frameProblem`, and checks the checksum and that offsets and counts make sense. Any magic. */
export function batchProblem(buffer: Buffer, at: number, end: number): string | null {
  const problem = frameProblem(buffer, at, end)
  if (problem !== null) return problem
  const base = baseOffset(buffer, at)
  if (base < 0 || !Number.isSafeInteger(base)) return `base offset ${base} out of range`
  if (magic(buffer, at) < 2) {
    const body = buffer.subarray(at + MAGIC_AT, at + batchSizeBytes(buffer, at))
    return buffer.readUInt32BE(at + LOG_OVERHEAD) === crc32Ieee(body) ? null : 'checksum mismatch'
  }
  if (lastOffsetDelta(buffer, at) < 0) return `last offset delta ${lastOffsetDelta(buffer, at)} is negative`
  if (recordCount(buffer, at) < 0) return `record count ${recordCount(buffer, at)} is negative`
  return crc(buffer, at) === computeCrc(buffer, at) ? null : 'checksum mismatch'
}
