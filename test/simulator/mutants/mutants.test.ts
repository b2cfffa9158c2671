import { MUTANTS } from './mutants.ts'
import { campaignsSee } from './mutants-tests.ts'

/**
 * The test of the campaigns: one line of the broker is changed, and a campaign has to see it. One that lets a mutant live
 * proves nothing about a broker without it. A mutant whose line is gone is to be written anew for the line that does
 * its work now.
 */
campaignsSee(MUTANTS)
