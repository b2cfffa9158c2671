import { ErrorCode } from '../../protocol/errors.ts'
import { brokerHelloRequest, brokerHelloResponse } from '../../protocol/messages/1002-broker-hello.ts'
import { answer, defineApi } from './requests/handler.ts'

/**
 * BrokerHello, version 0. Of Samsa's brokers among themselves.
 *
 * Behavior: the first request of a connection that another broker of the cluster opened. From its answer on the connection
 * is that broker's, which is not held to what clients are, and is served what only brokers are. INCONSISTENT_CLUSTER_ID to a
 * broker of another cluster, INVALID_REQUEST to one with the id of this broker, STALE_BROKER_EPOCH to one that is not
 * registered under the epoch that it names: the connection stays a client's.
 */
export const brokerHello = defineApi({
  request: brokerHelloRequest,
  response: brokerHelloResponse,
  versions: [0, 0],
  servedTo: 'newcomers',
  arrays: {},
  handle: answer(async ({ clusterId, brokerId, brokerEpoch }, context) => {
    const { metadata } = context.broker
    if (clusterId !== metadata.clusterId) return { errorCode: ErrorCode.INCONSISTENT_CLUSTER_ID }
    if (brokerId < 0 || brokerId === metadata.nodeId) return { errorCode: ErrorCode.INVALID_REQUEST }
    const isRegistered = await metadata.cluster?.isRegistered(brokerId, brokerEpoch)
    if (isRegistered !== true) return { errorCode: ErrorCode.STALE_BROKER_EPOCH }
    context.becomePeer({ brokerId, brokerEpoch })
    return { errorCode: ErrorCode.NONE }
  }),
})
