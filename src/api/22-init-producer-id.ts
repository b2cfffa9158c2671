import { ErrorCode } from '../../protocol/errors.ts'
import { initProducerIdRequest, initProducerIdResponse } from '../../protocol/messages/22-init-producer-id.ts'
import { hasStoreCode } from '../metadata/layout/outcome.ts'
import { answer, defineApi } from './requests/handler.ts'

/**
 * InitProducerId, versions 0-5, for idempotent producers.
 *
 * Behavior: without a transactional id a fresh producer id with epoch 0, whatever id and epoch were brought (v3): who
 * brings one may have it from anywhere, and of two producers with one identity the second one's records would be
 * taken for repetitions of the first one's. Half an identity, and an empty transactional id, is INVALID_REQUEST. Without a
 * session with the metadata store there are no new ids: COORDINATOR_LOAD_IN_PROGRESS, upon which clients ask again.
 *
 * Not implemented: transactions. A transactional id answers TRANSACTIONAL_ID_AUTHORIZATION_FAILED, as FindCoordinator
 * does: every client takes that as final.
 */
export const initProducerId = defineApi({
  request: initProducerIdRequest,
  response: initProducerIdResponse,
  versions: [0, 5],
  arrays: {},
  handle: answer(async ({ transactionalId, producerId, producerEpoch }, { broker }) => {
    if (transactionalId === '' || (producerId === -1) !== (producerEpoch === -1))
      return refused(ErrorCode.INVALID_REQUEST)
    if (transactionalId !== null) return refused(ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    try {
      const id = await broker.metadata.nextProducerId()
      return { errorCode: ErrorCode.NONE, producerId: id, producerEpoch: 0 }
    } catch (error) {
      if (!hasStoreCode(error, 'SESSION_EXPIRED')) throw error
      return refused(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
    }
  }),
})

function refused(errorCode: ErrorCode) {
  return { errorCode, producerId: -1, producerEpoch: -1 }
}
