import fs from 'node:fs'
import { decompress } from '../../protocol/compression.ts'
import * as batches from '../../protocol/records/record-batch.ts'
import { readControlRecord, readOldMessage, RecordReader } from '../../protocol/records/record-reader.ts'
import { messageOf } from '../core/is-error.ts'
import type { DumpOptions, Print } from './dump-options.ts'

const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd']
/** No batch that a broker takes is larger; a length beyond it is damage. */
const MAX_BATCH_BYTES = 1 << 30
const MAX_DECOMPRESSED_BYTES = 1 << 30

/** Prints every batch of a log file; stops, and says where, at the first bytes that are none. */
export function dumpBatches(file: string, options: DumpOptions, print: Print): void {
  const fd = fs.openSync(file, 'r')
  try {
    const sizeBytes = fs.fstatSync(fd).size
    let position = 0
    while (position < sizeBytes) {
      const batch = readBatch(fd, position, sizeBytes)
      if (typeof batch === 'string') {
        print(
          `Found ${sizeBytes - position} invalid bytes at the end of ${file}, from position ${position}: ${batch}`,
        )
        return
      }
      dumpBatch(batch, position, options, print)
      position += batch.length
    }
  } finally {
    fs.closeSync(fd)
  }
}

/** The batch at a position, or why there is none. */
function readBatch(fd: number, position: number, sizeBytes: number): Buffer | string {
  const head = Buffer.alloc(batches.MAGIC_END)
  if (fs.readSync(fd, head, 0, head.length, position) < head.length)
    return 'shorter than the start of a batch'
  const length = batches.batchSizeBytes(head, 0)
  if (length < batches.MAGIC_END || length > MAX_BATCH_BYTES) return `a batch length of ${length}`
  if (position + length > sizeBytes) return `a batch of ${length} bytes goes beyond the end`
  const batch = Buffer.alloc(length)
  if (fs.readSync(fd, batch, 0, length, position) < length) return 'the file became shorter'
  return batches.frameProblem(batch, 0, length) ?? batch
}

function dumpBatch(batch: Buffer, position: number, options: DumpOptions, print: Print): void {
  const isValid = batches.batchProblem(batch, 0, batch.length) === null
  if (batches.magic(batch, 0) < 2) {
    dumpOldMessage(batch, position, isValid, options, print)
    return
  }
  const count = batches.recordCount(batch, 0)
  const firstSequence = batches.baseSequence(batch, 0)
  const lastSequence =
    firstSequence < 0 ? -1 : (firstSequence + batches.lastOffsetDelta(batch, 0)) % 0x8000_0000
  const deleteHorizon = batches.hasDeleteHorizon(batch, 0)
    ? `OptionalLong[${batches.baseTimestamp(batch, 0)}]`
    : 'OptionalLong.empty'
  print(
    `baseOffset: ${batches.baseOffset(batch, 0)} lastOffset: ${batches.lastOffset(batch, 0)} count: ${count} ` +
      `baseSequence: ${firstSequence} lastSequence: ${lastSequence} producerId: ${batches.producerId(batch, 0)} ` +
      `producerEpoch: ${batches.producerEpoch(batch, 0)} partitionLeaderEpoch: ${batches.partitionLeaderEpoch(batch, 0)} ` +
      `isTransactional: ${batches.isTransactional(batch, 0)} isControl: ${batches.isControl(batch, 0)} ` +
      `deleteHorizonMs: ${deleteHorizon} position: ${position} ` +
      `${timestampType(batch)}: ${batches.maxTimestamp(batch, 0)} size: ${batch.length} ` +
      `magic: ${batches.magic(batch, 0)} compresscodec: ${codecName(batches.codec(batch, 0))} ` +
      `crc: ${batches.crc(batch, 0)} isvalid: ${isValid}`,
  )
  if (options.deepIteration === true || options.printDataLog === true) dumpRecords(batch, options, print)
}

function dumpRecords(batch: Buffer, options: DumpOptions, print: Print): void {
  if (batches.isControl(batch, 0)) {
    const control = readControlRecord(batch, batches.BATCH_OVERHEAD, batch.length)
    const type = ['ABORT', 'COMMIT'][control?.type ?? -1] ?? `UNKNOWN(${control?.type ?? '?'})`
    print(
      `| offset: ${batches.baseOffset(batch, 0)} endTxnMarker: ${type} coordinatorEpoch: ${control?.coordinatorEpoch ?? -1}`,
    )
    return
  }
  let body: Buffer
  try {
    body = decompress(batches.codec(batch, 0), batch.subarray(batches.BATCH_OVERHEAD), MAX_DECOMPRESSED_BYTES)
  } catch (error) {
    print(`| the records cannot be decompressed: ${messageOf(error)}`)
    return
  }
  const reader = new RecordReader(body, batches.recordCount(batch, 0))
  const firstSequence = batches.baseSequence(batch, 0)
  while (reader.next()) {
    const sequence = firstSequence < 0 ? -1 : (firstSequence + reader.offsetDelta) % 0x8000_0000
    const timestampMs = batches.isLogAppendTime(batch, 0)
      ? batches.maxTimestamp(batch, 0)
      : batches.baseTimestamp(batch, 0) + reader.timestampDelta
    const headerKeys = reader.headers().map(({ key }) => key)
    print(
      `| offset: ${batches.baseOffset(batch, 0) + reader.offsetDelta} ${timestampType(batch)}: ${timestampMs} ` +
        `keySize: ${reader.keyLength} valueSize: ${reader.valueLength} sequence: ${sequence} ` +
        `headerKeys: [${headerKeys.join(',')}]${payload(reader.key(), reader.value(), options)}`,
    )
  }
  if (reader.problem !== null) print(`| the records cannot be read further: ${reader.problem}`)
}

/** A message of magic 0 or 1 is its own batch. */
function dumpOldMessage(
  batch: Buffer,
  position: number,
  isValid: boolean,
  options: DumpOptions,
  print: Print,
): void {
  const message = readOldMessage(batch, 0, batch.length)
  if (message === null) {
    print(`position: ${position} size: ${batch.length} magic: ${batches.magic(batch, 0)} isvalid: false`)
    return
  }
  print(
    `offset: ${message.offset} position: ${position} CreateTime: ${message.timestampMs} size: ${batch.length} ` +
      `magic: ${batches.magic(batch, 0)} compresscodec: ${codecName(message.codec)} ` +
      `crc: ${batch.readUInt32BE(batches.LOG_OVERHEAD)} isvalid: ${isValid}` +
      `${message.codec === 0 ? payload(message.key, message.value, options) : ''}`,
  )
}

function payload(key: Buffer | null, value: Buffer | null, options: DumpOptions): string {
  if (options.printDataLog !== true) return ''
  const keyText = key === null ? '' : ` key: ${key.toString('utf8')}`
  return `${keyText} payload: ${value === null ? '' : value.toString('utf8')}`
}

function timestampType(batch: Buffer): string {
  return batches.isLogAppendTime(batch, 0) ? 'LogAppendTime' : 'CreateTime'
}

function codecName(codec: number): string {
  return CODECS[codec] ?? `unknown(${codec})`
}
