import type { Clock, Timer, TurnStage } from '../../../src/ports.ts'

/** A clock whose timers of about one length come far too late: a broker that forgets to flush in time. */
export class LateClock implements Clock {
  readonly #clock: Clock
  readonly #lateMs: number

  constructor(clock: Clock, lateMs: number) {
    this.#clock = clock
    this.#lateMs = lateMs
  }

  nowMs(): number {
    return this.#clock.nowMs()
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs()
  }

  after(delayMs: number, run: () => void): Timer {
    const late = delayMs > this.#lateMs / 2 && delayMs <= this.#lateMs
    return this.#clock.after(late ? delayMs * 20 : delayMs, run)
  }

  atEndOfTurn(stage: TurnStage, run: () => void): void {
    this.#clock.atEndOfTurn(stage, run)
  }
}
