import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OffsetIndex } from '../../../src/log/segment/offset-index.ts'
import { TimeIndex } from '../../../src/log/segment/time-index.ts'

test('offset index: floor lookups, truncation, the bytes of Kafka', () => {
  const index = new OffsetIndex(1000, 1)
  for (let i = 1; i <= 100; i++) index.append(1000 + i * 10, i * 5000)
  assert.equal(index.positionBefore(1009), 0)
  assert.equal(index.positionBefore(1010), 5000)
  assert.equal(index.positionBefore(1019), 5000)
  assert.equal(index.positionBefore(99_999), 500_000)
  assert.equal(index.boundaryBefore(4999, Infinity), 0)
  assert.equal(index.boundaryBefore(5000, Infinity), 5000)
  assert.equal(index.boundaryBefore(12_345, Infinity), 10_000)
  assert.equal(index.boundaryBefore(12_345, 1020), 5000, 'that batch ends with offset 1020')
  assert.equal(index.boundaryBefore(12_345, 1021), 10_000)
  assert.equal(index.boundaryBefore(1e9, 1010), 0)
  assert.equal(index.boundaryBefore(1e9, 1e9), 500_000)
  const bytes = index.encode()
  assert.equal(bytes.subarray(0, 16).toString('hex'), '0000000a000013880000001400002710')
  assert.deepEqual(OffsetIndex.decode(bytes, 1000, 500_001)?.encode(), bytes)
  assert.equal(OffsetIndex.decode(bytes, 1000, 500_000), null, 'points beyond the log')
  assert.equal(OffsetIndex.decode(bytes.subarray(1), 1000, 1e9), null)
  assert.equal(OffsetIndex.decode(Buffer.concat([bytes, Buffer.alloc(8)]), 1000, 1e9), null)
  index.truncateTo(1020)
  assert.equal(index.count, 1)
  index.truncateTo(0)
  assert.deepEqual([index.count, index.lastPosition], [0, 0])
})

test('time index: only younger timestamps enter; lookups, truncation, the bytes of Kafka', () => {
  const index = new TimeIndex(1000, 1)
  index.maybeAppend(-1, 1000)
  index.maybeAppend(50, 1003)
  index.maybeAppend(50, 1004)
  index.maybeAppend(40, 1005)
  index.maybeAppend(2 ** 40, 1009)
  assert.equal(index.count, 2)
  assert.deepEqual(
    [49, 50, 51, 2 ** 40].map((timestamp) => index.offsetBefore(timestamp)),
    [1000, 1003, 1003, 1009],
  )
  const bytes = index.encode()
  assert.equal(bytes.toString('hex'), '00000000000000320000000300000100000000000' + '0000009')
  assert.deepEqual(TimeIndex.decode(bytes, 1000)?.encode(), bytes)
  assert.equal(TimeIndex.decode(Buffer.concat([bytes, Buffer.alloc(12)]), 1000), null)
  assert.equal(TimeIndex.decode(bytes.subarray(2), 1000), null)
  index.truncateTo(1009)
  assert.equal(index.lastTimestampMs, 50)
})
