/** The format has 32 bits for the distance of an offset from the base of its segment. */
export const MAX_RELATIVE_OFFSET = 0x7fff_ffff
const ENTRY_BYTES = 8
const FIRST_ENTRIES = 8
/** Most partitions never have one. */
const NO_ENTRIES = new Uint32Array(0)

/**
 * Kafka's sparse offset index in memory: the last offset of some batches -> where those batches start in the log
 * file. Both grow strictly. On disk: int32 offset relative to the segment's base, int32 position.
 */
export class OffsetIndex {
  readonly #baseOffset: number
  /** Relative offset and position, by turns. */
  #data: Uint32Array
  #count = 0

  constructor(baseOffset: number, capacity = 0) {
    this.#baseOffset = baseOffset
    this.#data = capacity === 0 ? NO_ENTRIES : new Uint32Array(capacity * 2)
  }

  get count(): number {
    return this.#count
  }

  get sizeBytes(): number {
    return this.#data.byteLength
  }

  append(offset: number, position: number): void {
    if (this.#count * 2 === this.#data.length) {
      const grown = new Uint32Array(Math.max(FIRST_ENTRIES, this.#count * 2) * 2)
      grown.set(this.#data)
      this.#data = grown
    }
    this.#data[this.#count * 2] = offset - this.#baseOffset
    this.#data[this.#count * 2 + 1] = position
    this.#count++
  }

  /** Appends what `other` says of batches from `position` on. */
  takeFrom(other: OffsetIndex, position: number): void {
    for (let i = 0; i < other.#count; i++) {
      const at = other.#data[i * 2 + 1] ?? 0
      if (at >= position) this.append(other.#baseOffset + (other.#data[i * 2] ?? 0), at)
    }
  }

  /** Position of the last indexed batch whose last offset is <= `offset`; 0 when there is none. */
  positionBefore(offset: number): number {
    const i = this.#floor(offset - this.#baseOffset)
    return i < 0 ? 0 : (this.#data[i * 2 + 1] ?? 0)
  }

  /**
   * Where the last indexed batch starts at or before `position` that ends below `offset`: what lies before it are
   * whole batches, all of them below `offset`. 0 when there is none.
   */
  boundaryBefore(position: number, offset: number): number {
    let low = 0
    let high = Math.min(this.#count - 1, this.#floor(offset - 1 - this.#baseOffset))
    while (low <= high) {
      const middle = (low + high) >>> 1
      if ((this.#data[middle * 2 + 1] ?? 0) <= position) low = middle + 1
      else high = middle - 1
    }
    return high < 0 ? 0 : (this.#data[high * 2 + 1] ?? 0)
  }

  /** Of the last entry; 0 when there is none. */
  get lastPosition(): number {
    return this.#count === 0 ? 0 : (this.#data[this.#count * 2 - 1] ?? 0)
  }

  /** -1 when there is no entry. */
  get lastOffset(): number {
    return this.#count === 0 ? -1 : this.#baseOffset + (this.#data[this.#count * 2 - 2] ?? 0)
  }

  /** Another one, of the batches that end below `offset`. */
  below(offset: number): OffsetIndex {
    const below = new OffsetIndex(this.#baseOffset)
    below.#count = this.#floor(offset - 1 - this.#baseOffset) + 1
    below.#data = this.#data.slice(0, below.#count * 2)
    return below
  }

  /** Forgets batches that end at or above `offset`. */
  truncateTo(offset: number): void {
    this.#count = this.#floor(offset - 1 - this.#baseOffset) + 1
  }

  encode(): Buffer {
    const bytes = Buffer.allocUnsafe(this.#count * ENTRY_BYTES)
    for (let i = 0; i < this.#count * 2; i++) bytes.writeUInt32BE(this.#data[i] ?? 0, i * 4)
    return bytes
  }

  /** Null when the file cannot be the index of a log of `logBytes`. */
  static decode(bytes: Buffer, baseOffset: number, logBytes: number): OffsetIndex | null {
    if (bytes.length % ENTRY_BYTES !== 0) return null
    const count = bytes.length / ENTRY_BYTES
    const index = new OffsetIndex(baseOffset, count)
    let lastOffset = -1
    let lastPosition = -1
    for (let at = 0; at < bytes.length; at += ENTRY_BYTES) {
      const offset = bytes.readInt32BE(at)
      const position = bytes.readInt32BE(at + 4)
      if (offset <= lastOffset || position <= lastPosition || position >= logBytes) return null
      index.append(baseOffset + offset, position)
      lastOffset = offset
      lastPosition = position
    }
    return index
  }

  #floor(relative: number): number {
    let low = 0
    let high = this.#count - 1
    while (low <= high) {
      const middle = (low + high) >>> 1
      if ((this.#data[middle * 2] ?? 0) <= relative) low = middle + 1
      else high = middle - 1
    }
    return high
  }
}
