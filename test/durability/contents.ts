/**
 * The values of records that durability tests write. A stream and a counter decide a whole value, its length
 * included, so a reader can tell for every byte whether a producer ever sent it.
 */
import { Seeded } from '../support/seed.ts'

const HEAD_BYTES = 10
const PAD_BYTES = 1 << 17
const MOST_BYTES = 2_000
/** One value in sixteen is as large as many batches. */
const LARGE_BYTES = 20_000

export class Contents {
  readonly #pad = Buffer.allocUnsafe(PAD_BYTES)
  readonly #seed: number

  constructor(seed: number) {
    this.#seed = seed
    const random = new Seeded(seed)
    for (let at = 0; at < PAD_BYTES; at += 4) this.#pad.writeUInt32LE(random.uint32(), at)
  }

  /** `stream` in [0, 2^32), `counter` in [0, 2^48). */
  value(stream: number, counter: number): Buffer {
    const { length, from } = this.#shape(stream, counter)
    const value = Buffer.allocUnsafe(HEAD_BYTES + length)
    value.writeUInt32BE(stream, 0)
    value.writeUIntBE(counter, 4, 6)
    this.#pad.copy(value, HEAD_BYTES, from, from + length)
    return value
  }

  /** The counter in a value of this stream; -1 when no producer of the stream made these bytes. */
  counterOf(stream: number, value: Buffer): number {
    if (value.length < HEAD_BYTES || value.readUInt32BE(0) !== stream) return -1
    const counter = value.readUIntBE(4, 6)
    const { length, from } = this.#shape(stream, counter)
    if (value.length !== HEAD_BYTES + length) return -1
    return this.#pad.compare(value, HEAD_BYTES, value.length, from, from + length) === 0 ? counter : -1
  }

  #shape(stream: number, counter: number): { length: number; from: number } {
    const mixed = new Seeded((this.#seed ^ Math.imul(stream + 1, 0x9e3779b1) ^ counter) >>> 0)
    const length = mixed.between(0, mixed.uint32() % 16 === 0 ? LARGE_BYTES : MOST_BYTES)
    return { length, from: mixed.between(0, PAD_BYTES - length) }
  }
}
