import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Clock } from '../../../src/ports.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { durable, startManager, TOPIC_ID } from './log-manager-fixture.ts'

const LOGS = 400
const NEVER_MS = 2 ** 31 - 1

let laterTurns = 0

/** Each look at it takes a quarter of a millisecond, as if something had been done. */
function busyClock(clock: Clock): Clock {
  let busyMs = 0
  return {
    nowMs: () => clock.nowMs(),
    monotonicMs: () => clock.monotonicMs() + (busyMs += 0.25),
    after: (delayMs, run) => {
      if (delayMs === 0) laterTurns++
      return clock.after(delayMs, run)
    },
    atEndOfTurn: (stage, run) => clock.atEndOfTurn(stage, run),
  }
}

test('what is done for very many logs takes turns with everybody else', async () => {
  const sim = new SimWorld(1, { wrapClock: busyClock })
  await sim.run(async () => {
    const manager = await startManager(sim.start(), {
      checkpointIntervalMs: NEVER_MS,
      cleaner: { enabled: true, backoffMs: NEVER_MS },
    })
    await Promise.all(
      Array.from({ length: LOGS }, (_, index) => manager.getOrCreate('t', index, TOPIC_ID, durable, true)),
    )
    for (const round of [() => manager.applyRetention(), () => manager.clean()]) {
      laterTurns = 0
      await round()
      // A slice is 4 ms, and each log takes a quarter of one at least.
      assert.ok(laterTurns >= LOGS / 16 - 1, `${laterTurns} turns`)
    }
    await manager.close(false)
  })
})
