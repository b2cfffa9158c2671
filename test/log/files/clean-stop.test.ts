import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  decodeCleanStop,
  encodeCleanStop,
  lostSince,
  markInventory,
  marksInventory,
} from '../../../src/log/files/clean-stop.ts'
import type { LogAtStop } from '../../../src/log/files/clean-stop.ts'

const LOG: LogAtStop = {
  logStartOffset: 12,
  logEndOffset: 40,
  segments: [
    { baseOffset: 0, sizeBytes: 100 },
    { baseOffset: 10, sizeBytes: 200 },
    { baseOffset: 20, sizeBytes: 0 },
    { baseOffset: 30, sizeBytes: 70 },
  ],
}

test('what a clean stop left is read as it was written, or not at all', () => {
  const logs = new Map([
    ['a-0', LOG],
    ['b.c_d-17', { logStartOffset: 0, logEndOffset: 0, segments: [{ baseOffset: 0, sizeBytes: 0 }] }],
  ])
  const bytes = encodeCleanStop(logs)
  assert.deepEqual(decodeCleanStop(bytes), logs)
  assert.deepEqual(decodeCleanStop(encodeCleanStop([])), new Map())
  for (let at = 0; at < bytes.length; at++) {
    const flipped = Buffer.from(bytes)
    flipped[at]! ^= 1
    assert.equal(decodeCleanStop(flipped), null)
    assert.equal(decodeCleanStop(bytes.subarray(0, at)), null)
  }
})

test('only the marker of a stop that wrote an inventory says so', () => {
  const marker = Buffer.from('{"version":0,"brokerEpoch":17}')
  assert(marksInventory(markInventory(marker)))
  for (const other of [marker, Buffer.alloc(0), Buffer.from('version: 0\nbrokerEpoch: 41\n')])
    assert(!marksInventory(other))
})

test('what is lost of a log: segments that are gone or shorter, above the log start', () => {
  const found = new Map(
    LOG.segments.map(({ baseOffset, sizeBytes }) => [baseOffset, { nextOffset: baseOffset + 10, sizeBytes }]),
  )
  assert.deepEqual(lostSince(LOG, found), [])
  const without = (baseOffset: number): typeof found =>
    new Map([...found].filter(([base]) => base !== baseOffset))
  assert.deepEqual(lostSince(LOG, without(0)), [], 'all of it was deleted')
  assert.deepEqual(lostSince(LOG, without(20)), [], 'there was nothing in it')
  assert.deepEqual(lostSince(LOG, without(10)), [{ baseOffset: 10, offset: 12, goesOnAt: 20 }])
  assert.deepEqual(lostSince(LOG, without(30)), [{ baseOffset: 30, offset: 30, goesOnAt: 40 }])
  const cut = new Map(found).set(10, { nextOffset: 15, sizeBytes: 120 })
  assert.deepEqual(lostSince(LOG, cut), [{ baseOffset: 10, offset: 15, goesOnAt: 20 }])
})
