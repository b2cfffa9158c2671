import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { describeFailures, report, runSeeds } from '../seed-shares.ts'
import { LogLifeRun } from './log-life-run.ts'
import { runSeed, scenarioOf } from './scenario.ts'

/** The campaign of the logs: each seed is a set of logs that live, crash and are looked at; see `runSeeds`. */

/** Situations that a campaign of some size must have met, or it proves less than it claims. */
const WANTED = [
  'end: kill',
  'end: power loss',
  'end: stop',
  'died while starting',
  'died with write under way',
  'died with sync under way',
  'died with truncate under way',
  'died with remove under way',
  'died with syncDirectory under way',
  'recovered',
  'torn tail cut',
  'segments deleted',
  'log compacted',
  'configuration changed',
  'read',
  'read out of range',
  'lookup',
  'lookup without result',
  'directory dead',
  'EMFILE: open',
  'transaction: ABORT',
  'transaction: COMMIT',
  'aborted transaction hidden',
  'records deleted',
  'topic deleted',
  'read of a deleted topic',
  'followed',
  'truncated',
  'truncated below the high watermark',
  'started anew',
  'started anew further back',
] as const
const ENOUGH_SEEDS = 1000

async function hashOf(seed: number): Promise<string> {
  const run = new LogLifeRun(seed, scenarioOf(seed))
  await run.run()
  return run.sim.traceHash
}

const tally = await runSeeds(fileURLToPath(import.meta.url), runSeed)
if (tally !== null) {
  test('logs keep what they promise under readers, retention, compaction, truncation and crashes', (context) => {
    context.diagnostic(report(tally))
    assert.equal(tally.failures.length, 0, describeFailures(tally, 'log-life/log-life'))
    if (tally.seeds < 100) return
    const missing = WANTED.filter((situation) => (tally.situations[situation] ?? 0) === 0)
    if (tally.seeds >= ENOUGH_SEEDS) assert.deepEqual(missing, [], 'situations that never came about')
    const { counts } = tally
    assert.equal(counts['gone: durable'] ?? 0, 0)
    assert((counts['gone: os'] ?? 0) > 0, 'a power loss that takes nothing proves nothing')
    assert((counts['acknowledged'] ?? 0) > tally.seeds * 300)
  })

  test('the same seed gives the same run', async () => {
    const first = await hashOf(7)
    assert.equal(await hashOf(7), first)
    assert.notEqual(await hashOf(8), first)
  })
}
