import { array, bool, int16, int32, int8, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * The configuration of topics, brokers and other resources.
 *
 * v1: where a value comes from, and its synonyms (KIP-226). v3: type and documentation (KIP-569). v4:
 * flexible.
 */

export const describeConfigsRequest = request({
  key: 32,
  name: 'DescribeConfigs',
  versions: [0, 4],
  flexibleFrom: 4,
  fields: {
    resources: array({
      resourceType: int8(),
      resourceName: string(),
      configurationKeys: array(string(), { nullable: true }),
    }),
    includeSynonyms: bool({ since: 1, default: false }),
    includeDocumentation: bool({ since: 3, default: false }),
  },
})

export type DescribeConfigsRequest = Decoded<typeof describeConfigsRequest>

const describeConfigsResourceResult = {
  name: string(),
  value: string({ nullable: true }),
  readOnly: bool(),
  configSource: int8({ since: 1, default: -1, ignorable: true }),
  isDefault: bool({ until: 0 }),
  isSensitive: bool(),
  synonyms: array(
    { name: string(), value: string({ nullable: true }), source: int8() },
    { since: 1, ignorable: true },
  ),
  configType: int8({ since: 3, default: 0, ignorable: true }),
  documentation: string({ since: 3, nullable: true, ignorable: true }),
}

const describeConfigsResult = {
  errorCode: int16(),
  errorMessage: string({ nullable: true }),
  resourceType: int8(),
  resourceName: string(),
  configs: array(describeConfigsResourceResult),
}

export const describeConfigsResponse = response({
  key: 32,
  name: 'DescribeConfigs',
  versions: [0, 4],
  flexibleFrom: 4,
  fields: {
    throttleTimeMs: int32({ default: 0 }),
    results: array(describeConfigsResult),
  },
})

export type DescribeConfigsResponse = Decoded<typeof describeConfigsResponse>
