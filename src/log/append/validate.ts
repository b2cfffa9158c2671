import { CompressionError } from '../../../protocol/compression-error.ts'
import { Codec, decompress } from '../../../protocol/compression.ts'
import { ErrorCode } from '../../../protocol/errors.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import { RecordReader } from '../../../protocol/records/record-reader.ts'
import type { LogConfig } from '../log-config.ts'

export interface BatchProblem {
  readonly errorCode: number
  readonly message: string
  readonly recordErrors: readonly RecordError[]
}

export interface RecordError {
  readonly batchIndex: number
  readonly batchIndexErrorMessage: string | null
}

/**
 * Decompressing holds up every other client of the loop, so the records of a compressed batch are looked at only
 * where that is cheap or where something depends on it:
 * - compacted topics: always, since a record without a key could never be compacted away. What decompresses to more
 *   than `compactedOutputLimit` is refused with MESSAGE_TOO_LARGE.
 * - other topics: up to these sizes. Of larger batches the header is all that is checked: the checksum says that the
 *   records are what the client sent, the header's timestamps stand for the records'.
 */
const WALKED_COMPRESSED_BYTES = 4 * 1024
const WALKED_OUTPUT_BYTES = 64 * 1024

/** To how much the records of one batch of a compacted topic may decompress. */
export function compactedOutputLimit(config: LogConfig): number {
  return Math.max(1 << 20, config.maxMessageBytes * 4)
}

/** More would only repeat the same complaint, and the list travels back in the response. */
const MAX_RECORD_ERRORS = 100
const NO_RECORD_ERRORS: readonly RecordError[] = []
const ZSTD_SINCE_VERSION = 7

const reader = new RecordReader(Buffer.alloc(0), 0)

/**
 * Is this what a client may append to a partition? Null when it is.
 *
 * Works on the batch in place: corrects a wrong max timestamp, and under LogAppendTime stamps the batch with `nowMs`
 * (the checksum follows). Offsets, leader epoch and sequences against what the log knows are for `Log.append`.
 */
export function validateProduceBatch(
  records: Buffer | null,
  config: LogConfig,
  nowMs: number,
  apiVersion: number,
): BatchProblem | null {
  if (records === null || records.length === 0) {
    return problem(
      ErrorCode.INVALID_RECORD,
      'a produce request carries exactly one record batch per partition',
    )
  }
  return (
    checkFrame(records, config) ??
    checkHeader(records, config, apiVersion) ??
    checkRecords(records, config, nowMs)
  )
}

function checkFrame(records: Buffer, config: LogConfig): BatchProblem | null {
  if (records.length < batch.MAGIC_END) {
    return problem(ErrorCode.CORRUPT_MESSAGE, 'shorter than the header of a record batch')
  }
  const magic = batch.magic(records, 0)
  if (magic !== 2) {
    return problem(
      ErrorCode.INVALID_RECORD,
      `record batches of magic 2 are required (KIP-724), got magic ${magic}`,
    )
  }
  const framing = batch.frameProblem(records, 0, records.length)
  if (framing !== null) return problem(ErrorCode.CORRUPT_MESSAGE, framing)
  const size = batch.batchSizeBytes(records, 0)
  if (size !== records.length) {
    return problem(
      ErrorCode.INVALID_RECORD,
      'a produce request carries exactly one record batch per partition',
    )
  }
  if (size > config.maxMessageBytes) {
    return problem(
      ErrorCode.MESSAGE_TOO_LARGE,
      `the batch has ${size} bytes, max.message.bytes is ${config.maxMessageBytes}`,
    )
  }
  if (size > config.segmentBytes) {
    return problem(
      ErrorCode.RECORD_LIST_TOO_LARGE,
      `the batch has ${size} bytes, segment.bytes is ${config.segmentBytes}`,
    )
  }
  if (batch.crc(records, 0) !== batch.computeCrc(records, 0)) {
    return problem(ErrorCode.CORRUPT_MESSAGE, 'the checksum of the batch does not match its bytes')
  }
  return null
}

