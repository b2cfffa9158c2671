import { addTo } from '../seed-shares.ts'
import type { Tally } from '../seed-shares.ts'
import { SimRandom } from '../sim-random.ts'
import { DurabilityRun } from './durability-run.ts'
import type { FlushMode } from './durability-run.ts'
import type { Fault } from './durability-trouble.ts'

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

export async function runSeed(seed: number, tally: Tally): Promise<void> {
  const scenario = scenarioOf(seed)
  const { mode, fault } = scenario
  const run = new DurabilityRun(seed, scenario)
  try {
    await run.run()
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    tally.failures.push({ seed, error: `flush mode ${mode}, fault ${fault}, ${run.sim.traceHash}: ${text}` })
  }
  addTo(tally.counts, 'acknowledged', run.seen.acknowledged)
  addTo(tally.counts, 'commits', run.seen.commits)
  addTo(tally.counts, `gone: ${mode}`, run.seen.lost)
  for (const [situation, times] of run.seen.situations) addTo(tally.situations, situation, times)
}
