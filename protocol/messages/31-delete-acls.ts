import { array, int16, int32, int8, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/** Removes access rules. v1: prefixed patterns (KIP-290). v2: flexible. v3: user resources (KIP-373). */

const deleteAclsFilter = {
  resourceTypeFilter: int8(),
  resourceNameFilter: string({ nullable: true }),
  patternTypeFilter: int8({ since: 1, default: 3 }),
  principalFilter: string({ nullable: true }),
  hostFilter: string({ nullable: true }),
  operation: int8(),
  permissionType: int8(),
}

export const deleteAclsRequest = request({
  key: 31,
  name: 'DeleteAcls',
  versions: [0, 3],
  flexibleFrom: 2,
  fields: {
    filters: array(deleteAclsFilter),
  },
})

export type DeleteAclsRequest = Decoded<typeof deleteAclsRequest>

const deleteAclsMatchingAcl = {
  errorCode: int16(),
  errorMessage: string({ nullable: true }),
  resourceType: int8(),
  resourceName: string(),
  patternType: int8({ since: 1, default: 3 }),
  principal: string(),
  host: string(),
  operation: int8(),
  permissionType: int8(),
}

export const deleteAclsResponse = response({
  key: 31,
  name: 'DeleteAcls',
  versions: [0, 3],
  flexibleFrom: 2,
  fields: {
    throttleTimeMs: int32({ default: 0 }),
    filterResults: array({
      errorCode: int16(),
      errorMessage: string({ nullable: true }),
      matchingAcls: array(deleteAclsMatchingAcl),
    }),
  },
})

export type DeleteAclsResponse = Decoded<typeof deleteAclsResponse>
