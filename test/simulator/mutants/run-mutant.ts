import { DurabilityRun } from '../durability/durability-run.ts'
import { LogLifeRun } from '../log-life/log-life-run.ts'
import { scenarioOf } from '../log-life/scenario.ts'
import type { Mutant } from './mutants.ts'

/** One seed of the campaign that is to see the mutant. */
export function runMutant(mutant: Mutant, seed: number): Promise<void> {
  return mutant.campaign === 'broker'
    ? new DurabilityRun(seed, { mode: 'durable', fault: 'none', lives: 3, ...mutant.options }).run()
    : new LogLifeRun(seed, { ...scenarioOf(seed), mode: 'durable', fault: 'none', ...mutant.options }).run()
}
