import {
  controlledShutdownRequest,
  controlledShutdownResponse,
} from '../../protocol/messages/07-controlled-shutdown.ts'
import { answer, defineApi } from './requests/handler.ts'
import { controllerFor } from './requests/sender.ts'

/**
 * ControlledShutdown, versions 1-3. Only brokers of the cluster may ask.
 *
 * Behavior: the controller gives the leaderships of the broker that asks to others, and takes it out of the ISRs that have
 * other members. Answered when no partition counts on it any more, so none is ever left over in the answer. NOT_CONTROLLER
 * when another broker is; INVALID_REQUEST to a broker that asks for another one, STALE_BROKER_EPOCH for another life of it.
 *
 * Version notes: v2 broker epoch (KIP-380), v3 flexible.
 */
export const controlledShutdown = defineApi({
  request: controlledShutdownRequest,
  response: controlledShutdownResponse,
  versions: [1, 3],
  servedTo: 'peers',
  arrays: {},
  handle: answer(async ({ brokerId, brokerEpoch }, context) => {
    const controller = controllerFor(context, brokerId, brokerEpoch)
    const errorCode =
      typeof controller === 'number' ? controller : await controller.controlledShutdown(brokerId, brokerEpoch)
    return { errorCode, remainingPartitions: [] }
  }),
})
