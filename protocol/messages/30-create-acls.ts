import { array, int16, int32, int8, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/** Adds access rules. v1: prefixed patterns (KIP-290). v2: flexible. v3: user resources (KIP-373). */

const aclCreation = {
  resourceType: int8(),
  resourceName: string(),
  resourcePatternType: int8({ since: 1, default: 3 }),
  principal: string(),
  host: string(),
  operation: int8(),
  permissionType: int8(),
}

export const createAclsRequest = request({
  key: 30,
  name: 'CreateAcls',
  versions: [0, 3],
  flexibleFrom: 2,
  fields: {
    creations: array(aclCreation),
  },
})

export type CreateAclsRequest = Decoded<typeof createAclsRequest>

export const createAclsResponse = response({
  key: 30,
  name: 'CreateAcls',
  versions: [0, 3],
  flexibleFrom: 2,
  fields: {
    throttleTimeMs: int32({ default: 0 }),
    results: array({ errorCode: int16(), errorMessage: string({ nullable: true }) }),
  },
})

export type CreateAclsResponse = Decoded<typeof createAclsResponse>
