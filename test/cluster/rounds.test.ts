/** Rounds of faults by chance. `main.ts` plays more of them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { requireAll } from '../support/cache.ts'
import { skipMissing } from '../support/requirements.ts'
import { Seeded } from '../support/seed.ts'
import { clusterParts, whatIsMissing } from './parts.ts'
import { playRounds } from './rounds.ts'

/** CI plays them on two lines of Node.js: sixty in all. */
const ROUNDS = Number(process.env['SAMSA_CLUSTER_ROUNDS'] ?? (requireAll ? 30 : 5))

const parts = await clusterParts()

test(`a cluster of three under load, ${ROUNDS} rounds`, { timeout: 120_000 + ROUNDS * 20_000 }, async (t) => {
  if (parts === null) return skipMissing(t, whatIsMissing)
  const random = new Seeded()
  t.diagnostic(`SAMSA_SEED=${random.seed}`)
  const acked = await playRounds(parts, random, ROUNDS, (line) => t.diagnostic(line))
  assert.ok(acked > ROUNDS * 50, 'the load was real')
})
