import { array, bool, int16, int32, int8, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/** Changes single configuration entries: set, delete, append, subtract (KIP-339). v1: flexible. */

const alterConfigsResource = {
  resourceType: int8(),
  resourceName: string(),
  configs: array({ name: string(), configOperation: int8(), value: string({ nullable: true }) }),
}

export const incrementalAlterConfigsRequest = request({
  key: 44,
  name: 'IncrementalAlterConfigs',
  versions: [0, 1],
  flexibleFrom: 1,
  fields: {
    resources: array(alterConfigsResource),
    validateOnly: bool(),
  },
})

export type IncrementalAlterConfigsRequest = Decoded<typeof incrementalAlterConfigsRequest>

export const incrementalAlterConfigsResponse = response({
  key: 44,
  name: 'IncrementalAlterConfigs',
  versions: [0, 1],
  flexibleFrom: 1,
  fields: {
    throttleTimeMs: int32({ default: 0 }),
    responses: array({
      errorCode: int16(),
      errorMessage: string({ nullable: true }),
      resourceType: int8(),
      resourceName: string(),
    }),
  },
})

export type IncrementalAlterConfigsResponse = Decoded<typeof incrementalAlterConfigsResponse>
