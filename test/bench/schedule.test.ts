import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TimeQueue } from '../../bench/load/drive.ts'
import { Schedule } from '../../bench/load/schedule.ts'

test('constant slots are evenly spaced and do not drift', () => {
  const schedule = new Schedule({ kind: 'open', perSecond: 3_000, arrivals: 'constant' }, 500, 1)
  let last = 0
  for (let i = 1; i <= 30_000; i++) last = schedule.next()
  assert.ok(Math.abs(last - 500 - 10_000_000) < 1e-3)
})

test('poisson slots ascend, keep the mean rate and repeat under a seed', () => {
  const times = (seed: number): number[] => {
    const schedule = new Schedule({ kind: 'open', perSecond: 2_000, arrivals: 'poisson' }, 0, seed)
    return Array.from({ length: 20_000 }, () => schedule.next())
  }
  const some = times(42)
  assert.ok(some.every((time, i) => i === 0 || time > some[i - 1]!))
  // 20,000 exponential gaps of mean 500 us: the standard deviation of their sum is 0.7 %.
  assert.ok(Math.abs(some.at(-1)! / 10_000_000 - 1) < 0.04)
  const gaps = some.map((time, i) => time - (some[i - 1] ?? 0))
  assert.ok(new Set(gaps.map((gap) => Math.round(gap))).size > 1_000)
  assert.deepEqual(times(42), some)
  assert.notDeepEqual(times(43), some)
})

test('the queue of waiting slots keeps their order while it grows and wraps', () => {
  const queue = new TimeQueue()
  let pushed = 0
  let shifted = 0
  for (let round = 0; round < 50; round++) {
    for (let i = 0; i < 130; i++) queue.push(pushed++)
    for (let i = 0; i < 70; i++) assert.equal(queue.shift(), shifted++)
  }
  assert.equal(queue.length, pushed - shifted)
  while (queue.length > 0) assert.equal(queue.shift(), shifted++)
  assert.equal(shifted, pushed)
})
