import { type Deadline, DeadlineQueue, type Now } from '../core/deadline-queue.ts'
import type { Clock, Timer } from '../ports.ts'

/** How late, at most, a deadline fires beyond the clock's own lateness: those in between share a timer. */
const LATE_MS = 4

/** Deadlines of the requests that wait in the broker, long polls and acknowledgements, with one timer for all of them. */
export class Deadlines {
  readonly #clock: Clock
  readonly #queue = new DeadlineQueue()
  #timer: Timer | null = null
  #timerDueMs = Infinity

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#queue.size
  }

  arm(deadline: Deadline, delayMs: number): void {
    this.#queue.arm(deadline, this.#clock.monotonicMs() + Math.max(0, delayMs))
    this.#armTimer()
  }

  cancel(deadline: Deadline): void {
    this.#queue.cancel(deadline)
  }

  /** Expires everything at once: the broker stops and nobody may be left waiting. */
  expireAll(): void {
    this.#timer?.cancel()
    this.#timer = null
    this.#timerDueMs = Infinity
    const now = this.#now()
    for (const { owner } of this.#queue.drain()) owner.expired(now)
  }

  #armTimer(): void {
    const dueMs = Math.ceil(this.#queue.nextMs / LATE_MS) * LATE_MS
    if (dueMs >= this.#timerDueMs) return
    this.#timer?.cancel()
    this.#timerDueMs = dueMs
    this.#timer = this.#clock.after(dueMs - this.#clock.monotonicMs(), () => {
      this.#timer = null
      this.#timerDueMs = Infinity
      this.#queue.expire(this.#now())
      this.#armTimer()
    })
  }

  #now(): Now {
    return { monotonicMs: this.#clock.monotonicMs(), wallMs: this.#clock.nowMs() }
  }
}
