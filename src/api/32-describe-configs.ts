import { ErrorCode } from '../../protocol/errors.ts'
import {
  describeConfigsRequest,
  describeConfigsResponse,
} from '../../protocol/messages/32-describe-configs.ts'
import type { DescribeConfigsRequest } from '../../protocol/messages/32-describe-configs.ts'
import type { Broker } from '../broker/broker.ts'
import { CONFIG_SOURCE_IDS } from '../core/config/config-source.ts'
import {
  CONFIG_TYPE_IDS,
  describeBrokerConfig,
  describeClusterDefaults,
  describeTopicConfig,
} from '../core/config/describe-config.ts'
import type { DescribedConfig } from '../core/config/describe-config.ts'
import { refused } from '../metadata/outcome.ts'
import type { Outcome } from '../metadata/outcome.ts'
import { topicNameProblem } from '../metadata/topic-names.ts'
import { ResourceType } from './config-resources.ts'
import { answer, defineApi } from './handler.ts'

type Resource = DescribeConfigsRequest['resources'][number]

/**
 * DescribeConfigs, versions 0-4.
 *
 * Behavior: topics and brokers with every key, its value, source, type, synonyms and a sentence about it. A broker
 * with an empty name holds the dynamic values of all brokers. Client metrics and groups have no configuration here
 * and answer an empty list. Null or no keys asks for all keys.
 *
 * Version notes: v1 sources and synonyms (KIP-226), v3 types and documentation (KIP-569).
 *
 * Not implemented: BROKER_LOGGER answers INVALID_REQUEST.
 */
export const describeConfigs = defineApi({
  request: describeConfigsRequest,
  response: describeConfigsResponse,
  versions: [0, 4],
  handle: answer((request, { broker, apiVersion }) => ({
    results: request.resources.map((resource) => {
      const { resourceType, resourceName, configurationKeys } = resource
      const described = describeResource(resource, broker)
      if (!Array.isArray(described)) {
        const { errorCode, errorMessage } = described
        return { errorCode, errorMessage, resourceType, resourceName, configs: [] }
      }
      const keys =
        configurationKeys === null || configurationKeys.length === 0 ? null : new Set(configurationKeys)
      const configs = described
        .filter(({ name }) => keys === null || keys.has(name))
        .map((config) => encode(config, apiVersion, request))
      return { errorCode: ErrorCode.NONE, errorMessage: null, resourceType, resourceName, configs }
    }),
  })),
})

function describeResource(
  { resourceType, resourceName }: Resource,
  broker: Broker,
): DescribedConfig[] | Outcome {
  switch (resourceType) {
    case ResourceType.TOPIC: {
      const problem = topicNameProblem(resourceName)
      if (problem !== null) return refused(ErrorCode.INVALID_TOPIC_EXCEPTION, problem)
      const topic = broker.metadata.topics.get(resourceName)
      return topic === undefined
        ? refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, `Topic '${resourceName}' does not exist.`)
        : describeTopicConfig(topic.config.overrides, broker.metadata.config)
    }
    case ResourceType.BROKER:
      if (resourceName === '') return describeClusterDefaults(broker.metadata.clusterDefaults)
      return resourceName === String(broker.metadata.nodeId)
        ? describeBrokerConfig(broker.metadata.config)
        : refused(
            ErrorCode.INVALID_REQUEST,
            `Unexpected broker id, expected ${broker.metadata.nodeId} or empty string, but received ${resourceName}`,
          )
    case ResourceType.CLIENT_METRICS:
    case ResourceType.GROUP:
      return []
    default:
      return refused(ErrorCode.INVALID_REQUEST, `Unsupported resource type: ${resourceType}`)
  }
}

function encode(config: DescribedConfig, apiVersion: number, request: DescribeConfigsRequest) {
  const { name, value, readOnly, source, sensitive, type, documentation, synonyms } = config
  return {
    name,
    value,
    readOnly,
    configSource: CONFIG_SOURCE_IDS[source],
    ...(apiVersion === 0 ? { isDefault: source === 'DEFAULT_CONFIG' } : {}),
    isSensitive: sensitive,
    synonyms: request.includeSynonyms
      ? synonyms.map((synonym) => ({ ...synonym, source: CONFIG_SOURCE_IDS[synonym.source] }))
      : [],
    configType: CONFIG_TYPE_IDS[type],
    documentation: request.includeDocumentation ? documentation : null,
  }
}
