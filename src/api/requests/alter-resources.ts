import { ErrorCode } from '../../../protocol/errors.ts'
import type { ConfigResource } from '../../metadata/changes/config-change.ts'
import { refused, shortened } from '../../metadata/layout/outcome.ts'
import type { Outcome } from '../../metadata/layout/outcome.ts'
import type { Refused } from './array-rules.ts'
import { alterableResource } from './config-resources.ts'
import type { RequestContext } from './handler.ts'
import { inSlices } from './in-slices.ts'
import { CHANGE } from './request-limits.ts'

interface NamedResource {
  readonly resourceType: number
  readonly resourceName: string
}

/** Which of its changes should win? */
const RESOURCE_REPEATED = refused(ErrorCode.INVALID_REQUEST, 'Each resource must appear at most once.')

function resourceKey({ resourceType, resourceName }: NamedResource): string {
  return `${resourceType} ${resourceName}`
}

/** What a request that alters the configuration of resources may ask for. */
export const ALTERED_RESOURCES = {
  resources: {
    repeats: 'refused',
    key: resourceKey,
    repeated: RESOURCE_REPEATED,
    ...CHANGE,
    // More changes than there are keys are refused, and so are two of one key (`metadata/changes/config-change`).
    inside: { configs: { repeats: 'kept', cost: 0 } },
  },
} as const

/** Runs a change for every resource, and answers those that were refused. */
export async function alterResources<Resource extends NamedResource>(
  resources: readonly Resource[],
  refusals: readonly Refused<Resource>[],
  context: RequestContext,
  alter: (resource: Resource, target: ConfigResource) => Promise<Outcome>,
): Promise<(Outcome & NamedResource)[]> {
  const alterOne = async (resource: Resource) => {
    const target = alterableResource(resource)
    return answerOf(resource, 'errorCode' in target ? target : await alter(resource, target))
  }
  const altered = await inSlices(resources, context, (some) => Promise.all(some.map(alterOne)))
  const others = await inSlices(refusals, context, (some) =>
    some.map(({ element, outcome }) => answerOf(element, outcome)),
  )
  return [...altered, ...others]
}

function answerOf({ resourceType, resourceName }: NamedResource, { errorCode, errorMessage }: Outcome) {
  return { errorCode, errorMessage: shortened(errorMessage), resourceType, resourceName }
}
