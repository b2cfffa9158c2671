import type { Clock, Timer, TurnStage } from '../../src/ports.ts'
import type { SimOwner, SimScheduler } from './sim-scheduler.ts'

/** 2027-01-15: an ordinary day, late enough for thirteen-digit timestamps. */
const WALL_CLOCK_START_MS = 1_800_000_000_000

/** What one look at the clock costs: a loop that watches the time sees it pass. */
const LOOK_MS = 0.001

/**
 * The clock of one process. Timers die with it. The wall clock may be moved (`wallClockOffsetMs`), the monotonic
 * one may not.
 */
export class SimClock implements Clock {
  wallClockOffsetMs = 0
  private readonly scheduler: SimScheduler
  private readonly owner: SimOwner

  constructor(scheduler: SimScheduler, owner: SimOwner) {
    this.scheduler = scheduler
    this.owner = owner
  }

  nowMs(): number {
    return WALL_CLOCK_START_MS + Math.floor(this.scheduler.nowMs) + this.wallClockOffsetMs
  }

  monotonicMs(): number {
    this.scheduler.nowMs += LOOK_MS
    return this.scheduler.nowMs
  }

  after(delayMs: number, run: () => void): Timer {
    const event = this.scheduler.schedule(delayMs, 'timer', this.owner, run)
    return { cancel: () => this.scheduler.cancel(event) }
  }

  atEndOfTurn(stage: TurnStage, run: () => void): void {
    if (this.owner.alive) this.scheduler.atEndOfTurn(stage, this.owner, run)
  }
}
