import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FlushSchedule } from '../../../src/log/directory/flush-schedule.ts'
import type { DueFlush } from '../../../src/log/directory/flush-schedule.ts'
import type { Clock, Timer } from '../../../src/ports.ts'
import { Seeded } from '../../support/seed.ts'

/** A clock that only moves when told, and counts its timers. */
class TestClock implements Clock {
  now = 1000.5
  made = 0
  #timers: { dueMs: number; run: () => void }[] = []

  get pending(): number {
    return this.#timers.length
  }

  nowMs(): number {
    return this.now
  }

  monotonicMs(): number {
    return this.now
  }

  after(delayMs: number, run: () => void): Timer {
    const timer = { dueMs: this.now + delayMs, run }
    this.made++
    this.#timers.push(timer)
    return { cancel: () => void (this.#timers = this.#timers.filter((other) => other !== timer)) }
  }

  atEndOfTurn(): void {
    assert.fail('not used')
  }

  advanceTo(ms: number): void {
    for (;;) {
      const next = this.#timers.toSorted((a, b) => a.dueMs - b.dueMs)[0]
      if (next === undefined || next.dueMs > ms) break
      this.now = Math.max(this.now, next.dueMs)
      this.#timers = this.#timers.filter((other) => other !== next)
      next.run()
    }
    this.now = ms
  }
}

test('each flush begins when it is due, in order, on one timer', () => {
  const seeded = new Seeded()
  const clock = new TestClock()
  const schedule = new FlushSchedule(clock)
  const started: [due: number, at: number][] = []
  const ended: (() => void)[] = []
  const flushes: DueFlush[] = []
  for (let i = 0; i < 500; i++) {
    const dueMs = 1001 + ((i * 79) % 500) * 4 + seeded.between(0, 3)
    const run = (done: () => void): boolean => {
      started.push([dueMs, clock.now])
      if (seeded.between(0, 1) === 0) return false
      ended.push(done)
      return true
    }
    flushes.push({ dueMs, cancelled: false, run })
  }
  for (const flush of flushes) {
    schedule.add(flush)
    assert.equal(clock.pending, 1)
  }
  const cancelled = flushes.filter((_, i) => i % 7 === 0)
  for (const flush of cancelled) flush.cancelled = true
  for (let ms = 1001; ms <= 5000; ms++) {
    clock.advanceTo(ms)
    while (ended.length > 0) ended.pop()?.()
  }
  assert.equal(started.length, flushes.length - cancelled.length, `SAMSA_SEED=${seeded.seed}`)
  for (const [due, at] of started) assert.equal(at, due, `SAMSA_SEED=${seeded.seed}`)
  assert.equal(clock.pending, 0)
})

test('many that are due at once go a few at a time', () => {
  const clock = new TestClock()
  const schedule = new FlushSchedule(clock)
  const running: (() => void)[] = []
  let started = 0
  for (let i = 0; i < 100; i++) {
    const run = (done: () => void): boolean => {
      started++
      running.push(done)
      return true
    }
    schedule.add({ dueMs: 1100, cancelled: false, run })
  }
  clock.advanceTo(1200)
  assert.equal(started, 4)
  for (let done = running.shift(); done !== undefined; done = running.shift()) {
    done()
    assert.ok(running.length <= 4)
  }
  assert.equal(started, 100)
})
