import { strict as assert } from 'node:assert'
import { ClusterRun } from '../cluster/cluster-run.ts'
import { STORIES } from '../cluster/stories.ts'
import { DurabilityRun } from '../durability/durability-run.ts'
import { LogLifeRun } from '../log-life/log-life-run.ts'
import { scenarioOf } from '../log-life/scenario.ts'
import type { ClusterMutant } from './cluster-mutants.ts'
import type { Mutant } from './mutants.ts'

/** One seed of the campaign that is to see the mutant. */
export function runMutant(mutant: Mutant, seed: number): Promise<void> {
  switch (mutant.campaign) {
    case 'cluster':
      return runClusterMutant(mutant, seed)
    case 'broker':
      return new DurabilityRun(seed, { mode: 'durable', fault: 'none', lives: 3, ...mutant.options }).run()
    case 'logs':
      return new LogLifeRun(seed, {
        ...scenarioOf(seed),
        mode: 'durable',
        fault: 'none',
        ...mutant.options,
      }).run()
  }
}

async function runClusterMutant({ story, by = '' }: ClusterMutant, seed: number): Promise<void> {
  try {
    if (story === undefined) return await new ClusterRun(seed, { faults: 8 }).run()
    const told = STORIES.filter(({ number }) => number === story)
    assert(told.length > 0, `nobody tells story ${story}`)
    for (const { run } of told) await run(seed)
  } catch (error) {
    if (error instanceof Error && error.message.startsWith(by)) throw error
  }
}
