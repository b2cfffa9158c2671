import { addTo } from '../seed-shares.ts'
import type { Tally } from '../seed-shares.ts'
import { ClusterRun } from './cluster-run.ts'
import type { RunOptions } from './cluster-run.ts'

/** Many seeds of `ClusterRun`, and what they met. */

const LAST_LINES = 60

export async function runSeed(
  seed: number,
  tally: Tally,
  options: RunOptions = { faults: 8 },
): Promise<void> {
  const run = new ClusterRun(seed, options)
  const before = process.cpuUsage()
  try {
    await run.run()
  } catch (error) {
    const text = error instanceof Error ? describe(error) : String(error)
    tally.failures.push({
      seed,
      error: `${run.sim.traceHash}: ${text}\n${run.story.slice(-LAST_LINES).join('\n')}`,
    })
  }
  const { user, system } = process.cpuUsage(before)
  addTo(tally.counts, 'processor milliseconds', Math.round((user + system) / 1000))
  for (const [key, count] of Object.entries(run.counts)) addTo(tally.counts, key, count)
  for (const [situation, times] of Object.entries(run.situations)) addTo(tally.situations, situation, times)
}

function describe(error: Error): string {
  const { cause } = error
  return `${error.stack ?? error.message}${cause instanceof Error ? `\nbecause ${cause.stack ?? cause.message}` : ''}`
}
