import { register } from 'node:module'
import type { Replacement } from '../../mutation/mutating-loader.ts'
import { seedsFrom } from '../seed-order.ts'
import type { Mutant, MutantFate } from './mutants.ts'

/** The process a mutant lives in: the code is changed before anything of it is loaded, then seed after seed is run. */

const WITHIN_SEEDS = 200
const WITHIN_SEEDS_OF_CLUSTERS = 500
/** A story is told, whatever the dice. */
const WITHIN_SEEDS_OF_STORIES = 10

process.on('message', (mutant: Mutant) => void live(mutant))
process.on('unhandledRejection', (error) => send({ seed: current, error: String(error) }))
process.on('uncaughtException', (error) => send({ seed: current, error: String(error) }))

let current = 0

async function live(mutant: Mutant): Promise<void> {
  const { file, from, to } = mutant
  register<Replacement>('../../mutation/mutating-loader.js', import.meta.url, {
    data: { file: file.replace(/\.ts$/, '.js'), from, to },
  })
  try {
    const { runMutant } = await import('./run-mutant.ts')
    const within = seedsOf(mutant)
    for (const seed of seedsFrom(mutant.firstSeed ?? 1, within)) {
      current = seed
      await runMutant(mutant, seed)
    }
    send({ seed: 0, error: `nobody noticed in ${within} seeds` })
  } catch (error) {
    send({ seed: current, error: error instanceof Error ? `${error.name}: ${error.message}` : String(error) })
  }
}

function seedsOf(mutant: Mutant): number {
  if (mutant.campaign !== 'cluster') return WITHIN_SEEDS
  return mutant.story === undefined ? WITHIN_SEEDS_OF_CLUSTERS : WITHIN_SEEDS_OF_STORIES
}

function send(fate: MutantFate): void {
  process.send?.(fate, () => process.exit())
}
