/** Resources of the configuration APIs and their numbers on the wire. */
import { ErrorCode } from '../../../protocol/errors.ts'
import type { ConfigResource } from '../../metadata/changes/config-change.ts'
import type { Outcome } from '../../metadata/layout/outcome.ts'

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
  const id = brokerIdOf(resourceName)
  if (id !== null) return { kind: 'broker', id }
  return {
    errorCode: ErrorCode.INVALID_REQUEST,
    errorMessage: `Node id must be an integer, but it is: ${resourceName}`,
  }
}

/** As Java reads an integer; null when it is none. */
export function brokerIdOf(name: string): number | null {
  return /^[+-]?[0-9]{1,10}$/.test(name) ? Number(name) : null
}
