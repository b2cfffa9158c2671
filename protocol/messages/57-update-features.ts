import { array, bool, int16, int32, int8, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * Changes the finalized features of a cluster (KIP-584).
 *
 * v1: kinds of downgrades, validateOnly (KIP-778). v2: one result for all (KIP-1022).
 */

export const updateFeaturesRequest = request({
  key: 57,
  name: 'UpdateFeatures',
  versions: [0, 2],
  flexibleFrom: 0,
  fields: {
    timeoutMs: int32({ default: 60000 }),
    featureUpdates: array({
      feature: string(),
      maxVersionLevel: int16(),
      allowDowngrade: bool({ until: 0, default: false }),
      upgradeType: int8({ since: 1, default: 1 }),
    }),
    validateOnly: bool({ since: 1, default: false }),
  },
})

export type UpdateFeaturesRequest = Decoded<typeof updateFeaturesRequest>

export const updateFeaturesResponse = response({
  key: 57,
  name: 'UpdateFeatures',
  versions: [0, 2],
  flexibleFrom: 0,
  fields: {
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16(),
    errorMessage: string({ nullable: true }),
    results: array(
      { feature: string(), errorCode: int16(), errorMessage: string({ nullable: true }) },
      { until: 1, ignorable: true },
    ),
  },
})

export type UpdateFeaturesResponse = Decoded<typeof updateFeaturesResponse>
