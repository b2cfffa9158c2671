import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import { FakeLog, Waiter } from './fake-log.ts'
import { imageOf, ledPartition } from './led-partition.ts'

function make(topic = 't', leaderEpoch = 5) {
  const log = new FakeLog()
  const partition = ledPartition(log.asLog, 'an id', imageOf({ topic, index: 2, leaderEpoch }))
  const settled: [tag: number, errorCode: number][] = []
  const waiter = { appendSettled: (tag: number, errorCode: number) => void settled.push([tag, errorCode]) }
  return { log, partition, settled, waiter }
}

test('the high watermark is what was written, and goes forward only', () => {
  const { partition, waiter, settled } = make()
  assert.deepEqual([partition.topic, partition.index, partition.leaderEpoch], ['t', 2, 5])
  assert.equal(partition.highWatermark, 10)
  partition.awaitAppended(10, waiter, 1)
  partition.awaitAppended(11, waiter, 2)
  partition.awaitAppended(13, waiter, 3)
  assert.deepEqual(settled, [[1, 0]])
  partition.written(9)
  partition.written(10)
  assert.deepEqual([partition.highWatermark, settled.length], [10, 1])
  partition.written(12)
  assert.deepEqual(
    [partition.highWatermark, settled],
    [
      12,
      [
        [1, 0],
        [2, 0],
      ],
    ],
  )
  partition.written(13)
  assert.deepEqual(settled.at(-1), [3, 0])
})

test('who waits for records hears how many bytes became visible, duplicates and refusals left out', () => {
  const { log, partition } = make()
  const waiter = new Waiter()
  const wait = partition.awaitRecords(waiter, false)
  partition.append(Buffer.alloc(100))
  partition.append(Buffer.alloc(20))
  log.answer = { errorCode: 0, duplicate: true }
  partition.append(Buffer.alloc(3))
  log.answer = { errorCode: ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, duplicate: false }
  partition.append(Buffer.alloc(4))
  assert.deepEqual([waiter.heard, log.appendedUnder], [[], [5, 5, 5, 5]])
  partition.written(11)
  assert.deepEqual(waiter.heard, [120])
  partition.written(12)
  assert.deepEqual(waiter.heard, [120, 1])
  wait.end()
  partition.written(13)
  assert.equal(waiter.heard.length, 2)
})

test('a log that throws while it is changed is a broken invariant', () => {
  const { log, partition } = make()
  log.throws = new Error('out of step')
  assert.throws(() => partition.append(Buffer.alloc(1)), {
    name: 'BrokenInvariant',
    message: /append to t-2/,
  })
})

test('leader epochs: none said, the same, an older and a newer one', () => {
  const { partition } = make()
  assert.deepEqual(
    [-1, 5, 4, 0, 6].map((epoch) => partition.leaderError(epoch)),
    [0, 0, ErrorCode.FENCED_LEADER_EPOCH, ErrorCode.FENCED_LEADER_EPOCH, ErrorCode.UNKNOWN_LEADER_EPOCH],
  )
})

test('read_committed stops below the first open transaction', () => {
  const { log, partition } = make()
  assert.equal(partition.lastStableOffset, 10)
  for (const [open, stable] of [
    [0, 0],
    [7, 7],
    [10, 10],
    [11, 10],
  ] as const) {
    log.firstOpenTransactionOffset = open
    assert.equal(partition.lastStableOffset, stable)
  }
})

test('a partition that fails or goes tells all who wait, once', () => {
  for (const [end, expected] of [
    ['failed', ErrorCode.KAFKA_STORAGE_ERROR],
    ['removed', ErrorCode.UNKNOWN_TOPIC_OR_PARTITION],
  ] as const) {
    const { log, partition, settled, waiter } = make()
    const fetch = new Waiter()
    partition.awaitRecords(fetch, false)
    partition.awaitAppended(11, waiter, 1)
    assert.equal(partition.errorCode, ErrorCode.NONE)
    if (end === 'failed') log.failed = true
    partition[end]()
    assert.equal(partition.errorCode, expected)
    assert.deepEqual([settled, fetch.heard], [[[1, expected]], ['changed']])
    // What was safe before stays so; what is not will not be.
    partition.awaitAppended(10, waiter, 2)
    partition.awaitAppended(12, waiter, 3)
    assert.deepEqual(settled.slice(1), [
      [2, 0],
      [3, expected],
    ])
    partition[end]()
    assert.equal(fetch.heard.length, 1)
    assert.equal(partition.leaderError(5), expected)
    assert.deepEqual(log.deletedBefore, [])
  }
})

test('records are deleted up to the high watermark; below the start of the log there is nothing to do', () => {
  const { log, partition } = make()
  for (const offset of [-2, -100, 11])
    assert.equal(partition.deleteRecordsBefore(offset), ErrorCode.OFFSET_OUT_OF_RANGE)
  for (const offset of [0, 2, 3]) assert.equal(partition.deleteRecordsBefore(offset), ErrorCode.NONE)
  assert.deepEqual(log.deletedBefore, [])
  for (const offset of [4, 10]) assert.equal(partition.deleteRecordsBefore(offset), ErrorCode.NONE)
  assert.deepEqual(log.deletedBefore, [4, 10])
  const all = make()
  assert.equal(all.partition.deleteRecordsBefore(-1), ErrorCode.NONE)
  assert.deepEqual(all.log.deletedBefore, [10])
  all.log.deletes = false
  assert.equal(all.partition.deleteRecordsBefore(-1), ErrorCode.POLICY_VIOLATION)
})
