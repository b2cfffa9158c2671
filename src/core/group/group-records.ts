import { decodeData, encodeData } from '../../../protocol/compile.ts'
import {
  groupMetadataKey,
  groupMetadataValue,
  offsetCommitKey,
  offsetCommitValue,
} from '../../../protocol/messages/group-records.ts'
import type { GroupMetadataValue } from '../../../protocol/messages/group-records.ts'
import { recordBytes } from '../../../protocol/records/record-builder.ts'
import type { Group } from './group.ts'
import type { CommittedOffset } from './offset-table.ts'
import type { OffsetsRecord } from './outbox.ts'

/** Key versions say what a record is about. */
const OFFSET_KEY_VERSIONS = [0, 1]
const OFFSET_KEY_VERSION = 1
const GROUP_KEY_VERSION = 2

/** What Kafka writes unless a cluster was upgraded to flexible versions: everybody can read it. */
const OFFSET_VALUE_VERSION = 3
const GROUP_VALUE_VERSION = 3
/** The one version that has an expiry, and no leader epoch. */
const EXPIRING_OFFSET_VALUE_VERSION = 1

/** Version, two lengths of texts and the partition. */
const OFFSET_KEY_BYTES = 10
/** Version, offset, leader epoch, a length of a text and the time of the commit. */
const OFFSET_VALUE_BYTES = 24
/** Its expiry instead of the leader epoch. */
const EXPIRING_OFFSET_VALUE_BYTES = 28

/** A null value is a tombstone. */
export function encodeOffset(
  groupId: string,
  topic: string,
  partition: number,
  committed: CommittedOffset | null,
): OffsetsRecord {
  const key = encodeData(offsetCommitKey, OFFSET_KEY_VERSION, { group: groupId, topic, partition })
  if (committed === null) return { key, value: null }
  const { expireTimestampMs } = committed
  const version = expireTimestampMs === null ? OFFSET_VALUE_VERSION : EXPIRING_OFFSET_VALUE_VERSION
  const value = encodeData(offsetCommitValue, version, {
    offset: committed.offset,
    leaderEpoch: committed.leaderEpoch,
    metadata: committed.metadata,
    commitTimestamp: committed.commitTimestampMs,
    expireTimestamp: expireTimestampMs ?? -1,
  })
  return { key, value }
}

/** What the record of `encodeOffset` takes in a batch, behind `index` others. Nothing is encoded to find out. */
export function offsetRecordBytes(
  groupId: string,
  topic: string,
  committed: Pick<CommittedOffset, 'metadata' | 'expireTimestampMs'>,
  index: number,
): number {
  const keyBytes = OFFSET_KEY_BYTES + Buffer.byteLength(groupId) + Buffer.byteLength(topic)
  const valueBytes = committed.expireTimestampMs === null ? OFFSET_VALUE_BYTES : EXPIRING_OFFSET_VALUE_BYTES
  return recordBytes(keyBytes, valueBytes + Buffer.byteLength(committed.metadata), index)
}

/** `assignments` stand for the members' own, which are missing until the record is written. */
export function encodeGroupMetadata(group: Group, assignments?: ReadonlyMap<string, Buffer>): OffsetsRecord {
  const members = Array.from(group.members.values(), (member) => ({
    memberId: member.memberId,
    groupInstanceId: member.groupInstanceId,
    clientId: member.clientId,
    clientHost: member.clientHost,
    rebalanceTimeout: member.rebalanceTimeoutMs,
    sessionTimeout: member.sessionTimeoutMs,
    subscription: member.metadata(group.protocolName),
    assignment:
      assignments === undefined ? member.assignment : (assignments.get(member.memberId) ?? Buffer.alloc(0)),
  }))
  const value = encodeData(groupMetadataValue, GROUP_VALUE_VERSION, {
    protocolType: group.protocolType ?? '',
    generation: group.generationId,
    protocol: group.protocolName,
    leader: group.leaderId,
    currentStateTimestamp: group.stateSinceMs ?? -1,
    members,
  })
  return { key: groupKey(group.groupId), value }
}

export function groupTombstone(groupId: string): OffsetsRecord {
  return { key: groupKey(groupId), value: null }
}

function groupKey(groupId: string): Buffer {
  return encodeData(groupMetadataKey, GROUP_KEY_VERSION, { group: groupId })
}

export type ParsedRecord =
  | {
      readonly kind: 'offset'
      readonly groupId: string
      readonly topic: string
      readonly partition: number
      readonly value: CommittedOffset | null
    }
  | { readonly kind: 'group'; readonly groupId: string; readonly value: GroupMetadataValue | null }

/**
 * Reads a record of the offsets topic, written by Kafka or by us. Null for what belongs to other kinds of groups
 * (KIP-848 and later), which has no meaning here. Throws a ProtocolError for bytes that are not such a record.
 */
export function parseRecord(key: Buffer, value: Buffer | null): ParsedRecord | null {
  const version = key.length < 2 ? -1 : key.readInt16BE(0)
  if (OFFSET_KEY_VERSIONS.includes(version)) {
    const { group, topic, partition } = decodeData(offsetCommitKey, key)
    return {
      kind: 'offset',
      groupId: group,
      topic,
      partition,
      value: value === null ? null : parseOffset(value),
    }
  }
  if (version !== GROUP_KEY_VERSION) return null
  const { group } = decodeData(groupMetadataKey, key)
  return {
    kind: 'group',
    groupId: group,
    value: value === null ? null : decodeData(groupMetadataValue, value),
  }
}

function parseOffset(bytes: Buffer): CommittedOffset {
  const value = decodeData(offsetCommitValue, bytes)
  return {
    offset: value.offset,
    leaderEpoch: value.leaderEpoch,
    metadata: value.metadata,
    commitTimestampMs: value.commitTimestamp,
    expireTimestampMs: value.expireTimestamp === -1 ? null : value.expireTimestamp,
  }
}
