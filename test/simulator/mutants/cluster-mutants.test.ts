import { CLUSTER_MUTANTS } from './cluster-mutants.ts'
import { campaignsSee } from './mutants-tests.ts'

/** As `mutants.test.ts`, of what brokers do together. */
campaignsSee(CLUSTER_MUTANTS)
