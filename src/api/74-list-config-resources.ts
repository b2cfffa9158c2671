import { ErrorCode } from '../../protocol/errors.ts'
import {
  listConfigResourcesRequest,
  listConfigResourcesResponse,
} from '../../protocol/messages/74-list-config-resources.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { ResourceType } from './requests/config-resources.ts'
import { defineApi, inSteps } from './requests/handler.ts'

const LISTED: readonly number[] = Object.values(ResourceType)

/**
 * ListConfigResources, versions 0-1.
 *
 * Behavior: names of the resources DescribeConfigs knows, of the types asked for or of all types. There are no client
 * metrics subscriptions and no group configurations.
 *
 * Version notes: v0 lists client metrics subscriptions only (KIP-714), v1 all types (KIP-1142).
 *
 * A type that is not known answers UNSUPPORTED_VERSION.
 */
export const listConfigResources = defineApi({
  request: listConfigResourcesRequest,
  response: listConfigResourcesResponse,
  versions: [0, 1],
  arrays: { resourceTypes: { repeats: 'once', cost: 0 } },
  handle: inSteps(function* (request, { broker, apiVersion }) {
    const asked = apiVersion === 0 ? [ResourceType.CLIENT_METRICS] : (request.resourceTypes ?? [])
    if (asked.some((type) => !LISTED.includes(type)))
      return { errorCode: ErrorCode.UNSUPPORTED_VERSION, configResources: [] }
    const configResources = []
    for (const resourceType of asked.length === 0 ? LISTED : asked) {
      for (const resourceName of namesOf(resourceType, broker.metadata)) {
        configResources.push({ resourceName, resourceType })
        yield
      }
    }
    return { errorCode: ErrorCode.NONE, configResources }
  }),
})

function namesOf(resourceType: number, metadata: Metadata): Iterable<string> {
  if (resourceType === ResourceType.TOPIC) return metadata.topics.keys()
  if (resourceType === ResourceType.BROKER || resourceType === ResourceType.BROKER_LOGGER)
    return [...metadata.brokers.keys()].map(String)
  return []
}
