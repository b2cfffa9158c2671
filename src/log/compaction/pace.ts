import type { Clock } from '../../ports.ts'

/** Longest stretch without letting requests through. */
const SLICE_MS = 4

/** Compaction leaves the loop and the device to the clients. */
export class Pace {
  readonly #clock: Clock
  readonly #bytesPerSecond: number
  #sliceEndMs = 0

  constructor(clock: Clock, bytesPerSecond: number) {
    this.#clock = clock
    this.#bytesPerSecond = bytesPerSecond
  }

  get sliceOver(): boolean {
    return this.#clock.monotonicMs() >= this.#sliceEndMs
  }

  /** Waits as long as `bytes` take at the allowed rate, and at least one turn when this slice is over. */
  async before(bytes: number): Promise<void> {
    const delayMs = Math.floor((bytes * 1000) / this.#bytesPerSecond)
    if (delayMs < 1 && !this.sliceOver) return
    await new Promise<void>((resolve) => void this.#clock.after(Math.max(1, delayMs), resolve))
    this.#sliceEndMs = this.#clock.monotonicMs() + SLICE_MS
  }
}
