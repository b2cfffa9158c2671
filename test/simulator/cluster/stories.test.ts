import { test } from 'node:test'
import { seedsFromEnvironment } from '../sim-random.ts'
import { STORIES } from './stories.ts'

/** Of those of a world's dice that a story could depend on; users have no time for several. */
const SEEDS = process.env['SAMSA_SIM_SEEDS'] === undefined ? 1 : 3

for (const { number, name, run } of STORIES)
  test(`${number}: ${name}`, async () => {
    for (const seed of seedsFromEnvironment(1, SEEDS)) await run(seed)
  })
