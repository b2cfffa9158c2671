import { array, int16, int32, int8, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/** Lists access rules. v1: prefixed patterns (KIP-290). v2: flexible. v3: user resources (KIP-373). */

export const describeAclsRequest = request({
  key: 29,
  name: 'DescribeAcls',
  versions: [0, 3],
  flexibleFrom: 2,
  fields: {
    resourceTypeFilter: int8(),
    resourceNameFilter: string({ nullable: true }),
    patternTypeFilter: int8({ since: 1, default: 3 }),
    principalFilter: string({ nullable: true }),
    hostFilter: string({ nullable: true }),
    operation: int8(),
    permissionType: int8(),
  },
})

export type DescribeAclsRequest = Decoded<typeof describeAclsRequest>

const describeAclsResource = {
  resourceType: int8(),
  resourceName: string(),
  patternType: int8({ since: 1, default: 3 }),
  acls: array({ principal: string(), host: string(), operation: int8(), permissionType: int8() }),
}

export const describeAclsResponse = response({
  key: 29,
  name: 'DescribeAcls',
  versions: [0, 3],
  flexibleFrom: 2,
  fields: {
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16(),
    errorMessage: string({ nullable: true }),
    resources: array(describeAclsResource),
  },
})

export type DescribeAclsResponse = Decoded<typeof describeAclsResponse>
