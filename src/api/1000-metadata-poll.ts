import { ErrorCode } from '../../protocol/errors.ts'
import { metadataPollRequest, metadataPollResponse } from '../../protocol/messages/1000-metadata-poll.ts'
import { defineApi } from './requests/handler.ts'

/**
 * MetadataPoll, version 0. Of Samsa's brokers among themselves.
 *
 * Behavior: what has become of the cluster since the broker was told last, as soon as there is something, or nothing after
 * `maxWaitMs`. The question also says how far the broker has come. Nobody waits for a broker whose connection is gone.
 * NOT_CONTROLLER when another broker is; INVALID_REQUEST to a broker that asks for another one.
 */
export const metadataPoll = defineApi({
  request: metadataPollRequest,
  response: metadataPollResponse,
  versions: [0, 0],
  servedTo: 'peers',
  arrays: {},
  handle(request, context, respond) {
    const { cluster } = context.broker.metadata
    if (cluster === null || context.peer?.brokerId !== request.brokerId) {
      const errorCode = cluster === null ? ErrorCode.NOT_CONTROLLER : ErrorCode.INVALID_REQUEST
      respond({ errorCode, controllerEpoch: -1, full: false, changes: [] })
      return
    }
    context.whenAbandoned(cluster.poll(request, context.guard(respond)))
  },
})
