import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DurabilityRun } from './durability-run.ts'
import type { FlushMode } from './durability-run.ts'
import type { Lie } from './lying-disk.ts'
import { seedsFromEnvironment } from './sim-random.ts'

/** More for a night: `SAMSA_SIM_SEEDS`. */
const SEEDS = Number(process.env['SAMSA_SIM_SEEDS'] ?? 40)
const LIVES = 3

for (const mode of ['durable', 'os'] as const) {
  test(`the broker keeps what it promises with flush mode ${mode}`, async () => {
    const totals = { acknowledged: 0, lost: 0, duplicates: 0, commits: 0 }
    for (const seed of seedsFromEnvironment(1, SEEDS)) {
      const run = new DurabilityRun(seed, { mode, lives: LIVES })
      await run.run()
      totals.acknowledged += run.seen.acknowledged
      totals.lost += run.seen.lost
      totals.duplicates += run.seen.duplicates
      totals.commits += run.seen.commits
    }
    if (process.env['SAMSA_SEED'] !== undefined) return
    // The runs were worth something.
    assert(totals.acknowledged > SEEDS * 50, JSON.stringify(totals))
    assert(totals.commits > SEEDS * 2, JSON.stringify(totals))
    assert(totals.duplicates > SEEDS / 10, JSON.stringify(totals))
    if (mode === 'durable') assert.equal(totals.lost, 0)
    else assert(totals.lost > SEEDS, JSON.stringify(totals))
  })
}

test('the same seed gives the same run', async () => {
  for (const seed of seedsFromEnvironment(7, 2)) {
    const hashes = new Set<string>()
    for (let time = 0; time < 2; time++) {
      const run = new DurabilityRun(seed, { mode: 'durable', lives: 2 })
      await run.run()
      hashes.add(run.sim.traceHash)
    }
    assert.equal(hashes.size, 1, [...hashes].join())
  }
})

/** Seeded bugs, each with the mode whose promise it breaks. */
const BUGS: readonly (readonly [Lie, FlushMode])[] = [
  ['done-before-written', 'os'],
  ['done-before-written', 'durable'],
  ['durable-write-is-not', 'durable'],
  ['sync-skipped', 'os'],
  ['sync-skipped-at-start', 'os'],
  ['directory-sync-skipped', 'durable'],
  ['marker-not-removed', 'os'],
  ['write-cut-short', 'os'],
  ['write-dropped', 'durable'],
]

for (const [lie, mode] of BUGS) {
  test(`the checker sees the bug '${lie}' with flush mode ${mode}`, async () => {
    let verdict: unknown = null
    for (let seed = 1; seed <= 300; seed++) {
      try {
        await new DurabilityRun(seed, { mode, lives: LIVES, lie }).run()
      } catch (error) {
        verdict = error
        break
      }
    }
    // A promise that was not kept, and not an accident of the lying.
    assert(verdict instanceof assert.AssertionError, `nobody noticed: ${String(verdict)}`)
  })
}
