/**
 * Bytes of large answers, over all connections: read from logs for an answer that is being put together, or written
 * to a client that has not taken them yet.
 *
 * When clients leave much unread, fetches answer one batch at a time (the protocol demands that much): slow readers
 * get less, and nobody waits for them.
 */
export class AnswerBudget {
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
