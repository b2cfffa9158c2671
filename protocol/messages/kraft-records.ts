import { array, bool, bytes, data, float64, int16, int32, int64, int8, string, uuid } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * Records of __cluster_metadata, the log of Kafka's controllers: those that say something about topics, configurations,
 * quotas and who may do what. Before each stands a frame, its version, the record's type and the record's version, as
 * unsigned varints; all are flexible.
 *
 * Partition v1 has log directories (KIP-858), v2 eligible leaders (KIP-966).
 */

export const topicRecord = data({
  name: 'TopicRecord',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: { name: string(), topicId: uuid() },
})

export const removeTopicRecord = data({
  name: 'RemoveTopicRecord',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: { topicId: uuid() },
})

export const partitionRecord = data({
  name: 'PartitionRecord',
  versions: [0, 2],
  flexibleFrom: 0,
  fields: {
    partitionId: int32({ default: -1 }),
    topicId: uuid(),
    replicas: array(int32()),
    isr: array(int32()),
    removingReplicas: array(int32()),
    addingReplicas: array(int32()),
    leader: int32({ default: -1 }),
    leaderRecoveryState: int8({ tag: 0, default: 0 }),
    leaderEpoch: int32({ default: -1 }),
    partitionEpoch: int32({ default: -1 }),
    directories: array(uuid(), { since: 1 }),
    eligibleLeaderReplicas: array(int32(), { since: 2, tag: 1, nullable: true, default: null }),
    lastKnownElr: array(int32(), { since: 2, tag: 2, nullable: true, default: null }),
  },
})

export type PartitionRecord = Decoded<typeof partitionRecord>

/** What did not change is null; a leader of -2 did not change. */
export const partitionChangeRecord = data({
  name: 'PartitionChangeRecord',
  versions: [0, 2],
  flexibleFrom: 0,
  fields: {
    partitionId: int32({ default: -1 }),
    topicId: uuid(),
    isr: array(int32(), { tag: 0, nullable: true, default: null }),
    leader: int32({ tag: 1, default: -2 }),
    replicas: array(int32(), { tag: 2, nullable: true, default: null }),
    removingReplicas: array(int32(), { tag: 3, nullable: true, default: null }),
    addingReplicas: array(int32(), { tag: 4, nullable: true, default: null }),
    leaderRecoveryState: int8({ tag: 5, default: -1 }),
    eligibleLeaderReplicas: array(int32(), { since: 2, tag: 6, nullable: true, default: null }),
    lastKnownElr: array(int32(), { since: 2, tag: 7, nullable: true, default: null }),
    directories: array(uuid(), { since: 1, tag: 8, nullable: true, default: null }),
  },
})

export type PartitionChangeRecord = Decoded<typeof partitionChangeRecord>

/** A null value deletes. */
export const configRecord = data({
  name: 'ConfigRecord',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: { resourceType: int8(), resourceName: string(), name: string(), value: string({ nullable: true }) },
})

export const featureLevelRecord = data({
  name: 'FeatureLevelRecord',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: { name: string(), featureLevel: int16() },
})

export const producerIdsRecord = data({
  name: 'ProducerIdsRecord',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: { brokerId: int32(), brokerEpoch: int64({ default: -1 }), nextProducerId: int64() },
})

export const clientQuotaRecord = data({
  name: 'ClientQuotaRecord',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: {
    entity: array({ entityType: string(), entityName: string({ nullable: true }) }),
    key: string(),
    value: float64(),
    remove: bool(),
  },
})

export const accessControlEntryRecord = data({
  name: 'AccessControlEntryRecord',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: {
    id: uuid(),
    resourceType: int8(),
    resourceName: string(),
    patternType: int8(),
    principal: string(),
    host: string(),
    operation: int8(),
    permissionType: int8(),
  },
})

export const removeAccessControlEntryRecord = data({
  name: 'RemoveAccessControlEntryRecord',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: { id: uuid() },
})

export const userScramCredentialRecord = data({
  name: 'UserScramCredentialRecord',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: {
    name: string(),
    mechanism: int8(),
    salt: bytes(),
    storedKey: bytes(),
    serverKey: bytes(),
    iterations: int32(),
  },
})

export const removeUserScramCredentialRecord = data({
  name: 'RemoveUserScramCredentialRecord',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: { name: string(), mechanism: int8() },
})

export const delegationTokenRecord = data({
  name: 'DelegationTokenRecord',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: {
    owner: string(),
    requester: string(),
    renewers: array(string()),
    issueTimestamp: int64(),
    maxTimestamp: int64(),
    expirationTimestamp: int64(),
    tokenId: string(),
  },
})

export const removeDelegationTokenRecord = data({
  name: 'RemoveDelegationTokenRecord',
  versions: [0, 0],
  flexibleFrom: 0,
  fields: { tokenId: string() },
})
