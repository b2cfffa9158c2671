import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OffsetIndex } from '../../../src/log/segment/offset-index.ts'
import { TimeIndex } from '../../../src/log/segment/time-index.ts'
import { TransactionIndex } from '../../../src/log/segment/transaction-index.ts'
import { SimRandom } from '../../simulator/sim-random.ts'

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

test('time index: a timestamp at the end of int64, as Kafka may have written it, is kept', () => {
  const index = new TimeIndex(0, 1)
  index.maybeAppend(2 ** 63, 5)
  const bytes = index.encode()
  assert.equal(bytes.toString('hex'), '7fffffffffffffff00000005')
  assert.equal(TimeIndex.decode(bytes, 0)?.lastTimestampMs, 2 ** 63)
})

test('transaction index: what a reader has to leave out, however long a transaction was open', () => {
  const random = new SimRandom(1)
  for (let round = 0; round < 30; round++) {
    const index = new TransactionIndex()
    const all: { first: number; last: number }[] = []
    const open: number[] = []
    for (let offset = 0; offset < 2000; offset++) {
      if (open.length === 0 || random.chance(0.5)) {
        open.push(offset)
        continue
      }
      const [first] = open.splice(random.chance(0.05) ? 0 : open.length - 1, 1)
      if (random.chance(0.5)) continue
      index.add(offset, first!, offset, open[0] ?? offset + 1)
      all.push({ first: first!, last: offset })
    }
    for (let i = 0; i < 50; i++) {
      const from = random.below(2000)
      const to = from + random.below(100)
      const expected = all.filter(({ first, last }) => last >= from && first < to)
      const found = index.all.within(from, to)
      assert.deepEqual(
        found.map(({ firstOffset, lastOffset }) => ({ first: firstOffset, last: lastOffset })),
        expected,
      )
    }
  }
})

test('transaction index: a fetch costs what it finds, not what there is', () => {
  const index = new TransactionIndex()
  // One transaction is open all the time, so no last stable offset says where to stop.
  for (let i = 0; i < 300_000; i++) index.add(i, 10 + i * 2, 11 + i * 2, 5)
  index.add(-1, 5, 700_000, 700_001)
  const aborted = index.all
  const rounds = 1000
  const startedMs = performance.now()
  for (let i = 0; i < rounds; i++) {
    const from = 10 + i * 600
    assert.equal(aborted.within(from, from + 10).length, 6)
  }
  const eachMs = (performance.now() - startedMs) / rounds
  assert(eachMs < 0.5, `${eachMs} ms each`)
})

test('transaction index: taking entries out leaves those as they are who read meanwhile', () => {
  const index = new TransactionIndex()
  for (let i = 0; i < 1000; i++) index.add(i, i * 2, i * 2 + 1, i * 2 + 2)
  const before = index.all
  index.truncateFromStart(501)
  index.truncateFromEnd(1501)
  index.remove(new Set(index.all.within(600, 700)))
  assert.equal(before.within(0, 2000).length, 1000)
  assert.deepEqual(
    index.all.within(0, 2000).map(({ producerId }) => producerId),
    Array.from({ length: 500 }, (_, i) => 250 + i).filter((id) => id < 300 || id >= 350),
  )
  const bytes = index.encode(501, 1000)
  assert(bytes !== null)
  const again = new TransactionIndex()
  assert(again.decode(bytes, 501, 1000))
  assert.deepEqual(again.encode(501, 1000), bytes)
  assert.equal(index.encode(600, 700), null)
})

test('transaction index: a file that cannot be true is refused as a whole', () => {
  const index = new TransactionIndex()
  index.add(1, 10, 12, 13)
  index.add(2, 11, 15, 16)
  const good = index.encode(0, 100)!
  const damaged = (change: (bytes: Buffer) => void): Buffer => {
    const bytes = Buffer.from(good)
    change(bytes)
    return bytes
  }
  for (const bytes of [
    good.subarray(1),
    damaged((bytes) => bytes.writeInt16BE(1, 34)),
    damaged((bytes) => bytes.writeInt32BE(16, 14)),
    damaged((bytes) => bytes.writeInt32BE(-1, 10)),
    damaged((bytes) => bytes.fill(0)),
    damaged((bytes) => bytes.writeInt32BE(200, 34 + 22)),
    damaged((bytes) => bytes.copy(bytes, 34, 0, 34)),
  ]) {
    const into = new TransactionIndex()
    assert(!into.decode(bytes, 0, 100))
    assert(into.empty)
  }
  assert(!new TransactionIndex().decode(good, 13, 100), 'of another segment')
  assert(new TransactionIndex().decode(good, 12, 100))
})
