import { Seeded } from '../support/seed.ts'

/** The seed of this run's random tests, printed so that any run can be had again. */
export const { seed } = new Seeded()

console.log(`# SAMSA_SEED=${seed}`)
