import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RecentWrites, WriteClock } from '../../../src/system/disk/recent-writes.ts'

const MIB = 1 << 20

test('covers what was written here and nothing else', () => {
  const recent = new RecentWrites(new WriteClock(16 * MIB))
  assert.equal(recent.covers(0, 0), false)
  recent.wrote(100, 50)
  recent.wrote(150, 50)
  assert.equal(recent.covers(100, 100), true)
  assert.equal(recent.covers(120, 10), true)
  assert.equal(recent.covers(99, 10), false)
  assert.equal(recent.covers(190, 11), false)
})

test('a write elsewhere starts anew; a write over known bytes does not', () => {
  const recent = new RecentWrites(new WriteClock(16 * MIB))
  recent.wrote(0, 100)
  recent.wrote(50, 10)
  assert.equal(recent.covers(0, 100), true)
  recent.wrote(500, 100)
  assert.equal(recent.covers(500, 100), true)
  assert.equal(recent.covers(0, 100), false)
})

test('bytes age as any file is written', () => {
  const clock = new WriteClock(8 * MIB)
  const one = new RecentWrites(clock)
  const other = new RecentWrites(clock)
  one.wrote(0, MIB)
  one.wrote(MIB, MIB)
  other.wrote(0, 5 * MIB)
  one.wrote(2 * MIB, MIB)
  assert.equal(one.covers(0, 3 * MIB), true)
  other.wrote(5 * MIB, 2 * MIB)
  assert.equal(one.covers(0, MIB), false)
  assert.equal(one.covers(2 * MIB, MIB), true)
  other.wrote(7 * MIB, 20 * MIB)
  assert.equal(one.covers(2 * MIB, MIB), false)
  one.wrote(3 * MIB, 10)
  assert.equal(one.covers(3 * MIB, 10), true)
})

test('truncation forgets the bytes behind it', () => {
  const recent = new RecentWrites(new WriteClock(16 * MIB))
  recent.wrote(0, 100)
  recent.truncated(60)
  assert.equal(recent.covers(0, 60), true)
  assert.equal(recent.covers(0, 61), false)
  recent.wrote(60, 10)
  assert.equal(recent.covers(0, 70), true)
  recent.truncated(0)
  assert.equal(recent.covers(0, 1), false)
})

test('agrees with a plain list of who wrote each byte, over random appends and truncations', () => {
  const seed = Number(process.env['SAMSA_SEED'] ?? Date.now() % 2 ** 31)
  let state = seed >>> 0 || 1
  const next = (below: number): number => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9
    state >>>= 0
    return state % below
  }
  const clock = new WriteClock(4 * MIB)
  const recent = new RecentWrites(clock)
  /** Per 64 KiB block the clock's total when it was written. */
  const blocks: number[] = []
  const block = 64 * 1024
  for (let i = 0; i < 3000; i++) {
    const what = next(10)
    if (what < 7) {
      const count = 1 + next(8)
      recent.wrote(blocks.length * block, count * block)
      for (let b = 0; b < count; b++) blocks.push(clock.totalBytes)
    } else if (what < 8 && blocks.length > 0) {
      blocks.length -= next(Math.min(4, blocks.length))
      recent.truncated(blocks.length * block)
    }
    const from = next(blocks.length + 2)
    const count = 1 + next(4)
    if (recent.covers(from * block, count * block)) {
      const oldest = Math.min(...Array.from({ length: count }, (_, b) => blocks[from + b] ?? -1))
      assert.ok(oldest >= 0 && clock.totalBytes - oldest <= 4 * MIB, `SAMSA_SEED=${seed}, step ${i}`)
    }
  }
})
