import { array, bool, int16, int32, int8, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * Replaces the whole configuration of resources: what is not named goes back to its default. v2: flexible.
 */

const alterConfigsResource = {
  resourceType: int8(),
  resourceName: string(),
  configs: array({ name: string(), value: string({ nullable: true }) }),
}

export const alterConfigsRequest = request({
  key: 33,
  name: 'AlterConfigs',
  versions: [0, 2],
  flexibleFrom: 2,
  fields: {
    resources: array(alterConfigsResource),
    validateOnly: bool(),
  },
})

export type AlterConfigsRequest = Decoded<typeof alterConfigsRequest>

export const alterConfigsResponse = response({
  key: 33,
  name: 'AlterConfigs',
  versions: [0, 2],
  flexibleFrom: 2,
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

export type AlterConfigsResponse = Decoded<typeof alterConfigsResponse>
