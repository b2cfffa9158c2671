import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { describeFailures, report, runSeeds } from '../seed-shares.ts'
import type { Tally } from '../seed-shares.ts'
import { runSeed } from './campaign.ts'

/** The campaign of the cluster: each seed is three brokers, their clients and trouble; see `ClusterRun`. */

/** Situations that a campaign of some size must have met, or it proves less than it claims. */
const WANTED = [
  'kill',
  'kill with its helper',
  'power loss',
  'disk error',
  'stop',
  'isolate',
  'cut one way',
  'session',
  'cut from store',
  'store away',
  'resets',
] as const

/** A run of three brokers takes about as long as so many of one. */
const COST = 2

function speedOf({ counts }: Tally): number {
  return ((counts['simulated seconds'] ?? 0) * 1000) / (counts['processor milliseconds'] ?? Infinity)
}

const tally = await runSeeds(fileURLToPath(import.meta.url), runSeed, 8, COST)
if (tally !== null)
  test('a cluster loses nothing that it acknowledged, whatever becomes of its brokers', (context) => {
    context.diagnostic(report(tally))
    context.diagnostic(`${speedOf(tally).toFixed(1)} simulated seconds per second of a processor`)
    assert.equal(tally.failures.length, 0, describeFailures(tally, 'simulator/cluster/cluster'))
    if (tally.seeds < 100) return
    const missing = WANTED.filter((situation) => (tally.situations[situation] ?? 0) === 0)
    assert.deepEqual(missing, [], 'situations that never came about')
    assert((tally.counts['elections'] ?? 0) > tally.seeds * 5)
    assert((tally.counts['eligibleElections'] ?? 0) > 0)
    assert((tally.counts['acknowledged'] ?? 0) > tally.seeds * 100)
  })
