import assert from 'node:assert/strict'
import { test } from 'node:test'
import { requireAll } from '../support/cache.ts'
import { startSamsa } from '../support/broker-process.ts'
import { skipMissing } from '../support/requirements.ts'
import { Seeded } from '../support/seed.ts'
import { cells, engines, flushProperties, share } from './cells.ts'
import { briskProperties, Ledger } from './ledger.ts'

/** Rounds of produce and kill -9 in total, over all engines and flush modes. CI has the time for more. */
const ROUNDS = Number(process.env['SAMSA_KILL_ROUNDS'] ?? (requireAll ? 36 : 12))

test(`kill -9 under load, ${ROUNDS} rounds`, { timeout: 120_000 + ROUNDS * 10_000 }, async (t) => {
  const random = new Seeded()
  t.diagnostic(`SAMSA_SEED=${random.seed}`)
  const { usable, missing } = await engines()
  if (missing !== null) await t.test('io_uring', (u) => skipMissing(u, missing))
  const all = cells(usable)
  for (const [number, { mode, engine }] of all.entries()) {
    const rounds = share(ROUNDS, all.length, number)
    const seed = random.uint32()
    await t.test(`${rounds} rounds: ${mode}, io ${engine ?? 'auto'}`, async (u) => {
      const acked = await killRounds(rounds, seed, { ...flushProperties(mode, 100), ...ioProperties(engine) })
      u.diagnostic(`${acked} records acked`)
      assert.ok(acked > rounds, 'the load was real')
    })
  }
})

function ioProperties(engine: string | undefined): Record<string, string> {
  return engine === undefined ? {} : { 'samsa.io': engine }
}

/** Whatever the flush mode: what was acknowledged outlives the process. */
async function killRounds(rounds: number, seed: number, properties: Record<string, string>): Promise<number> {
  const random = new Seeded(seed)
  await using server = await startSamsa({ properties: { ...briskProperties, ...properties } })
  const ledger = new Ledger({ random })
  await ledger.createTopics(server.port)
  let acked = 0
  for (let round = 0; round < rounds; round++) {
    const running = await ledger.load(server.port, random.between(20, 200))
    await server.kill()
    await Promise.all(running)
    await server.start()
    acked += (await ledger.check(server.port, { acked: 'all' })).acked
  }
  await ledger.settle(server.port)
  return acked
}
