import { PooledBuffer, ReadBuffers } from '../log/read/read-buffers.ts'
import type { ReadPiece } from '../log/read/read-buffers.ts'
import type { Clock } from '../ports.ts'

/** What a connection holds in memory, at most, of a slice that its client does not take at once. */
const SLICE_HELD_BYTES = 64 * 1024
/** Part of what is left that one fetch may take: the next one, and the one after it, find something too. */
const FETCH_SHARE = 1 / 4
/** Part of the budget up to which a client that owes a read gets more. The rest is for those that read. */
const DEBTORS_SHARE = 1 / 2

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

/** Something that would make an answer, and waits until there is room for it. */
export interface AnswerWaiter {
  /** Its turn came: it asks again, and stands in line again when that was not enough. */
  answersAvailable(): void
}

/** How much of the budget is gone: nothing to speak of; so much that debtors wait; so much that everybody waits. */
export type AnswerPressure = 'none' | 'debtors-wait' | 'spent'

/**
 * Memory of answers, over all connections: read from logs for an answer that is being put together, or written to a
 * client that has not taken it yet.
 *
 * While it is spent nothing begins that makes an answer. A client that has not taken its answers is a debtor and waits
 * much earlier, so that those who leave everything unread never use up what the others need. Who waits is admitted
 * in the order they came, those that owe nothing first.
 */
export class AnswerBudget {
  /** For reading what is answered. */
  readonly buffers = new ReadBuffers()
  readonly #limitBytes: number
  readonly #clock: Clock
  #usedBytes = 0
  readonly #waiting = new Set<AnswerWaiter>()
  readonly #debtors = new Set<AnswerWaiter>()
  #scheduled = false
  /** Those in line are being asked. */
  #admitting = false
  #givenMeanwhile = false

  constructor(limitBytes: number, clock: Clock) {
    this.#limitBytes = limitBytes
    this.#clock = clock
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  get waitingCount(): number {
    return this.#waiting.size + this.#debtors.size
  }

  get pressure(): AnswerPressure {
    if (this.#waiting.size > 0) return 'spent'
    return this.#debtors.size > 0 ? 'debtors-wait' : 'none'
  }

  /** For what one fetch reads next. */
  get fetchBytes(): number {
    return Math.max(0, Math.floor((this.#limitBytes - this.#usedBytes) * FETCH_SHARE))
  }

  /**
   * Whether an answer may begin now that will take about `expectedBytes`. One that is larger than all of it comes
   * alone. Nobody overtakes those who stand in line.
   */
  admits(isDebtor: boolean, expectedBytes = 0): boolean {
    if (!this.#admitting && (this.#waiting.size > 0 || (isDebtor && this.#debtors.size > 0))) return false
    if (this.#usedBytes === 0) return true
    const limitBytes = isDebtor ? this.#limitBytes * DEBTORS_SHARE : this.#limitBytes
    return this.#usedBytes + expectedBytes < limitBytes
  }

  /** Stands in line, once. */
  wait(waiter: AnswerWaiter, isDebtor: boolean): void {
    const [line, other] = isDebtor ? [this.#debtors, this.#waiting] : [this.#waiting, this.#debtors]
    other.delete(waiter)
    line.add(waiter)
    // What it waits for may have come back already.
    if (!this.#admitting) this.#admitLater()
  }

  leave(waiter: AnswerWaiter): void {
    this.#waiting.delete(waiter)
    this.#debtors.delete(waiter)
  }

  take(bytes: number): void {
    this.#usedBytes += bytes
  }

  give(bytes: number): void {
    this.#usedBytes -= bytes
    if (bytes > 0 && this.#waiting.size + this.#debtors.size > 0) this.#admitLater()
  }

  /** At the end of the turn: what is given is often taken again at once, for the same answer. */
  #admitLater(): void {
    this.#givenMeanwhile = true
    if (this.#scheduled || (this.#waiting.size === 0 && this.#debtors.size === 0)) return
    this.#scheduled = true
    this.#clock.atEndOfTurn('submit', this.#admit)
  }

  readonly #admit = (): void => {
    this.#givenMeanwhile = false
    this.#admitting = true
    try {
      this.#admitLine(this.#waiting, false)
      this.#admitLine(this.#debtors, true)
    } finally {
      this.#admitting = false
      this.#scheduled = false
    }
    // To those that were asked before and had to stand in line again.
    if (this.#givenMeanwhile) this.#admitLater()
  }

  /** Each that waits now is asked once. */
  #admitLine(line: Set<AnswerWaiter>, areDebtors: boolean): void {
    for (let left = line.size; left > 0 && this.admits(areDebtors); left--) {
      const first = line.values().next().value
      if (first === undefined) return
      line.delete(first)
      first.answersAvailable()
    }
  }
}
