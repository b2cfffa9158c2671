import type { Clock } from '../../ports.ts'

/** Longest stretch of a long job without letting others have their turn. */
const SLICE_MS = 4

/** A job over very many logs takes turns with everybody else. */
export class Slice {
  readonly #clock: Clock
  #endsMs: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#endsMs = clock.monotonicMs() + SLICE_MS
  }

  get over(): boolean {
    return this.#clock.monotonicMs() >= this.#endsMs
  }

  /** Resolves in a later turn, where the next slice begins. */
  async next(): Promise<void> {
    await new Promise<void>((resolve) => void this.#clock.after(0, resolve))
    this.#endsMs = this.#clock.monotonicMs() + SLICE_MS
  }
}
