import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { describeFailures, report, runSeeds } from '../seed-shares.ts'
import { runSeed } from './campaign.ts'

/** The campaign: each seed is a broker that lives, crashes and is looked at; see `runSeeds`. */

/** Situations that a campaign of some size must have met, or it proves less than it claims. */
const WANTED = [
  'end: kill',
  'end: power loss',
  'end: stop',
  'died while starting',
  'died with write under way',
  'died with sync under way',
  'died with reserve under way',
  'died with truncate under way',
  'died with remove under way',
  'died with syncDirectory under way',
  'recovered',
  'torn tail cut',
  'zeros behind the end',
  'stale batches behind the end',
  'garbage behind the end',
  'unclean detected',
  'segments deleted',
  'recycled segment used',
  'reserved',
  'read',
  'slice sent',
  'read below the start',
  'duplicate answered',
  'directory dead',
  'EIO: write',
  'EIO: sync',
  'a sync failed, then: kill',
  'served on beside a dead directory',
  'disk full',
  'disk almost full',
  'bit flipped',
  'write misdirected',
  'damage found by a consumer',
  'damage found by the broker',
  'bad batch found by a read',
  'missing records noticed',
] as const
/** Below that the rare ones may stay out. */
const ENOUGH_SEEDS = 1000

const tally = await runSeeds(fileURLToPath(import.meta.url), runSeed)
if (tally !== null)
  test('the broker keeps what it promises in every flush mode, whatever happens', (context) => {
    context.diagnostic(report(tally))
    assert.equal(tally.failures.length, 0, describeFailures(tally, 'durability/campaign'))
    if (tally.seeds < 100) return
    const missing = WANTED.filter((situation) => (tally.situations[situation] ?? 0) === 0)
    if (tally.seeds >= ENOUGH_SEEDS) assert.deepEqual(missing, [], 'situations that never came about')
    const { counts } = tally
    assert.equal(counts['gone: durable'], 0)
    assert((counts['gone: os'] ?? 0) > tally.seeds / 4, 'a power loss that takes nothing proves nothing')
    assert((counts['gone: interval'] ?? 0) > 0, 'a power loss that takes nothing proves nothing')
    assert((counts['acknowledged'] ?? 0) > tally.seeds * 100)
  })
