import { ErrorCode } from '../../protocol/errors.ts'
import { createTopicsRequest, createTopicsResponse } from '../../protocol/messages/19-create-topics.ts'
import { ZERO_UUID } from '../../protocol/schema.ts'
import type { BrokerConfig } from '../core/config/broker-config.ts'
import { CONFIG_SOURCE_IDS } from '../core/config/config-source.ts'
import { describeTopicConfig } from '../core/config/describe-config.ts'
import type { CreateTopicResult } from '../metadata/topic-changes.ts'
import { answer, defineApi } from './handler.ts'

/**
 * CreateTopics, versions 0-7.
 *
 * Behavior: each topic succeeds or fails for itself; a name that appears twice fails. When the answer leaves, the
 * topics are durable and their leaders are ready.
 *
 * Version notes: v1 validateOnly and error messages, v4 -1 takes the broker's defaults (KIP-464), v5 the resulting
 * configuration comes back (KIP-525), v7 the topic id (KIP-516).
 *
 * Not implemented: `timeoutMs` (the answer waits for the creation, which takes milliseconds); create.topic.policy.
 */
export const createTopics = defineApi({
  request: createTopicsRequest,
  response: createTopicsResponse,
  versions: [0, 7],
  handle: answer(async (request, { broker }) => {
    const byName = new Map(request.topics.map((topic) => [topic.name, topic]))
    const repeated = new Set<string>()
    const seen = new Set<string>()
    for (const { name } of request.topics) (seen.has(name) ? repeated : seen).add(name)
    const wanted = [...byName.values()].filter(({ name }) => !repeated.has(name))
    const results = await broker.metadata.createTopics(wanted, request.validateOnly ?? false)
    const refused = [...repeated].map((name) => ({
      name,
      topicId: ZERO_UUID,
      errorCode: ErrorCode.INVALID_REQUEST,
      errorMessage: 'The request names this topic more than once.',
      configs: [],
    }))
    return { topics: [...results.map((result) => describe(result, broker.metadata.config)), ...refused] }
  }),
})

function describe(result: CreateTopicResult, config: BrokerConfig) {
  const described = result.config === null ? [] : describeTopicConfig(result.config.overrides, config)
  return {
    name: result.name,
    topicId: result.topicId ?? ZERO_UUID,
    errorCode: result.errorCode,
    errorMessage: result.errorMessage,
    numPartitions: result.numPartitions,
    replicationFactor: result.replicationFactor,
    configs: described.map(({ name, value, readOnly, source, sensitive }) => ({
      name,
      value,
      readOnly,
      configSource: CONFIG_SOURCE_IDS[source],
      isSensitive: sensitive,
    })),
  }
}
