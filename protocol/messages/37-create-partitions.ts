import { array, bool, int16, int32, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/** Adds partitions to topics. v2: flexible. v3: THROTTLING_QUOTA_EXCEEDED (KIP-599). */

const createPartitionsTopic = {
  name: string(),
  count: int32(),
  assignments: array({ brokerIds: array(int32()) }, { nullable: true }),
}

export const createPartitionsRequest = request({
  key: 37,
  name: 'CreatePartitions',
  versions: [0, 3],
  flexibleFrom: 2,
  fields: {
    topics: array(createPartitionsTopic),
    timeoutMs: int32(),
    validateOnly: bool(),
  },
})

export type CreatePartitionsRequest = Decoded<typeof createPartitionsRequest>

export const createPartitionsResponse = response({
  key: 37,
  name: 'CreatePartitions',
  versions: [0, 3],
  flexibleFrom: 2,
  fields: {
    throttleTimeMs: int32({ default: 0 }),
    results: array({
      name: string(),
      errorCode: int16(),
      errorMessage: string({ nullable: true, default: null }),
    }),
  },
})

export type CreatePartitionsResponse = Decoded<typeof createPartitionsResponse>
