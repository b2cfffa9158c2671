import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Deadline } from '../../src/core/deadline-queue.ts'
import { Deadlines } from '../../src/broker/deadlines.ts'
import { ManualClock } from '../support/manual-clock.ts'

class Entry {
  readonly deadline = new Deadline(this)
  expiredAtMs: number | null = null
  readonly #clock: ManualClock
  constructor(clock: ManualClock) {
    this.#clock = clock
  }
  expired(): void {
    assert.equal(this.expiredAtMs, null, 'expires once')
    this.expiredAtMs = this.#clock.monotonicMs()
  }
}

test('entries expire at their time, never early and at most four milliseconds late', () => {
  const clock = new ManualClock()
  const deadlines = new Deadlines(clock)
  const entries = [500, 3, 100, 0, 250, 101].map((delayMs) => ({ delayMs, entry: new Entry(clock) }))
  for (const { delayMs, entry } of entries) deadlines.arm(entry.deadline, delayMs)
  clock.advance(1000)
  for (const { delayMs, entry } of entries) {
    assert.ok(entry.expiredAtMs !== null && entry.expiredAtMs >= delayMs && entry.expiredAtMs <= delayMs + 4)
  }
  assert.equal(deadlines.size, 0)
  assert.equal(clock.timerCount, 0)
})

test('a removed entry does not expire', () => {
  const clock = new ManualClock()
  const deadlines = new Deadlines(clock)
  const [kept, removed] = [new Entry(clock), new Entry(clock)]
  deadlines.arm(kept.deadline, 10)
  deadlines.arm(removed.deadline, 10)
  deadlines.cancel(removed.deadline)
  clock.advance(100)
  assert.equal(removed.expiredAtMs, null)
  assert.notEqual(kept.expiredAtMs, null)
})

test('many entries share a timer', () => {
  const clock = new ManualClock()
  const deadlines = new Deadlines(clock)
  for (let i = 0; i < 1000; i++) deadlines.arm(new Entry(clock).deadline, 500)
  assert.equal(clock.timerCount, 1)
})

test('an entry may be added again while others expire', () => {
  const clock = new ManualClock()
  const deadlines = new Deadlines(clock)
  let rounds = 0
  const again = new Deadline({
    expired() {
      rounds += 1
      if (rounds < 3) deadlines.arm(again, 10)
    },
  })
  deadlines.arm(again, 10)
  clock.advance(200)
  assert.equal(rounds, 3)
})

test('expireAll leaves nobody waiting', () => {
  const clock = new ManualClock()
  const deadlines = new Deadlines(clock)
  const entry = new Entry(clock)
  deadlines.arm(entry.deadline, 10_000)
  deadlines.expireAll()
  assert.equal(entry.expiredAtMs, 0)
  assert.equal(clock.timerCount, 0)
})
