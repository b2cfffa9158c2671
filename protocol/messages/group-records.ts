import { array, exactInt64, bytes, data, int32, int64, string, uuid } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * Records of __consumer_offsets. A key says with its version what it is: 0 and 1 are the offset of a
 * partition, 2 is a group. A null value deletes.
 *
 * Offset v1 has an expiry of its own, v3 the leader epoch (KIP-320), v4 is flexible with the topic id.
 * Group v1 has rebalance timeouts, v2 the time of the last state change (KIP-211), v3 static members
 * (KIP-345), v4 is flexible.
 */

export const offsetCommitKey = data({
  name: 'OffsetCommitKey',
  versions: [0, 1],
  fields: {
    group: string(),
    topic: string(),
    partition: int32(),
  },
})

export type OffsetCommitKey = Decoded<typeof offsetCommitKey>

export const offsetCommitValue = data({
  name: 'OffsetCommitValue',
  versions: [0, 4],
  flexibleFrom: 4,
  fields: {
    offset: exactInt64(),
    leaderEpoch: int32({ since: 3, default: -1, ignorable: true }),
    metadata: string(),
    commitTimestamp: int64(),
    expireTimestamp: int64({ since: 1, until: 1, default: -1, ignorable: true }),
    topicId: uuid({ since: 4, tag: 0, ignorable: true }),
  },
})

export type OffsetCommitValue = Decoded<typeof offsetCommitValue>

export const groupMetadataKey = data({
  name: 'GroupMetadataKey',
  versions: [2, 2],
  fields: {
    group: string(),
  },
})

export type GroupMetadataKey = Decoded<typeof groupMetadataKey>

const memberMetadata = {
  memberId: string(),
  groupInstanceId: string({ since: 3, nullable: true, default: null, ignorable: true }),
  clientId: string(),
  clientHost: string(),
  rebalanceTimeout: int32({ since: 1, default: -1, ignorable: true }),
  sessionTimeout: int32(),
  subscription: bytes(),
  assignment: bytes(),
}

export const groupMetadataValue = data({
  name: 'GroupMetadataValue',
  versions: [0, 4],
  flexibleFrom: 4,
  fields: {
    protocolType: string(),
    generation: int32(),
    protocol: string({ nullable: true }),
    leader: string({ nullable: true }),
    currentStateTimestamp: int64({ since: 2, default: -1, ignorable: true }),
    members: array(memberMetadata),
  },
})

export type GroupMetadataValue = Decoded<typeof groupMetadataValue>
