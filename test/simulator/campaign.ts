import { DurabilityRun } from './durability-run.ts'
import type { FlushMode } from './durability-run.ts'
import type { Fault } from './durability-trouble.ts'
import { SimRandom } from './sim-random.ts'

/** Many seeds of `DurabilityRun`, and what they met. */

const LIVES = 3
const MODES: readonly FlushMode[] = ['durable', 'interval', 'os']
/** Every other run meets no fault of the device: crashes are enough trouble. */
const FAULTS: readonly Fault[] = ['none', 'none', 'none', 'none', 'eio', 'enospc', 'flip', 'misdirect']

/** What a seed stands for. */
export function scenarioOf(seed: number): { mode: FlushMode; fault: Fault; lives: number } {
  const random = new SimRandom(seed ^ 0xca3b)
  // Twice as often where most is promised.
  return { mode: random.pick([...MODES, 'durable']), fault: random.pick(FAULTS), lives: LIVES }
}

export interface Tally {
  seeds: number
  acknowledged: number
  commits: number
  /** Records by mode that were there and are gone. */
  lost: Record<FlushMode, number>
  situations: Record<string, number>
  failures: { seed: number; error: string }[]
}

export function emptyTally(): Tally {
  return {
    seeds: 0,
    acknowledged: 0,
    commits: 0,
    lost: { durable: 0, interval: 0, os: 0 },
    situations: {},
    failures: [],
  }
}

export async function runSeed(seed: number, tally: Tally): Promise<void> {
  const scenario = scenarioOf(seed)
  const run = new DurabilityRun(seed, scenario)
  try {
    await run.run()
  } catch (error) {
    const { mode, fault } = scenario
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    tally.failures.push({ seed, error: `flush mode ${mode}, fault ${fault}: ${text}` })
  }
  tally.seeds += 1
  tally.acknowledged += run.seen.acknowledged
  tally.commits += run.seen.commits
  tally.lost[scenario.mode] += run.seen.lost
  for (const [situation, times] of run.seen.situations)
    tally.situations[situation] = (tally.situations[situation] ?? 0) + times
}

export function addTally(to: Tally, other: Tally): void {
  to.seeds += other.seeds
  to.acknowledged += other.acknowledged
  to.commits += other.commits
  for (const mode of MODES) to.lost[mode] += other.lost[mode]
  for (const [situation, times] of Object.entries(other.situations))
    to.situations[situation] = (to.situations[situation] ?? 0) + times
  to.failures.push(...other.failures)
}
