import type { Steps } from '../../protocol/compile.ts'
import { ErrorCode } from '../../protocol/errors.ts'
import { metadataRequest, metadataResponse } from '../../protocol/messages/03-metadata.ts'
import type { MetadataRequest } from '../../protocol/messages/03-metadata.ts'
import { ZERO_UUID } from '../../protocol/schema.ts'
import { MAX_CREATIONS_PER_REQUEST } from '../broker/broker.ts'
import type { BrokerImage, PartitionImage, TopicImage } from '../metadata/image/metadata-image.ts'
import { isInternalTopic, topicNameProblem } from '../metadata/layout/topic-names.ts'
import {
  CLUSTER_OPERATIONS,
  OPERATIONS_NOT_ASKED,
  TOPIC_OPERATIONS,
} from './requests/authorized-operations.ts'
import { defineApi, finishSteps } from './requests/handler.ts'
import type { RequestContext } from './requests/handler.ts'
import { addressOf, controllerToAsk, reachableBrokers } from './requests/reachable-brokers.ts'

const FIRST_WITH_LOOKUP_BY_ID = 12
const FIRST_WITH_LISTENER_NOT_FOUND = 6

type AskedTopic = NonNullable<MetadataRequest['topics']>[number]

/**
 * Metadata, versions 0-13.
 *
 * Behavior: null topics (in v0 an empty list) asks for all of them, otherwise one answer per distinct topic asked
 * for, each with its own error. A topic that does not exist is created when both `auto.create.topics.enable` and
 * the request allow it; its leaders are ready when the answer leaves. This broker's address is the one this client
 * reached, or `advertised.listeners`; others have that of their listener of the same name. A partition whose leader does not
 * serve, or has no such listener (LISTENER_NOT_FOUND, from v6 on), has none for this client. One request creates 1,000 topics at most, the others are still missing.
 *
 * Version notes: v4 may forbid creation (KIP-204), v7 leader epochs (KIP-320), v8 authorized operations (KIP-430; all
 * that exist, there is no authorizer), v10 topic ids (KIP-516), v12 lookup by id: a request with ids is answered for those
 * alone; before, ids and missing names make all of it INVALID_REQUEST. v13 an error for all (KIP-1102; no client is told to
 * start over).
 */
export const metadata = defineApi({
  request: metadataRequest,
  response: metadataResponse,
  versions: [0, 13],
  arrays: { topics: { repeats: 'once', key: topicKey, cost: 0 } },
  handle(request, context, respond) {
    const asked = askedTopics(request, context.apiVersion)
    if (asked === 'invalid') {
      respond(refusedWhole(request))
      return
    }
    const describe = (created: ReadonlyMap<string, number>): void =>
      finishSteps(
        asked === null ? describeAll(request, context) : describeAsked(asked, created, request, context),
        context,
        respond,
      )
    const created = asked === null ? NOT_CREATED : create(asked, request, context)
    if (created === NOT_CREATED) describe(NOT_CREATED)
    else Promise.resolve(created).then(describe, (error: unknown) => context.fail(error))
  },
})

/** Null asks for all. */
function askedTopics(
  { topics }: MetadataRequest,
  apiVersion: number,
): readonly AskedTopic[] | null | 'invalid' {
  if (topics === null || (apiVersion === 0 && topics.length === 0)) return null
  const hasId = ({ topicId }: AskedTopic): boolean => topicId !== ZERO_UUID
  if (apiVersion < FIRST_WITH_LOOKUP_BY_ID)
    return topics.some((topic) => hasId(topic) || topic.name === null) ? 'invalid' : topics
  return topics.some(hasId) ? topics.filter(hasId) : topics
}

function refusedWhole({ topics }: MetadataRequest) {
  return {
    brokers: [],
    clusterId: null,
    controllerId: -1,
    topics: (topics ?? []).map(({ name, topicId }) => failed(name ?? '', topicId, ErrorCode.INVALID_REQUEST)),
  }
}

/** Each topic once. What names an id is looked up by it. */
function topicKey({ topicId, name }: AskedTopic): string {
  return topicId === ZERO_UUID ? `name ${name}` : topicId
}

function* describeAll(request: MetadataRequest, context: RequestContext): Steps<MetadataAnswer> {
  const topics: TopicAnswer[] = []
  for (const topic of context.broker.metadata.topics.values()) {
    topics.push(found(topic, context, operationsFor(request)))
    yield
  }
  return toAnswer(topics, request, context)
}

function* describeAsked(
  asked: readonly AskedTopic[],
  created: ReadonlyMap<string, number>,
  request: MetadataRequest,
  context: RequestContext,
): Steps<MetadataAnswer> {
  const topics: TopicAnswer[] = []
  for (const topic of asked) {
    topics.push(lookUp(topic, created, operationsFor(request), context))
    yield
  }
  return toAnswer(topics, request, context)
}

function operationsFor({ includeTopicAuthorizedOperations }: MetadataRequest): number {
  return includeTopicAuthorizedOperations ? TOPIC_OPERATIONS : OPERATIONS_NOT_ASKED
}

type MetadataAnswer = ReturnType<typeof toAnswer>

