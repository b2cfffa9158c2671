/**
 * Record batches as any client might make them, right or wrong, and as they are shown in a golden answer. Timestamps
 * are whole int64s; compression needs no library: every format has a way to say "as it is".
 */
import { gunzipSync, gzipSync } from 'node:zlib'
import { crc32c } from '../../protocol/crc32c.ts'
import { decompress } from '../../protocol/compression.ts'
import { Writer } from '../../protocol/writer.ts'
import type { Shown } from './wire.ts'

export const CODECS = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const
export type CodecName = keyof typeof CODECS

const HEADER_BYTES = 61

export interface GivenRecord {
  readonly key?: string | null
  readonly value?: string | null
  /** Relative to the base timestamp. */
  readonly timestampDelta?: number | bigint
  readonly offsetDelta?: number
  readonly headers?: Readonly<Record<string, string | null>>
  readonly attributes?: number
}

/** What the header says; left out, it says the truth. */
export interface GivenBatch {
  readonly records: readonly (string | GivenRecord)[]
  readonly codec?: CodecName
  readonly baseOffset?: number | bigint
  readonly leaderEpoch?: number
  readonly magic?: number
  readonly attributes?: number
  readonly lastOffsetDelta?: number
  readonly baseTimestamp?: number | bigint
  readonly maxTimestamp?: number | bigint
  readonly producerId?: number | bigint
  readonly producerEpoch?: number
  readonly baseSequence?: number
  readonly count?: number
  /** Instead of what the records come to. */
  readonly body?: Buffer
  readonly wrongCrc?: boolean
}

/** Long ago, and the same in every run. */
export const BASE_TIMESTAMP = 1_700_000_000_000

export function batch(given: GivenBatch | readonly (string | GivenRecord)[]): Buffer {
  const { records, codec = 'none', ...said } = isList(given) ? { records: given } : given
  const plain = Buffer.concat(records.map((record, i) => recordBytes(record, i)))
  const body = said.body ?? packed(codec, plain)
  const baseTimestamp = BigInt(said.baseTimestamp ?? BASE_TIMESTAMP)
  const deltas = records.map((record) =>
    BigInt((typeof record === 'string' ? {} : record).timestampDelta ?? 0),
  )
  const latest = deltas.reduce((a, b) => (a > b ? a : b), deltas[0] ?? 0n)
  const bytes = Buffer.alloc(HEADER_BYTES + body.length)
  bytes.writeBigInt64BE(BigInt(said.baseOffset ?? 0), 0)
  bytes.writeInt32BE(bytes.length - 12, 8)
  bytes.writeInt32BE(said.leaderEpoch ?? -1, 12)
  bytes.writeInt8(said.magic ?? 2, 16)
  bytes.writeInt16BE(said.attributes ?? CODECS[codec], 21)
  bytes.writeInt32BE(said.lastOffsetDelta ?? Math.max(0, records.length - 1), 23)
  bytes.writeBigInt64BE(baseTimestamp, 27)
  bytes.writeBigInt64BE(BigInt(said.maxTimestamp ?? baseTimestamp + latest), 35)
  bytes.writeBigInt64BE(BigInt(said.producerId ?? -1), 43)
  bytes.writeInt16BE(said.producerEpoch ?? -1, 51)
  bytes.writeInt32BE(said.baseSequence ?? -1, 53)
  bytes.writeInt32BE(said.count ?? records.length, 57)
  body.copy(bytes, HEADER_BYTES)
  bytes.writeUInt32BE((crc32c(bytes.subarray(21)) ^ (said.wrongCrc === true ? 1 : 0)) >>> 0, 17)
  return bytes
}

function isList(
  given: GivenBatch | readonly (string | GivenRecord)[],
): given is readonly (string | GivenRecord)[] {
  return Array.isArray(given)
}

function recordBytes(given: string | GivenRecord, index: number): Buffer {
  const record: GivenRecord = typeof given === 'string' ? { value: given } : given
  const content = new Writer()
  content.int8(record.attributes ?? 0)
  writeVarlong(content, BigInt(record.timestampDelta ?? 0))
  content.varint(record.offsetDelta ?? index)
  writeText(content, record.key ?? null)
  writeText(content, record.value ?? null)
  const headers = Object.entries(record.headers ?? {})
  content.varint(headers.length)
  for (const [key, value] of headers) {
    writeText(content, key)
    writeText(content, value)
  }
  const bytes = content.finishBuffer()
  const sized = new Writer()
  sized.varint(bytes.length)
  sized.raw(bytes)
  return sized.finishBuffer()
}

function writeText(writer: Writer, text: string | null): void {
  if (text === null) return writer.varint(-1)
  const bytes = Buffer.from(text)
  writer.varint(bytes.length)
  writer.raw(bytes)
}

function writeVarlong(writer: Writer, value: bigint): void {
  let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n))
  for (; rest >= 128n; rest >>= 7n) writer.uint8(Number(rest & 127n) | 128)
  writer.uint8(Number(rest))
}

// ---------------------------------------------------------------------------------------------------- compression

/** Valid in the format of the codec, and the same on every machine (but gzip, whose bytes nobody compares). */
export function packed(codec: CodecName, plain: Buffer): Buffer {
  switch (codec) {
    case 'none':
      return plain
    case 'gzip':
      return gzipSync(plain)
    case 'snappy':
      return snappyLiterals(plain)
    case 'lz4':
      return lz4Stored(plain)
    case 'zstd':
      return zstdRaw(plain)
  }
}

