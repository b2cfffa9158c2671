import {
  array,
  int16,
  int32,
  int64,
  int8,
  records,
  request,
  response,
  string,
  struct,
  uuid,
} from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * Records for a consumer or a follower.
 *
 * v4: isolation level, aborted transactions (KIP-98). v5: logStartOffset. v7: incremental fetch sessions
 * (KIP-227). v9: currentLeaderEpoch (KIP-320). v11: rack and preferred read replica (KIP-392). v12:
 * flexible; lastFetchedEpoch and diverging epochs (KIP-595). v13: topic ids instead of names (KIP-516).
 * v15: replicaState instead of replicaId (KIP-903). v16: new leaders' endpoints (KIP-951). v17: directory
 * ids (KIP-853). v18: the follower's high watermark (KIP-1166).
 */

const fetchPartition = {
  partition: int32(),
  currentLeaderEpoch: int32({ since: 9, default: -1, ignorable: true }),
  fetchOffset: int64(),
  lastFetchedEpoch: int32({ since: 12, default: -1 }),
  logStartOffset: int64({ since: 5, default: -1, ignorable: true }),
  partitionMaxBytes: int32(),
  replicaDirectoryId: uuid({ since: 17, tag: 0, ignorable: true }),
  // Kafka's default is 2^63 - 1, "not known": it stands for being left out and never travels.
  highWatermark: int64({ since: 18, default: Number.MAX_SAFE_INTEGER, tag: 1, ignorable: true }),
}

export const fetchRequest = request({
  key: 1,
  name: 'Fetch',
  versions: [0, 18],
  flexibleFrom: 12,
  fields: {
    clusterId: string({ since: 12, nullable: true, default: null, tag: 0, ignorable: true }),
    replicaId: int32({ until: 14, default: -1 }),
    replicaState: struct(
      { replicaId: int32({ default: -1 }), replicaEpoch: int64({ default: -1 }) },
      { since: 15, tag: 1 },
    ),
    maxWaitMs: int32(),
    minBytes: int32(),
    maxBytes: int32({ since: 3, default: 0x7fff_ffff, ignorable: true }),
    isolationLevel: int8({ since: 4, default: 0, ignorable: true }),
    sessionId: int32({ since: 7, default: 0, ignorable: true }),
    sessionEpoch: int32({ since: 7, default: -1, ignorable: true }),
    topics: array({
      topic: string({ until: 12, ignorable: true }),
      topicId: uuid({ since: 13, ignorable: true }),
      partitions: array(fetchPartition),
    }),
    forgottenTopicsData: array(
      {
        topic: string({ until: 12, ignorable: true }),
        topicId: uuid({ since: 13, ignorable: true }),
        partitions: array(int32()),
      },
      { since: 7 },
    ),
    rackId: string({ since: 11, default: '', ignorable: true }),
  },
})

export type FetchRequest = Decoded<typeof fetchRequest>

const partitionData = {
  partitionIndex: int32(),
  errorCode: int16(),
  highWatermark: int64(),
  lastStableOffset: int64({ since: 4, default: -1, ignorable: true }),
  logStartOffset: int64({ since: 5, default: -1, ignorable: true }),
  divergingEpoch: struct(
    { epoch: int32({ default: -1 }), endOffset: int64({ default: -1 }) },
    { since: 12, tag: 0 },
  ),
  currentLeader: struct(
    { leaderId: int32({ default: -1 }), leaderEpoch: int32({ default: -1 }) },
    { since: 12, tag: 1 },
  ),
  snapshotId: struct(
    { endOffset: int64({ default: -1 }), epoch: int32({ default: -1 }) },
    { since: 12, tag: 2 },
  ),
  abortedTransactions: array(
    { producerId: int64(), firstOffset: int64() },
    { since: 4, nullable: true, ignorable: true },
  ),
  preferredReadReplica: int32({ since: 11, default: -1 }),
  records: records({ nullable: true }),
}

export const fetchResponse = response({
  key: 1,
  name: 'Fetch',
  versions: [0, 18],
  flexibleFrom: 12,
  fields: {
    throttleTimeMs: int32({ since: 1, default: 0, ignorable: true }),
    errorCode: int16({ since: 7, ignorable: true }),
    sessionId: int32({ since: 7, default: 0 }),
    responses: array({
      topic: string({ until: 12, ignorable: true }),
      topicId: uuid({ since: 13, ignorable: true }),
      partitions: array(partitionData),
    }),
    nodeEndpoints: array(
      { nodeId: int32(), host: string(), port: int32(), rack: string({ nullable: true, default: null }) },
      { since: 16, tag: 0 },
    ),
  },
})

export type FetchResponse = Decoded<typeof fetchResponse>
