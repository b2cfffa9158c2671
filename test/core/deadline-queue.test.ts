import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Deadline, DeadlineQueue } from '../../src/core/deadline-queue.ts'
import { SimRandom, seedsFromEnvironment } from '../simulator/sim-random.ts'

describe('deadlines', () => {
  const at = (monotonicMs: number) => ({ monotonicMs, wallMs: 0 })

  test('fire in order, once, and not before they are due', () => {
    const queue = new DeadlineQueue()
    const fired: number[] = []
    for (const dueMs of [30, 10, 20]) queue.arm(new Deadline({ expired: () => fired.push(dueMs) }), dueMs)
    assert.equal(queue.nextMs, 10)
    queue.expire(at(9.9))
    assert.deepEqual(fired, [])
    queue.expire(at(20))
    assert.deepEqual(fired, [10, 20])
    queue.expire(at(100))
    assert.deepEqual(fired, [10, 20, 30])
    assert.equal(queue.nextMs, Infinity)
  })

  test('can be put off, brought forward and cancelled', () => {
    const queue = new DeadlineQueue()
    const fired: string[] = []
    const [a, b, c] = ['a', 'b', 'c'].map((name) => new Deadline({ expired: () => fired.push(name) }))
    for (const deadline of [a!, b!, c!]) queue.arm(deadline, 50)
    queue.arm(a!, 80)
    queue.arm(b!, 10)
    queue.cancel(c!)
    assert.equal(queue.size, 2)
    queue.expire(at(79))
    assert.deepEqual(fired, ['b'])
    queue.expire(at(80))
    assert.deepEqual(fired, ['b', 'a'])
    assert.equal(queue.size, 0)
  })

  test('that arm themselves for now run in the same round', () => {
    const queue = new DeadlineQueue()
    let runs = 0
    const deadline: Deadline = new Deadline({
      expired(now) {
        if (++runs < 3) queue.arm(deadline, now.monotonicMs)
      },
    })
    queue.arm(deadline, 5)
    queue.expire(at(5))
    assert.equal(runs, 3)
  })

  test('random arming against a plain list', () => {
    for (const seed of seedsFromEnvironment(Math.floor(Math.random() * 2 ** 31), 50)) {
      const random = new SimRandom(seed)
      const queue = new DeadlineQueue()
      const due = new Map<number, number>()
      const fired: number[] = []
      const deadlines = Array.from({ length: 30 }, (_, i) => new Deadline({ expired: () => fired.push(i) }))
      let nowMs = 0
      for (let step = 0; step < 500; step++) {
        const i = random.below(deadlines.length)
        const dueMs = nowMs + random.below(100)
        if (random.chance(0.6)) {
          queue.arm(deadlines[i]!, dueMs)
          due.set(i, dueMs)
        } else if (random.chance(0.5)) {
          queue.cancel(deadlines[i]!)
          due.delete(i)
        } else {
          nowMs += random.below(20)
          queue.expire(at(nowMs))
          const expected = [...due].filter(([, ms]) => ms <= nowMs).sort(([, a], [, b]) => a - b)
          for (const [fires] of expected) due.delete(fires)
          const byId = (a: number, b: number) => a - b
          const expectedIds = expected.map(([fires]) => fires).sort(byId)
          assert.deepEqual(fired.splice(0).sort(byId), expectedIds, `replay with SAMSA_SEED=${seed}`)
        }
        assert.equal(queue.size, due.size, `replay with SAMSA_SEED=${seed}`)
        const earliestMs = Math.min(...due.values())
        assert.ok(queue.nextMs <= earliestMs, `replay with SAMSA_SEED=${seed}`)
      }
    }
  })
})
