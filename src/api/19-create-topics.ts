import { ErrorCode } from '../../protocol/errors.ts'
import { createTopicsRequest, createTopicsResponse } from '../../protocol/messages/19-create-topics.ts'
import type { CreateTopicsRequest } from '../../protocol/messages/19-create-topics.ts'
import { ZERO_UUID } from '../../protocol/schema.ts'
import type { BrokerConfig } from '../core/config/broker-config.ts'
import { CONFIG_SOURCE_IDS } from '../core/config/config-source.ts'
import { describeTopicConfig } from '../core/config/describe-config.ts'
import type { Refused } from './requests/array-rules.ts'
import { answer, defineApi } from './requests/handler.ts'
import { inSlices } from './requests/in-slices.ts'
import { TOO_MANY_PARTITIONS, TOPIC_REPEATED } from './requests/request-limits.ts'

/**
 * CreateTopics, versions 0-7.
 *
 * Behavior: each topic succeeds or fails for itself; a name that appears twice fails. When the answer leaves, the
 * topics are durable and their leaders are ready. Of a request for more than 10,000 partitions none is created, and
 * each topic answers POLICY_VIOLATION, as in KRaft (KAFKA-17870).
 *
 * Version notes: v1 validateOnly and error messages, v4 -1 takes the broker's defaults (KIP-464), v5 the resulting
 * configuration comes back (KIP-525; of the first 2,500 topics of a request), v7 the topic id (KIP-516).
 *
 * Not implemented: `timeoutMs` (the answer waits for the creation, which takes milliseconds); create.topic.policy.
 */
export const createTopics = defineApi({
  request: createTopicsRequest,
  response: createTopicsResponse,
  versions: [0, 7],
  arrays: {
    topics: {
      repeats: 'refused',
      key: ({ name }) => name,
      repeated: TOPIC_REPEATED,
      cost: (topic, { config }) => partitionsOf(topic, config),
      beyond: 'refuse all',
      excess: TOO_MANY_PARTITIONS,
      inside: {
        // Planned only when the topic is admitted; numbers that are repeated make the assignment invalid.
        assignments: {
          repeats: 'kept',
          cost: 0,
          inside: { brokerIds: { repeats: 'kept', cost: 0 } },
        },
        // Of a key that is named twice the last value counts, as in Kafka.
        configs: { repeats: 'once', key: ({ name }) => name, cost: 0 },
      },
    },
  },
  handle: answer(async (request, context, refusals) => {
    const { metadata } = context.broker
    const configsOf = configDescriber(metadata.config)
    const created = await inSlices(request.topics, context, (topics) =>
      metadata.createTopics(topics, request.validateOnly ?? false, context.peer !== null),
    )
    const topics = created.map((result, index) => ({
      name: result.name,
      topicId: result.topicId ?? ZERO_UUID,
      errorCode: result.errorCode,
      errorMessage: result.errorMessage,
      numPartitions: result.numPartitions,
      replicationFactor: result.replicationFactor,
      ...(index < MAX_CONFIGURATIONS
        ? { configs: result.config === null ? [] : configsOf(result.config.overrides) }
        : { configs: [], topicConfigErrorCode: ErrorCode.POLICY_VIOLATION }),
    }))
    const refused = await inSlices(refusals.of(request, 'topics'), context, (some) => some.map(toRefused))
    return { topics: [...topics, ...refused] }
  }),
})

/** Topics whose configuration comes back. An answer is put together in one go, and others wait meanwhile. */
const MAX_CONFIGURATIONS = 2_500

function toRefused({ element, outcome }: Refused<{ readonly name: string }>) {
  return { name: element.name, topicId: ZERO_UUID, ...outcome, configs: [] }
}

type AskedTopic = CreateTopicsRequest['topics'][number]

function partitionsOf({ numPartitions, assignments }: AskedTopic, config: BrokerConfig): number {
  if (assignments.length > 0) return assignments.length
  return numPartitions === -1 ? config['num.partitions'] : Math.max(1, numPartitions)
}

/** Most topics of a request share their overrides, or have none: those are described once. */
function configDescriber(config: BrokerConfig) {
  const describe = (overrides: ReadonlyMap<string, string>) =>
    describeTopicConfig(overrides, config).map(({ name, value, readOnly, settingSource, sensitive }) => ({
      name,
      value,
      readOnly,
      configSource: CONFIG_SOURCE_IDS[settingSource],
      isSensitive: sensitive,
    }))
  const known = new Map<string, ReturnType<typeof describe>>()
  return (overrides: ReadonlyMap<string, string>) => {
    const key = overrides.size === 0 ? '' : JSON.stringify([...overrides])
    const described = known.get(key) ?? describe(overrides)
    known.set(key, described)
    return described
  }
}