/** One block of literals; below 64 KiB. */
function snappyLiterals(plain: Buffer): Buffer {
  const writer = new Writer()
  writer.uvarint(plain.length)
  writer.raw(Buffer.from([61 << 2, (plain.length - 1) & 0xff, (plain.length - 1) >> 8]))
  writer.raw(plain)
  return writer.finishBuffer()
}

/** A frame of independent blocks of at most 64 KiB, one of them, stored. */
function lz4Stored(plain: Buffer): Buffer {
  const size = Buffer.alloc(4)
  size.writeUInt32LE((plain.length | 0x8000_0000) >>> 0)
  return Buffer.concat([Buffer.from('04224d18604082', 'hex'), size, plain, Buffer.alloc(4)])
}

/** One segment (its size in four bytes) with one raw block, the last. */
function zstdRaw(plain: Buffer): Buffer {
  const head = Buffer.alloc(12)
  head.writeUInt32LE(0xfd2fb528, 0)
  head.writeUInt8(0xa0, 4)
  head.writeUInt32LE(plain.length, 5)
  head.writeUIntLE((plain.length << 3) | 1, 9, 3)
  return Buffer.concat([head, plain])
}

// -------------------------------------------------------------------------------------------------------- showing

/** Every batch with its records; what does not parse as hexadecimal digits. */
export function readBatches(bytes: Buffer): Shown[] {
  const shown: Shown[] = []
  for (let at = 0; at < bytes.length;) {
    const size = at + 12 <= bytes.length ? 12 + bytes.readInt32BE(at + 8) : 0
    if (size < HEADER_BYTES || at + size > bytes.length) {
      shown.push(`${bytes.length - at} more bytes`)
      break
    }
    shown.push(showBatch(bytes.subarray(at, at + size)))
    at += size
  }
  return shown
}

function showBatch(bytes: Buffer): Shown {
  const attributes = bytes.readInt16BE(21)
  const codec = Object.entries(CODECS).find(([, number]) => number === (attributes & 7))?.[0] ?? 'unknown'
  const flags = ['append time', 'transactional', 'control', 'delete horizon'].filter(
    (_, bit) => (attributes & (8 << bit)) !== 0,
  )
  return {
    baseOffset: wide(bytes.readBigInt64BE(0)),
    leaderEpoch: bytes.readInt32BE(12),
    magic: bytes.readInt8(16),
    crc: bytes.readUInt32BE(17) === crc32c(bytes.subarray(21)) ? 'right' : 'wrong',
    codec: [codec, ...flags].join(', '),
    lastOffsetDelta: bytes.readInt32BE(23),
    baseTimestamp: wide(bytes.readBigInt64BE(27)),
    maxTimestamp: wide(bytes.readBigInt64BE(35)),
    producerId: wide(bytes.readBigInt64BE(43)),
    producerEpoch: bytes.readInt16BE(51),
    baseSequence: bytes.readInt32BE(53),
    count: bytes.readInt32BE(57),
    records: showRecords(attributes & 7, bytes.subarray(HEADER_BYTES)),
  }
}

function wide(value: bigint): number | string {
  return Number.isSafeInteger(Number(value)) ? Number(value) : `int64 ${value}`
}

function showRecords(codec: number, body: Buffer): Shown {
  try {
    const plain = codec === CODECS.gzip ? gunzipSync(body) : decompress(codec, body, 1 << 24)
    const records: Shown[] = []
    for (const scan = new Scan(plain); !scan.atEnd;) records.push(showRecord(scan))
    return records
  } catch (error) {
    return `unreadable: ${error instanceof Error ? error.name : String(error)}`
  }
}

/** `+timestampDelta @offsetDelta key=value {headers}` */
function showRecord(scan: Scan): Shown {
  const end = scan.at + Number(scan.varlong()) + 0
  scan.skip(1)
  const [timestamp, offset] = [scan.varlong(), scan.varlong()]
  const [key, value] = [scan.text(), scan.text()]
  const headers = Array.from({ length: Number(scan.varlong()) }, () => `${scan.text()}=${scan.text()}`)
  if (scan.at < end) throw new RangeError('bytes behind the record')
  const text = `+${timestamp} @${offset} ${key === null ? '' : `${key}=`}${value ?? 'null'}`
  return headers.length === 0 ? text : `${text} {${headers.join(', ')}}`
}

class Scan {
  at = 0
  readonly #bytes: Buffer

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get atEnd(): boolean {
    return this.at >= this.#bytes.length
  }

  skip(count: number): void {
    this.at += count
  }

  varlong(): bigint {
    let raw = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes.readUInt8(this.at++)
      raw |= BigInt(byte & 127) << shift
      if (byte < 128) break
    }
    return BigInt.asIntN(64, (raw >> 1n) ^ -(raw & 1n))
  }

  text(): string | null {
    const length = Number(this.varlong())
    if (length < 0) return null
    const start = this.at
    this.at += length
    if (this.at > this.#bytes.length) throw new RangeError('text goes beyond the batch')
    const text = this.#bytes.toString('latin1', start, this.at)
    return text.length > 80 ? `${text.slice(0, 20)}... ${text.length} bytes` : text
  }
}
