import type { Steps } from '../../protocol/compile.ts'
import { ErrorCode } from '../../protocol/errors.ts'
import {
  describeTopicPartitionsRequest,
  describeTopicPartitionsResponse,
} from '../../protocol/messages/75-describe-topic-partitions.ts'
import type { DescribeTopicPartitionsRequest } from '../../protocol/messages/75-describe-topic-partitions.ts'
import { ZERO_UUID } from '../../protocol/schema.ts'
import type { Encodable } from '../../protocol/schema.ts'
import { refused } from '../metadata/layout/outcome.ts'
import { isInternalTopic, topicNameProblem } from '../metadata/layout/topic-names.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { describePartition } from './03-metadata.ts'
import { TOPIC_OPERATIONS } from './requests/authorized-operations.ts'
import { defineApi, inSteps } from './requests/handler.ts'
import type { RequestContext } from './requests/handler.ts'
import { QUESTION } from './requests/request-limits.ts'

const TOO_MANY_NAMES = refused(ErrorCode.INVALID_REQUEST, 'The request names too many topics.')

/**
 * DescribeTopicPartitions, version 0 (KIP-966).
 *
 * Behavior: topics in the order of their names, as many partitions as the client and `max.request.partition.size.limit`
 * allow, and a cursor to go on from when there are more. No names asks for all topics; a cursor whose topic is gone then
 * goes on with the next one. A cursor on a topic that is not asked for, or on a negative partition, makes all topics
 * answer INVALID_REQUEST. Names beyond 10,000 each answer INVALID_REQUEST, with the first answer.
 */
export const describeTopicPartitions = defineApi({
  request: describeTopicPartitionsRequest,
  response: describeTopicPartitionsResponse,
  versions: [0, 0],
  arrays: {
    topics: { repeats: 'once', key: ({ name }) => name, ...QUESTION, excess: TOO_MANY_NAMES },
  },
  handle: inSteps(function* (request, context, refusals) {
    const page = pointsNowhere(request)
      ? {
          topics: request.topics.map(({ name }) => failed(name, ErrorCode.INVALID_REQUEST)),
          nextCursor: null,
        }
      : yield* describePage(request, context)
    if (request.cursor !== null) return page
    for (const { element, outcome } of refusals.of(request, 'topics')) {
      page.topics.push(failed(element.name, outcome.errorCode))
      yield
    }
    return page
  }),
})

type TopicAnswer = Encodable<typeof describeTopicPartitionsResponse>['topics'][number]

interface Page {
  readonly topics: TopicAnswer[]
  readonly nextCursor: { readonly topicName: string; readonly partitionIndex: number } | null
}

function* describePage(request: DescribeTopicPartitionsRequest, context: RequestContext): Steps<Page> {
  const { metadata, config } = context.broker
  const { cursor } = request
  const topics: TopicAnswer[] = []
  let room = Math.max(1, Math.min(request.responsePartitionLimit, config['max.request.partition.size.limit']))
  for (const name of namesAhead(request, metadata)) {
    yield
    const topic = metadata.topics.get(name)
    const first = cursor?.topicName === name ? cursor.partitionIndex : 0
    // A topic that a cursor of an earlier answer pointed to, and that is gone since, is nothing the client asked for.
    if (topic === undefined && cursor?.topicName === name && request.topics.length === 0) continue
    if (room === 0) return { topics, nextCursor: { topicName: name, partitionIndex: first } }
    if (topic === undefined) {
      topics.push(missing(name))
      continue
    }
    const partitions = topic.partitions.slice(first, first + room).map((partition) => ({
      ...describePartition(partition, context, true),
      eligibleLeaderReplicas: partition.elr,
      lastKnownElr: partition.lastKnownElr,
    }))
    room -= partitions.length
    topics.push({
      errorCode: ErrorCode.NONE,
      name,
      topicId: topic.topicId,
      isInternal: topic.internal,
      partitions,
      topicAuthorizedOperations: TOPIC_OPERATIONS,
    })
    const next = first + partitions.length
    if (next < topic.partitions.length)
      return { topics, nextCursor: { topicName: name, partitionIndex: next } }
  }
  return { topics, nextCursor: null }
}

/** In the order of their names, from the cursor on. Of ten thousand names this takes some milliseconds. */
function namesAhead({ topics, cursor }: DescribeTopicPartitionsRequest, metadata: Metadata): string[] {
  const names = topics.length === 0 ? [...metadata.topics.keys()] : topics.map(({ name }) => name)
  return names.filter((name) => cursor === null || name >= cursor.topicName).sort()
}

function missing(name: string): TopicAnswer {
  const errorCode =
    topicNameProblem(name) === null ? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION : ErrorCode.INVALID_TOPIC_EXCEPTION
  const isInternal = isInternalTopic(name)
  return { ...failed(name, errorCode), isInternal, topicAuthorizedOperations: TOPIC_OPERATIONS }
}

function failed(name: string, errorCode: ErrorCode): TopicAnswer {
  return { errorCode, name, topicId: ZERO_UUID, isInternal: false, partitions: [] }
}

function pointsNowhere({ cursor, topics }: DescribeTopicPartitionsRequest): boolean {
  if (cursor === null) return false
  if (cursor.partitionIndex < 0) return true
  return topics.length > 0 && topics.every(({ name }) => name !== cursor.topicName)
}
