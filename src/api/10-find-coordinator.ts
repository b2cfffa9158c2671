import { ErrorCode } from '../../protocol/errors.ts'
import {
  findCoordinatorRequest,
  findCoordinatorResponse,
} from '../../protocol/messages/10-find-coordinator.ts'
import { OFFSETS_TOPIC } from '../metadata/layout/topic-names.ts'
import { answer, defineApi } from './requests/handler.ts'
import type { RequestContext } from './requests/handler.ts'
import { inSlices } from './requests/in-slices.ts'
import { addressOf } from './requests/reachable-brokers.ts'

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
 * Behavior: the leader of the partition of the offsets topic that holds the group, under its address for this listener;
 * COORDINATOR_NOT_AVAILABLE while nobody leads it. The first request creates the topic. Where the leader is this broker the
 * answer waits until the groups asked for are loaded.
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
    const { keyType } = request
    if (context.apiVersion < FIRST_WITH_SEVERAL_KEYS) {
      const { key } = request
      const problem = await problemOfAll(keyType, [key], context)
      return { ...(problem ?? coordinatorOf(key, context)), coordinators: [] }
    }
    const { coordinatorKeys } = request
    const problem = await problemOfAll(keyType, coordinatorKeys, context)
    const coordinators = await inSlices(coordinatorKeys, context, (keys) =>
      keys.map((key) => ({ key, ...(problem ?? coordinatorOf(key, context)) })),
    )
    return { ...NOT_USED, coordinators }
  }),
})

/** Null: there is an offsets topic, and what this broker leads of the partitions in question is read. */
async function problemOfAll(
  keyType: number,
  groupIds: readonly string[],
  context: RequestContext,
): Promise<Coordinator | null> {
  if (keyType === TRANSACTION) return failed(ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, NO_TRANSACTIONS)
  if (keyType !== GROUP) return failed(ErrorCode.INVALID_REQUEST, `unknown key type ${keyType}`)
  const { groups } = context.broker
  const errorCode = await groups.topicReady()
  if (errorCode !== ErrorCode.NONE) return failed(errorCode, 'the offsets topic is not available')
  const partitions = new Set<number>()
  await inSlices(groupIds, context, (some) => {
    for (const groupId of some) partitions.add(groups.partitionOf(groupId))
    return []
  })
  await groups.loaded(partitions)
  return null
}

/** The leader of the partition that holds the group, as this broker knows it. */
function coordinatorOf(groupId: string, context: RequestContext): Coordinator {
  const { groups, metadata } = context.broker
  const partition = metadata.topics.get(OFFSETS_TOPIC)?.partitions[groups.partitionOf(groupId)]
  if (partition === undefined) return failed(ErrorCode.COORDINATOR_NOT_AVAILABLE, 'there is no offsets topic')
  const leader = metadata.brokers.get(partition.leader)
  const address = leader === undefined ? undefined : addressOf(leader, context)
  if (address === undefined) return failed(ErrorCode.COORDINATOR_NOT_AVAILABLE, 'nobody leads the groups now')
  const errorMessage = context.apiVersion < FIRST_WITH_SEVERAL_KEYS ? 'NONE' : ''
  const { host, port } = address
  return { errorCode: ErrorCode.NONE, errorMessage, nodeId: partition.leader, host, port }
}

function failed(errorCode: number, errorMessage: string): Coordinator {
  return { errorCode, errorMessage, nodeId: -1, host: '', port: -1 }
}
