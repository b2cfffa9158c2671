import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DurabilityRun } from './durability-run.ts'
import type { DurabilityOptions } from './durability-run.ts'

async function hashOf(seed: number, options: DurabilityOptions): Promise<string> {
  const run = new DurabilityRun(seed, options)
  await run.run()
  return run.sim.traceHash
}

test('the same seed gives the same run', async () => {
  for (const options of [
    { mode: 'durable', fault: 'none' },
    { mode: 'interval', fault: 'eio' },
    { mode: 'os', fault: 'flip' },
  ] as const) {
    const first = await hashOf(7, { ...options, lives: 2 })
    assert.equal(await hashOf(7, { ...options, lives: 2 }), first)
    assert.notEqual(await hashOf(8, { ...options, lives: 2 }), first)
  }
})
