import { ErrorCode } from '../../protocol/errors.ts'
import type { ConfigResource } from '../metadata/changes/config-change.ts'
import { refused, shortened } from '../metadata/layout/outcome.ts'
import type { Outcome } from '../metadata/layout/outcome.ts'
import { alterableResource } from './config-resources.ts'
import type { RequestContext } from './handler.ts'
import { inSlices } from './in-slices.ts'
import { MAX_ELEMENTS, refuseEach, sortOut, TOO_MANY_CHANGES } from './request-limits.ts'

interface NamedResource {
  readonly resourceType: number
  readonly resourceName: string
}

const REPEATED = refused(ErrorCode.INVALID_REQUEST, 'Each resource must appear at most once.')

/**
 * Runs a change for every resource. One that is named twice is refused: which of its changes should win? Of more
 * than 10,000 resources none is changed.
 */
export async function alterResources<Resource extends NamedResource>(
  resources: readonly Resource[],
  context: RequestContext,
  alter: (resource: Resource, target: ConfigResource) => Promise<Outcome>,
): Promise<(Outcome & NamedResource)[]> {
  if (resources.length > MAX_ELEMENTS) return refuseEach(resources, TOO_MANY_CHANGES, context, answerOf)
  const { once, repeated } = sortOut(
    resources,
    ({ resourceType, resourceName }) => `${resourceType} ${resourceName}`,
  )
  const alterOne = async (resource: Resource) => {
    const target = alterableResource(resource)
    return answerOf(resource, 'errorCode' in target ? target : await alter(resource, target))
  }
  const altered = await inSlices(once, context, (some) => Promise.all(some.map(alterOne)))
  return [...altered, ...repeated.map((resource) => answerOf(resource, REPEATED))]
}

function answerOf({ resourceType, resourceName }: NamedResource, { errorCode, errorMessage }: Outcome) {
  return { errorCode, errorMessage: shortened(errorMessage), resourceType, resourceName }
}
