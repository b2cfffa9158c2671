import { ErrorCode } from '../../protocol/errors.ts'
import {
  createPartitionsRequest,
  createPartitionsResponse,
} from '../../protocol/messages/37-create-partitions.ts'
import { answer, defineApi } from './handler.ts'

/**
 * CreatePartitions, versions 0-3.
 *
 * Behavior: each topic grows to `count` partitions or fails for itself; a name that appears twice fails. When the
 * answer leaves, the new partitions are durable and have their leaders. Internal topics keep their partitions.
 *
 * Version notes: v2 flexible, v3 as v2 (KIP-599 quotas, of which there are none).
 *
 * Not implemented: `timeoutMs` (the answer waits for the creation).
 */
export const createPartitions = defineApi({
  request: createPartitionsRequest,
  response: createPartitionsResponse,
  versions: [0, 3],
  handle: answer(async (request, { broker }) => {
    const times = new Map<string, number>()
    for (const { name } of request.topics) times.set(name, (times.get(name) ?? 0) + 1)
    const distinct = new Map(request.topics.map((topic) => [topic.name, topic]))
    const results = [...distinct.values()].map(async ({ name, count, assignments }) => {
      if (times.get(name) !== 1) {
        const errorMessage = 'The request names this topic more than once.'
        return { name, errorCode: ErrorCode.INVALID_REQUEST, errorMessage }
      }
      const replicas = assignments?.map(({ brokerIds }) => brokerIds) ?? null
      const { errorCode, errorMessage } = await broker.metadata.createPartitions(
        name,
        count,
        replicas,
        request.validateOnly,
      )
      return { name, errorCode, errorMessage }
    })
    return { results: await Promise.all(results) }
  }),
})
