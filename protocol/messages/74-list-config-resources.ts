import { array, int16, int32, int8, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/** Names of configuration resources. v0 lists client metrics only (KIP-714), v1 any type (KIP-1142). */

export const listConfigResourcesRequest = request({
  key: 74,
  name: 'ListConfigResources',
  versions: [0, 1],
  flexibleFrom: 0,
  fields: {
    resourceTypes: array(int8(), { since: 1 }),
  },
})

export type ListConfigResourcesRequest = Decoded<typeof listConfigResourcesRequest>

export const listConfigResourcesResponse = response({
  key: 74,
  name: 'ListConfigResources',
  versions: [0, 1],
  flexibleFrom: 0,
  fields: {
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16(),
    configResources: array({
      resourceName: string(),
      resourceType: int8({ since: 1, default: 16, ignorable: true }),
    }),
  },
})

export type ListConfigResourcesResponse = Decoded<typeof listConfigResourcesResponse>
