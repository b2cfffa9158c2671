import { array, int16, int32, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/** Deletes committed offsets of a group (KIP-496). Never became flexible. */

const offsetDeleteRequestTopic = {
  name: string(),
  partitions: array({ partitionIndex: int32() }),
}

export const offsetDeleteRequest = request({
  key: 47,
  name: 'OffsetDelete',
  versions: [0, 0],
  fields: {
    groupId: string(),
    topics: array(offsetDeleteRequestTopic),
  },
})

export type OffsetDeleteRequest = Decoded<typeof offsetDeleteRequest>

const offsetDeleteResponseTopic = {
  name: string(),
  partitions: array({ partitionIndex: int32(), errorCode: int16() }),
}

export const offsetDeleteResponse = response({
  key: 47,
  name: 'OffsetDelete',
  versions: [0, 0],
  fields: {
    errorCode: int16(),
    throttleTimeMs: int32({ default: 0 }),
    topics: array(offsetDeleteResponseTopic),
  },
})

export type OffsetDeleteResponse = Decoded<typeof offsetDeleteResponse>
