import type { Clock, Timer, TurnStage } from '../../src/ports.ts'

interface Entry {
  readonly dueMs: number
  readonly order: number
  readonly run: () => void
}

/** A clock for unit tests that stands still until `advance`. */
export class ManualClock implements Clock {
  #nowMs = 0
  #order = 0
  readonly #timers = new Set<Entry>()
  readonly #stages: Record<TurnStage, (() => void)[]> = { append: [], submit: [], reply: [] }

  nowMs(): number {
    return 1_800_000_000_000 + this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  get timerCount(): number {
    return this.#timers.size
  }

  after(delayMs: number, run: () => void): Timer {
    const entry = { dueMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, run }
    this.#timers.add(entry)
    return { cancel: () => this.#timers.delete(entry) }
  }

  atEndOfTurn(stage: TurnStage, run: () => void): void {
    this.#stages[stage].push(run)
  }

  /** Runs the stages as ports.ts says: earlier stages go again before `reply`. */
  endTurn(): void {
    for (;;) {
      const stage = (['append', 'submit', 'reply'] as const).find((name) => this.#stages[name].length > 0)
      if (stage === undefined) return
      for (const run of this.#stages[stage].splice(0)) run()
    }
  }

  /** Lets timers fire in order; each is a turn of its own. */
  advance(durationMs: number): void {
    const untilMs = this.#nowMs + durationMs
    for (;;) {
      const due = [...this.#timers].filter(({ dueMs }) => dueMs <= untilMs)
      due.sort((a, b) => a.dueMs - b.dueMs || a.order - b.order)
      const next = due[0]
      if (next === undefined) break
      this.#timers.delete(next)
      this.#nowMs = Math.max(this.#nowMs, next.dueMs)
      next.run()
      this.endTurn()
    }
    this.#nowMs = untilMs
  }
}
