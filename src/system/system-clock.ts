import type { Clock, Timer, TurnStage } from '../ports.ts'
import type { Turn } from './turn.ts'

/** The longest delay `setTimeout` takes; it treats anything longer as one millisecond. */
const MAX_TIMEOUT_MS = 2_147_483_647

export class SystemClock implements Clock {
  readonly #turn: Turn

  constructor(turn: Turn) {
    this.#turn = turn
  }

  nowMs(): number {
    return Date.now()
  }

  monotonicMs(): number {
    return performance.now()
  }

  after(delayMs: number, run: () => void): Timer {
    return new SystemTimer(delayMs, run)
  }

  atEndOfTurn(stage: TurnStage, run: () => void): void {
    this.#turn.at(stage, run)
  }
}

/**
 * Node.js counts a timeout from the time its loop last looked at the clock, so after a long turn it can fire early
 * by as much as that turn took. The deadline is checked again when it fires. Node keeps one list per distinct
 * duration, hence whole milliseconds.
 */
class SystemTimer implements Timer {
  readonly #deadlineMs: number
  #run: (() => void) | null
  #timeout: NodeJS.Timeout | null = null

  constructor(delayMs: number, run: () => void) {
    this.#deadlineMs = performance.now() + Math.max(0, delayMs)
    this.#run = run
    this.#arm(delayMs)
  }

  cancel(): void {
    if (this.#timeout !== null) clearTimeout(this.#timeout)
    this.#timeout = null
    this.#run = null
  }

  #arm(delayMs: number): void {
    const timeoutMs = Math.min(MAX_TIMEOUT_MS, Math.max(1, Math.ceil(delayMs)))
    this.#timeout = setTimeout(fire, timeoutMs, this)
    this.#timeout.unref()
  }

  /** Called by the timeout. */
  fired(): void {
    const run = this.#run
    if (run === null) return
    const leftMs = this.#deadlineMs - performance.now()
    if (leftMs > 0) {
      this.#arm(leftMs)
      return
    }
    this.#timeout = null
    this.#run = null
    run()
  }
}

function fire(timer: SystemTimer): void {
  timer.fired()
}
