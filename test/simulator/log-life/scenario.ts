import { addTo } from '../seed-shares.ts'
import type { Tally } from '../seed-shares.ts'
import { SimRandom } from '../sim-random.ts'
import { LogLifeRun } from './log-life-run.ts'
import type { LogLifeOptions } from './log-life-run.ts'

const LIVES = 3

/** What a seed stands for. */
export function scenarioOf(seed: number): LogLifeOptions {
  const random = new SimRandom(seed ^ 0x70c5)
  return {
    mode: random.pick(['durable', 'durable', 'batched', 'os']),
    fault: random.pick(['none', 'none', 'emfile', 'eio']),
    lives: LIVES,
  }
}

export async function runSeed(seed: number, tally: Tally): Promise<void> {
  const scenario = scenarioOf(seed)
  const { mode, fault } = scenario
  const run = new LogLifeRun(seed, scenario)
  try {
    await run.run()
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    tally.failures.push({ seed, error: `flush mode ${mode}, fault ${fault}, ${run.sim.traceHash}: ${text}` })
  }
  addTo(tally.counts, 'acknowledged', run.seen.acknowledged)
  addTo(tally.counts, `gone: ${mode}`, run.seen.lost)
  for (const [situation, times] of run.seen.situations) addTo(tally.situations, situation, times)
}
