import { readInt64, writeInt64 } from '../../../protocol/records/record-batch.ts'

const ENTRY_BYTES = 12
const FIRST_ENTRIES = 8
/** Most partitions never have one. */
const NO_TIMESTAMPS = new Float64Array(0)
const NO_OFFSETS = new Uint32Array(0)

/**
 * Kafka's sparse time index in memory: "up to and including this offset no record is younger than this timestamp".
 * Timestamps grow strictly, offsets do not go back. On disk: int64 timestamp, int32 offset relative to the base.
 */
export class TimeIndex {
  readonly #baseOffset: number
  #timestamps: Float64Array
  #offsets: Uint32Array
  #count = 0

  constructor(baseOffset: number, capacity = 0) {
    this.#baseOffset = baseOffset
    this.#timestamps = capacity === 0 ? NO_TIMESTAMPS : new Float64Array(capacity)
    this.#offsets = capacity === 0 ? NO_OFFSETS : new Uint32Array(capacity)
  }

  get count(): number {
    return this.#count
  }

  get sizeBytes(): number {
    return this.#timestamps.byteLength + this.#offsets.byteLength
  }

  /** -1 when there is no entry. */
  get lastTimestampMs(): number {
    return this.#count === 0 ? -1 : (this.#timestamps[this.#count - 1] ?? -1)
  }

  get lastOffset(): number {
    return this.#count === 0 ? this.#baseOffset : this.#baseOffset + (this.#offsets[this.#count - 1] ?? 0)
  }

  /** Does nothing unless the timestamp is younger than all before. */
  maybeAppend(timestampMs: number, offset: number): void {
    if (timestampMs <= this.lastTimestampMs || timestampMs < 0) return
    if (this.#count === this.#offsets.length) this.#grow()
    this.#timestamps[this.#count] = timestampMs
    this.#offsets[this.#count] = offset - this.#baseOffset
    this.#count++
  }

  /** The offset up to which every record is older than or as old as an indexed timestamp <= `timestampMs`. */
  offsetBefore(timestampMs: number): number {
    let low = 0
    let high = this.#count - 1
    while (low <= high) {
      const middle = (low + high) >>> 1
      if ((this.#timestamps[middle] ?? 0) <= timestampMs) low = middle + 1
      else high = middle - 1
    }
    return this.#baseOffset + (high < 0 ? 0 : (this.#offsets[high] ?? 0))
  }

  /** Another one, of the entries below `offset`. */
  below(offset: number): TimeIndex {
    const below = new TimeIndex(this.#baseOffset)
    below.#timestamps = this.#timestamps.slice(0, this.#count)
    below.#offsets = this.#offsets.slice(0, this.#count)
    below.#count = this.#count
    below.truncateTo(offset)
    return below
  }

  truncateTo(offset: number): void {
    while (this.#count > 0 && this.lastOffset >= offset) this.#count--
  }

  encode(): Buffer {
    const bytes = Buffer.allocUnsafe(this.#count * ENTRY_BYTES)
    for (let i = 0; i < this.#count; i++) {
      writeInt64(bytes, this.#timestamps[i] ?? 0, i * ENTRY_BYTES)
      bytes.writeUInt32BE(this.#offsets[i] ?? 0, i * ENTRY_BYTES + 8)
    }
    return bytes
  }

  /** Null when the file cannot be a time index. */
  static decode(bytes: Buffer, baseOffset: number): TimeIndex | null {
    if (bytes.length % ENTRY_BYTES !== 0) return null
    const index = new TimeIndex(baseOffset, bytes.length / ENTRY_BYTES)
    let lastOffset = -1
    for (let at = 0; at < bytes.length; at += ENTRY_BYTES) {
      const timestamp = readInt64(bytes, at)
      const offset = bytes.readInt32BE(at + 8)
      if (timestamp <= index.lastTimestampMs || offset < lastOffset || offset < 0) return null
      index.maybeAppend(timestamp, baseOffset + offset)
      lastOffset = offset
    }
    return index
  }

  #grow(): void {
    const capacity = Math.max(FIRST_ENTRIES, this.#count * 2)
    const timestamps = new Float64Array(capacity)
    timestamps.set(this.#timestamps)
    const offsets = new Uint32Array(capacity)
    offsets.set(this.#offsets)
    this.#timestamps = timestamps
    this.#offsets = offsets
  }
}
