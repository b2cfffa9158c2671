/** A small seeded generator (xorshift32): load must be repeatable, not unpredictable. */
export class SeededRandom {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0 || 0x9e3779b9
  }

  uint32(): number {
    let x = this.#state
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.#state = x >>> 0
    return this.#state
  }

  /** Uniform in (0, 1]. */
  fraction(): number {
    return (this.uint32() + 1) / 4294967296
  }

  fill(buffer: Buffer, start: number, end: number): void {
    let at = start
    for (; at + 4 <= end; at += 4) buffer.writeUInt32LE(this.uint32(), at)
    for (; at < end; at++) buffer[at] = this.uint32() & 0xff
  }
}
