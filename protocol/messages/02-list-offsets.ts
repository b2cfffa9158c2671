import { array, int16, int32, int64, int8, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * Offsets by timestamp, and the ends of a log.
 *
 * v1: one offset with its timestamp instead of a list. v2: isolation level. v4: leader epochs (KIP-320).
 * v6: flexible. v7: -3 is the offset of the largest timestamp (KIP-734). v8: -4 is the earliest local
 * offset (KIP-405). v9: -5 is the last tiered offset (KIP-1005). v10: a timeout for remote reads
 * (KIP-1075). v11: -6 is the earliest offset to be tiered (KIP-1023).
 */

const listOffsetsPartition = {
  partitionIndex: int32(),
  currentLeaderEpoch: int32({ since: 4, default: -1, ignorable: true }),
  timestamp: int64(),
  maxNumOffsets: int32({ until: 0, default: 1 }),
}

export const listOffsetsRequest = request({
  key: 2,
  name: 'ListOffsets',
  versions: [0, 11],
  flexibleFrom: 6,
  fields: {
    replicaId: int32(),
    isolationLevel: int8({ since: 2 }),
    topics: array({ name: string(), partitions: array(listOffsetsPartition) }),
    timeoutMs: int32({ since: 10, ignorable: true }),
  },
})

export type ListOffsetsRequest = Decoded<typeof listOffsetsRequest>

const listOffsetsPartitionResponse = {
  partitionIndex: int32(),
  errorCode: int16(),
  oldStyleOffsets: array(int64(), { until: 0 }),
  timestamp: int64({ since: 1, default: -1 }),
  offset: int64({ since: 1, default: -1 }),
  leaderEpoch: int32({ since: 4, default: -1 }),
}

export const listOffsetsResponse = response({
  key: 2,
  name: 'ListOffsets',
  versions: [0, 11],
  flexibleFrom: 6,
  fields: {
    throttleTimeMs: int32({ since: 2, default: 0, ignorable: true }),
    topics: array({ name: string(), partitions: array(listOffsetsPartitionResponse) }),
  },
})

export type ListOffsetsResponse = Decoded<typeof listOffsetsResponse>
