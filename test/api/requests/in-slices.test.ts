import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inSlices } from '../../../src/api/requests/in-slices.ts'
import type { Broker } from '../../../src/broker/broker.ts'
import { Slices } from '../../../src/broker/slices.ts'
import { StepClock } from '../../support/step-clock.ts'

/** A context whose clock moves by `stepMs` with every look at it, and which counts the turns it was asked for. */
function contextOf(stepMs: number) {
  const clock = new StepClock(stepMs)
  const broker = { clock, slices: new Slices(clock) } as unknown as Broker
  return { seen: clock, context: { broker, abandoned: false } }
}

const items = Array.from({ length: 5_000 }, (_, index) => index)

test('every item once and in order, over several turns', async () => {
  const { seen, context } = contextOf(3)
  const results = await inSlices(items, context, (some) => some.map((item) => item * 2))
  assert.deepEqual(
    results,
    items.map((item) => item * 2),
  )
  assert.ok(seen.turns > 10, `${seen.turns} turns`)
})

test('few items need no other turn', async () => {
  const { seen, context } = contextOf(0)
  assert.deepEqual(await inSlices([1, 2], context, (some) => Promise.resolve(some)), [1, 2])
  assert.equal(seen.turns, 0)
})

test('stops when the client is gone', async () => {
  const { context } = contextOf(3)
  let worked = 0
  await inSlices(items, context, (some) => {
    worked += some.length
    if (worked > 1_000) context.abandoned = true
    return some
  })
  assert.ok(worked > 1_000 && worked < items.length, `${worked} of ${items.length}`)
})
