import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Wakes } from '../../../src/broker/fetch/wakes.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { StepClock } from '../../support/step-clock.ts'

test('who is woken runs at the end of the turn, also when another one wakes it then', () => {
  const clock = new ManualClock()
  const wakes = new Wakes(clock)
  const order: string[] = []
  wakes.add(() => {
    order.push('a')
    wakes.add(() => void order.push('c'))
  })
  wakes.add(() => void order.push('b'))
  assert.equal(order.length, 0)
  clock.endTurn()
  assert.equal(order.join(''), 'abc')
  wakes.add(() => void order.push('d'))
  clock.endTurn()
  assert.equal(order.join(''), 'abcd')
})

test('thousands that are woken at once have several turns, and keep their order', async () => {
  const clock = new StepClock(1)
  const wakes = new Wakes(clock)
  const perTurn = new Map<number, number>()
  const order: number[] = []
  // It ends a turn, as there is none before.
  clock.after(0, () => {})
  await new Promise<void>((resolve) => {
    for (let n = 0; n < 3_000; n++)
      wakes.add(() => {
        clock.monotonicMs()
        order.push(n)
        perTurn.set(clock.turns, (perTurn.get(clock.turns) ?? 0) + 1)
        if (order.length === 3_000) resolve()
      })
  })
  assert.deepEqual(
    order,
    Array.from({ length: 3_000 }, (_, n) => n),
  )
  const most = Math.max(...perTurn.values())
  assert.ok(most <= 30, `${most} of a millisecond in one turn`)
})
