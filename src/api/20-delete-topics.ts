import { ErrorCode } from '../../protocol/errors.ts'
import { deleteTopicsRequest, deleteTopicsResponse } from '../../protocol/messages/20-delete-topics.ts'
import { ZERO_UUID } from '../../protocol/schema.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { Outcome } from '../metadata/layout/outcome.ts'
import type { Refused } from './requests/array-rules.ts'
import { answer, defineApi } from './requests/handler.ts'
import type { RequestContext } from './requests/handler.ts'
import { inSlices } from './requests/in-slices.ts'
import { CHANGE, TOPIC_REPEATED } from './requests/request-limits.ts'

/**
 * DeleteTopics, versions 0-6.
 *
 * Behavior: each topic succeeds or fails for itself; a topic that appears twice fails. When the answer leaves, the
 * deletion is durable and the name is free again. Internal topics are not deleted. Of more than 10,000 topics none is
 * deleted, and each answers POLICY_VIOLATION.
 *
 * Version notes: v3 says TOPIC_DELETION_DISABLED where older ones say INVALID_REQUEST, v5 error messages, v6
 * deletion by topic id (KIP-516).
 *
 * Not implemented: `timeoutMs` (the answer waits for the deletion).
 */
export const deleteTopics = defineApi({
  request: deleteTopicsRequest,
  response: deleteTopicsResponse,
  versions: [0, 6],
  arrays: {
    topics: { repeats: 'refused', key: keyOf, repeated: TOPIC_REPEATED, ...CHANGE },
    topicNames: { repeats: 'refused', repeated: TOPIC_REPEATED, ...CHANGE },
  },
  handle: answer(async (request, context, refusals) => {
    const byName = (name: string): AskedTopic => ({ name, topicId: ZERO_UUID })
    const refused: readonly Refused<AskedTopic>[] =
      context.apiVersion >= 6
        ? refusals.of(request, 'topics')
        : refusals
            .of(request, 'topicNames')
            .map(({ element, outcome }) => ({ element: byName(element), outcome }))
    const asked = context.apiVersion >= 6 ? request.topics : request.topicNames.map(byName)
    const { metadata } = context.broker
    const names = new Set(asked.flatMap(({ name, topicId }) => (topicId === ZERO_UUID ? (name ?? []) : [])))
    const nameOf = ({ name, topicId }: AskedTopic) => name ?? metadata.topicById(topicId)?.name ?? ''
    const twice = new Set(
      asked.filter((topic) => topic.name === null && names.has(nameOf(topic))).map(nameOf),
    )
    const named = asked.filter((topic) => topic.name !== null || !twice.has(nameOf(topic)))
    const deleted = await inSlices(named, context, (topics) =>
      Promise.all(
        topics.map(async (topic) =>
          twice.has(nameOf(topic)) ? namedTwice(topic, metadata) : await deleteOne(topic, context),
        ),
      ),
    )
    const others = await inSlices(refused, context, (some) =>
      some.map(({ element, outcome }) => answerOf(element, outcome)),
    )
    return { responses: [...deleted, ...others] }
  }),
})

interface AskedTopic {
  readonly name: string | null
  readonly topicId: string
}

function keyOf({ name, topicId }: AskedTopic): string {
  return `${topicId} ${name ?? ''}`
}

function answerOf({ name, topicId }: AskedTopic, { errorCode, errorMessage }: Outcome) {
  return { name, topicId, errorCode, errorMessage }
}

function failed({ name, topicId }: AskedTopic, errorCode: ErrorCode, errorMessage: string) {
  return { name, topicId, errorCode, errorMessage }
}

/** By its name and by its id: answered once, and kept. */
function namedTwice({ name }: AskedTopic, metadata: Metadata) {
  const topicId = metadata.topics.get(name ?? '')?.topicId ?? ZERO_UUID
  return failed({ name, topicId }, ErrorCode.INVALID_REQUEST, 'This topic is named by its id, too.')
}

async function deleteOne(asked: AskedTopic, { broker, apiVersion }: RequestContext) {
  const byId = asked.topicId !== ZERO_UUID
  if (byId === (asked.name !== null))
    return failed(asked, ErrorCode.INVALID_REQUEST, 'Give either the name or the id of a topic.')
  if (!broker.config['delete.topic.enable']) {
    const errorCode = apiVersion < 3 ? ErrorCode.INVALID_REQUEST : ErrorCode.TOPIC_DELETION_DISABLED
    return failed(asked, errorCode, 'delete.topic.enable is false.')
  }
  const topic = byId ? broker.metadata.topicById(asked.topicId) : broker.metadata.topics.get(asked.name ?? '')
  if (topic === undefined)
    return byId
      ? failed(asked, ErrorCode.UNKNOWN_TOPIC_ID, 'No topic has this id.')
      : failed(asked, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, 'This topic does not exist.')
  const { errorCode, errorMessage } = await broker.metadata.deleteTopic(topic.name)
  return { name: topic.name, topicId: topic.topicId, errorCode, errorMessage }
}
