import { ErrorCode } from '../../protocol/errors.ts'
import { initProducerIdRequest, initProducerIdResponse } from '../../protocol/messages/22-init-producer-id.ts'
import { answer, defineApi } from './requests/handler.ts'

const MAX_EPOCH = 32_767

/**
 * InitProducerId, versions 0-5, for idempotent producers.
 *
 * Behavior: without a transactional id a fresh producer id with epoch 0. A producer that brings its id and epoch
 * (v3, KIP-360) gets the same id with the next epoch, or a fresh id when epochs are used up; the partitions accept
 * the new epoch from sequence 0.
 *
 * Not implemented: transactions. A transactional id answers UNSUPPORTED_VERSION, as a broker without them would.
 */
export const initProducerId = defineApi({
  request: initProducerIdRequest,
  response: initProducerIdResponse,
  versions: [0, 5],
  arrays: {},
  handle: answer(async (request, { broker }) => {
    const { transactionalId, producerId, producerEpoch } = request
    if (transactionalId !== null) return refused(ErrorCode.UNSUPPORTED_VERSION)
    if ((producerId === -1) !== (producerEpoch === -1)) return refused(ErrorCode.INVALID_REQUEST)
    if (producerId !== -1 && producerEpoch < MAX_EPOCH - 1) {
      return { errorCode: ErrorCode.NONE, producerId, producerEpoch: producerEpoch + 1 }
    }
    return { errorCode: ErrorCode.NONE, producerId: await broker.metadata.nextProducerId(), producerEpoch: 0 }
  }),
})

function refused(errorCode: ErrorCode) {
  return { errorCode, producerId: -1, producerEpoch: -1 }
}
