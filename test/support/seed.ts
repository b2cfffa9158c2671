/** Random choices of a test that can be made again: `SAMSA_SEED=n` replays a run. */
export class Seeded {
  readonly seed: number
  #state: number

  constructor(seed = Number(process.env['SAMSA_SEED'] ?? Math.floor(Math.random() * 2 ** 32))) {
    this.seed = seed >>> 0
    this.#state = this.seed
  }

  /** Uniform in [0, 2^32): mulberry32. */
  uint32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }

  /** An integer in [min, max]. */
  between(min: number, max: number): number {
    return min + (this.uint32() % (max - min + 1))
  }

  shuffled<Value>(values: readonly Value[]): Value[] {
    const left = [...values]
    return values.map(() => left.splice(this.between(0, left.length - 1), 1)[0]!)
  }

  pick<Value>(values: readonly Value[]): Value {
    return values[this.between(0, values.length - 1)]!
  }
}
