import Benchmark from 'benchmark'

/** Something small that is done over and over. */
export interface Case {
  readonly name: string
  /** Gives something that depends on the work, so that none of it can be left out. */
  readonly run: () => unknown
  /** What one round goes through, for MB/s. */
  readonly bytes?: number
}

export interface Group {
  readonly title: string
  /** All cases do the same; they are set against the first. */
  readonly compared?: boolean
  readonly cases: readonly Case[]
}

export interface CaseResult {
  readonly name: string
  readonly perSecond: number
  /** Half of the 95 % confidence interval, in percent of the mean. */
  readonly marginPercent: number
  readonly megabytesPerSecond: number | null
}

export interface Effort {
  readonly minSamples: number
  readonly maxSeconds: number
}

/** Where the outcomes go, so that the compiler cannot leave out the work. */
const sink: { outcome: unknown } = { outcome: null }

export function measure({ name, run, bytes }: Case, { minSamples, maxSeconds }: Effort): CaseResult {
  const benchmark = new Benchmark(
    name,
    () => {
      sink.outcome = run()
    },
    { minSamples, maxTime: maxSeconds },
  )
  benchmark.run({ async: false })
  // It keeps an exception for itself.
  const { error } = benchmark as { error?: unknown }
  if (error !== undefined) throw new Error(`the micro benchmark "${name}" failed`, { cause: error })
  const perSecond = benchmark.hz
  return {
    name,
    perSecond,
    marginPercent: benchmark.stats.rme,
    megabytesPerSecond: bytes === undefined ? null : (perSecond * bytes) / 1e6,
  }
}
