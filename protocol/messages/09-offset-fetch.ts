import { array, exactInt64, bool, int16, int32, request, response, string, uuid } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * Offsets that groups have committed.
 *
 * v2: null topics means all. v5: leader epochs (KIP-320). v6: flexible. v7: requireStable (KIP-447). v8:
 * several groups in one request (KIP-709). v9: member epochs (KIP-848). v10: topic ids instead of names.
 */

const offsetFetchRequestGroup = {
  groupId: string(),
  memberId: string({ since: 9, nullable: true, default: null, ignorable: true }),
  memberEpoch: int32({ since: 9, default: -1, ignorable: true }),
  topics: array(
    {
      name: string({ until: 9, ignorable: true }),
      topicId: uuid({ since: 10, ignorable: true }),
      partitionIndexes: array(int32()),
    },
    { nullable: true },
  ),
}

export const offsetFetchRequest = request({
  key: 9,
  name: 'OffsetFetch',
  versions: [0, 10],
  flexibleFrom: 6,
  fields: {
    groupId: string({ until: 7 }),
    topics: array({ name: string(), partitionIndexes: array(int32()) }, { until: 7, nullable: 2 }),
    groups: array(offsetFetchRequestGroup, { since: 8 }),
    requireStable: bool({ since: 7, default: false }),
  },
})

export type OffsetFetchRequest = Decoded<typeof offsetFetchRequest>

const offsetFetchResponsePartition = {
  partitionIndex: int32(),
  committedOffset: exactInt64(),
  committedLeaderEpoch: int32({ since: 5, default: -1, ignorable: true }),
  metadata: string({ nullable: true }),
  errorCode: int16(),
}

const offsetFetchResponseTopics = {
  name: string({ until: 9, ignorable: true }),
  topicId: uuid({ since: 10, ignorable: true }),
  partitions: array(offsetFetchResponsePartition),
}

export const offsetFetchResponse = response({
  key: 9,
  name: 'OffsetFetch',
  versions: [0, 10],
  flexibleFrom: 6,
  fields: {
    throttleTimeMs: int32({ since: 3, default: 0, ignorable: true }),
    topics: array({ name: string(), partitions: array(offsetFetchResponsePartition) }, { until: 7 }),
    errorCode: int16({ since: 2, until: 7, default: 0, ignorable: true }),
    groups: array(
      { groupId: string(), topics: array(offsetFetchResponseTopics), errorCode: int16({ default: 0 }) },
      { since: 8 },
    ),
  },
})

export type OffsetFetchResponse = Decoded<typeof offsetFetchResponse>
