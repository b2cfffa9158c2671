import { fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { seedsFromEnvironment } from './sim-random.ts'

/** Fewer are not worth processes of their own. */
const SHARED_FROM = 400
const SHARE = 'SAMSA_SIM_SHARE'

/** What a campaign met: numbers, and the seeds that failed. */
export interface Tally {
  seeds: number
  readonly counts: Record<string, number>
  readonly situations: Record<string, number>
  readonly failures: { readonly seed: number; readonly error: string }[]
}

export type RunSeed = (seed: number, tally: Tally) => Promise<void>

export function emptyTally(): Tally {
  return { seeds: 0, counts: {}, situations: {}, failures: [] }
}

export function addTo(numbers: Record<string, number>, key: string, count: number): void {
  numbers[key] = (numbers[key] ?? 0) + count
}

/**
 * Runs `SAMSA_SIM_SEEDS` seeds (`few` when it is not set), shared out among the processors when they are many; the one of
 * `SAMSA_SEED` alone. `file`: the test file that calls this; a process of its own for a share runs it again, for which
 * this resolves to null when its part is done. `cost`: how many of the usual ones a seed of this campaign takes.
 */
export async function runSeeds(file: string, runSeed: RunSeed, few = 200, cost = 1): Promise<Tally | null> {
  const share = process.env[SHARE]
  if (share !== undefined) {
    const [first = 1, last = 0, step = 1] = share.split(',').map(Number)
    const seeds: number[] = []
    for (let seed = first; seed <= last; seed += step) seeds.push(seed)
    process.send?.(await runAll(seeds, runSeed))
    process.disconnect()
    return null
  }
  const configured = process.env['SAMSA_SIM_SEEDS']
  const count = configured === undefined ? few : Math.ceil(Number(configured) / cost)
  const seeds = seedsFromEnvironment(1, count)
  if (seeds.length < SHARED_FROM) return runAll(seeds, runSeed)
  const step = availableParallelism()
  const tally = emptyTally()
  const shares = Array.from({ length: step }, (_, index) => runShare(file, index + 1, count, step))
  for (const part of await Promise.all(shares)) addTally(tally, part)
  return tally
}

/** One line per number, for the diagnostics of a test. */
export function report(tally: Tally): string {
  const lines = (numbers: Record<string, number>): string[] =>
    Object.keys(numbers)
      .sort()
      .map((key) => `${String(numbers[key]).padStart(8)}  ${key}`)
  return [`${tally.seeds} seeds`, ...lines(tally.counts), '', ...lines(tally.situations)].join('\n')
}

/** How to see the first few of them again. */
export function describeFailures(tally: Tally, words: string): string {
  return tally.failures
    .slice(0, 5)
    .map(({ seed, error }) => `SAMSA_SEED=${seed} npm test -- ${words}\n${error}`)
    .join('\n\n')
}

async function runAll(seeds: readonly number[], runSeed: RunSeed): Promise<Tally> {
  const tally = emptyTally()
  for (const seed of seeds) {
    await runSeed(seed, tally)
    tally.seeds += 1
  }
  return tally
}

/** Seeds `first`, `first + step` ... up to `last`, in a process of its own. */
function runShare(file: string, first: number, last: number, step: number): Promise<Tally> {
  return new Promise((resolve, reject) => {
    const child = fork(file, {
      // Not a test file of the runner's.
      env: { ...process.env, NODE_TEST_CONTEXT: '', [SHARE]: [first, last, step].join() },
      execArgv: ['--enable-source-maps'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    let tally: Tally | null = null
    child.on('message', (message) => (tally = message as Tally))
    child.on('exit', (code) => {
      if (tally === null) reject(new Error(`seeds from ${first}: the process ended with code ${code}`))
      else resolve(tally)
    })
  })
}

function addTally(to: Tally, other: Tally): void {
  to.seeds += other.seeds
  for (const [key, count] of Object.entries(other.counts)) addTo(to.counts, key, count)
  for (const [key, count] of Object.entries(other.situations)) addTo(to.situations, key, count)
  to.failures.push(...other.failures)
}
