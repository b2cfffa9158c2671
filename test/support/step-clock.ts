import type { Clock } from '../../src/ports.ts'

/** A clock that moves by `stepMs` with every look at it. `turns` counts the timers that fired, each a turn of its own. */
export class StepClock implements Clock {
  turns = 0
  #nowMs = 0
  readonly #stepMs: number
  readonly #ends: (() => void)[] = []

  constructor(stepMs: number) {
    this.#stepMs = stepMs
  }

  nowMs(): number {
    return this.#nowMs
  }

  monotonicMs(): number {
    return (this.#nowMs += this.#stepMs)
  }

  after(_delayMs: number, run: () => void): { cancel: () => void } {
    setImmediate(() => {
      this.turns += 1
      run()
      for (const end of this.#ends.splice(0)) end()
    })
    return { cancel: () => undefined }
  }

  atEndOfTurn(_stage: string, run: () => void): void {
    this.#ends.push(run)
  }
}
