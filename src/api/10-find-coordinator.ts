import { ErrorCode } from '../../protocol/errors.ts'
import {
  findCoordinatorRequest,
  findCoordinatorResponse,
} from '../../protocol/messages/10-find-coordinator.ts'
import { answer, defineApi } from './requests/handler.ts'
import type { RequestContext } from './requests/handler.ts'
import { inSlices } from './requests/in-slices.ts'

const GROUP = 0
const TRANSACTION = 1

const FIRST_WITH_SEVERAL_KEYS = 4
const NO_TRANSACTIONS =
  'This broker has no transactions: idempotent producers work without a transactional id.'

interface Coordinator {
  readonly errorCode: number
  readonly errorMessage: string | null
  readonly nodeId: number
  readonly host: string
  readonly port: number
}

/** Where the answer to a single key stands, when there are several. */
const NOT_USED = { errorCode: ErrorCode.NONE, errorMessage: null, nodeId: 0, host: '', port: 0 }

/**
 * FindCoordinator, versions 0-5.
 *
 * Behavior: this broker coordinates every group. The first request creates the offsets topic; the answer waits until
 * the groups asked for are loaded.
 *
 * Version notes: v1 key types, v4 several keys (KIP-699), v5 nothing on the wire (KIP-890).
 *
 * Not implemented: transactional ids are refused with TRANSACTIONAL_ID_AUTHORIZATION_FAILED, the one answer that every
 * client takes as final (librdkafka asks for ever after any other); share groups (v6, KIP-932).
 */
export const findCoordinator = defineApi({
  request: findCoordinatorRequest,
  response: findCoordinatorResponse,
  versions: [0, 5],
  arrays: { coordinatorKeys: { repeats: 'once', cost: 0 } },
  handle: answer(async (request, context) => {
    if (context.apiVersion < FIRST_WITH_SEVERAL_KEYS) {
      return { ...(await find(request.keyType, [request.key], context)), coordinators: [] }
    }
    const { keyType, coordinatorKeys } = request
    const found = await find(keyType, coordinatorKeys, context)
    const coordinators = await inSlices(coordinatorKeys, context, (keys) =>
      keys.map((key) => ({ key, ...found })),
    )
    return { ...NOT_USED, coordinators }
  }),
})

async function find(
  keyType: number,
  groupIds: readonly string[],
  context: RequestContext,
): Promise<Coordinator> {
  if (keyType === TRANSACTION) return failed(ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, NO_TRANSACTIONS)
  if (keyType !== GROUP) return failed(ErrorCode.INVALID_REQUEST, `unknown key type ${keyType}`)
  const { groups } = context.broker
  const partitions = new Set<number>()
  await inSlices(groupIds, context, (some) => {
    for (const groupId of some) partitions.add(groups.partitionOf(groupId))
    return []
  })
  const errorCode = await groups.ready(partitions)
  if (errorCode !== ErrorCode.NONE) return failed(errorCode, 'the offsets topic is not available')
  const { host, port } = context.advertised
  const errorMessage = context.apiVersion < FIRST_WITH_SEVERAL_KEYS ? 'NONE' : ''
  return { errorCode, errorMessage, nodeId: context.broker.nodeId, host, port }
}

function failed(errorCode: number, errorMessage: string): Coordinator {
  return { errorCode, errorMessage, nodeId: -1, host: '', port: -1 }
}
