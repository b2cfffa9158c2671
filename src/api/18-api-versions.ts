import { ErrorCode } from '../../protocol/errors.ts'
import { apiVersionsRequest, apiVersionsResponse } from '../../protocol/messages/18-api-versions.ts'
import { answer, defineApi } from './requests/handler.ts'
import type { RequestContext } from './requests/handler.ts'

/** What KIP-511 allows for the client's name and version. */
const SOFTWARE_NAME = /^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$/

/**
 * ApiVersions, versions 0-4.
 *
 * Behavior: lists what the table of handlers serves to everybody. An unknown version of this API is answered in v0 with
 * UNSUPPORTED_VERSION and the range of this API, so that any client can find a common version (KIP-511); that
 * answer is made in `server/codec.ts`, because such a request cannot be decoded.
 *
 * Version notes: v3 software name and version (KIP-511), features (KIP-584): it is known that none is finalized. v4 may
 * list features with a minimum of 0 (KIP-1022); none is offered.
 */
export const apiVersions = defineApi({
  request: apiVersionsRequest,
  response: apiVersionsResponse,
  versions: [0, 4],
  arrays: {},
  handle: answer((request, context) => {
    const named = context.apiVersion >= 3
    if (
      named &&
      !(SOFTWARE_NAME.test(request.clientSoftwareName) && SOFTWARE_NAME.test(request.clientSoftwareVersion))
    ) {
      return { errorCode: ErrorCode.INVALID_REQUEST, apiKeys: [] }
    }
    return { errorCode: ErrorCode.NONE, apiKeys: served(context), finalizedFeaturesEpoch: 0 }
  }),
})

function served(context: RequestContext) {
  const forAll = [...context.apis.values()].filter(({ servedTo }) => servedTo === 'everybody')
  return forAll.map(({ key, minVersion, maxVersion }) => ({ apiKey: key, minVersion, maxVersion }))
}
