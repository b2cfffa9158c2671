import { PooledBuffer, ReadBuffers } from '../log/read/read-buffers.ts'
import type { ReadPiece } from '../log/read/read-buffers.ts'

/** What a connection holds in memory, at most, of a slice that its client does not take at once. */
const SLICE_HELD_BYTES = 64 * 1024

/** Memory that a piece of an answer costs until it is sent. The bytes of a slice lie in the page cache. */
export function heldBytes(piece: ReadPiece): number {
  if (Buffer.isBuffer(piece)) return piece.length
  return piece instanceof PooledBuffer ? piece.heldBytes : Math.min(piece.length, SLICE_HELD_BYTES)
}

export function heldBytesOf(pieces: readonly ReadPiece[]): number {
  let total = 0
  for (const piece of pieces) total += heldBytes(piece)
  return total
}

/**
 * Memory of large answers, over all connections: read from logs for an answer that is being put together, or written
 * to a client that has not taken them yet.
 *
 * When clients leave much unread, fetches answer one batch at a time (the protocol demands that much): slow readers
 * get less, and nobody waits for them.
 */
export class AnswerBudget {
  /** For reading what is answered. */
  readonly buffers = new ReadBuffers()
  readonly #limitBytes: number
  #usedBytes = 0

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  get availableBytes(): number {
    return Math.max(0, this.#limitBytes - this.#usedBytes)
  }

  take(bytes: number): void {
    this.#usedBytes += bytes
  }

  give(bytes: number): void {
    this.#usedBytes -= bytes
  }
}
