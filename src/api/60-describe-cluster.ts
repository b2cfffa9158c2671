import { ErrorCode } from '../../protocol/errors.ts'
import {
  describeClusterRequest,
  describeClusterResponse,
} from '../../protocol/messages/60-describe-cluster.ts'
import { CLUSTER_OPERATIONS, OPERATIONS_NOT_ASKED } from './requests/authorized-operations.ts'
import { answer, defineApi } from './requests/handler.ts'
import { controllerToAsk, reachableBrokers } from './requests/reachable-brokers.ts'

const BROKERS = 1
const CONTROLLERS = 2

/**
 * DescribeCluster, versions 0-2.
 *
 * Behavior: cluster id, controller and brokers with the address this client can reach them at, without those that
 * have no listener of this name. There are no
 * endpoints of a controller quorum; asking for them answers MISMATCHED_ENDPOINT_TYPE.
 *
 * Version notes: v0 KIP-700, v1 endpoint type (KIP-919), v2 fenced brokers (KIP-1073).
 */
export const describeCluster = defineApi({
  request: describeClusterRequest,
  response: describeClusterResponse,
  versions: [0, 2],
  arrays: {},
  handle: answer((request, context) => {
    const { metadata } = context.broker
    const endpointType = request.endpointType ?? BROKERS
    if (endpointType !== BROKERS) {
      const errorCode =
        endpointType === CONTROLLERS
          ? ErrorCode.MISMATCHED_ENDPOINT_TYPE
          : ErrorCode.UNSUPPORTED_ENDPOINT_TYPE
      return {
        errorCode,
        errorMessage: 'This endpoint describes brokers only.',
        clusterId: '',
        brokers: [],
      }
    }
    return {
      errorCode: ErrorCode.NONE,
      endpointType: BROKERS,
      clusterId: metadata.clusterId,
      controllerId: controllerToAsk(metadata),
      brokers: reachableBrokers(context, request.includeFencedBrokers ? 'all' : 'serving').map(
        ({ id, ...broker }) => ({ brokerId: id, ...broker }),
      ),
      clusterAuthorizedOperations: request.includeClusterAuthorizedOperations
        ? CLUSTER_OPERATIONS
        : OPERATIONS_NOT_ASKED,
    }
  }),
})
