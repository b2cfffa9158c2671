import { metadataPollRequest, metadataPollResponse } from '../../protocol/messages/1000-metadata-poll.ts'
import { defineApi } from './requests/handler.ts'
import { controllerFor } from './requests/sender.ts'

/**
 * MetadataPoll, version 0. Of Samsa's brokers among themselves.
 *
 * Behavior: what has become of the cluster since the broker was told last, as soon as there is something, or nothing after
 * `maxWaitMs`. The question also says how far the broker has come. Nobody waits for a broker whose connection is gone.
 * NOT_CONTROLLER when another broker is; INVALID_REQUEST to a broker that asks for another one, STALE_BROKER_EPOCH for another
 * life of it.
 */
export const metadataPoll = defineApi({
  request: metadataPollRequest,
  response: metadataPollResponse,
  versions: [0, 0],
  servedTo: 'peers',
  arrays: {},
  handle(request, context, respond) {
    const controller = controllerFor(context, request.brokerId, request.brokerEpoch)
    if (typeof controller === 'number')
      return respond({ errorCode: controller, controllerEpoch: -1, full: false, changes: [] })
    context.whenAbandoned(controller.poll(request, context.guard(respond)))
  },
})
