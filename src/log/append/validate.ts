import { CompressionError } from '../../../protocol/compression-error.ts'
import { Codec, CODECS_BY_NAME } from '../../../protocol/compression.ts'
import { ErrorCode } from '../../../protocol/errors.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import { RecordReader } from '../../../protocol/records/record-reader.ts'
import { RecordStream } from '../../../protocol/records/record-stream.ts'
import type { RecordsSummary } from '../../../protocol/records/records-summary.ts'
import type { LogConfig } from '../log-config.ts'
import { invalidRecord, problem } from './batch-problem.ts'
import type { BatchProblem } from './batch-problem.ts'
import { RecordsCheck } from './records-check.ts'

const ZSTD_SINCE_VERSION = 7
const LEAST_PLAIN_BYTES = 16 << 20
/** What gzip and all others but zstd can make of a byte; zstd makes 32 KiB of it, and a megabyte would be read for minutes. */
const MAX_RATIO = 1100
const LEAST_READ_BYTES = 1 << 30

/** So many bytes of records are looked at within a millisecond or few, whatever they are. */
const MOMENT_BYTES = 64 * 1024

const NO_BATCH = invalidRecord('a produce request carries exactly one record batch per partition')

const NO_RECORDS = invalidRecord('the records end early, at record 0')

const reader = new RecordReader(Buffer.alloc(0), 0)
const check = new RecordsCheck()

/**
 * Is this what a client may append to a partition? Null when it is. Of a batch that is compressed, or is to be, or has
 * very many bytes, the records are still to be looked at then: `UnreadBatch`, which is returned for it.
 *
 * Works on the batch in place: corrects a wrong max timestamp, and under LogAppendTime stamps the batch with `nowMs`
 * (the checksum follows). Offsets, leader epoch and sequences against what the log knows are for `Log.append`.
 */
export function validateProduceBatch(
  records: Buffer | null,
  config: LogConfig,
  nowMs: number,
  apiVersion: number,
): BatchProblem | UnreadBatch | null {
  if (records === null || records.length < batch.MAGIC_END) return { ...NO_BATCH, ofRequest: true }
  const unfit = checkFrame(records, config)
  if (unfit !== null) return { ...unfit, ofRequest: true }
  const found = checkHeader(records, apiVersion)
  if (found !== null) return found
  const { compressionType } = config
  const staysPlain = compressionType === 'producer' || compressionType === 'uncompressed'
  if (batch.codec(records, 0) !== Codec.NONE || !staysPlain || records.length > MOMENT_BYTES)
    return new UnreadBatch(records, config, nowMs)
  reader.reset(records, batch.recordCount(records, 0), batch.BATCH_OVERHEAD, records.length)
  check.begin(records, config, nowMs).walk(reader)
  return check.end(reader.problem)
}

/** A batch whose header is good: its records are shown to it in pieces, as they become decompressed, or by a summary. */
export class UnreadBatch {
  readonly records: Buffer
  readonly #config: LogConfig
  readonly #nowMs: number
  #stream: RecordStream | null = null
  #check: RecordsCheck | null = null

  constructor(records: Buffer, config: LogConfig, nowMs: number) {
    this.records = records
    this.#config = config
    this.#nowMs = nowMs
  }

  get codec(): number {
    return batch.codec(this.records, 0)
  }

  /** The records as they came. */
  get body(): Buffer {
    return this.records.subarray(batch.BATCH_OVERHEAD)
  }

  /** What the topic wants it to be. */
  get targetCodec(): number {
    const { compressionType } = this.#config
    return compressionType === 'producer' ? this.codec : CODECS_BY_NAME[compressionType]
  }

  get level(): number | null {
    return this.#config.compressionLevel
  }

  /** What it may become in all, by the bytes that are there. */
  get maxReadBytes(): number {
    return Math.max(LEAST_READ_BYTES, this.body.length * MAX_RATIO)
  }

