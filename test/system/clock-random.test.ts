import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { SystemClock } from '../../src/system/system-clock.ts'
import { SystemRandom } from '../../src/system/system-random.ts'
import { Turn } from '../../src/system/turn.ts'

const clock = new SystemClock(new Turn())
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

test('a timer never fires before its delay, also when the loop was busy as it was set', async () => {
  const busyUntilMs = performance.now() + 30
  while (performance.now() < busyUntilMs);
  const startMs = clock.monotonicMs()
  const firedMs = await new Promise<number>((resolve) => {
    clock.after(20.5, () => resolve(clock.monotonicMs()))
    void pause(500)
  })
  assert.ok(firedMs - startMs >= 20.5, `fired after ${firedMs - startMs} ms`)
})

test('a cancelled timer does not fire, and cancelling is always allowed', async () => {
  let fired = 0
  const cancelled = clock.after(1, () => fired++)
  cancelled.cancel()
  const kept = clock.after(1, () => (fired += 10))
  await pause(20)
  kept.cancel()
  cancelled.cancel()
  assert.equal(fired, 10)
})

test('delays beyond what setTimeout can count do not fire at once', async () => {
  let fired = false
  const timer = clock.after(40 * 24 * 3600 * 1000, () => (fired = true))
  await pause(20)
  timer.cancel()
  assert.equal(fired, false)
})

test('a timer does not keep the process alive', () => {
  const script = `
    const { SystemClock } = await import(${JSON.stringify(new URL('../../src/system/system-clock.js', import.meta.url).href)})
    new SystemClock({ at() {} }).after(60_000, () => {})
  `
  const result = spawnSync(process.execPath, ['--input-type=module', '-e', script], { timeout: 20_000 })
  assert.equal(result.status, 0, result.stderr.toString())
})

test('random bytes have the asked length and do not repeat', () => {
  const random = new SystemRandom()
  const seen = new Set<string>()
  for (let i = 0; i < 2000; i++) {
    const bytes = random.bytes(16)
    assert.equal(bytes.length, 16)
    seen.add(bytes.toString('hex'))
  }
  assert.equal(seen.size, 2000)
  assert.equal(random.bytes(0).length, 0)
  assert.equal(random.bytes(100_000).length, 100_000)
})

test('random numbers fill 32 bits', () => {
  const random = new SystemRandom()
  let ones = 0
  let zeros = 0xffffffff
  for (let i = 0; i < 5000; i++) {
    const value = random.uint32()
    assert.ok(Number.isInteger(value) && value >= 0 && value < 2 ** 32)
    ones |= value
    zeros &= value
  }
  assert.equal(ones >>> 0, 0xffffffff)
  assert.equal(zeros >>> 0, 0)
})
