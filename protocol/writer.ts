import { ProtocolError } from './protocol-error.ts'

const SLAB_BYTES = 0x4000
const MAX_SLAB_BYTES = 0x10_0000
const MAX_STRING_BYTES = 0x7fff
/** Copying as many takes longer than a chunk of their own. */
const EXTERNAL_BYTES = 0x4000
const TWO_POW_32 = 0x1_0000_0000

/** Bytes that become a chunk of a frame unseen: a buffer, or a stretch of a file. All that is asked of them is their length. */
export interface External {
  readonly length: number
}

/**
 * Writes Kafka's primitive types into a list of chunks. Small things are written into slabs that grow as needed;
 * record batches are put into the list as they are, without a copy.
 *
 * Slabs are not zeroed, so every method that reserves bytes writes all of them before it returns (a size that is
 * only known later is written as zero first), and `finish` hands out written bytes only.
 *
 * Throws a ProtocolError for a value that the type cannot carry.
 */
export class Writer {
  /** The slab that is being written: bytes up to `#position` are written, those from `#start` are not in `#chunks` yet. */
  #slab: Buffer
  #start = 0
  #position = 0
  #chunks: External[] = []
  /** Bytes of `#chunks`. */
  #chunkBytes = 0
  /** Where the size of the frame goes, in the slab of that time. */
  #sizeSlab: Buffer | null = null
  #sizeAt = 0

  constructor(slabBytes = SLAB_BYTES) {
    this.#slab = Buffer.allocUnsafe(slabBytes)
  }

  /** Bytes written since the last `finish`. */
  get byteLength(): number {
    return this.#chunkBytes + this.#position - this.#start
  }

  /** Leaves room for the int32 size that every frame begins with; `finish` fills it in. Comes before anything else. */
  beginFrame(): void {
    if (this.byteLength !== 0) throw new Error('a frame begins with its size')
    this.int32(0)
    this.#sizeSlab = this.#slab
    this.#sizeAt = this.#position - 4
  }

  /**
   * The chunks written so far, in order. They belong to the caller: the writer goes on in what is left of its slab
   * and can be used for the next frame at once. What went in by `external` or as records comes out as it was given,
   * everything else as buffers.
   */
  finish(): External[] {
    this.#closeChunk()
    this.#sizeSlab?.writeInt32BE(this.#chunkBytes - 4, this.#sizeAt)
    const chunks = this.#chunks
    this.#chunks = []
    this.#chunkBytes = 0
    this.#sizeSlab = null
    this.#leaveLargeSlab()
    return chunks
  }

  /** A small frame in what is left of a large slab would keep all of it for as long as nobody takes that frame. */
  #leaveLargeSlab(): void {
    if (this.#slab.length <= SLAB_BYTES) return
    this.#slab = Buffer.allocUnsafe(SLAB_BYTES)
    this.#start = 0
    this.#position = 0
  }

  /** As `finish`, when nothing but buffers went in. */
  finishBuffers(): Buffer[] {
    return this.finish().map(asBuffer)
  }

  /** The same in one buffer. */
  finishBuffer(): Buffer {
    const chunks = this.finishBuffers()
    return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
  }

  /** Forgets what was written since the last `finish`. */
  discard(): void {
    this.#position = this.#chunks.length === 0 ? this.#start : this.#position
    this.#start = this.#position
    this.#chunks = []
    this.#chunkBytes = 0
    this.#sizeSlab = null
  }

  /** Takes `length` bytes of the slab, which the caller must write. */
  #take(length: number): number {
    if (length > this.#slab.length - this.#position) this.#grow(length)
    const at = this.#position
    this.#position = at + length
    return at
  }

