import { ErrorCode } from '../../protocol/errors.ts'
import { metadataRequest, metadataResponse } from '../../protocol/messages/03-metadata.ts'
import type { MetadataRequest } from '../../protocol/messages/03-metadata.ts'
import { ZERO_UUID } from '../../protocol/schema.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { PartitionImage, TopicImage } from '../metadata/image/metadata-image.ts'
import { topicNameProblem } from '../metadata/layout/topic-names.ts'
import { CLUSTER_OPERATIONS, OPERATIONS_NOT_ASKED, TOPIC_OPERATIONS } from './authorized-operations.ts'
import { answer, defineApi } from './handler.ts'
import type { RequestContext } from './handler.ts'
import { inSlices, nextTurn } from './in-slices.ts'
import { reachableBrokers } from './reachable-brokers.ts'

type AskedTopic = NonNullable<MetadataRequest['topics']>[number]

/**
 * Metadata, versions 0-12.
 *
 * Behavior: null topics (in v0 an empty list) asks for all of them, otherwise one answer per distinct topic asked
 * for, each with its own error. A topic that does not exist is created when both `auto.create.topics.enable` and
 * the request allow it; its leaders are ready when the answer leaves. The broker's address is the one this client
 * reached, or `advertised.listeners`. One request creates 1,000 topics at most, the others are still missing.
 *
 * Version notes: v4 may forbid creation (KIP-204), v7 leader epochs (KIP-320), v8 authorized operations (KIP-430; all
 * that exist, there is no authorizer), v10 topic ids (KIP-516), v12 lookup by id.
 *
 * Not implemented: v13 (KIP-1102).
 */
export const metadata = defineApi({
  request: metadataRequest,
  response: metadataResponse,
  versions: [0, 12],
  handle: answer((request, context) => {
    const { broker, apiVersion } = context
    const asked = apiVersion === 0 && request.topics?.length === 0 ? null : request.topics
    const operations = request.includeTopicAuthorizedOperations ? TOPIC_OPERATIONS : OPERATIONS_NOT_ASKED
    const respond = (topics: TopicAnswer[]) => ({
      brokers: reachableBrokers(context).map(({ id, ...address }) => ({ nodeId: id, ...address })),
      clusterId: broker.metadata.clusterId,
      controllerId: broker.metadata.controllerId,
      topics,
      clusterAuthorizedOperations: request.includeClusterAuthorizedOperations
        ? CLUSTER_OPERATIONS
        : OPERATIONS_NOT_ASKED,
    })
    if (asked === null)
      return respond(
        [...broker.metadata.topics.values()].map((topic) => found(topic, broker.metadata, operations)),
      )
    const distinct = distinctTopics(asked)
    if (distinct.length > MAX_AT_ONCE)
      return nextTurn(context)
        .then(() => create(distinct, request, context))
        .then((created) =>
          inSlices(distinct, context, (some) =>
            some.map((topic) => lookUp(topic, created, operations, context)),
          ),
        )
        .then(respond)
    const lookUpAll = (created: ReadonlyMap<string, number>) =>
      respond(distinct.map((topic) => lookUp(topic, created, operations, context)))
    const created = create(distinct, request, context)
    return created === NOT_CREATED ? lookUpAll(NOT_CREATED) : Promise.resolve(created).then(lookUpAll)
  }),
})

/** Topics that are looked up in one turn. */
const MAX_AT_ONCE = 1_000
/** Topics that one request creates. Clients ask again for those that are missing, and the next ones get their turn. */
const MAX_CREATIONS = 1_000

interface TopicAnswer {
  readonly errorCode: number
  readonly name: string | null
  readonly topicId: string
  readonly isInternal: boolean
  readonly partitions: readonly PartitionAnswer[]
  readonly topicAuthorizedOperations: number
}

type PartitionAnswer = ReturnType<typeof describePartition>

const NOT_CREATED: ReadonlyMap<string, number> = new Map()

