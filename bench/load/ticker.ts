import { Worker } from 'node:worker_threads'
import { nowUs } from './clock.ts'
import { Schedule } from './schedule.ts'
import type { OpenLoop } from './spec.ts'

/**
 * Calls `due` with the intended times (microseconds of the machine's monotonic clock) as they come due. A thread of
 * its own sleeps between them, because Node's timers know whole milliseconds only, and spinning would take a core
 * from the broker.
 */
export class Ticker {
  readonly #worker: Worker

  constructor(
    pace: OpenLoop,
    seed: number,
    due: (intendedUs: Float64Array) => void,
    failed: (error: Error) => void,
  ) {
    this.#worker = new Worker(new URL('./ticker-thread.js', import.meta.url), { workerData: { pace, seed } })
    this.#worker.on('message', due)
    this.#worker.on('error', failed)
  }

  async stop(): Promise<void> {
    await this.#worker.terminate()
  }
}

/** As a ticker, but it puts the calling thread itself to sleep; the event loop turns once per slot. */
export class Napper {
  readonly #sleeper = new SlotSleeper()
  readonly #schedule: Schedule
  readonly #due: (intendedUs: readonly number[]) => void
  #stopped = false
  #next: number

  constructor(pace: OpenLoop, seed: number, due: (intendedUs: readonly number[]) => void) {
    this.#schedule = new Schedule(pace, nowUs() + 1_000, seed)
    this.#next = this.#schedule.next()
    this.#due = due
    setImmediate(() => this.#turn())
  }

  async stop(): Promise<void> {
    this.#stopped = true
  }

  #turn(): void {
    if (this.#stopped) return
    this.#sleeper.until(this.#next)
    const now = nowUs()
    const due: number[] = []
    while (this.#next <= now) {
      due.push(this.#next)
      this.#next = this.#schedule.next()
    }
    if (due.length > 0) this.#due(due)
    setImmediate(() => this.#turn())
  }
}

/** Slots closer together than this are handled together; at high rates a waking per slot would cost more than the slot. */
const LEAST_SLEEP_US = 50

/** Sleeps fractions of a millisecond on the calling thread. */
export class SlotSleeper {
  /** Nothing ever wakes it: the wait ends by its timeout. */
  readonly #never = new Int32Array(new SharedArrayBuffer(4))

  until(timeUs: number): void {
    const sleepUs = timeUs - nowUs()
    if (sleepUs > 0) Atomics.wait(this.#never, 0, 0, Math.max(sleepUs, LEAST_SLEEP_US) / 1_000)
  }
}
