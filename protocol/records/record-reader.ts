import { readInt64 } from './record-batch.ts'

export interface RecordHeader {
  readonly key: string
  readonly value: Buffer | null
}

/**
 * Steps over the records of one batch body (after decompression). For paths where every record is looked at;
 * views share memory with the body.
 *
 *     const reader = new RecordReader(body, recordCount)
 *     while (reader.next()) use(reader.offsetDelta, reader.key(), reader.value())
 *     if (reader.problem !== null) ...
 */
export class RecordReader {
  offsetDelta = 0
  /** Rounded where it is beyond 2^53; `wideDelta` is exact then. */
  timestampDelta = 0
  /** The timestamp delta where a number may not hold it exactly; otherwise null. */
  wideDelta: bigint | null = null
  /** Index of the record `next` stands on. */
  index = -1
  /** Position and length of the whole record, its length prefix included. */
  recordStart = 0
  recordEnd = 0
  /** Where the offset delta stands: from here to `recordEnd` nothing depends on the batch's timestamps. */
  restStart = 0
  keyStart = 0
  /** Below 0: null, as Kafka reads it. */
  keyLength = -1
  valueStart = 0
  /** Below 0: null. */
  valueLength = -1
  headerCount = 0
  headersStart = 0
  /** Why `next` stopped early; null while all is well. */
  problem: string | null = null
  #body: Buffer
  #at: number
  #end: number
  #count: number

  constructor(body: Buffer, recordCount: number, start = 0, end: number = body.length) {
    this.#body = body
    this.#at = start
    this.#end = end
    this.#count = recordCount
  }

  /** Starts over on another body. `index`: of the record before the first one in it. */
  reset(body: Buffer, recordCount: number, start: number, end: number, index = -1): void {
    this.#body = body
    this.#at = start
    this.#end = end
    this.#count = recordCount
    this.index = index
    this.problem = null
  }

  /** Where the next record starts. */
  get position(): number {
    return this.#at
  }

