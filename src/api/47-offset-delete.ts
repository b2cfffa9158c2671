import { ErrorCode } from '../../protocol/errors.ts'
import { offsetDeleteRequest, offsetDeleteResponse } from '../../protocol/messages/47-offset-delete.ts'
import { defineApi } from './requests/handler.ts'

/**
 * OffsetDelete, version 0 (KIP-496).
 *
 * Behavior: committed offsets go when the tombstones are in the log. Topics that members subscribe to are refused with
 * GROUP_SUBSCRIBED_TO_TOPIC, and groups whose subscriptions nobody can read, while they have members, with
 * NON_EMPTY_GROUP. To delete an offset that does not exist is no error.
 *
 * Version notes: never became flexible.
 *
 * Not implemented: nothing.
 */
export const offsetDelete = defineApi({
  request: offsetDeleteRequest,
  response: offsetDeleteResponse,
  versions: [0, 0],
  arrays: {
    topics: {
      repeats: 'merged',
      key: ({ name }) => name,
      cost: 0,
      inside: {
        partitions: { repeats: 'once', key: ({ partitionIndex }) => partitionIndex, cost: 0 },
      },
    },
  },
  handle(request, context, respond) {
    const { broker } = context
    const exists = (topic: string, partition: number): boolean =>
      partition >= 0 && partition < (broker.metadata.topics.get(topic)?.partitions.length ?? 0)
    const topics = request.topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions
        .map(({ partitionIndex }) => partitionIndex)
        .filter((index) => exists(name, index)),
    }))
    broker.groups.deleteOffsets(
      { groupId: request.groupId, topics },
      context.guard(({ errorCode, topicErrorCodes }) => {
        if (errorCode !== ErrorCode.NONE) {
          respond({ errorCode, topics: [] })
          return
        }
        const answered = request.topics.map(({ name, partitions }, i) => ({
          name,
          partitions: partitions.map(({ partitionIndex }) => ({
            partitionIndex,
            errorCode: exists(name, partitionIndex)
              ? topicErrorCodes[i]!
              : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
          })),
        }))
        // As in Kafka: nothing is said of a topic of which no partition is named.
        respond({ errorCode, topics: answered.filter(({ partitions }) => partitions.length > 0) })
      }),
    )
  },
})
