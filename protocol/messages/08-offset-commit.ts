import { array, exactInt64, int16, int32, int64, request, response, string, uuid } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * Offsets that a group has consumed.
 *
 * v1: the member and generation. v2-4: retentionTimeMs (v5 took it away, KIP-211). v6: leader epochs
 * (KIP-320). v7: static members (KIP-345). v8: flexible. v9: the field holds a member epoch for new-style
 * groups (KIP-848). v10: topic ids instead of names.
 */

const offsetCommitRequestPartition = {
  partitionIndex: int32(),
  committedOffset: exactInt64(),
  committedLeaderEpoch: int32({ since: 6, default: -1, ignorable: true }),
  commitTimestamp: int64({ since: 1, until: 1, default: -1 }),
  committedMetadata: string({ nullable: true }),
}

const offsetCommitRequestTopic = {
  name: string({ until: 9, ignorable: true }),
  topicId: uuid({ since: 10, ignorable: true }),
  partitions: array(offsetCommitRequestPartition),
}

export const offsetCommitRequest = request({
  key: 8,
  name: 'OffsetCommit',
  versions: [0, 10],
  flexibleFrom: 8,
  fields: {
    groupId: string(),
    generationIdOrMemberEpoch: int32({ since: 1, default: -1, ignorable: true }),
    memberId: string({ since: 1, ignorable: true }),
    groupInstanceId: string({ since: 7, nullable: true, default: null }),
    retentionTimeMs: int64({ since: 2, until: 4, default: -1, ignorable: true }),
    topics: array(offsetCommitRequestTopic),
  },
})

export type OffsetCommitRequest = Decoded<typeof offsetCommitRequest>

const offsetCommitResponseTopic = {
  name: string({ until: 9, ignorable: true }),
  topicId: uuid({ since: 10, ignorable: true }),
  partitions: array({ partitionIndex: int32(), errorCode: int16() }),
}

export const offsetCommitResponse = response({
  key: 8,
  name: 'OffsetCommit',
  versions: [0, 10],
  flexibleFrom: 8,
  fields: {
    throttleTimeMs: int32({ since: 3, default: 0, ignorable: true }),
    topics: array(offsetCommitResponseTopic),
  },
})

export type OffsetCommitResponse = Decoded<typeof offsetCommitResponse>
