import { array, int16, int32, int64, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/** Producers that have written to partitions (KIP-664). */

export const describeProducersRequest = request({
  key: 61,
  name: 'DescribeProducers',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: {
    topics: array({ name: string(), partitionIndexes: array(int32()) }),
  },
})

export type DescribeProducersRequest = Decoded<typeof describeProducersRequest>

const producerState = {
  producerId: int64(),
  producerEpoch: int32(),
  lastSequence: int32({ default: -1 }),
  lastTimestamp: int64({ default: -1 }),
  coordinatorEpoch: int32(),
  currentTxnStartOffset: int64({ default: -1 }),
}

const partitionResponse = {
  partitionIndex: int32(),
  errorCode: int16(),
  errorMessage: string({ nullable: true, default: null }),
  activeProducers: array(producerState),
}

export const describeProducersResponse = response({
  key: 61,
  name: 'DescribeProducers',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: {
    throttleTimeMs: int32({ default: 0 }),
    topics: array({ name: string(), partitions: array(partitionResponse) }),
  },
})

export type DescribeProducersResponse = Decoded<typeof describeProducersResponse>
