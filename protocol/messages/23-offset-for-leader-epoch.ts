import { array, int16, int32, int64, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * The end offset of a leader epoch, for clients and followers that look for a log truncation (KIP-101,
 * KIP-320).
 *
 * v2: the current leader epoch. v3: the id of the follower. v4: flexible.
 */

const offsetForLeaderTopic = {
  topic: string(),
  partitions: array({
    partition: int32(),
    currentLeaderEpoch: int32({ since: 2, default: -1, ignorable: true }),
    leaderEpoch: int32(),
  }),
}

export const offsetForLeaderEpochRequest = request({
  key: 23,
  name: 'OffsetForLeaderEpoch',
  versions: [0, 4],
  flexibleFrom: 4,
  fields: {
    replicaId: int32({ since: 3, default: -2, ignorable: true }),
    topics: array(offsetForLeaderTopic),
  },
})

export type OffsetForLeaderEpochRequest = Decoded<typeof offsetForLeaderEpochRequest>

const offsetForLeaderTopicResult = {
  topic: string(),
  partitions: array({
    errorCode: int16(),
    partition: int32(),
    leaderEpoch: int32({ since: 1, default: -1, ignorable: true }),
    endOffset: int64({ default: -1 }),
  }),
}

export const offsetForLeaderEpochResponse = response({
  key: 23,
  name: 'OffsetForLeaderEpoch',
  versions: [0, 4],
  flexibleFrom: 4,
  fields: {
    throttleTimeMs: int32({ since: 2, default: 0, ignorable: true }),
    topics: array(offsetForLeaderTopicResult),
  },
})

export type OffsetForLeaderEpochResponse = Decoded<typeof offsetForLeaderEpochResponse>
