import assert from 'node:assert/strict'
import { ErrorCode } from '../../../protocol/errors.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import { accepted, checkProducer, refused } from '../append/append-check.ts'
import type { AppendResult } from '../log-types.ts'
import { recordProducer } from '../recovery/producer-replay.ts'
import { mustRoll } from '../segment/retention.ts'
import type { LogBody } from './log-body.ts'

/** Appends one validated batch: stamps offset and leader epoch in place and checks what is known of its producer. */
export function appendAsLeader(body: LogBody, buffer: Buffer, leaderEpoch: number): AppendResult {
  if (body.failure !== null || body.closing)
    return refused(body.refusal || ErrorCode.KAFKA_STORAGE_ERROR, 'the log is offline')
  if (body.cutting) return refused(ErrorCode.NOT_LEADER_OR_FOLLOWER, 'the log is being cut')
  const { config, epochs, list, producers } = body
  const sizeBytes = buffer.length
  assert(sizeBytes === batch.batchSizeBytes(buffer, 0))
  const producerId = batch.producerId(buffer, 0)
  if (producerId >= 0) {
    const answer = checkProducer(buffer, producers)
    if (answer !== null) return answer
  }
  const maxTimestamp = batch.maxTimestamp(buffer, 0)
  const baseOffset = body.logEndOffset
  const lastOffset = baseOffset + batch.lastOffsetDelta(buffer, 0)
  const { clock } = body.world
  if (mustRoll(list.active, config, body.rollJitterMs, clock, sizeBytes, maxTimestamp, lastOffset)) {
    // The one answer to it that makes every client try again.
    if (!body.roll()) return refused(ErrorCode.KAFKA_STORAGE_ERROR, 'no segment could be started')
  }
  batch.setBaseOffset(buffer, 0, baseOffset)
  batch.setPartitionLeaderEpoch(buffer, 0, leaderEpoch)
  if (leaderEpoch > epochs.latestEpoch) epochs.assign(leaderEpoch, baseOffset)
  if (producerId >= 0) recordProducer(buffer, 0, producers, body.transactions, clock.nowMs())
  body.appended(buffer, baseOffset, lastOffset, maxTimestamp)
  return accepted(baseOffset, lastOffset, batch.isLogAppendTime(buffer, 0) ? maxTimestamp : -1)
}
