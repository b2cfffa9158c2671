import {
  createPartitionsRequest,
  createPartitionsResponse,
} from '../../protocol/messages/37-create-partitions.ts'
import type { CreatePartitionsRequest } from '../../protocol/messages/37-create-partitions.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { Outcome } from '../metadata/layout/outcome.ts'
import { answer, defineApi } from './handler.ts'
import { inSlices } from './in-slices.ts'
import {
  MAX_ELEMENTS,
  refuseEach,
  sortOut,
  TOO_MANY_CHANGES,
  TOO_MANY_PARTITIONS,
  TOPIC_REPEATED,
} from './request-limits.ts'

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
  handle: answer(async (request, context) => {
    const { metadata } = context.broker
    const { topics, validateOnly } = request
    if (topics.length > MAX_ELEMENTS)
      return { results: await refuseEach(topics, TOO_MANY_CHANGES, context, failed) }
    const { once, repeated } = sortOut(topics, ({ name }) => name)
    if (countNew(once, metadata) > MAX_ELEMENTS)
      return { results: await refuseEach(topics, TOO_MANY_PARTITIONS, context, failed) }
    const grow = async ({ name, count, assignments }: AskedTopic) => {
      const replicas = assignments?.map(({ brokerIds }) => brokerIds) ?? null
      const { errorCode, errorMessage } = await metadata.createPartitions(name, count, replicas, validateOnly)
      return { name, errorCode, errorMessage }
    }
    const grown = await inSlices(once, context, (some) => Promise.all(some.map(grow)))
    return { results: [...grown, ...repeated.map((topic) => failed(topic, TOPIC_REPEATED))] }
  }),
})

type AskedTopic = CreatePartitionsRequest['topics'][number]

function failed({ name }: AskedTopic, { errorCode, errorMessage }: Outcome) {
  return { name, errorCode, errorMessage }
}

function countNew(topics: readonly AskedTopic[], metadata: Metadata): number {
  let added = 0
  for (const { name, count } of topics) {
    const before = metadata.topics.get(name)?.partitions.length ?? count
    added += Math.max(0, count - before)
  }
  return added
}