  /** All bytes of the next record are there, or it starts with none that a record starts with. */
  get holdsNext(): boolean {
    let at = this.#at
    let raw = 0
    for (let shift = 0; shift < 35; shift += 7) {
      if (at >= this.#end) return false
      const byte = this.#body[at++] ?? 0
      raw |= (byte & 0x7f) << shift
      if (byte < 0x80) return ((raw >>> 1) ^ -(raw & 1)) <= this.#end - at
    }
    return true
  }

  /** False at the end and at a record that does not parse. Headers are checked too. */
  next(): boolean {
    if (this.problem !== null) return false
    if (this.index + 1 >= this.#count) {
      if (this.#at !== this.#end) this.problem = `${this.#end - this.#at} bytes after the last record`
      return false
    }
    this.index++
    this.recordStart = this.#at
    const length = this.#varint()
    if (this.problem !== null) return false
    const recordEnd = this.#at + length
    if (length < 0 || recordEnd > this.#end) return this.#fail('length goes beyond the batch')
    this.recordEnd = recordEnd
    this.#at++
    this.timestampDelta = this.#varlong()
    this.restStart = this.#at
    this.offsetDelta = this.#varint()
    this.keyLength = this.#varint()
    this.keyStart = this.#at
    if (this.keyLength > recordEnd - this.#at) return this.#fail('key goes beyond the record')
    this.#at += Math.max(0, this.keyLength)
    this.valueLength = this.#varint()
    this.valueStart = this.#at
    if (this.valueLength > recordEnd - this.#at) return this.#fail('value goes beyond the record')
    this.#at += Math.max(0, this.valueLength)
    this.headerCount = this.#varint()
    this.headersStart = this.#at
    return this.#skipHeaders(recordEnd)
  }

  key(): Buffer | null {
    return this.keyLength < 0 ? null : this.#body.subarray(this.keyStart, this.keyStart + this.keyLength)
  }

  value(): Buffer | null {
    return this.valueLength < 0
      ? null
      : this.#body.subarray(this.valueStart, this.valueStart + this.valueLength)
  }

  headers(): RecordHeader[] {
    const resume = this.#at
    const headers: RecordHeader[] = []
    this.#at = this.headersStart
    for (let i = 0; i < this.headerCount; i++) {
      const keyLength = this.#varint()
      const key = this.#body.toString('utf8', this.#at, this.#at + keyLength)
      this.#at += keyLength
      const valueLength = this.#varint()
      headers.push({
        key,
        value: valueLength < 0 ? null : this.#body.subarray(this.#at, this.#at + valueLength),
      })
      this.#at += Math.max(0, valueLength)
    }
    this.#at = resume
    return headers
  }

  #skipHeaders(recordEnd: number): boolean {
    if (this.headerCount < 0) return this.#fail('negative header count')
    for (let i = 0; i < this.headerCount; i++) {
      const keyLength = this.#varint()
      if (keyLength < 0 || keyLength > recordEnd - this.#at)
        return this.#fail('header key goes beyond the record')
      this.#at += keyLength
      const valueLength = this.#varint()
      if (valueLength > recordEnd - this.#at) return this.#fail('header value goes beyond the record')
      this.#at += Math.max(0, valueLength)
      if (this.problem !== null) return false
    }
    if (this.problem !== null) return false
    return this.#at === recordEnd || this.#fail('length does not match the content')
  }

  #fail(problem: string): false {
    this.problem ??= `record ${this.index}: ${problem}`
    return false
  }

  #varint(): number {
    const body = this.#body
    const first = this.#at < this.#end ? (body[this.#at] ?? 0x80) : 0x80
    if (first < 0x80) {
      this.#at++
      return (first >>> 1) ^ -(first & 1)
    }
    let raw = 0
    for (let shift = 0; shift < 35; shift += 7) {
      if (this.#at >= this.#end) break
      const byte = body[this.#at++] ?? 0
      raw |= (byte & 0x7f) << shift
      if (byte < 0x80) return (raw >>> 1) ^ -(raw & 1)
    }
    this.#fail('bad varint')
    return -2
  }

  #varlong(): number {
    const body = this.#body
    const first = this.#at < this.#end ? (body[this.#at] ?? 0x80) : 0x80
    if (first < 0x80) {
      this.#at++
      this.wideDelta = null
      return (first >>> 1) ^ -(first & 1)
    }
    const start = this.#at
    let low = 0
    let scale = 1
    for (let i = 0; i < 10; i++) {
      if (this.#at >= this.#end) break
      const byte = body[this.#at++] ?? 0
      low += (byte & 0x7f) * scale
      scale *= 128
      if (byte >= 0x80) continue
      this.wideDelta = i < EXACT_VARLONG_BYTES ? null : wideVarlong(body, start, this.#at)
      if (this.wideDelta !== null) return Number(this.wideDelta)
      return low % 2 === 0 ? low / 2 : -(low + 1) / 2
    }
    this.#fail('bad varlong')
    return 0
  }
}

/** So many of 7 bits each a number holds exactly. */
const EXACT_VARLONG_BYTES = 7

function wideVarlong(body: Buffer, start: number, end: number): bigint {
  let raw = 0n
  for (let at = end - 1; at >= start; at--) raw = (raw << 7n) | BigInt((body[at] ?? 0) & 0x7f)
  return unzigzag(raw)
}

/** What a varlong's bits say. Those beyond 64 are not there, as in Kafka. */
export function unzigzag(raw: bigint): bigint {
  const bits = BigInt.asUintN(64, raw)
  return BigInt.asIntN(64, (bits >> 1n) ^ -(bits & 1n))
}

/** What the one record of a control batch says. */
export interface ControlRecord {
  /** 0 ABORT, 1 COMMIT, others are not about transactions. */
  readonly type: number
  readonly coordinatorEpoch: number
}

/** Reads a control batch's record (never compressed); null when it does not parse. */
export function readControlRecord(
  batch: Buffer,
  recordsStart: number,
  batchEnd: number,
): ControlRecord | null {
  const reader = new RecordReader(batch, 1, recordsStart, batchEnd)
  if (!reader.next()) return null
  const key = reader.key()
  const value = reader.value()
  if (key === null || key.length < 4) return null
  const type = key.readInt16BE(2)
  if (type !== 0 && type !== 1) return { type, coordinatorEpoch: -1 }
  return value === null || value.length < 6 ? null : { type, coordinatorEpoch: value.readInt32BE(2) }
}

/** One message of an uncompressed set of magic 0 or 1. */
export interface OldMessage {
  readonly offset: number
  /** -1 in magic 0. */
  readonly timestampMs: number
  readonly codec: number
  readonly key: Buffer | null
  readonly value: Buffer | null
}

/** Reads the message of magic 0 or 1 at `at` (its frame checked before); null when it does not parse. */
export function readOldMessage(buffer: Buffer, at: number, end: number): OldMessage | null {
  const version = buffer.readInt8(at + 16)
  const keyAt = at + (version === 0 ? 18 : 26)
  if (keyAt + 8 > end) return null
  const keyLength = buffer.readInt32BE(keyAt)
  const valueAt = keyAt + 4 + Math.max(0, keyLength)
  if (keyLength < -1 || valueAt + 4 > end) return null
  const valueLength = buffer.readInt32BE(valueAt)
  if (valueLength < -1 || valueAt + 4 + Math.max(0, valueLength) > end) return null
  return {
    offset: readInt64(buffer, at),
    timestampMs: version === 0 ? -1 : readInt64(buffer, at + 18),
    codec: buffer.readInt8(at + 17) & 0x07,
    key: keyLength < 0 ? null : buffer.subarray(keyAt + 4, keyAt + 4 + keyLength),
    value: valueLength < 0 ? null : buffer.subarray(valueAt + 4, valueAt + 4 + valueLength),
  }
}
