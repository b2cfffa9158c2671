/** Rounds of faults by chance. `main.ts` plays more of them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { requireAll } from '../support/cache.ts'
import { skipMissing } from '../support/requirements.ts'
import { Seeded } from '../support/seed.ts'
import { clusterParts, whatIsMissing } from './parts.ts'
import { cutNames, faultNames, playRounds } from './rounds.ts'
import { wiresProblem } from './wires.ts'

/** CI plays them on two lines of Node.js: sixty in all. */
const ROUNDS = Number(process.env['SAMSA_CLUSTER_ROUNDS'] ?? (requireAll ? 30 : 5))

const parts = await clusterParts()

test(`a cluster of three under load, ${ROUNDS} rounds`, { timeout: 120_000 + ROUNDS * 20_000 }, async (t) => {
  if (parts === null) return skipMissing(t, whatIsMissing)
  const random = new Seeded()
  t.diagnostic(`SAMSA_SEED=${random.seed}`)
  const plan = Array.from({ length: ROUNDS }, () => random.pick(faultNames))
  const acked = await playRounds(parts, random, plan, (line) => t.diagnostic(line))
  assert.ok(acked > ROUNDS * 50, 'the load was real')
})

/** Of brokers that are cut off CI plays every kind. */
const CUTS = requireAll ? cutNames.length : 4

test(`brokers that are cut off, ${CUTS} rounds`, { timeout: 120_000 + CUTS * 30_000 }, async (t) => {
  if (parts === null) return skipMissing(t, whatIsMissing)
  const problem = await wiresProblem()
  if (problem !== null) return skipMissing(t, problem)
  const random = new Seeded()
  t.diagnostic(`SAMSA_SEED=${random.seed}`)
  const plan = random.shuffled(cutNames).slice(0, CUTS)
  const acked = await playRounds(parts, random, plan, (line) => t.diagnostic(line))
  assert.ok(acked > CUTS * 50, 'the load was real')
})
