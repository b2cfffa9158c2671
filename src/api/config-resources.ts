/** Resources of the configuration APIs and their numbers on the wire. */
import { ErrorCode } from '../../protocol/errors.ts'
import type { ConfigResource } from '../metadata/changes/config-change.ts'
import type { Outcome } from '../metadata/layout/outcome.ts'

export const ResourceType = {
  TOPIC: 2,
  BROKER: 4,
  BROKER_LOGGER: 8,
  CLIENT_METRICS: 16,
  GROUP: 32,
} as const

interface NamedResource {
  readonly resourceType: number
  readonly resourceName: string
}

/** The resource a client wants to change, or why that cannot be. */
export function alterableResource({ resourceType, resourceName }: NamedResource): ConfigResource | Outcome {
  if (resourceType === ResourceType.TOPIC) return { kind: 'topic', name: resourceName }
  if (resourceType !== ResourceType.BROKER)
    return {
      errorCode: ErrorCode.INVALID_REQUEST,
      errorMessage: `Configurations of resource type ${resourceType} cannot be changed.`,
    }
  if (resourceName === '') return { kind: 'broker', id: null }
  if (/^[0-9]{1,10}$/.test(resourceName)) return { kind: 'broker', id: Number(resourceName) }
  return {
    errorCode: ErrorCode.INVALID_REQUEST,
    errorMessage: `Broker id must be an integer, but it is: ${resourceName}`,
  }
}

/** Runs a change for every resource. One that is named twice is refused: which of its changes should win? */
export function alterEach<Resource extends NamedResource>(
  resources: readonly Resource[],
  alter: (resource: Resource, target: ConfigResource) => Promise<Outcome>,
): Promise<(Outcome & NamedResource)[]> {
  const keyOf = ({ resourceType, resourceName }: NamedResource): string => `${resourceType} ${resourceName}`
  const times = new Map<string, number>()
  for (const resource of resources) times.set(keyOf(resource), (times.get(keyOf(resource)) ?? 0) + 1)
  const distinct = new Map(resources.map((resource) => [keyOf(resource), resource]))
  return Promise.all(
    [...distinct.values()].map(async (resource) => {
      const { resourceType, resourceName } = resource
      const target = alterableResource(resource)
      const outcome =
        times.get(keyOf(resource)) === 1
          ? 'errorCode' in target
            ? target
            : await alter(resource, target)
          : { errorCode: ErrorCode.INVALID_REQUEST, errorMessage: 'Each resource must appear at most once.' }
      const { errorCode, errorMessage } = outcome
      return { errorCode, errorMessage, resourceType, resourceName }
    }),
  )
}