function checkHeader(records: Buffer, config: LogConfig, apiVersion: number): BatchProblem | null {
  const count = batch.recordCount(records, 0)
  if (batch.baseOffset(records, 0) !== 0) {
    return problem(ErrorCode.INVALID_RECORD, 'the base offset of a produced batch must be 0')
  }
  if (count <= 0 || count !== batch.lastOffsetDelta(records, 0) + 1) {
    return problem(
      ErrorCode.INVALID_RECORD,
      `record count ${count} does not fit last offset delta ${batch.lastOffsetDelta(records, 0)}`,
    )
  }
  if (batch.isControl(records, 0)) {
    return problem(ErrorCode.INVALID_RECORD, 'clients may not write control records')
  }
  if (batch.isLogAppendTime(records, 0)) {
    return problem(ErrorCode.INVALID_TIMESTAMP, 'producers may not set the timestamp type to LogAppendTime')
  }
  const producerId = batch.producerId(records, 0)
  if (producerId < -1 || !Number.isSafeInteger(producerId)) {
    return problem(ErrorCode.INVALID_RECORD, 'producer id out of range')
  }
  if (producerId >= 0 && (batch.baseSequence(records, 0) < 0 || batch.producerEpoch(records, 0) < 0)) {
    return problem(ErrorCode.INVALID_RECORD, 'a batch with a producer id needs a sequence and an epoch')
  }
  if (batch.isTransactional(records, 0)) {
    // No coordinator has added the partition to a transaction, so none can be open on it.
    return problem(ErrorCode.INVALID_TXN_STATE, 'the partition is not part of an open transaction')
  }
  const codec = batch.codec(records, 0)
  if (codec > Codec.ZSTD) return problem(ErrorCode.INVALID_RECORD, `unknown compression codec ${codec}`)
  if (codec === Codec.ZSTD && apiVersion < ZSTD_SINCE_VERSION) {
    return problem(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, 'zstd needs Produce version 7 or later (KIP-110)')
  }
  return checkTimestampRange(records, config)
}

function checkTimestampRange(records: Buffer, config: LogConfig): BatchProblem | null {
  const base = batch.baseTimestamp(records, 0)
  const max = batch.maxTimestamp(records, 0)
  if (!Number.isSafeInteger(base) || base < -1)
    return problem(ErrorCode.INVALID_TIMESTAMP, 'base timestamp out of range')
  if (config.messageTimestampType === 'CreateTime' && (!Number.isSafeInteger(max) || max < -1)) {
    return problem(ErrorCode.INVALID_TIMESTAMP, 'max timestamp out of range')
  }
  return null
}

function checkRecords(records: Buffer, config: LogConfig, nowMs: number): BatchProblem | null {
  const codec = batch.codec(records, 0)
  let found: BatchProblem | null
  if (codec === Codec.NONE) {
    reader.reset(records, batch.recordCount(records, 0), batch.BATCH_OVERHEAD, records.length)
    found = walk(records, config, nowMs)
  } else {
    found = checkCompressed(records, codec, config, nowMs)
  }
  if (found === null && config.messageTimestampType === 'LogAppendTime') {
    batch.setLogAppendTime(records, 0, nowMs)
    batch.setCrc(records, 0)
  }
  return found
}

function checkCompressed(
  records: Buffer,
  codec: number,
  config: LogConfig,
  nowMs: number,
): BatchProblem | null {
  const compacted = config.cleanupPolicy.compact
  const compressedBytes = records.length - batch.BATCH_OVERHEAD
  if (!compacted && compressedBytes > WALKED_COMPRESSED_BYTES)
    return checkHeaderTimestamps(records, config, nowMs)
  const limit = compacted ? compactedOutputLimit(config) : WALKED_OUTPUT_BYTES
  let body: Buffer
  try {
    body = decompress(codec, records.subarray(batch.BATCH_OVERHEAD), limit)
  } catch (error) {
    if (!(error instanceof CompressionError)) throw error
    if (error.reason !== 'too-large') {
      return problem(ErrorCode.CORRUPT_MESSAGE, `the records do not decompress: ${error.message}`)
    }
    if (!compacted) return checkHeaderTimestamps(records, config, nowMs)
    return problem(ErrorCode.MESSAGE_TOO_LARGE, `the records decompress to more than ${limit} bytes`)
  }
  reader.reset(body, batch.recordCount(records, 0), 0, body.length)
  return walk(records, config, nowMs)
}

