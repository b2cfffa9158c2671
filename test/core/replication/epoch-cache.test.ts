import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EpochCache } from '../../../src/core/replication/epoch-cache.ts'

function cacheOf(...entries: [number, number][]): EpochCache {
  const cache = new EpochCache()
  for (const [epoch, startOffset] of entries) cache.assign(epoch, startOffset)
  return cache
}

test('assigning keeps epochs and offsets growing', () => {
  const cache = cacheOf([1, 0], [2, 10], [5, 20])
  assert.equal(cache.latestEpoch, 5)
  cache.assign(5, 25)
  assert.equal(cache.latestStartOffset, 20, 'the first offset of an epoch stays')
  cache.assign(3, 15)
  assert.deepEqual(cache.entries(), [
    { epoch: 1, startOffset: 0 },
    { epoch: 2, startOffset: 10 },
    { epoch: 3, startOffset: 15 },
  ])
  cache.assign(7, 5)
  assert.deepEqual(cache.entries(), [
    { epoch: 1, startOffset: 0 },
    { epoch: 7, startOffset: 5 },
  ])
})

test('a batch that is there overrules what is known of another log', () => {
  const at = (epoch: number, startOffset: number): object => {
    const cache = cacheOf([2, 0], [3, 2], [4, 11])
    cache.found(epoch, startOffset)
    return cache.entries().map((entry) => [entry.epoch, entry.startOffset])
  }
  const known = [
    [2, 0],
    [3, 2],
    [4, 11],
  ]
  assert.deepEqual(at(3, 5), known)
  assert.deepEqual(at(4, 11), known)
  assert.deepEqual(at(-1, 5), known)
  assert.deepEqual(at(4, 0), [[4, 0]])
  assert.deepEqual(at(1, 0), [[1, 0]])
  assert.deepEqual(at(2, 3), [[2, 0]])
  assert.deepEqual(at(4, 5), [...known.slice(0, 2), [4, 5]])
  assert.deepEqual(at(0, 0), [[0, 0]])
})

test('end offsets of epochs', () => {
  const cache = cacheOf([2, 10], [4, 20])
  assert.deepEqual(cache.endOffsetFor(4, 33), { epoch: 4, endOffset: 33 })
  assert.deepEqual(cache.endOffsetFor(3, 33), { epoch: 2, endOffset: 20 })
  assert.deepEqual(cache.endOffsetFor(2, 33), { epoch: 2, endOffset: 20 })
  assert.deepEqual(cache.endOffsetFor(1, 33), { epoch: 1, endOffset: 10 })
  assert.deepEqual(cache.endOffsetFor(5, 33), { epoch: -1, endOffset: -1 })
  assert.deepEqual(cache.endOffsetFor(-1, 33), { epoch: -1, endOffset: -1 })
  assert.deepEqual(new EpochCache().endOffsetFor(0, 33), { epoch: -1, endOffset: -1 })
  assert.deepEqual(
    [9, 10, 19, 20, 99].map((offset) => cache.epochAt(offset)),
    [-1, 2, 2, 4, 4],
  )
})

test('truncation from both ends', () => {
  const cache = cacheOf([1, 0], [2, 10], [3, 20])
  cache.truncateFromEnd(20)
  assert.equal(cache.latestEpoch, 2)
  cache.truncateFromStart(5)
  assert.deepEqual(cache.entries()[0], { epoch: 1, startOffset: 5 })
  cache.truncateFromStart(10)
  assert.deepEqual(cache.entries(), [{ epoch: 2, startOffset: 10 }])
  // One that starts there already stays as it is.
  const changes = cache.changeCount
  cache.truncateFromStart(10)
  cache.truncateFromStart(3)
  cache.truncateFromEnd(11)
  assert.equal(cache.changeCount, changes)
  cache.clear()
  assert.equal(cache.latestEpoch, -1)
})

test('the checkpoint is text, and anything else is refused', () => {
  const cache = cacheOf([0, 0], [3, 17])
  assert.equal(cache.encode(), '0\n2\n0 0\n3 17\n')
  assert.deepEqual(EpochCache.decode(cache.encode())?.entries(), cache.entries())
  assert.equal(EpochCache.decode('0\n0\n')?.size, 0)
  for (const text of [
    '',
    '1\n0\n',
    '0\n2\n0 0\n',
    '0\n1\n0 x\n',
    '0\n2\n3 0\n1 5\n',
    '0\n2\n1 9\n2 5\n',
    '0\n1\n0 0 0\n',
  ]) {
    assert.equal(EpochCache.decode(text), null, JSON.stringify(text))
  }
})

test('of several epochs the last that starts at or below the new start of the log stays', () => {
  const left = (startOffset: number): object => {
    const cache = cacheOf([1, 0], [2, 10], [3, 20])
    const before = cache.changeCount
    cache.truncateFromStart(startOffset)
    const entries = cache.entries().map((entry) => [entry.epoch, entry.startOffset])
    assert.equal(cache.changeCount > before, startOffset > 0)
    return entries
  }
  const all = [
    [1, 0],
    [2, 10],
    [3, 20],
  ]
  assert.deepEqual(left(0), all)
  assert.deepEqual(left(1), [[1, 1], ...all.slice(1)])
  assert.deepEqual(left(9), [[1, 9], ...all.slice(1)])
  assert.deepEqual(left(10), all.slice(1))
  assert.deepEqual(left(19), [[2, 19], all[2]])
  assert.deepEqual(left(20), [all[2]])
  assert.deepEqual(left(99), [[3, 99]])
})
