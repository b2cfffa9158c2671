import assert from 'node:assert/strict'
import { test } from 'node:test'
import { requireAll } from '../support/cache.ts'
import { skipMissing } from '../support/requirements.ts'
import { Seeded } from '../support/seed.ts'
import { cells, engines, share } from '../durability/cells.ts'
import { lossTable, type Row } from './loss-table.ts'
import { mountProblem } from './mounts.ts'
import { measureLoss } from './power-cut.ts'

/** Cuts in total, over all engines and modes, on disks of both kinds: a few, and in CI as many as it has time for. */
const ROUNDS = Number(process.env['SAMSA_POWER_ROUNDS'] ?? (requireAll ? 36 : 12))

test(`${ROUNDS} power cuts under load`, { timeout: 120_000 + ROUNDS * 15_000 }, async (t) => {
  const problem = await mountProblem()
  if (problem !== null) return skipMissing(t, problem)
  const random = new Seeded()
  t.diagnostic(`SAMSA_SEED=${random.seed}`)
  const { usable, missing } = await engines()
  if (missing !== null) await t.test('io_uring', (u) => skipMissing(u, missing))
  const rows: Row[] = []
  for (const [number, cell] of cells(usable).entries()) {
    const rounds = share(ROUNDS, cells(usable).length, number)
    await t.test(`${rounds} cuts: ${cell.mode}, io ${cell.engine ?? 'auto'}`, async () => {
      rows.push({ ...cell, loss: await measureLoss({ ...cell, rounds, seed: random.uint32() }) })
    })
  }
  for (const line of lossTable(rows)) t.diagnostic(line)
  const cut = rows.filter(({ mode, loss }) => mode === 'os' && loss.rounds > 0)
  assert.ok(
    cut.some(({ loss }) => loss.lost > 0),
    'a broker that never flushed lost nothing: the cuts do not bite, and the run proves nothing',
  )
})
