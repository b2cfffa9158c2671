import {
  createPartitionsRequest,
  createPartitionsResponse,
} from '../../protocol/messages/37-create-partitions.ts'
import type { CreatePartitionsRequest } from '../../protocol/messages/37-create-partitions.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { answer, defineApi } from './requests/handler.ts'
import { inSlices } from './requests/in-slices.ts'
import { TOO_MANY_PARTITIONS, TOPIC_REPEATED } from './requests/request-limits.ts'

/**
 * CreatePartitions, versions 0-3.
 *
 * Behavior: each topic grows to `count` partitions or fails for itself; a name that appears twice fails. When the
 * answer leaves, the new partitions are durable and have their leaders. Internal topics keep their partitions. Of
 * more than 10,000 topics or new partitions nothing is made, and each topic answers POLICY_VIOLATION, as in KRaft.
 *
 * Version notes: v2 flexible, v3 as v2 (KIP-599 quotas, of which there are none).
 *
 * Not implemented: `timeoutMs` (the answer waits for the creation).
 */
export const createPartitions = defineApi({
  request: createPartitionsRequest,
  response: createPartitionsResponse,
  versions: [0, 3],
  arrays: {
    topics: {
      repeats: 'refused',
      key: ({ name }) => name,
      repeated: TOPIC_REPEATED,
      cost: (topic, { metadata }) => newPartitions(topic, metadata),
      beyond: 'refuse all',
      excess: TOO_MANY_PARTITIONS,
      inside: {
        // Looked at only when the topic is admitted, and then there is one for each new partition.
        assignments: {
          repeats: 'kept',
          cost: 0,
          inside: { brokerIds: { repeats: 'kept', cost: 0 } },
        },
      },
    },
  },
  handle: answer(async (request, context, refusals) => {
    const { metadata } = context.broker
    const grow = async ({ name, count, assignments }: AskedTopic) => {
      const replicas = assignments?.map(({ brokerIds }) => brokerIds) ?? null
      const outcome = await metadata.createPartitions(name, count, replicas, request.validateOnly)
      return { name, ...outcome }
    }
    const grown = await inSlices(request.topics, context, (some) => Promise.all(some.map(grow)))
    const refused = await inSlices(refusals.of(request, 'topics'), context, (some) =>
      some.map(({ element, outcome }) => ({ name: element.name, ...outcome })),
    )
    return { results: [...grown, ...refused] }
  }),
})

type AskedTopic = CreatePartitionsRequest['topics'][number]

function newPartitions({ name, count }: AskedTopic, metadata: Metadata): number {
  const before = metadata.topics.get(name)?.partitions.length ?? count
  return Math.max(1, count - before)
}
