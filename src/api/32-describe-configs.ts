import { ErrorCode } from '../../protocol/errors.ts'
import {
  describeConfigsRequest,
  describeConfigsResponse,
} from '../../protocol/messages/32-describe-configs.ts'
import type { DescribeConfigsRequest } from '../../protocol/messages/32-describe-configs.ts'
import type { Broker } from '../broker/broker.ts'
import { CONFIG_SOURCE_IDS } from '../core/config/config-source.ts'
import {
  CLIENT_METRICS_DEFAULTS,
  CONFIG_TYPE_IDS,
  describeBrokerConfig,
  describeClusterDefaults,
  describeGroupConfig,
  describeTopicConfig,
} from '../core/config/describe-config.ts'
import type { DescribedConfig } from '../core/config/describe-config.ts'
import { refused } from '../metadata/layout/outcome.ts'
import type { Outcome } from '../metadata/layout/outcome.ts'
import { topicNameProblem } from '../metadata/layout/topic-names.ts'
import { brokerIdOf, ResourceType } from './requests/config-resources.ts'
import { defineApi, inSteps } from './requests/handler.ts'
import { QUESTION } from './requests/request-limits.ts'

type Resource = DescribeConfigsRequest['resources'][number]

/**
 * DescribeConfigs, versions 0-4.
 *
 * Behavior: topics and brokers with every key, its value, source, type, synonyms and a sentence about it. A broker
 * with an empty name holds the dynamic values of all brokers. Subscriptions to client metrics and groups have their
 * defaults, for whatever name. Null or no keys asks for all keys. A resource that is named twice is answered once. What
 * is beyond 10,000 resources or 8 MiB answers POLICY_VIOLATION. One type of resource that is unknown fails them all, as
 * in Kafka.
 *
 * Version notes: v1 sources and synonyms (KIP-226), v3 types and documentation (KIP-569).
 *
 * Not implemented: BROKER_LOGGER answers INVALID_REQUEST.
 */
export const describeConfigs = defineApi({
  request: describeConfigsRequest,
  response: describeConfigsResponse,
  versions: [0, 4],
  arrays: {
    resources: {
      repeats: 'merged',
      key: ({ resourceType, resourceName }) => `${resourceType} ${resourceName}`,
      ...QUESTION,
      inside: { configurationKeys: { repeats: 'once', emptyAsksForAll: true, cost: 0 } },
    },
  },
  handle: inSteps(function* (request, context, refusals) {
    const encode = encoderFor(request, context.apiVersion)
    const results = []
    let room = MAX_ANSWER_BYTES
    const unknown = request.resources.find(({ resourceType }) => !TYPES.has(resourceType))
    const failure = unknown === undefined ? null : unknownType(unknown)
    for (const resource of request.resources) {
      yield
      const { resourceType, resourceName, configurationKeys } = resource
      const described = failure ?? (room <= 0 ? TOO_LARGE : describeResource(resource, context.broker))
      if ('errorCode' in described) {
        results.push(failed(resource, described))
        continue
      }
      const isAll = configurationKeys === null || configurationKeys.length === 0
      const { configs, sizeBytes } = encode(described, isAll ? null : new Set(configurationKeys))
      room -= sizeBytes
      // Kafka's text of no error is not null but empty.
      results.push({ errorCode: ErrorCode.NONE, errorMessage: '', resourceType, resourceName, configs })
    }
    for (const { element, outcome } of refusals.of(request, 'resources')) {
      results.push(failed(element, outcome))
      yield
    }
    return { results }
  }),
})

const TYPES: ReadonlySet<number> = new Set(Object.values(ResourceType))

function unknownType({ resourceType, resourceName }: Resource): Outcome {
  return refused(
    ErrorCode.INVALID_REQUEST,
    `Unexpected resource type ${resourceType} for resource ${resourceName}`,
  )
}

