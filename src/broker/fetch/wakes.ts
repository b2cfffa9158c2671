import type { Clock } from '../../ports.ts'

/** What those that were woken may take of one turn. Few are so many that they need more. */
const TURN_MS = 20
/** Of these between two looks at the clock. */
const LOOK_MASK = 7

/**
 * Long polls that were woken, in the order they were. They read at the end of the turn, when all that wakes them has
 * happened: once for all of their partitions. One record may wake thousands, which then take several turns.
 */
export class Wakes {
  readonly #clock: Clock
  readonly #waiting: (() => void)[] = []
  #isScheduled = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** `run` must not throw. */
  add(run: () => void): void {
    this.#waiting.push(run)
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#clock.atEndOfTurn('submit', this.#run)
  }

  readonly #run = (): void => {
    const waiting = this.#waiting
    const endsMs = this.#clock.monotonicMs() + TURN_MS
    let next = 0
    do waiting[next++]!()
    while (next < waiting.length && ((next & LOOK_MASK) !== 0 || this.#clock.monotonicMs() < endsMs))
    this.#isScheduled = next < waiting.length
    if (this.#isScheduled) {
      waiting.splice(0, next)
      this.#clock.after(0, this.#run)
    } else {
      waiting.length = 0
    }
  }
}