function toAnswer(topics: readonly TopicAnswer[], request: MetadataRequest, context: RequestContext) {
  const { metadata } = context.broker
  return {
    brokers: reachableBrokers(context, 'serving').map(({ id, host, port, rack }) => ({
      nodeId: id,
      host,
      port,
      rack,
    })),
    clusterId: metadata.clusterId,
    controllerId: controllerToAsk(metadata),
    topics,
    clusterAuthorizedOperations: request.includeClusterAuthorizedOperations
      ? CLUSTER_OPERATIONS
      : OPERATIONS_NOT_ASKED,
  }
}

interface TopicAnswer {
  readonly errorCode: number
  readonly name: string | null
  readonly topicId: string
  readonly isInternal: boolean
  readonly partitions: readonly PartitionAnswer[]
  readonly topicAuthorizedOperations: number
}

type PartitionAnswer = ReturnType<typeof describePartition>

const NONE_OFFLINE: readonly number[] = []
const NOT_CREATED: ReadonlyMap<string, number> = new Map()

/** Creates the topics that are missing. Names and error codes; NOT_CREATED at once when there is nothing to do. */
function create(
  asked: readonly AskedTopic[],
  { allowAutoTopicCreation }: MetadataRequest,
  { broker }: RequestContext,
): ReadonlyMap<string, number> | Promise<ReadonlyMap<string, number>> {
  const creations: Promise<[string, number]>[] = []
  const mayCreate = allowAutoTopicCreation && broker.config['auto.create.topics.enable']
  for (const { name } of mayCreate ? asked : []) {
    if (name === null || broker.metadata.topics.has(name) || topicNameProblem(name) !== null) continue
    const creating = broker.autoCreateTopic(name)
    if (creating === null) continue
    creations.push(creating.then((errorCode) => [name, errorCode]))
    if (creations.length === MAX_CREATIONS_PER_REQUEST) break
  }
  return creations.length === 0 ? NOT_CREATED : Promise.all(creations).then((created) => new Map(created))
}

function lookUp(
  asked: AskedTopic,
  created: ReadonlyMap<string, number>,
  operations: number,
  context: RequestContext,
): TopicAnswer {
  const { metadata } = context.broker
  const { name, topicId } = asked
  if (topicId !== ZERO_UUID) {
    const topic = metadata.topicById(topicId)
    return topic === undefined
      ? failed(null, topicId, ErrorCode.UNKNOWN_TOPIC_ID)
      : found(topic, context, operations)
  }
  if (name === null) return failed(null, ZERO_UUID, ErrorCode.INVALID_TOPIC_EXCEPTION)
  const topic = metadata.topics.get(name)
  return topic === undefined
    ? failed(name, ZERO_UUID, reasonMissing(name, created.get(name)))
    : found(topic, context, operations)
}

function reasonMissing(name: string, creation: number | undefined): number {
  if (topicNameProblem(name) !== null) return ErrorCode.INVALID_TOPIC_EXCEPTION
  // Created and deleted again before the answer counts as missing too.
  return creation || ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
}

function found(topic: TopicImage, context: RequestContext, topicAuthorizedOperations: number): TopicAnswer {
  const tellsOfListeners = context.apiVersion >= FIRST_WITH_LISTENER_NOT_FOUND
  return {
    errorCode: ErrorCode.NONE,
    name: topic.name,
    topicId: topic.topicId,
    isInternal: topic.internal,
    partitions: topic.partitions.map((partition) => describePartition(partition, context, tellsOfListeners)),
    topicAuthorizedOperations,
  }
}

function failed(name: string | null, topicId: string, errorCode: number): TopicAnswer {
  return {
    errorCode,
    name,
    topicId,
    isInternal: name !== null && isInternalTopic(name),
    partitions: [],
    topicAuthorizedOperations: OPERATIONS_NOT_ASKED,
  }
}

/** A partition as Metadata and DescribeTopicPartitions tell it. `tellsOfListeners`: the client knows LISTENER_NOT_FOUND. */
export function describePartition(
  partition: PartitionImage,
  context: RequestContext,
  tellsOfListeners: boolean,
) {
  const { index, leader, leaderEpoch, replicas, isr } = partition
  const { brokers } = context.broker.metadata
  const errorCode = leaderProblem(brokers.get(leader), context, tellsOfListeners)
  return {
    errorCode,
    partitionIndex: index,
    leaderId: errorCode === ErrorCode.NONE ? leader : -1,
    leaderEpoch,
    replicaNodes: replicas,
    isrNodes: isr,
    offlineReplicas: offlineOf(replicas, brokers),
  }
}

/** Why the client has nobody to turn to. */
function leaderProblem(
  leader: BrokerImage | undefined,
  context: RequestContext,
  tellsOfListeners: boolean,
): ErrorCode {
  if (leader === undefined || leader.fenced) return ErrorCode.LEADER_NOT_AVAILABLE
  if (addressOf(leader, context) !== undefined) return ErrorCode.NONE
  return tellsOfListeners ? ErrorCode.LISTENER_NOT_FOUND : ErrorCode.LEADER_NOT_AVAILABLE
}

function offlineOf(
  replicas: readonly number[],
  brokers: ReadonlyMap<number, BrokerImage>,
): readonly number[] {
  let offline: number[] | null = null
  for (const id of replicas) {
    const broker = brokers.get(id)
    if (broker === undefined || broker.fenced) (offline ??= []).push(id)
  }
  return offline ?? NONE_OFFLINE
}