function checkHeaderTimestamps(records: Buffer, config: LogConfig, nowMs: number): BatchProblem | null {
  if (config.messageTimestampType === 'LogAppendTime') return null
  for (const timestamp of [batch.baseTimestamp(records, 0), batch.maxTimestamp(records, 0)]) {
    const complaint = timestampComplaint(timestamp, config, nowMs)
    if (complaint !== null) return problem(ErrorCode.INVALID_TIMESTAMP, complaint)
  }
  return null
}

/** Steps over all records in `reader` without an object per record. */
function walk(records: Buffer, config: LogConfig, nowMs: number): BatchProblem | null {
  const createTime = config.messageTimestampType === 'CreateTime'
  const needsKey = config.cleanupPolicy.compact
  const earliest = Math.max(0, nowMs - config.messageTimestampBeforeMaxMs)
  const latest = nowMs + config.messageTimestampAfterMaxMs
  const base = batch.baseTimestamp(records, 0)
  let maxTimestamp = -1
  let errors: RecordError[] | null = null
  let errorCode: number = ErrorCode.NONE
  while (reader.next()) {
    if (reader.offsetDelta !== reader.index) {
      return problem(
        ErrorCode.INVALID_RECORD,
        `record ${reader.index} has offset delta ${reader.offsetDelta}, not its place in the batch`,
      )
    }
    const timestamp = base + reader.timestampDelta
    if (timestamp > maxTimestamp) maxTimestamp = timestamp
    if (needsKey && reader.keyLength < 0) {
      errorCode = ErrorCode.INVALID_RECORD
      errors = addError(errors, reader.index, 'a compacted topic takes no record without a key')
    } else if (createTime && timestamp !== -1 && (timestamp < earliest || timestamp > latest)) {
      if (errorCode === ErrorCode.NONE) errorCode = ErrorCode.INVALID_TIMESTAMP
      errors = addError(errors, reader.index, timestampComplaint(timestamp, config, nowMs))
    }
  }
  if (reader.problem !== null) return problem(ErrorCode.INVALID_RECORD, reader.problem)
  if (errors !== null) {
    return { errorCode, message: errors[0]?.batchIndexErrorMessage ?? '', recordErrors: errors }
  }
  if (createTime && batch.maxTimestamp(records, 0) !== maxTimestamp) {
    batch.setMaxTimestamp(records, 0, maxTimestamp)
    batch.setCrc(records, 0)
  }
  return null
}

function timestampComplaint(timestamp: number, config: LogConfig, nowMs: number): string | null {
  if (timestamp === -1) return null
  if (timestamp >= Math.max(0, nowMs - config.messageTimestampBeforeMaxMs)) {
    if (timestamp <= nowMs + config.messageTimestampAfterMaxMs) return null
    return `timestamp ${timestamp} is more than message.timestamp.after.max.ms ahead of the broker's clock`
  }
  return `timestamp ${timestamp} is more than message.timestamp.before.max.ms behind the broker's clock`
}

function addError(errors: RecordError[] | null, index: number, message: string | null): RecordError[] {
  const list = errors ?? []
  if (list.length < MAX_RECORD_ERRORS) list.push({ batchIndex: index, batchIndexErrorMessage: message })
  return list
}

function problem(errorCode: number, message: string): BatchProblem {
  return { errorCode, message, recordErrors: NO_RECORD_ERRORS }
}
