import { isUtf8 } from 'node:buffer'
import { ProtocolError } from './protocol-error.ts'

export { ProtocolError }

const TWO_POW_32 = 0x1_0000_0000
/** The upper half of the largest int64 that is a safe integer. */
const MAX_SAFE_HIGH = 0x1f_ffff

/**
 * A request of the right size can name a few bytes' worth of array elements tens of millions of times, and each
 * becomes an object. No more than this many elements, of all arrays together, are decoded from one message, and no more
 * than half as many structs: with what is made of them on the way to the answer that is some 50 MB for a frame of any
 * size, and a Fetch of every partition of a large cluster still fits.
 */
export const MAX_ELEMENTS = 0x4_0000
export const MAX_STRUCTS = 0x2_0000

/** Tagged fields in one tag buffer. Kafka's messages have at most a handful. */
export const MAX_TAGGED_FIELDS = 64

/** What the protocol allows for a string, compact or not. */
export const MAX_STRING_BYTES = 0x7fff

/**
 * Reads Kafka's primitive types from a stretch of a buffer. Every read is checked against `end` and throws a
 * ProtocolError when the bytes are not there or not valid. Nothing is allocated for a length or a count before
 * the bytes that justify it are known to be there.
 */
export class Reader {
  buffer: Buffer
  position: number
  end: number
  #elementsLeft = MAX_ELEMENTS
  #structsLeft = MAX_STRUCTS

  constructor(buffer: Buffer, start = 0, end = buffer.length) {
    this.buffer = buffer
    this.position = start
    this.end = end
  }

  /** Begins a new message: [start, end) of `buffer`. */
  reset(buffer: Buffer, start = 0, end = buffer.length): this {
    this.buffer = buffer
    this.position = start
    this.end = end
    this.#elementsLeft = MAX_ELEMENTS
    this.#structsLeft = MAX_STRUCTS
    return this
  }

  /** Elements of arrays that were decoded from this message. */
  get elements(): number {
    return MAX_ELEMENTS - this.#elementsLeft
  }

  get remaining(): number {
    return this.end - this.position
  }

  /** Reserves `length` bytes and returns where they begin. */
  take(length: number): number {
    const start = this.position
    if (length > this.end - start) this.#short(length)
    this.position = start + length
    return start
  }

  bool(): boolean {
    return this.buffer[this.take(1)] !== 0
  }

  int8(): number {
    return (this.buffer[this.take(1)]! << 24) >> 24
  }

  uint8(): number {
    return this.buffer[this.take(1)]!
  }

  int16(): number {
    const at = this.take(2)
    const b = this.buffer
    return (((b[at]! << 8) | b[at + 1]!) << 16) >> 16
  }

  uint16(): number {
    return this.int16() & 0xffff
  }

