import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SegmentSpace } from '../../../src/log/space/segment-space.ts'

const KIB = 1 << 10
const MIB = 1 << 20
const GIB = 1 << 30

test('nothing is reserved for the first write, one step for the second', () => {
  const space = new SegmentSpace()
  space.wrote(0, 100)
  assert.equal(space.wanted(0, 100, 100, GIB), -1)
  space.wrote(1, 100)
  const size = space.wanted(1, 200, 200, GIB)
  assert.equal(size, 4096 + 64 * KIB)
  assert.equal(space.wanted(1, size - 33 * KIB, size, GIB), -1, 'more than half of it is left')
  assert.equal(space.wanted(1, size - 32 * KIB, size, GIB), size + 32 * KIB)
})

test('the reserve follows the rate, up and down, between its bounds', () => {
  const space = new SegmentSpace()
  let end = 0
  const write = (fromMs: number, toMs: number, bytesPerMs: number): number => {
    for (let ms = fromMs; ms < toMs; ms += 5) {
      end += bytesPerMs * 5
      space.wrote(ms, bytesPerMs * 5)
    }
    return space.wanted(toMs, end, end, Number.MAX_SAFE_INTEGER) - end
  }
  const megabyte = write(0, 5000, 1000)
  assert.ok(megabyte > 1_000_000 && megabyte < 2_100_000, `${megabyte}`)
  assert.ok(write(5000, 10_000, 10_000) > 10_000_000)
  const most = write(10_000, 15_000, 1_000_000)
  assert.ok(most <= 64 * MIB + 4096 && most > 60 * MIB)
  assert.ok(write(15_000, 20_000, 10) <= 64 * KIB + 4096)
})

test('no reserve goes beyond what the segment will hold', () => {
  const space = new SegmentSpace()
  space.wrote(0, 10)
  space.wrote(0, 10)
  assert.equal(space.wanted(0, 20, 20, 10_000), 8192)
  assert.equal(space.wanted(0, 20, 20, 4000), -1)
  assert.equal(space.wanted(0, 9000, 9000, 10_000), -1)
})

test('after a refusal it asks again, later; the first refusal is news', () => {
  const space = new SegmentSpace()
  space.wrote(0, 10)
  space.wrote(0, 10)
  assert.equal(space.refused(0), true)
  assert.equal(space.wanted(1000, 20, 20, GIB), -1)
  assert.ok(space.wanted(30_000, 20, 20, GIB) > 0)
  assert.equal(space.refused(30_000), false)
  space.granted()
  assert.equal(space.refused(60_000), true)
})

test('an idle log keeps at most one step', () => {
  const space = new SegmentSpace()
  space.wrote(0, 10)
  assert.equal(space.surplus(29_999, 10_000, MIB), -1)
  assert.equal(space.surplus(30_000, 10_000, MIB), 8192 + 64 * KIB)
  assert.equal(space.surplus(30_000, 10_000, 8192 + 64 * KIB), -1)
})
