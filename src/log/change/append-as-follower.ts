import { ErrorCode } from '../../../protocol/errors.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import { accepted, refused } from '../append/append-check.ts'
import type { AppendResult } from '../log-types.ts'
import { recordProducer } from '../recovery/producer-replay.ts'
import { MAX_RELATIVE_OFFSET } from '../segment/offset-index.ts'
import { mustRoll } from '../segment/retention.ts'
import type { LogBody } from './log-body.ts'

/**
 * Appends what a leader sent: whole batches with the offsets and epochs that the leader gave them, one behind the other
 * in `records`, perhaps with gaps where its log was compacted. An incomplete batch at the end is left out, as answers of
 * limited size have one. Producers are noted and not checked: the leader did.
 *
 * Nothing is appended when one of the batches is damaged or does not come after the end of the log. Where a segment
 * cannot be started only the batches before it are, and the answer says so: the follower goes on at the end of its log.
 */
export function appendAsFollower(body: LogBody, records: Buffer): AppendResult {
  if (body.failure !== null || body.closing)
    return refused(body.refusal || ErrorCode.KAFKA_STORAGE_ERROR, 'the log is offline')
  if (body.cutting) return refused(ErrorCode.NOT_LEADER_OR_FOLLOWER, 'the log is being cut')
  const { endBytes, problem } = check(records, body.logEndOffset)
  if (problem !== null) return refused(ErrorCode.CORRUPT_MESSAGE, problem)
  if (endBytes === 0) return accepted(-1, -1, -1)
  const firstOffset = firstOffsetOf(records, 0, body.logEndOffset)
  for (let at = 0; at < endBytes;) {
    if (mustRollFor(body, records, at) && !body.roll(segmentBase(body, records, at))) {
      if (at > 0) break
      return refused(ErrorCode.KAFKA_STORAGE_ERROR, 'no segment could be started')
    }
    at = appendRun(body, records, at, endBytes)
  }
  return accepted(firstOffset, body.logEndOffset - 1, -1)
}

/** Where the last whole batch ends, and what keeps one of them from being the next of the log. */
function check(records: Buffer, logEndOffset: number): { endBytes: number; problem: string | null } {
  let due = logEndOffset
  let at = 0
  while (records.length - at >= batch.MAGIC_END) {
    const end = at + batch.batchSizeBytes(records, at)
    if (end > records.length) break
    const problem = batch.batchProblem(records, at, end)
    if (problem !== null) return { endBytes: at, problem }
    const first = firstOffsetOf(records, at, due)
    if (first < due) return { endBytes: at, problem: `offset ${first} where at least ${due} is due` }
    due = batch.lastOffset(records, at) + 1
    // No checksum is over it, and nothing could ever come after it.
    if (due > Number.MAX_SAFE_INTEGER) return { endBytes: at, problem: `offset ${first}, which no log has` }
    at = end
  }
  return { endBytes: at, problem: null }
}

/** Old message sets say their last offset only: they begin where they are due. */
function firstOffsetOf(records: Buffer, at: number, due: number): number {
  const lastOffset = batch.lastOffset(records, at)
  return batch.magic(records, at) < 2 ? Math.min(due, lastOffset) : batch.baseOffset(records, at)
}

function mustRollFor({ list, config, rollJitterMs, world }: LogBody, records: Buffer, at: number): boolean {
  const sizeBytes = batch.batchSizeBytes(records, at)
  const maxTimestamp = batch.maxTimestamp(records, at)
  const lastOffset = batch.lastOffset(records, at)
  return mustRoll(list.active, config, rollJitterMs, world.clock, sizeBytes, maxTimestamp, lastOffset)
}

/** Offsets in a segment are 32 bits: behind a large gap the next one cannot start at the end of the log. */
function segmentBase({ logEndOffset }: LogBody, records: Buffer, at: number): number {
  return Math.max(logEndOffset, batch.lastOffset(records, at) - MAX_RELATIVE_OFFSET)
}

/** Appends the batches from `at` on that fit the active segment, as one write. Returns where they end. */
function appendRun(body: LogBody, records: Buffer, at: number, end: number): number {
  const { appendHints, epochs, list, producers, transactions, world } = body
  const { active } = list
  const position = active.sizeBytes
  // A gap is as durable as what comes before it.
  const startOffset = body.logEndOffset
  const nowMs = world.clock.nowMs()
  let next = at
  do {
    const sizeBytes = batch.batchSizeBytes(records, next)
    const base = firstOffsetOf(records, next, body.logEndOffset)
    if (base > body.logEndOffset) body.permitGap(base)
    const lastOffset = batch.lastOffset(records, next)
    if (batch.magic(records, next) >= 2) {
      const epoch = batch.partitionLeaderEpoch(records, next)
      if (epoch > epochs.latestEpoch) epochs.assign(epoch, base)
    }
    recordProducer(records, next, producers, transactions, nowMs)
    appendHints.add(base, active, active.sizeBytes)
    active.appended(lastOffset, batch.maxTimestamp(records, next), sizeBytes)
    body.logEndOffset = lastOffset + 1
    next += sizeBytes
  } while (next < end && !mustRollFor(body, records, next))
  body.sideFilesStale = true
  body.writer.add(active, position, records.subarray(at, next), startOffset, body.logEndOffset)
  list.grew(next - at)
  return next
}
