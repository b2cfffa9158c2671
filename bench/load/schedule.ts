import type { OpenLoop } from './spec.ts'
import { SeededRandom } from './random.ts'

/** Intended send times of an open loop, microseconds on the caller's clock, ascending. */
export class Schedule {
  readonly #meanGapUs: number
  readonly #startUs: number
  readonly #random: SeededRandom | null
  #slot = 0
  #poissonUs = 0

  constructor(pace: OpenLoop, startUs: number, seed: number) {
    this.#meanGapUs = 1_000_000 / pace.perSecond
    this.#startUs = startUs
    this.#random = pace.arrivals === 'poisson' ? new SeededRandom(seed) : null
  }

  /** Constant slots are computed from their number, so rounding never accumulates into drift. */
  next(): number {
    this.#slot++
    if (this.#random === null) return this.#startUs + this.#slot * this.#meanGapUs
    this.#poissonUs += -Math.log(this.#random.fraction()) * this.#meanGapUs
    return this.#startUs + this.#poissonUs
  }
}
