import { ErrorCode } from '../../protocol/errors.ts'
import { updateFeaturesRequest, updateFeaturesResponse } from '../../protocol/messages/57-update-features.ts'
import { answer, defineApi } from './requests/handler.ts'

/**
 * UpdateFeatures, versions 0-2 (KIP-584).
 *
 * Behavior: no feature is known, so an update of any fails with INVALID_UPDATE_VERSION, in Kafka's words, and with it
 * all of the request. An update of none succeeds.
 *
 * Not implemented: features.
 */
export const updateFeatures = defineApi({
  request: updateFeaturesRequest,
  response: updateFeaturesResponse,
  versions: [0, 2],
  arrays: { featureUpdates: { repeats: 'kept', cost: 0 } },
  handle: answer(({ featureUpdates: [first] }, { broker }) => {
    if (first === undefined) return { errorCode: ErrorCode.NONE, errorMessage: null, results: [] }
    const { feature, maxVersionLevel } = first
    return {
      errorCode: ErrorCode.INVALID_UPDATE_VERSION,
      errorMessage: `The update failed for all features since the following feature had an error: Invalid update version ${maxVersionLevel} for feature ${feature}. Local controller ${broker.nodeId} does not support this feature.`,
      results: [],
    }
  }),
})
