/** Sixteen buckets per doubling: a reported value is at most 4.5 % above a measured one. */
const BUCKETS_PER_OCTAVE = 16
const LOWEST_EXPONENT = -10
const HIGHEST_EXPONENT = 34
const BUCKETS = (HIGHEST_EXPONENT - LOWEST_EXPONENT) * BUCKETS_PER_OCTAVE

/**
 * Percentiles of what was observed lately. An observation is one logarithm and one increment (a digest that keeps
 * sorted samples costs microseconds, more than many requests do). The window slides in whole slices.
 */
export class QuantileWindow {
  count = 0
  sum = 0
  readonly #sliceMs: number
  readonly #slices: Uint32Array[] = []
  #current: Uint32Array
  #sliceNumber: number

  constructor(windowMs: number, slices: number, nowMs: number) {
    this.#sliceMs = windowMs / slices
    for (let i = 0; i < slices; i++) this.#slices.push(new Uint32Array(BUCKETS))
    this.#sliceNumber = Math.floor(nowMs / this.#sliceMs)
    this.#current = this.#slice(this.#sliceNumber)
  }

  observe(value: number, nowMs: number): void {
    this.#slide(nowMs)
    this.count++
    this.sum += value
    const bucket = bucketOf(value)
    this.#current[bucket] = (this.#current[bucket] ?? 0) + 1
  }

  /** One value per quantile (each in [0, 1]), NaN when nothing was observed in the window. */
  quantiles(quantiles: readonly number[], nowMs: number): number[] {
    this.#slide(nowMs)
    const merged = new Float64Array(BUCKETS)
    let total = 0
    for (const slice of this.#slices) {
      slice.forEach((count, bucket) => {
        merged[bucket] = (merged[bucket] ?? 0) + count
        total += count
      })
    }
    return quantiles.map((quantile) => valueAt(merged, Math.max(1, Math.ceil(quantile * total)), total))
  }

  #slide(nowMs: number): void {
    const number = Math.floor(nowMs / this.#sliceMs)
    if (number <= this.#sliceNumber) return
    const passed = Math.min(number - this.#sliceNumber, this.#slices.length)
    for (let i = 0; i < passed; i++) this.#slice(number - i).fill(0)
    this.#sliceNumber = number
    this.#current = this.#slice(number)
  }

  #slice(number: number): Uint32Array {
    const slice = this.#slices[number % this.#slices.length]
    if (slice === undefined) throw new Error('a quantile window needs at least one slice')
    return slice
  }
}

function bucketOf(value: number): number {
  if (!(value > 0)) return 0
  const bucket = Math.ceil((Math.log2(value) - LOWEST_EXPONENT) * BUCKETS_PER_OCTAVE)
  return Math.min(BUCKETS - 1, Math.max(0, bucket))
}

/** The upper bound of the bucket that holds the observation with this rank. */
function valueAt(counts: Float64Array, rank: number, total: number): number {
  if (total === 0) return Number.NaN
  let seen = 0
  const bucket = counts.findIndex((count) => (seen += count) >= rank)
  return bucket <= 0 ? 0 : 2 ** (bucket / BUCKETS_PER_OCTAVE + LOWEST_EXPONENT)
}