  #grow(length: number): void {
    const written = this.byteLength
    this.#closeChunk()
    const usual = Math.min(Math.max(SLAB_BYTES, 2 * written), MAX_SLAB_BYTES)
    this.#slab = Buffer.allocUnsafe(Math.max(usual, length))
    this.#start = 0
    this.#position = 0
  }

  #closeChunk(): void {
    if (this.#position > this.#start) this.#push(this.#slab.subarray(this.#start, this.#position))
    this.#start = this.#position
  }

  #push(chunk: External): void {
    this.#chunks.push(chunk)
    this.#chunkBytes += chunk.length
  }

  bool(value: boolean): void {
    const at = this.#take(1)
    this.#slab[at] = value ? 1 : 0
  }

  int8(value: number): void {
    if ((value << 24) >> 24 !== value) refuse('int8', value)
    const at = this.#take(1)
    this.#slab[at] = value
  }

  uint8(value: number): void {
    if ((value & 0xff) !== value) refuse('uint8', value)
    const at = this.#take(1)
    this.#slab[at] = value
  }

  int16(value: number): void {
    if ((value << 16) >> 16 !== value) refuse('int16', value)
    const at = this.#take(2)
    this.#slab[at] = value >> 8
    this.#slab[at + 1] = value
  }

  uint16(value: number): void {
    if ((value & 0xffff) !== value) refuse('uint16', value)
    this.int16((value << 16) >> 16)
  }

  int32(value: number): void {
    if ((value | 0) !== value) refuse('int32', value)
    const at = this.#take(4)
    const slab = this.#slab
    slab[at] = value >> 24
    slab[at + 1] = value >> 16
    slab[at + 2] = value >> 8
    slab[at + 3] = value
  }

  int64(value: number | bigint): void {
    if (typeof value === 'bigint') return this.#bigInt64(value)
    if (!Number.isSafeInteger(value)) refuse('int64', value)
    const high = Math.floor(value / TWO_POW_32)
    this.int32(high)
    this.int32((value - high * TWO_POW_32) | 0)
  }

  #bigInt64(value: bigint): void {
    if (BigInt.asIntN(64, value) !== value) refuse('int64', value)
    const at = this.#take(8)
    this.#slab.writeBigInt64BE(value, at)
  }

  exactInt64(value: number | bigint): void {
    this.int64(value)
  }

  float64(value: number): void {
    const at = this.#take(8)
    this.#slab.writeDoubleBE(value, at)
  }

  uuid(value: string): void {
    if (!/^[\w-]{21}[AQgw]$/.test(value)) refuse('uuid', value)
    const at = this.#take(16)
    this.#slab.write(value, at, 16, 'base64url')
  }

  uvarint(value: number): void {
    if (value >>> 0 !== value) refuse('uvarint', value)
    let rest = value
    while (rest > 0x7f) {
      const at = this.#take(1)
      this.#slab[at] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    const at = this.#take(1)
    this.#slab[at] = rest
  }

  /** Zigzag, 32 bits. */
  varint(value: number): void {
    if ((value | 0) !== value) refuse('varint', value)
    this.uvarint(((value << 1) ^ (value >> 31)) >>> 0)
  }

  /** Zigzag, 64 bits. */
  varlong(value: number): void {
    if (!Number.isSafeInteger(value)) refuse('varlong', value)
    let rest = value < 0 ? -2n * BigInt(value) - 1n : 2n * BigInt(value)
    for (; rest > 0x7fn; rest >>= 7n) this.uint8(Number(rest & 0x7fn) | 0x80)
    this.uint8(Number(rest))
  }

  string(value: string): void {
    const length = textBytes(value)
    this.int16(length)
    this.#text(value, length)
  }

  nullableString(value: string | null): void {
    if (value === null) this.int16(-1)
    else this.string(value)
  }

  compactString(value: string): void {
    const length = textBytes(value)
    this.uvarint(length + 1)
    this.#text(value, length)
  }

  compactNullableString(value: string | null): void {
    if (value === null) this.uvarint(0)
    else this.compactString(value)
  }

  /** Copied when they are few; else they must not change until the frame is sent. */
  bytes(value: Buffer): void {
    this.int32(value.length)
    this.#bytes(value)
  }

  nullableBytes(value: Buffer | null): void {
    if (value === null) this.int32(-1)
    else this.bytes(value)
  }

  compactBytes(value: Buffer): void {
    this.uvarint(value.length + 1)
    this.#bytes(value)
  }

  compactNullableBytes(value: Buffer | null): void {
    if (value === null) this.uvarint(0)
    else this.compactBytes(value)
  }

  records(value: Buffer | readonly External[]): void {
    this.int32(totalBytes(value))
    this.external(value)
  }

  nullableRecords(value: Buffer | readonly External[] | null): void {
    if (value === null) this.int32(-1)
    else this.records(value)
  }

  compactRecords(value: Buffer | readonly External[]): void {
    this.uvarint(totalBytes(value) + 1)
    this.external(value)
  }

  compactNullableRecords(value: Buffer | readonly External[] | null): void {
    if (value === null) this.uvarint(0)
    else this.compactRecords(value)
  }

  arrayCount(count: number): void {
    this.int32(count)
  }

  /** The count of a compact array; -1 stands for null. */
  compactArrayCount(count: number): void {
    this.uvarint(count + 1)
  }

  /** One field of a tag buffer: tag, size, and what `content` holds. */
  taggedField(tag: number, content: Writer): void {
    this.uvarint(tag)
    this.uvarint(content.byteLength)
    this.external(content.finish())
  }

  /** Bytes without a length before them, copied. */
  raw(value: Buffer): void {
    const at = this.#take(value.length)
    value.copy(this.#slab, at)
  }

  /** Bytes without a length before them, not copied: they must not change until the frame is sent. */
  external(value: Buffer | readonly External[]): void {
    if (Buffer.isBuffer(value)) this.#put(value)
    else for (const chunk of value) this.#put(chunk)
  }

  /** Of nothing there is no chunk: an answer without records is one, however many partitions it tells of. */
  #put(chunk: External): void {
    if (chunk.length === 0) return
    this.#closeChunk()
    this.#push(chunk)
  }

  #bytes(value: Buffer): void {
    if (value.length < EXTERNAL_BYTES) this.raw(value)
    else this.external(value)
  }

  #text(value: string, length: number): void {
    const at = this.#take(length)
    const written = this.#slab.write(value, at, length, 'utf8')
    if (written !== length) throw new Error(`string of ${length} bytes took ${written}`)
  }
}

function textBytes(value: string): number {
  const length = Buffer.byteLength(value)
  if (length > MAX_STRING_BYTES) throw new ProtocolError(`string of ${length} bytes`)
  return length
}

function asBuffer(chunk: External): Buffer {
  if (!Buffer.isBuffer(chunk)) throw new Error('a chunk of this frame is no buffer')
  return chunk
}

function totalBytes(value: Buffer | readonly External[]): number {
  if (Buffer.isBuffer(value)) return value.length
  let total = 0
  for (const chunk of value) total += chunk.length
  return total
}

function refuse(type: string, value: number | bigint | string): never {
  throw new ProtocolError(`${String(value)} is no ${type}`)
}