/** Each topic once. What names an id is looked up by it. */
function distinctTopics(asked: readonly AskedTopic[]): AskedTopic[] {
  const ids = new Set<string>()
  const names = new Set<string | null>()
  return asked.filter((topic) => {
    const seen: Set<string | null> = isById(topic) ? ids : names
    const key = isById(topic) ? topic.topicId : topic.name
    const known = seen.size
    return seen.add(key).size > known
  })
}

function isById({ topicId }: AskedTopic): boolean {
  return topicId !== undefined && topicId !== ZERO_UUID
}

/** Creates the topics that are missing. Names and error codes; NOT_CREATED at once when there is nothing to do. */
function create(
  asked: readonly AskedTopic[],
  { allowAutoTopicCreation }: MetadataRequest,
  { broker }: RequestContext,
): ReadonlyMap<string, number> | Promise<ReadonlyMap<string, number>> {
  const creations: Promise<[string, number]>[] = []
  for (const { name } of allowAutoTopicCreation ? asked : []) {
    if (name === null || broker.metadata.topics.has(name) || topicNameProblem(name) !== null) continue
    const creating = broker.autoCreateTopic(name)
    if (creating === null) continue
    creations.push(creating.then((errorCode) => [name, errorCode]))
    if (creations.length === MAX_CREATIONS) break
  }
  return creations.length === 0 ? NOT_CREATED : Promise.all(creations).then((created) => new Map(created))
}

function lookUp(
  asked: AskedTopic,
  created: ReadonlyMap<string, number>,
  operations: number,
  { broker, apiVersion }: RequestContext,
): TopicAnswer {
  const { metadata } = broker
  const { name, topicId } = asked
  if (topicId !== undefined && topicId !== ZERO_UUID) {
    if (apiVersion < 12) return failed(name ?? '', topicId, ErrorCode.INVALID_REQUEST)
    const topic = metadata.topicById(topicId)
    return topic === undefined
      ? failed(null, topicId, ErrorCode.UNKNOWN_TOPIC_ID)
      : found(topic, metadata, operations)
  }
  if (name === null) return failed(apiVersion < 12 ? '' : null, ZERO_UUID, ErrorCode.INVALID_TOPIC_EXCEPTION)
  const topic = metadata.topics.get(name)
  return topic === undefined
    ? failed(name, ZERO_UUID, reasonMissing(name, created.get(name)))
    : found(topic, metadata, operations)
}

function reasonMissing(name: string, creation: number | undefined): number {
  if (topicNameProblem(name) !== null) return ErrorCode.INVALID_TOPIC_EXCEPTION
  // Created and deleted again before the answer counts as missing too.
  return creation || ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
}

function found(topic: TopicImage, metadata: Metadata, topicAuthorizedOperations: number): TopicAnswer {
  return {
    errorCode: ErrorCode.NONE,
    name: topic.name,
    topicId: topic.topicId,
    isInternal: topic.internal,
    partitions: topic.partitions.map((partition) => describePartition(partition, metadata)),
    topicAuthorizedOperations,
  }
}

function failed(name: string | null, topicId: string, errorCode: number): TopicAnswer {
  return {
    errorCode,
    name,
    topicId,
    isInternal: false,
    partitions: [],
    topicAuthorizedOperations: OPERATIONS_NOT_ASKED,
  }
}

/** A partition as Metadata and DescribeTopicPartitions tell it. */
export function describePartition(partition: PartitionImage, metadata: Metadata) {
  const { index, leader, leaderEpoch, replicas, isr } = partition
  return {
    errorCode: leader === -1 ? ErrorCode.LEADER_NOT_AVAILABLE : ErrorCode.NONE,
    partitionIndex: index,
    leaderId: leader,
    leaderEpoch,
    replicaNodes: replicas,
    isrNodes: isr,
    offlineReplicas: replicas.filter((id) => !metadata.brokers.has(id)),
  }
}
