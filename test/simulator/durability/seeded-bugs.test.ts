import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seedsFrom } from '../seed-order.ts'
import { DurabilityRun } from './durability-run.ts'
import type { FlushMode } from './durability-run.ts'
import type { Fault } from './durability-trouble.ts'
import type { Lie } from './lying-disk.ts'

/**
 * The test of the tester: bugs that somebody might build in, each with the flush mode whose promise it breaks. If the
 * checker lets one of them pass, it proves nothing about a broker without them.
 */

const WITHIN_SEEDS = 200

/** The number: the seed that noticed it the last time, where it was a late one. */
const BUGS: readonly (readonly [Lie, FlushMode, Fault, number?])[] = [
  ['done-before-written', 'os', 'none'],
  ['done-before-written', 'durable', 'none'],
  ['durable-write-is-not', 'durable', 'none'],
  ['sync-skipped', 'os', 'none'],
  ['sync-skipped', 'interval', 'none'],
  ['sync-skipped-at-start', 'os', 'none'],
  ['sync-not-after-write', 'durable', 'none'],
  ['sync-error-swallowed', 'interval', 'eio'],
  ['write-error-swallowed', 'durable', 'eio'],
  ['directory-sync-skipped', 'durable', 'none'],
  ['parent-directory-sync-skipped', 'durable', 'none'],
  ['marker-not-removed', 'os', 'none', 12],
  ['checkpoint-before-flush', 'os', 'none'],
  ['write-cut-short', 'os', 'none'],
  ['write-dropped', 'durable', 'none'],
  ['recycled-size-trusted', 'durable', 'none'],
  ['padding-not-zero', 'durable', 'none'],
  ['reservation-not-durable', 'durable', 'none'],
  ['reservation-over-data', 'durable', 'none'],
  ['truncation-not-durable', 'durable', 'none', 95],
  ['replacement-not-synced', 'durable', 'none', 29],
  ['slice-leaked', 'os', 'none', 8],
  ['timers-late', 'interval', 'none'],
]

/** What the simulated disk says to a caller that breaks its contract: an accident of the lying. */
const ACCIDENT =
  /while another write of it is under way|while another one is under way|after close|buffers changed/

for (const [lie, mode, fault, firstSeed = 1] of BUGS) {
  test(`the checker sees the bug '${lie}' with flush mode ${mode}`, async (context) => {
    for (const seed of seedsFrom(firstSeed, WITHIN_SEEDS)) {
      try {
        await new DurabilityRun(seed, { mode, lives: 3, fault, lie }).run()
      } catch (error) {
        // A promise that was not kept, and nothing else.
        assert(error instanceof assert.AssertionError && !ACCIDENT.test(error.message), String(error))
        context.diagnostic(`${lie}, ${mode}: seed ${seed}: ${error.message.split('\n')[0]?.slice(0, 110)}`)
        return
      }
    }
    assert.fail(`nobody noticed in ${WITHIN_SEEDS} seeds`)
  })
}
