import { randomFillSync } from 'node:crypto'
import type { Random } from '../ports.ts'

const POOL_BYTES = 4096

/** The system's secure source, asked for a pool at a time. */
export class SystemRandom implements Random {
  readonly #pool = Buffer.alloc(POOL_BYTES)
  #used = POOL_BYTES

  uint32(): number {
    return this.#pool.readUInt32LE(this.#take(4))
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length)
    if (length > POOL_BYTES / 4) return randomFillSync(bytes)
    const start = this.#take(length)
    this.#pool.copy(bytes, 0, start, start + length)
    // What was given out does not stay readable in the pool.
    this.#pool.fill(0, start, start + length)
    return bytes
  }

  #take(length: number): number {
    if (this.#used + length > POOL_BYTES) {
      randomFillSync(this.#pool)
      this.#used = 0
    }
    const start = this.#used
    this.#used += length
    return start
  }
}
