import type { AnswerWaiter } from '../broker/answer-budget.ts'
import type { Clock } from '../ports.ts'

/** A request that was decoded to more elements begins when those before it are answered, and delays those behind it. */
export const MANY_ELEMENTS = 2_000
/** What an element takes in memory until it is answered: decoded, and in the answer. Most take less. */
export const ELEMENT_BYTES = 200
/** As long as a request may wait with many elements, with many bytes, or with bytes that others wait for. */
export const LONG_REQUEST_WAIT_MS = 1_000
/** The same while others stand in line for that memory. */
const CROWDED_WAIT_MS = 100
/** What all long requests together take when they are decoded. One that takes more comes alone. */
const LIMIT_BYTES = 32 * 1024 * 1024

/**
 * Memory of long requests that are being decoded or worked on: they take many times the bytes that arrived, so when
 * there are many they come one after the other, in the order they came.
 */
export class LongRequests {
  readonly #clock: Clock
  readonly #limitBytes: number
  #usedBytes = 0
  readonly #waiting = new Set<AnswerWaiter>()
  /** Its turn has come, and there was no room for it yet: nobody behind it takes that. */
  #next: AnswerWaiter | null = null
  #scheduled = false
  /** It is being asked. */
  #asked: AnswerWaiter | null = null

  constructor(clock: Clock, limitBytes = LIMIT_BYTES) {
    this.#clock = clock
    this.#limitBytes = limitBytes
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  get waitingCount(): number {
    return this.#waiting.size + (this.#next === null ? 0 : 1)
  }

  /** How long one that begins now may wait for what is not there yet. */
  get longestWaitMs(): number {
    return this.waitingCount > 0 ? CROWDED_WAIT_MS : LONG_REQUEST_WAIT_MS
  }

  /** Whether one may begin now that takes about `bytes`. Nobody overtakes those who stand in line. */
  admits(bytes: number): boolean {
    if (bytes === 0) return true
    if (this.#asked === null && this.waitingCount > 0) return false
    return this.#usedBytes === 0 || this.#usedBytes + bytes <= this.#limitBytes
  }

  /** Only for who was just not admitted: there are others then, and what they give back calls it. */
  wait(waiter: AnswerWaiter): void {
    if (waiter === this.#asked) this.#next = waiter
    else if (waiter !== this.#next) this.#waiting.add(waiter)
  }

  leave(waiter: AnswerWaiter): void {
    this.#waiting.delete(waiter)
    if (this.#next !== waiter) return
    this.#next = null
    this.#admitLater()
  }

  take(bytes: number): void {
    this.#usedBytes += bytes
  }

  give(bytes: number): void {
    this.#usedBytes -= bytes
    if (bytes > 0) this.#admitLater()
  }

  #admitLater(): void {
    if (this.#scheduled || this.waitingCount === 0) return
    this.#scheduled = true
    this.#clock.atEndOfTurn('submit', this.#admit)
  }

  readonly #admit = (): void => {
    this.#scheduled = false
    try {
      for (let left = this.waitingCount; left > 0 && this.#usedBytes < this.#limitBytes; left--) {
        const first = this.#next ?? this.#waiting.values().next().value
        if (first === undefined) return
        this.#next = null
        this.#waiting.delete(first)
        this.#asked = first
        first.answersAvailable()
        if (this.#next !== null) return
      }
    } finally {
      this.#asked = null
    }
  }
}
