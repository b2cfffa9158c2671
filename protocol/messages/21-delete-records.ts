import { array, int16, int32, int64, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/** Moves the start of logs forward. v2: flexible. */

const deleteRecordsTopic = {
  name: string(),
  partitions: array({ partitionIndex: int32(), offset: int64() }),
}

export const deleteRecordsRequest = request({
  key: 21,
  name: 'DeleteRecords',
  versions: [0, 2],
  flexibleFrom: 2,
  fields: {
    topics: array(deleteRecordsTopic),
    timeoutMs: int32(),
  },
})

export type DeleteRecordsRequest = Decoded<typeof deleteRecordsRequest>

const deleteRecordsTopicResult = {
  name: string(),
  partitions: array({ partitionIndex: int32(), lowWatermark: int64(), errorCode: int16() }),
}

export const deleteRecordsResponse = response({
  key: 21,
  name: 'DeleteRecords',
  versions: [0, 2],
  flexibleFrom: 2,
  fields: {
    throttleTimeMs: int32({ default: 0 }),
    topics: array(deleteRecordsTopicResult),
  },
})

export type DeleteRecordsResponse = Decoded<typeof deleteRecordsResponse>
