import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import { EpochCache } from '../../../src/core/replication/epoch-cache.ts'
import { FollowerCore } from '../../../src/core/replication/follower.ts'
import type { FetchAnswer, LogView } from '../../../src/core/replication/follower.ts'

/** Epochs and where each begins; ends at 10. */
function logOf(
  epochs: readonly [epoch: number, startOffset: number][],
  part: Partial<LogView> = {},
): LogView {
  const cache = new EpochCache()
  for (const [epoch, startOffset] of epochs) cache.assign(epoch, startOffset)
  return {
    logStartOffset: 0,
    logEndOffset: 10,
    writtenEndOffset: 10,
    latestEpoch: cache.latestEpoch,
    endOffsetFor: (epoch) => cache.endOffsetFor(epoch, 10),
    ...part,
  }
}

const answerOf = (part: Partial<FetchAnswer>): FetchAnswer => ({
  errorCode: ErrorCode.NONE,
  highWatermark: 8,
  logStartOffset: 0,
  divergingEpoch: null,
  hasRecords: false,
  ...part,
})

const log = logOf([
  [2, 0],
  [4, 6],
])
const make = (): FollowerCore => new FollowerCore({ leaderEpoch: 5, highWatermark: 3 })

test('asks for what comes after all that it has written', () => {
  const expected = { fetchOffset: 10, lastFetchedEpoch: 4, currentLeaderEpoch: 5, logStartOffset: 1 }
  assert.deepEqual(make().request({ ...log, logStartOffset: 1 }), expected)
  assert.equal(make().request({ ...log, writtenEndOffset: 9 }), null)
})

test('appends, or goes on without', () => {
  const follower = make()
  const asked = follower.request(log)!
  assert.deepEqual(follower.answered(log, asked, answerOf({ hasRecords: true })), { kind: 'append' })
  assert.deepEqual(follower.answered(log, asked, answerOf({})), { kind: 'advance' })
})

test('an answer to another question is none', () => {
  const follower = make()
  const asked = follower.request(log)!
  const answer = answerOf({ hasRecords: true })
  const others = [
    { ...asked, currentLeaderEpoch: 4 },
    { ...asked, fetchOffset: 9 },
    { ...asked, lastFetchedEpoch: 2 },
  ]
  for (const other of others) assert.deepEqual(follower.answered(log, other, answer), { kind: 'ignore' })
})

test('cuts where both logs are the same for certain', () => {
  const follower = make()
  const asked = follower.request(log)!
  const cut = (epoch: number, endOffset: number, own: LogView = log): unknown =>
    follower.answered(own, asked, answerOf({ divergingEpoch: { epoch, endOffset } }))
  // The same epoch ended earlier there, or here.
  assert.deepEqual(cut(4, 8), { kind: 'truncate', endOffset: 8 })
  assert.deepEqual(cut(2, 7), { kind: 'truncate', endOffset: 6 })
  assert.deepEqual(cut(2, 5), { kind: 'truncate', endOffset: 5 })
  assert.deepEqual(cut(4, 12), { kind: 'truncate', endOffset: 10 })
  // An epoch that we do not have: what came before it is looked at in the next round.
  assert.deepEqual(cut(3, 9), { kind: 'truncate', endOffset: 6 })
  assert.deepEqual(cut(1, 9), { kind: 'truncate', endOffset: 0 })
  // Nothing is known here.
  const without = { ...logOf([]), latestEpoch: 4 }
  assert.deepEqual(cut(3, 7, without), { kind: 'truncate', endOffset: 7 })
  assert.deepEqual(cut(3, 12, without), { kind: 'truncate', endOffset: 10 })
})

test('errors: begin anew, wait for the metadata, or try again', () => {
  const follower = make()
  const asked = follower.request(log)!
  const after = (errorCode: number, logStartOffset = -1): unknown =>
    follower.answered(log, asked, answerOf({ errorCode, logStartOffset }))
  assert.deepEqual(after(ErrorCode.OFFSET_OUT_OF_RANGE, 20), { kind: 'start-over', offset: 20 })
  assert.deepEqual(after(ErrorCode.OFFSET_OUT_OF_RANGE, 0), { kind: 'ask-for-ends' })
  assert.deepEqual(after(ErrorCode.OFFSET_OUT_OF_RANGE), { kind: 'ask-for-ends' })
  assert.deepEqual(after(ErrorCode.FENCED_LEADER_EPOCH), { kind: 'wait-for-metadata' })
  for (const code of [
    ErrorCode.NOT_LEADER_OR_FOLLOWER,
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ErrorCode.UNKNOWN_TOPIC_ID,
    ErrorCode.INCONSISTENT_TOPIC_ID,
    ErrorCode.UNKNOWN_LEADER_EPOCH,
    ErrorCode.KAFKA_STORAGE_ERROR,
    ErrorCode.STALE_BROKER_EPOCH,
  ])
    assert.deepEqual(after(code), { kind: 'retry-later' })
})

test('what the leader does not have lies before its log, behind it, or was there when it answered', () => {
  const follower = make()
  assert.deepEqual(follower.outOfRange(log, 12, 20), { kind: 'start-over', offset: 12 })
  assert.deepEqual(follower.outOfRange(log, 0, 7), { kind: 'truncate', endOffset: 7 })
  assert.deepEqual(follower.outOfRange(log, 0, 10), { kind: 'retry-later' })
})

test('high watermark and log start follow the leader, within what is written', () => {
  const follower = make()
  assert.equal(follower.written(log, 8, 0), null)
  assert.equal(follower.highWatermark, 8)
  follower.written(log, 99, 0)
  assert.equal(follower.highWatermark, 10)
  follower.written(log, 6, 0)
  assert.equal(follower.highWatermark, 6)
  assert.equal(follower.written(log, 10, 4), 4)
  assert.equal(follower.written(log, 10, 99), 10)
  follower.written({ ...log, logStartOffset: 7 }, 2, 0)
  assert.equal(follower.highWatermark, 7)
})

test('a cut takes the high watermark along, but not below the start of the log', () => {
  const follower = make()
  follower.written(log, 9, 0)
  follower.truncated({ ...log, logEndOffset: 5 })
  assert.equal(follower.highWatermark, 5)
  follower.truncated({ ...log, logEndOffset: 8 })
  assert.equal(follower.highWatermark, 5)
  follower.truncated({ ...log, logStartOffset: 20, logEndOffset: 20 })
  assert.equal(follower.highWatermark, 20)
})
