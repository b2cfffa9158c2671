import assert from 'node:assert/strict'
import type { Piece } from '../../ports.ts'

/** Smaller ones are cut from a slab by Node.js. To make one of 16 or 32 KiB takes longer than to read into it. */
const MIN_POOLED_BYTES = 4 * 1024
/** Powers of two up to this one. */
const MAX_POOLED_BYTES = 1024 * 1024
/** Kept for the next read, over all sizes. */
const MAX_IDLE_BYTES = 32 * 1024 * 1024

/** What a read that is to be sent gives: pooled buffers are given back when the connection has written them. */
export type ReadPiece = Piece | PooledBuffer

/**
 * Buffers for reads, used again: fresh ones make the collector run (they count as its memory) and cost a page
 * fault per 4 KiB. Not giving one back is always safe, the collector takes it then.
 */
export class ReadBuffers {
  readonly #maxIdleBytes: number
  /** By size, the smallest first. */
  readonly #idle: Buffer[][] = []
  #idleBytes = 0
  /** So much was never needed since the last look. */
  #leastIdleBytes = 0

  constructor(maxIdleBytes: number = MAX_IDLE_BYTES) {
    this.#maxIdleBytes = maxIdleBytes
    for (let size = MIN_POOLED_BYTES; size <= MAX_POOLED_BYTES; size *= 2) this.#idle.push([])
  }

  get idleBytes(): number {
    return this.#idleBytes
  }

  /** Null when a buffer of this length is not worth keeping. */
  take(length: number): PooledBuffer | null {
    if (length < MIN_POOLED_BYTES || length > MAX_POOLED_BYTES) return null
    const sizeClass = sizeClassOf(length)
    const idle = this.#idle[sizeClass]?.pop()
    if (idle === undefined) {
      return new PooledBuffer(this, Buffer.allocUnsafeSlow(MIN_POOLED_BYTES << sizeClass), length)
    }
    this.#idleBytes -= idle.length
    this.#leastIdleBytes = Math.min(this.#leastIdleBytes, this.#idleBytes)
    return new PooledBuffer(this, idle, length)
  }

  /** Called about once a second: half of what the load of that time did not need goes, the largest first. */
  shrink(): void {
    let excessBytes = this.#leastIdleBytes / 2
    for (const idle of this.#idle.toReversed()) {
      while (excessBytes > 0 && idle.length > 0) {
        const { length } = idle.pop()!
        this.#idleBytes -= length
        excessBytes -= length
      }
    }
    this.#leastIdleBytes = this.#idleBytes
  }

  giveBack(whole: Buffer): void {
    if (this.#idleBytes + whole.length > this.#maxIdleBytes) return
    this.#idle[sizeClassOf(whole.length)]?.push(whole)
    this.#idleBytes += whole.length
  }
}

/** A buffer from the pool, for one owner at a time. */
export class PooledBuffer {
  readonly #pool: ReadBuffers
  readonly #whole: Buffer
  #buffer: Buffer
  #released = false

  constructor(pool: ReadBuffers, whole: Buffer, length: number) {
    this.#pool = pool
    this.#whole = whole
    this.#buffer = whole.subarray(0, length)
  }

  get length(): number {
    return this.#buffer.length
  }

  /** Memory it holds, whatever its length. */
  get heldBytes(): number {
    return this.#whole.length
  }

  /** Not to be looked at once it is released. */
  get buffer(): Buffer {
    assert(!this.#released)
    return this.#buffer
  }

  shorten(length: number): void {
    if (length !== this.#buffer.length) this.#buffer = this.#buffer.subarray(0, length)
  }

  /** Once, when nobody will read or write the bytes any more; the kernel neither. */
  release(): void {
    assert(!this.#released, 'a buffer is given back once')
    this.#released = true
    this.#pool.giveBack(this.#whole)
  }
}

export function releasePieces(pieces: readonly ReadPiece[]): void {
  for (const piece of pieces) if (!Buffer.isBuffer(piece)) piece.release()
}

function sizeClassOf(length: number): number {
  return length <= MIN_POOLED_BYTES ? 0 : 32 - Math.clz32((length - 1) / MIN_POOLED_BYTES)
}
