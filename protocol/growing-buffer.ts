import { CompressionError } from './compression-error.ts'

/** From here on copying beats a loop over bytes. */
const LONG_RUN_BYTES = 64

/** Output of a decompressor: grows by doubling, never beyond its limit. */
export class GrowingBuffer {
  length = 0
  readonly #limit: number
  #bytes: Buffer

  constructor(initialBytes: number, limitBytes: number) {
    this.#limit = limitBytes
    this.#bytes = Buffer.allocUnsafe(Math.max(64, Math.min(initialBytes, limitBytes)))
  }

  append(from: Uint8Array, start: number, end: number): void {
    this.#reserve(end - start)
    this.#bytes.set(start === 0 && end === from.length ? from : from.subarray(start, end), this.length)
    this.length += end - start
  }

  /** Appends `count` bytes from `distance` bytes back, which may overlap what is being appended. */
  repeat(distance: number, count: number): void {
    this.#reserve(count)
    const bytes = this.#bytes
    const to = this.length
    const from = to - distance
    if (distance >= count) {
      bytes.copyWithin(to, from, from + count)
    } else if (count > LONG_RUN_BYTES) {
      // What is there repeats with that period, so each copy may take all that came before it.
      for (let done = 0; done < count;) {
        const some = Math.min(count - done, distance + done)
        bytes.copyWithin(to + done, from, from + some)
        done += some
      }
    } else {
      for (let i = 0; i < count; i++) bytes[to + i] = bytes[from + i] ?? 0
    }
    this.length += count
  }

  result(): Buffer {
    return this.#bytes.subarray(0, this.length)
  }

  #reserve(count: number): void {
    const needed = this.length + count
    if (needed > this.#limit)
      throw new CompressionError('too-large', `more than ${this.#limit} bytes of output`)
    if (needed <= this.#bytes.length) return
    const grown = Buffer.allocUnsafe(Math.min(this.#limit, Math.max(needed, this.#bytes.length * 2)))
    this.#bytes.copy(grown, 0, 0, this.length)
    this.#bytes = grown
  }
}
