import { heldBytes } from '../broker/answer-budget.ts'
import type { AnswerBudget } from '../broker/answer-budget.ts'
import { PooledBuffer } from '../log/read/read-buffers.ts'
import type { ReadPiece } from '../log/read/read-buffers.ts'
import type { Connection, Piece } from '../ports.ts'

const MS_PER_SECOND = 1_000

/** What was written to one client and has not been taken by it: memory, counted in the budget of all, and its pace. */
export class UnreadAnswers {
  readonly #connection: Connection
  readonly #answers: AnswerBudget
  /** Memory of what was written since the client had taken everything. */
  #heldBytes = 0
  /** Buffers of the pool that the network was given since then. */
  readonly #lent: PooledBuffer[] = []
  /** Since when, and since how many bytes, the client has been slower than it may be; null until it is looked at. */
  #slowSinceMs: number | null = null
  #slowSinceBytes = 0

  constructor(connection: Connection, answers: AnswerBudget) {
    this.#connection = connection
    this.#answers = answers
  }

  /** The client has not taken everything. */
  get any(): boolean {
    return this.#heldBytes > 0
  }

  /** Returns the memory it takes. */
  write(pieces: readonly ReadPiece[]): number {
    let bytes = 0
    let pooled = false
    for (const piece of pieces) {
      bytes += heldBytes(piece)
      pooled ||= piece instanceof PooledBuffer
    }
    this.#heldBytes += bytes
    this.#answers.take(bytes)
    this.#connection.write(pooled ? pieces.map((piece) => this.#lend(piece)) : (pieces as readonly Piece[]))
    return bytes
  }

  #lend(piece: ReadPiece): Piece {
    if (!(piece instanceof PooledBuffer)) return piece
    this.#lent.push(piece)
    return piece.buffer
  }

  /** The client has taken everything. */
  drained(): void {
    for (const buffer of this.#lent) buffer.release()
    this.#forget()
  }

  /** What was not written may still be looked at by the system: its buffers are not used again. */
  closed(): void {
    this.#forget()
  }

  #forget(): void {
    this.#lent.length = 0
    this.#answers.give(this.#heldBytes)
    this.#heldBytes = 0
  }

  /**
   * For how long the client has owed a read and taken less than `minRate` bytes a second. Called about once a second:
   * a client that reads in bursts has time to make up for its pauses.
   */
  slowForMs(nowMs: number, minRate: number): number {
    const { unsentBytes, sentBytes } = this.#connection
    const elapsedMs = nowMs - (this.#slowSinceMs ?? nowMs)
    const owedBytes = (minRate * elapsedMs) / MS_PER_SECOND
    if (this.#slowSinceMs === null || unsentBytes === 0 || sentBytes - this.#slowSinceBytes >= owedBytes) {
      this.#slowSinceMs = nowMs
      this.#slowSinceBytes = sentBytes
      return 0
    }
    return elapsedMs
  }
}
