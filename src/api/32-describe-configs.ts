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
import { refused } from '../metadata/layout/outcome.ts'
import type { Outcome } from '../metadata/layout/outcome.ts'
import { topicNameProblem } from '../metadata/layout/topic-names.ts'
import { ResourceType } from './config-resources.ts'
import { answer, defineApi } from './handler.ts'
import { inSlices } from './in-slices.ts'
import { MAX_ELEMENTS, refuseEach, TOO_MANY_ASKED } from './request-limits.ts'

type Resource = DescribeConfigsRequest['resources'][number]

/**
 * DescribeConfigs, versions 0-4.
 *
 * Behavior: topics and brokers with every key, its value, source, type, synonyms and a sentence about it. A broker
 * with an empty name holds the dynamic values of all brokers. Client metrics and groups have no configuration here
 * and answer an empty list. Null or no keys asks for all keys. A resource that is named twice is answered once. What
 * is beyond 10,000 resources or 8 MiB answers POLICY_VIOLATION.
 *
 * Version notes: v1 sources and synonyms (KIP-226), v3 types and documentation (KIP-569).
 *
 * Not implemented: BROKER_LOGGER answers INVALID_REQUEST.
 */
export const describeConfigs = defineApi({
  request: describeConfigsRequest,
  response: describeConfigsResponse,
  versions: [0, 4],
  handle: answer(async (request, context) => {
    const asked = distinctResources(request.resources)
    const encode = encoderFor(request, context.apiVersion)
    let room = MAX_ANSWER_BYTES
    const results = await inSlices(asked.slice(0, MAX_ELEMENTS), context, (some) =>
      some.map(({ resource, keys }) => {
        const { resourceType, resourceName } = resource
        const described = room <= 0 ? TOO_LARGE : describeResource(resource, context.broker)
        if ('errorCode' in described) return failed({ resource }, described)
        const { configs, sizeBytes } = encode(described, keys)
        room -= sizeBytes
        return { errorCode: ErrorCode.NONE, errorMessage: null, resourceType, resourceName, configs }
      }),
    )
    if (asked.length <= MAX_ELEMENTS) return { results }
    const excess = await refuseEach(asked.slice(MAX_ELEMENTS), TOO_MANY_ASKED, context, failed)
    return { results: results.concat(excess) }
  }),
})

/** An answer is put together in one go and others wait meanwhile, so its size has a limit. */
const MAX_ANSWER_BYTES = 8 * 1024 * 1024
const TOO_LARGE = refused(
  ErrorCode.POLICY_VIOLATION,
  `The answer is larger than ${MAX_ANSWER_BYTES} bytes: ask for fewer resources, for some keys, or without documentation.`,
)
/** What a value takes in an answer beside its texts. */
const VALUE_BYTES = 12

interface AskedResource {
  readonly resource: Resource
  /** Null: all keys. */
  keys: Set<string> | null
}

function failed({ resource }: Pick<AskedResource, 'resource'>, { errorCode, errorMessage }: Outcome) {
  const { resourceType, resourceName } = resource
  return { errorCode, errorMessage, resourceType, resourceName, configs: [] }
}

/** Each resource once, with the keys of all its mentions. */
function distinctResources(resources: readonly Resource[]): AskedResource[] {
  const byType = new Map<number, Map<string, AskedResource>>()
  for (const resource of resources) {
    const { resourceType, resourceName, configurationKeys } = resource
    const all = configurationKeys === null || configurationKeys.length === 0
    const byName = byType.get(resourceType) ?? new Map<string, AskedResource>()
    byType.set(resourceType, byName)
    const known = byName.get(resourceName)
    if (known === undefined)
      byName.set(resourceName, { resource, keys: all ? null : new Set(configurationKeys) })
    else if (all) known.keys = null
    else for (const name of configurationKeys) known.keys?.add(name)
  }
  return [...byType.values()].flatMap((byName) => [...byName.values()])
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