  /** What it may become before it is compressed again, which takes all of it at once. */
  get maxPlainBytes(): number {
    return Math.max(LEAST_PLAIN_BYTES, this.#config.maxMessageBytes * 4)
  }

  /** The batch with its records in the codec of the topic; a problem when that is too large. */
  inTargetCodec(compressed: Buffer): BatchProblem | Buffer {
    const bytes = batch.withRecords(this.records, this.targetCodec, compressed)
    return sizeProblem(bytes.length, this.#config) ?? bytes
  }

  get recordCount(): number {
    return batch.recordCount(this.records, 0)
  }

  /** Whether the batch may be appended by what is known of all its records. False: they must be looked at one by one. */
  accepts(summary: RecordsSummary): boolean {
    const { records } = this
    return check.begin(records, this.#config, this.#nowMs).accept(summary) && check.end(null) === null
  }

  /** The next of the records' bytes; they are not kept. False: no more are needed, the batch will be refused. */
  piece(bytes: Buffer): boolean {
    this.#stream ??= new RecordStream(this.recordCount)
    this.#check ??= new RecordsCheck().begin(this.records, this.#config, this.#nowMs)
    this.#stream.feed(bytes)
    return this.#check.walk(this.#stream) && this.#stream.problem === null
  }

  /** All pieces were shown. Null when the batch may be appended. */
  end(): BatchProblem | null {
    if (this.#stream === null || this.#check === null) return NO_RECORDS
    this.#stream.end()
    return this.#check.end(this.#stream.problem)
  }

  /** What it means that the records cannot be decompressed. Throws what is no such error. */
  undecodable(error: unknown): BatchProblem {
    if (!(error instanceof CompressionError)) throw error
    if (error.reason === 'too-large') return problem(ErrorCode.MESSAGE_TOO_LARGE, error.message)
    // The checksum is right, so this is what the client sent, and would send again.
    return invalidRecord(`the records do not decompress: ${error.message}`)
  }
}

function checkFrame(records: Buffer, config: LogConfig): BatchProblem | null {
  if (batch.batchSizeBytes(records, 0) > records.length) return invalidRecord('no whole record batch')
  const magic = batch.magic(records, 0)
  if (magic === 0 || magic === 1)
    return invalidRecord(`record batches of magic 2 are required (KIP-724), got magic ${magic}`)
  const framing = batch.frameProblem(records, 0, records.length)
  if (framing !== null) return problem(ErrorCode.CORRUPT_MESSAGE, framing)
  if (batch.batchSizeBytes(records, 0) !== records.length) return NO_BATCH
  const tooLarge = sizeProblem(records.length, config)
  if (tooLarge !== null) return tooLarge
  if (batch.crc(records, 0) !== batch.computeCrc(records, 0)) {
    return problem(ErrorCode.CORRUPT_MESSAGE, 'the checksum of the batch does not match its bytes')
  }
  return null
}

function sizeProblem(size: number, config: LogConfig): BatchProblem | null {
  if (size > config.maxMessageBytes) {
    return problem(
      ErrorCode.MESSAGE_TOO_LARGE,
      `the batch has ${size} bytes, max.message.bytes is ${config.maxMessageBytes}`,
    )
  }
  if (size <= config.segmentBytes) return null
  return problem(
    ErrorCode.RECORD_LIST_TOO_LARGE,
    `the batch has ${size} bytes, segment.bytes is ${config.segmentBytes}`,
  )
}

function checkHeader(records: Buffer, apiVersion: number): BatchProblem | null {
  const count = batch.recordCount(records, 0)
  if (batch.baseOffset(records, 0) !== 0) {
    return invalidRecord('the base offset of a produced batch must be 0')
  }
  if (count <= 0 || count !== batch.lastOffsetDelta(records, 0) + 1) {
    return invalidRecord(
      `record count ${count} does not fit last offset delta ${batch.lastOffsetDelta(records, 0)}`,
    )
  }
  if (batch.isControl(records, 0)) {
    return invalidRecord('clients may not write control records')
  }
  const producerId = batch.producerId(records, 0)
  if (producerId > Number.MAX_SAFE_INTEGER) {
    return invalidRecord('producer id out of range')
  }
  if (producerId >= 0 && batch.producerEpoch(records, 0) < -1) {
    return problem(ErrorCode.INVALID_PRODUCER_EPOCH, 'the epoch of a producer is not negative')
  }
  if (producerId >= 0 && (batch.baseSequence(records, 0) < 0 || batch.producerEpoch(records, 0) < 0)) {
    return invalidRecord('a batch with a producer id needs a sequence and an epoch')
  }
  if (batch.isTransactional(records, 0)) {
    return problem(
      ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
      'there are no transactions, so no id may write in one',
    )
  }
  const codec = batch.codec(records, 0)
  if (codec > Codec.ZSTD) return invalidRecord(`unknown compression codec ${codec}`)
  if (codec === Codec.ZSTD && apiVersion < ZSTD_SINCE_VERSION) {
    return problem(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, 'zstd needs Produce version 7 or later (KIP-110)')
  }
  return null
}