  int32(): number {
    const at = this.take(4)
    const b = this.buffer
    return (b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!
  }

  /** For what is compared: beyond what a number can hold exactly, the last number that can. */
  int64(): number {
    return this.int64At(this.take(8))
  }

  /** For what is kept: a bigint where a number cannot hold it exactly. */
  exactInt64(): number | bigint {
    return this.exactInt64At(this.take(8))
  }

  /** The int64 at a position that `take` returned. */
  int64At(at: number): number {
    const value = this.exactInt64At(at)
    if (typeof value === 'number') return value
    return value > 0n ? Number.MAX_SAFE_INTEGER : Number.MIN_SAFE_INTEGER
  }

  exactInt64At(at: number): number | bigint {
    const b = this.buffer
    const high = (b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!
    const low = ((b[at + 4]! << 24) | (b[at + 5]! << 16) | (b[at + 6]! << 8) | b[at + 7]!) >>> 0
    if (high > MAX_SAFE_HIGH || high < -MAX_SAFE_HIGH - 1 || (high === -MAX_SAFE_HIGH - 1 && low === 0)) {
      return b.readBigInt64BE(at)
    }
    return high * TWO_POW_32 + low
  }

  float64(): number {
    return this.buffer.readDoubleBE(this.take(8))
  }

  uuid(): string {
    const at = this.take(16)
    return this.buffer.toString('base64url', at, at + 16)
  }

  /** At most five bytes and 32 bits. */
  uvarint(): number {
    let value = 0
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.uint8()
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    const last = this.uint8()
    if (last > 0x0f) throw new ProtocolError('varint longer than 32 bits')
    return (value | (last << 28)) >>> 0
  }

  /** Zigzag, 32 bits. */
  varint(): number {
    const raw = this.uvarint()
    return (raw >>> 1) ^ -(raw & 1)
  }

  /** Zigzag, 64 bits, refused beyond what a number can hold exactly. */
  varlong(): number {
    let value = 0
    let weight = 1
    for (let i = 0; i < 7; i++) {
      const byte = this.uint8()
      value += (byte & 0x7f) * weight
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2
      weight *= 128
    }
    return this.#longVarlong(BigInt(value))
  }

  /** What follows 49 bits does not add up exactly in a number. */
  #longVarlong(value: bigint): number {
    for (let shift = 49n; shift < 70n; shift += 7n) {
      const byte = this.uint8()
      value |= BigInt(byte & 0x7f) << shift
      if (byte >= 0x80) continue
      const decoded = Number((value >> 1n) ^ -(value & 1n))
      if (value >> 64n !== 0n || !Number.isSafeInteger(decoded)) break
      return decoded
    }
    throw new ProtocolError('varlong outside ±(2^53 - 1)')
  }

  string(): string {
    return this.#text(this.#length(this.int16(), 'string'))
  }

  nullableString(): string | null {
    const length = this.int16()
    return length === -1 ? null : this.#text(this.#length(length, 'string'))
  }

  compactString(): string {
    return this.#text(this.#length(this.uvarint() - 1, 'string'))
  }

  compactNullableString(): string | null {
    const length = this.uvarint() - 1
    return length === -1 ? null : this.#text(length)
  }

  bytes(): Buffer {
    return this.#view(this.#length(this.int32(), 'bytes'))
  }

  nullableBytes(): Buffer | null {
    const length = this.int32()
    return length === -1 ? null : this.#view(this.#length(length, 'bytes'))
  }

  compactBytes(): Buffer {
    return this.#view(this.#length(this.uvarint() - 1, 'bytes'))
  }

  compactNullableBytes(): Buffer | null {
    const length = this.uvarint() - 1
    return length === -1 ? null : this.#view(length)
  }

  /** Count of an array whose elements take at least `minElementBytes` each. */
  arrayCount(minElementBytes: number, structs = false): number {
    return this.#count(this.#length(this.int32(), 'array'), minElementBytes, structs)
  }

  /** As `arrayCount`; -1 stands for null. */
  nullableArrayCount(minElementBytes: number, structs = false): number {
    const count = this.int32()
    return count === -1 ? -1 : this.#count(this.#length(count, 'array'), minElementBytes, structs)
  }

  compactArrayCount(minElementBytes: number, structs = false): number {
    return this.#count(this.#length(this.uvarint() - 1, 'array'), minElementBytes, structs)
  }

  compactNullableArrayCount(minElementBytes: number, structs = false): number {
    const count = this.uvarint() - 1
    return count === -1 ? -1 : this.#count(count, minElementBytes, structs)
  }

  /** The marker before a struct that may be null. */
  structIsPresent(): boolean {
    const marker = this.int8()
    if (marker < -1 || marker === 0 || marker > 1) throw new ProtocolError(`struct marker ${marker}`)
    return marker === 1
  }

  /** Number of fields in a tag buffer. */
  taggedFieldCount(): number {
    const count = this.uvarint()
    if (count > MAX_TAGGED_FIELDS) throw new ProtocolError(`${count} tagged fields`)
    return count
  }

  /** A tagged field nobody here knows: its tag was read, its size and bytes follow. */
  skipTaggedField(): void {
    this.take(this.uvarint())
  }

  skipTaggedFields(): void {
    if (this.position < this.end && this.buffer[this.position] === 0) {
      this.position++
      return
    }
    for (let left = this.taggedFieldCount(); left > 0; left--) {
      this.uvarint()
      this.skipTaggedField()
    }
  }

  /** A known tagged field that began at `start` must have used exactly the size it declared. */
  expectTaggedEnd(start: number, size: number): void {
    if (this.position !== start + size) {
      throw new ProtocolError(`tagged field of ${size} bytes holds ${this.position - start}`)
    }
  }

  /** The message must end here. */
  expectEnd(): void {
    if (this.position !== this.end)
      throw new ProtocolError(`${this.end - this.position} bytes after the message`)
  }

  #length(length: number, what: string): number {
    if (length < 0) throw new ProtocolError(length === -1 ? `null ${what}` : `${what} of length ${length}`)
    return length
  }

  #count(count: number, minElementBytes: number, structs: boolean): number {
    if (count * minElementBytes > this.end - this.position) {
      throw new ProtocolError(`array of ${count} in ${this.end - this.position} bytes`)
    }
    this.#elementsLeft -= count
    if (structs) this.#structsLeft -= count
    if (this.#elementsLeft < 0) throw new ProtocolError(`more than ${MAX_ELEMENTS} array elements`)
    if (this.#structsLeft < 0) throw new ProtocolError(`more than ${MAX_STRUCTS} structs in arrays`)
    return count
  }

  #text(length: number): string {
    if (length > MAX_STRING_BYTES) throw new ProtocolError(`string of ${length} bytes`)
    const at = this.take(length)
    const text = this.buffer.toString('utf8', at, at + length)
    // The decoder puts U+FFFD where bytes are not UTF-8; only then is it worth asking whether they were.
    if (text.includes('\ufffd') && !isUtf8(this.buffer.subarray(at, at + length))) {
      throw new ProtocolError('string is not UTF-8')
    }
    return text
  }

  #view(length: number): Buffer {
    const at = this.take(length)
    return this.buffer.subarray(at, at + length)
  }

  #short(length: number): never {
    throw new ProtocolError(`${length} bytes wanted, ${this.end - this.position} left`)
  }
}
