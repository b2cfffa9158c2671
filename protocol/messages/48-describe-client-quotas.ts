import { array, bool, float64, int16, int32, int8, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/** Client quotas (KIP-546). v1: flexible. */

export const describeClientQuotasRequest = request({
  key: 48,
  name: 'DescribeClientQuotas',
  versions: [0, 1],
  flexibleFrom: 1,
  fields: {
    components: array({ entityType: string(), matchType: int8(), match: string({ nullable: true }) }),
    strict: bool(),
  },
})

export type DescribeClientQuotasRequest = Decoded<typeof describeClientQuotasRequest>

const entryData = {
  entity: array({ entityType: string(), entityName: string({ nullable: true }) }),
  values: array({ key: string(), value: float64() }),
}

export const describeClientQuotasResponse = response({
  key: 48,
  name: 'DescribeClientQuotas',
  versions: [0, 1],
  flexibleFrom: 1,
  fields: {
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16(),
    errorMessage: string({ nullable: true }),
    entries: array(entryData, { nullable: true }),
  },
})

export type DescribeClientQuotasResponse = Decoded<typeof describeClientQuotasResponse>