/** With documentation, ten thousand resources would make an answer of 100 MB. */
const MAX_ANSWER_BYTES = 8 * 1024 * 1024
const TOO_LARGE = refused(
  ErrorCode.POLICY_VIOLATION,
  `The answer is larger than ${MAX_ANSWER_BYTES} bytes: ask for fewer resources, for some keys, or without documentation.`,
)
/** What a value takes in an answer beside its texts. */
const VALUE_BYTES = 12

function failed({ resourceType, resourceName }: Resource, { errorCode, errorMessage }: Outcome) {
  return { errorCode, errorMessage, resourceType, resourceName, configs: [] }
}

function describeResource(
  { resourceType, resourceName }: Resource,
  broker: Broker,
): readonly DescribedConfig[] | Outcome {
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
      return describeBroker(resourceName, broker)
    case ResourceType.CLIENT_METRICS:
      return resourceName === ''
        ? refused(ErrorCode.INVALID_REQUEST, 'Client metrics subscription name must not be empty')
        : CLIENT_METRICS_DEFAULTS
    case ResourceType.GROUP:
      return resourceName === ''
        ? refused(ErrorCode.INVALID_REQUEST, 'Group name must not be empty')
        : describeGroupConfig(broker.metadata.config)
    default:
      return refused(ErrorCode.INVALID_REQUEST, `Unsupported resource type: ${resourceType}`)
  }
}

function describeBroker(name: string, { metadata }: Broker): readonly DescribedConfig[] | Outcome {
  if (name === '') return describeClusterDefaults(metadata.config)
  const id = brokerIdOf(name)
  if (id === null)
    return refused(ErrorCode.INVALID_REQUEST, `Broker id must be an integer, but it is: ${name}`)
  if (id === metadata.nodeId) return describeBrokerConfig(metadata.config)
  return refused(
    ErrorCode.INVALID_REQUEST,
    `Unexpected broker id, expected ${metadata.nodeId} or empty string, but received ${name}`,
  )
}

/** Most topics have few overrides or none, and what they share is made once for all of them. */
function encoderFor(request: DescribeConfigsRequest, apiVersion: number) {
  const values = new Map<DescribedConfig, EncodedConfig>()
  const valueOf = (config: DescribedConfig): EncodedConfig => {
    const known = values.get(config)
    if (known !== undefined) return known
    const made = encode(config, apiVersion, request)
    // Values of one topic alone are not needed again.
    if (config.source !== 'DYNAMIC_TOPIC_CONFIG') values.set(config, made)
    return made
  }
  return (described: readonly DescribedConfig[], keys: ReadonlySet<string> | null) => {
    const configs = []
    let sizeBytes = 0
    for (const config of described) {
      if (keys !== null && !keys.has(config.name)) continue
      const { value, valueBytes } = valueOf(config)
      configs.push(value)
      sizeBytes += valueBytes
    }
    return { configs, sizeBytes }
  }
}

type EncodedConfig = ReturnType<typeof encode>

function encode(config: DescribedConfig, apiVersion: number, request: DescribeConfigsRequest) {
  const { name, readOnly, source, sensitive, type } = config
  const synonyms = request.includeSynonyms
    ? config.synonyms.map((synonym) => ({ ...synonym, source: CONFIG_SOURCE_IDS[synonym.source] }))
    : []
  const documentation = request.includeDocumentation ? config.documentation : null
  const texts = [name, config.value, documentation, ...synonyms.flatMap((each) => [each.name, each.value])]
  const value = {
    name,
    value: config.value,
    readOnly,
    configSource: CONFIG_SOURCE_IDS[source],
    ...(apiVersion === 0 ? { isDefault: source === 'DEFAULT_CONFIG' } : {}),
    isSensitive: sensitive,
    synonyms,
    configType: CONFIG_TYPE_IDS[type],
    documentation,
  }
  return { value, valueBytes: texts.reduce((sum, text) => sum + (text?.length ?? 0), VALUE_BYTES) }
}
