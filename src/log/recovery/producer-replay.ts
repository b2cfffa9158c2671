import { nextSequence } from '../../core/transaction/producer-state.ts'
import type { ProducerState } from '../../core/transaction/producer-state.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import { readControlRecord } from '../../../protocol/records/record-reader.ts'
import type { TransactionIndex } from '../segment/transaction-index.ts'

export const ABORT_MARKER = 0
export const COMMIT_MARKER = 1

/** The batch at `at` is in the log (offsets assigned): lets producer state and transaction index know. */
export function recordProducer(
  buffer: Buffer,
  at: number,
  producers: ProducerState,
  transactions: TransactionIndex,
  seenMs: number,
): void {
  if (batch.magic(buffer, at) < 2) return
  const producerId = batch.producerId(buffer, at)
  if (producerId < 0) return
  const epoch = batch.producerEpoch(buffer, at)
  const base = batch.baseOffset(buffer, at)
  const delta = batch.lastOffsetDelta(buffer, at)
  const timestamp = batch.maxTimestamp(buffer, at)
  if (!batch.isControl(buffer, at)) {
    const lastSequence = nextSequence(batch.baseSequence(buffer, at), delta)
    const transactional = batch.isTransactional(buffer, at)
    producers.appended(producerId, epoch, lastSequence, base, base + delta, timestamp, transactional, seenMs)
    return
  }
  const end = at + batch.batchSizeBytes(buffer, at)
  const marker = readControlRecord(buffer, at + batch.BATCH_OVERHEAD, end)
  if (marker === null || marker.type > COMMIT_MARKER || marker.type < ABORT_MARKER) return
  const commit = marker.type === COMMIT_MARKER
  const completed = producers.markerAppended(
    producerId,
    epoch,
    marker.coordinatorEpoch,
    base,
    commit,
    timestamp,
    seenMs,
  )
  if (completed === null || !completed.aborted) return
  const open = producers.firstOpenTransactionOffset
  const lastStableOffset = open < 0 ? completed.lastOffset + 1 : Math.min(open, completed.lastOffset + 1)
  transactions.add(producerId, completed.firstOffset, completed.lastOffset, lastStableOffset)
}
