import { ErrorCode } from '../../../protocol/errors.ts'
import type { ClusterDuties } from '../../metadata/cluster-duties.ts'
import type { RequestContext } from './handler.ts'

/** Of a request in whose version a broker does not say under which epoch it is registered. */
const NOT_SAID = -1

/**
 * Whether the connection is that of the broker that a request says it is from: it said hello as this one, under this epoch.
 * The gate for all that a broker says of itself, since anybody can write any number.
 */
export function senderError(
  { peer }: Pick<RequestContext, 'peer'>,
  brokerId: number,
  brokerEpoch = NOT_SAID,
): ErrorCode {
  if (peer?.brokerId !== brokerId) return ErrorCode.INVALID_REQUEST
  const isStale = brokerEpoch !== NOT_SAID && brokerEpoch !== peer.brokerEpoch
  return isStale ? ErrorCode.STALE_BROKER_EPOCH : ErrorCode.NONE
}

/**
 * Every request of a broker to its controller begins here: what answers it, or why it is refused. Whether this broker is the
 * controller is for what answers it to say.
 */
export function controllerFor(
  context: RequestContext,
  brokerId: number,
  brokerEpoch: number,
): ClusterDuties | ErrorCode {
  const { cluster } = context.broker.metadata
  if (cluster === null) return ErrorCode.NOT_CONTROLLER
  const refusal = senderError(context, brokerId, brokerEpoch)
  return refusal === ErrorCode.NONE ? cluster : refusal
}
