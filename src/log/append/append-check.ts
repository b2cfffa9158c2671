import { ErrorCode } from '../../../protocol/errors.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import { readControlRecord } from '../../../protocol/records/record-reader.ts'
import { ACCEPT, DUPLICATE, nextSequence } from '../../core/transaction/producer-state.ts'
import type { ProducerState } from '../../core/transaction/producer-state.ts'
import type { AppendResult } from '../log-types.ts'
import { ABORT_MARKER, COMMIT_MARKER } from '../recovery/producer-replay.ts'

export function refused(errorCode: number, errorMessage: string): AppendResult {
  return { errorCode, errorMessage, baseOffset: -1, lastOffset: -1, logAppendTimeMs: -1, duplicate: false }
}

/** `logAppendTimeMs`: -1 when the batch has its creation time. */
export function accepted(baseOffset: number, lastOffset: number, logAppendTimeMs: number): AppendResult {
  const errorCode = ErrorCode.NONE
  return { errorCode, errorMessage: null, baseOffset, lastOffset, logAppendTimeMs, duplicate: false }
}

/**
 * Does the batch of an idempotent or transactional producer follow what the log knows of it? Null when it does,
 * otherwise the answer to the append: an error, or the place of the original when it is a duplicate.
 */
export function checkProducer(buffer: Buffer, producers: ProducerState): AppendResult | null {
  const producerId = batch.producerId(buffer, 0)
  const epoch = batch.producerEpoch(buffer, 0)
  if (batch.isControl(buffer, 0)) return checkMarker(buffer, producers, producerId, epoch)
  const first = batch.baseSequence(buffer, 0)
  const last = nextSequence(first, batch.lastOffsetDelta(buffer, 0))
  const verdict = producers.check(producerId, epoch, first, last, batch.isTransactional(buffer, 0))
  if (verdict === ACCEPT) return null
  if (verdict !== DUPLICATE) {
    return refused(
      verdict,
      `producer ${producerId}, epoch ${epoch}, sequence ${first} does not follow what it sent before`,
    )
  }
  return {
    errorCode: ErrorCode.NONE,
    errorMessage: null,
    baseOffset: producers.duplicateBaseOffset,
    lastOffset: producers.duplicateLastOffset,
    // As in Kafka, whoever's time the topic keeps.
    logAppendTimeMs: producers.duplicateTimestampMs,
    duplicate: true,
  }
}

function checkMarker(
  buffer: Buffer,
  producers: ProducerState,
  producerId: number,
  epoch: number,
): AppendResult | null {
  const marker = readControlRecord(buffer, batch.BATCH_OVERHEAD, buffer.length)
  if (marker === null || (marker.type !== ABORT_MARKER && marker.type !== COMMIT_MARKER)) return null
  const verdict = producers.checkMarker(producerId, epoch, marker.coordinatorEpoch)
  return verdict === ACCEPT
    ? null
    : refused(verdict, `transaction marker of producer ${producerId}, epoch ${epoch}`)
}
