import { array, bool, int16, int32, int64, int8, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/** Ends transactions in partitions: from a coordinator, or from an administrator (KIP-664). */

const marker = {
  producerId: int64(),
  producerEpoch: int16(),
  /** True: commit. */
  transactionResult: bool(),
  topics: array({ name: string(), partitionIndexes: array(int32()) }),
  coordinatorEpoch: int32(),
  transactionVersion: int8({ since: 2, default: 0, ignorable: true }),
}

export const writeTxnMarkersRequest = request({
  key: 27,
  name: 'WriteTxnMarkers',
  versions: [1, 2],
  flexibleFrom: 1,
  fields: { markers: array(marker) },
})

export type WriteTxnMarkersRequest = Decoded<typeof writeTxnMarkersRequest>

const topicResult = {
  name: string(),
  partitions: array({ partitionIndex: int32(), errorCode: int16() }),
}

export const writeTxnMarkersResponse = response({
  key: 27,
  name: 'WriteTxnMarkers',
  versions: [1, 2],
  flexibleFrom: 1,
  fields: { markers: array({ producerId: int64(), topics: array(topicResult) }) },
})

export type WriteTxnMarkersResponse = Decoded<typeof writeTxnMarkersResponse>
