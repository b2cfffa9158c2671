import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ClusterRun } from './cluster-run.ts'

/** What a seed is worth: whoever runs it again sees what happened, event for event. */

async function hashOf(seed: number, failsAtMs = Infinity): Promise<string> {
  const run = new ClusterRun(seed, { faults: 3 })
  if (failsAtMs === Infinity) await run.run()
  else {
    run.sim.scheduler.schedule(failsAtMs, 'failure', null, () => {
      throw new Error('as a broken promise')
    })
    await assert.rejects(run.run(), new RegExp(`as a broken promise\\n.*SAMSA_SEED=${seed}`))
  }
  return run.sim.traceHash
}

test('a seed of a cluster is the same run again', async () => {
  const hash = await hashOf(3)
  assert.equal(await hashOf(3), hash)
  assert.notEqual(await hashOf(4), hash)
})

test('a seed of a cluster that fails does so again, after the same events', async () => {
  const hash = await hashOf(5, 2_000)
  assert.equal(await hashOf(5, 2_000), hash)
})
