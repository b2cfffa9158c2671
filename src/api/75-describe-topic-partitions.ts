import { ErrorCode } from '../../protocol/errors.ts'
import {
  describeTopicPartitionsRequest,
  describeTopicPartitionsResponse,
} from '../../protocol/messages/75-describe-topic-partitions.ts'
import type { DescribeTopicPartitionsRequest } from '../../protocol/messages/75-describe-topic-partitions.ts'
import { ZERO_UUID } from '../../protocol/schema.ts'
import type { Encodable } from '../../protocol/schema.ts'
import { topicNameProblem } from '../metadata/layout/topic-names.ts'
import { describePartition } from './03-metadata.ts'
import { TOPIC_OPERATIONS } from './authorized-operations.ts'
import { answer, defineApi } from './handler.ts'
import type { RequestContext } from './handler.ts'
import { nextTurn } from './in-slices.ts'
import { MAX_ELEMENTS } from './request-limits.ts'

/**
 * DescribeTopicPartitions, version 0 (KIP-966).
 *
 * Behavior: topics in the order of their names, as many partitions as the client and `max.request.partition.size.limit`
 * allow, and a cursor to go on from when there are more. No names asks for all topics. A cursor whose topic is gone
 * goes on with the next one. A topic that is missing takes the place of one partition. Names beyond 10,000 each
 * answer INVALID_REQUEST, with the first answer.
 *
 * Not implemented: eligible leader replicas are empty until partitions have several replicas.
 */
export const describeTopicPartitions = defineApi({
  request: describeTopicPartitionsRequest,
  response: describeTopicPartitionsResponse,
  versions: [0, 0],
  handle: answer(async (request, context) => {
    const asked = [...new Set(request.topics.map(({ name }) => name))]
    const page = describePage(request, asked.slice(0, MAX_ELEMENTS), context)
    if (asked.length <= MAX_ELEMENTS || request.cursor !== null) return page
    await nextTurn(context)
    const excess = asked.slice(MAX_ELEMENTS).map((name) => failed(name, ErrorCode.INVALID_REQUEST))
    return { ...page, topics: [...page.topics, ...excess] }
  }),
})

type TopicAnswer = Encodable<typeof describeTopicPartitionsResponse>['topics'][number]

function describePage(
  request: DescribeTopicPartitionsRequest,
  asked: readonly string[],
  { broker }: RequestContext,
) {
  const { metadata, config } = broker
  const { cursor } = request
  const names = request.topics.length === 0 ? [...metadata.topics.keys()] : asked
  const topics: TopicAnswer[] = []
  const ahead = names.filter((name) => cursor === null || name >= cursor.topicName).sort()
  let room = Math.max(1, Math.min(request.responsePartitionLimit, config['max.request.partition.size.limit']))
  for (const name of ahead) {
    const topic = metadata.topics.get(name)
    const first = cursor?.topicName === name ? Math.max(0, cursor.partitionIndex) : 0
    // A topic that a cursor of an earlier answer pointed to, and that is gone since, is nothing the client asked for.
    if (topic === undefined && cursor?.topicName === name && request.topics.length === 0) continue
    if (room === 0) return { topics, nextCursor: { topicName: name, partitionIndex: first } }
    if (topic === undefined) {
      topics.push(missing(name))
      room -= 1
      continue
    }
    const partitions = topic.partitions.slice(first, first + room).map((partition) => ({
      ...describePartition(partition, metadata),
      eligibleLeaderReplicas: [],
      lastKnownElr: [],
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

function missing(name: string): TopicAnswer {
  const errorCode =
    topicNameProblem(name) === null ? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION : ErrorCode.INVALID_TOPIC_EXCEPTION
  return failed(name, errorCode)
}

function failed(name: string, errorCode: ErrorCode): TopicAnswer {
  return { errorCode, name, topicId: ZERO_UUID, isInternal: false, partitions: [] }
}
