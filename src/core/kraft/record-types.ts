import { decoderFor } from '../../../protocol/compile.ts'
import * as records from '../../../protocol/messages/kraft-records.ts'
import type { PartitionChangeRecord, PartitionRecord } from '../../../protocol/messages/kraft-records.ts'
import { ProtocolError } from '../../../protocol/protocol-error.ts'
import type { Reader } from '../../../protocol/reader.ts'
import type { Decoded, Schema } from '../../../protocol/schema.ts'
import { KraftResource, resourceKey } from './kraft-image.ts'
import type { KraftImage, KraftPartition } from './kraft-image.ts'

/** What a type of record does to the image. */
export interface RecordType {
  readonly maxVersion: number
  /** Nothing can be said of topics without it, so that one of a later version is not passed over. */
  readonly needed: boolean
  readonly apply: (image: KraftImage, reader: Reader, version: number) => void
}

function type<S extends Schema>(
  schema: S,
  needed: boolean,
  change: (image: KraftImage, record: Decoded<S>) => void,
): RecordType {
  return {
    maxVersion: schema.versions[1],
    needed,
    apply: (image, reader, version) => {
      const record = decoderFor(schema, version)(reader)
      reader.expectEnd()
      change(image, record)
    },
  }
}

function needed<S extends Schema>(
  schema: S,
  change: (image: KraftImage, record: Decoded<S>) => void,
): RecordType {
  return type(schema, true, change)
}

function keptAside<S extends Schema>(
  schema: S,
  change: (image: KraftImage, record: Decoded<S>) => void,
): RecordType {
  return type(schema, false, change)
}

/** By Kafka's number of the record's type. */
export const RECORD_TYPES: ReadonlyMap<number, RecordType> = new Map([
  [2, needed(records.topicRecord, addTopic)],
  [3, needed(records.partitionRecord, addPartition)],
  [4, needed(records.configRecord, setConfig)],
  [5, needed(records.partitionChangeRecord, changePartition)],
  [9, needed(records.removeTopicRecord, (image, { topicId }) => removeTopic(image, topicId))],
  [
    10,
    keptAside(records.delegationTokenRecord, (image, token) => {
      image.tokens.set(token.tokenId, token)
    }),
  ],
  [
    11,
    keptAside(records.userScramCredentialRecord, (image, { salt, storedKey, serverKey, ...user }) => {
      // The record's bytes are read over.
      const keys = {
        salt: Buffer.from(salt),
        storedKey: Buffer.from(storedKey),
        serverKey: Buffer.from(serverKey),
      }
      image.credentials.set(credentialKey(user), { ...user, ...keys })
    }),
  ],
  [
    12,
    keptAside(records.featureLevelRecord, (image, { name, featureLevel }) => {
      if (featureLevel === 0) image.features.delete(name)
      else image.features.set(name, featureLevel)
    }),
  ],
  [
    14,
    keptAside(records.clientQuotaRecord, (image, { entity, key, value, remove }) => {
      const parts = entity.map(({ entityType, entityName }) => JSON.stringify([entityType, entityName]))
      const id = [key, ...parts.toSorted((a, b) => (a < b ? -1 : 1))].join()
      if (remove) image.quotas.delete(id)
      else image.quotas.set(id, { entity, key, value })
    }),
  ],
  [
    15,
    needed(records.producerIdsRecord, (image, { nextProducerId }) => {
      image.nextProducerId = Math.max(image.nextProducerId, nextProducerId)
    }),
  ],
  [
    18,
    keptAside(records.accessControlEntryRecord, (image, acl) => {
      image.acls.set(acl.id, acl)
    }),
  ],
  [19, keptAside(records.removeAccessControlEntryRecord, (image, { id }) => void image.acls.delete(id))],
  [
    22,
    keptAside(
      records.removeUserScramCredentialRecord,
      (image, user) => void image.credentials.delete(credentialKey(user)),
    ),
  ],
  [
    26,
    keptAside(records.removeDelegationTokenRecord, (image, { tokenId }) => void image.tokens.delete(tokenId)),
  ],
])

/** Registrations, fences, migration from ZooKeeper, eligible leaders, no-ops: they say nothing that one broker needs. */
export const RECORDS_OF_NO_USE: ReadonlySet<number> = new Set([0, 1, 7, 8, 17, 20, 21, 27, 28])

/** Records between them hold together (KIP-868). */
export const BEGIN_TRANSACTION = 23
export const END_TRANSACTION = 24
export const ABORT_TRANSACTION = 25

function credentialKey({ name, mechanism }: { readonly name: string; readonly mechanism: number }): string {
  return `${mechanism}:${name}`
}

function addTopic(image: KraftImage, { name, topicId }: { name: string; topicId: string }): void {
  image.topicsById.set(topicId, { name, topicId, partitions: new Map() })
}

function addPartition(image: KraftImage, record: PartitionRecord): void {
  const { partitionId, replicas, isr, leader, leaderEpoch, directories } = record
  partitionsOf(image, record.topicId).set(partitionId, { replicas, isr, leader, leaderEpoch, directories })
}

/** A leader of -2 is the one that was there; any other, were it the same, begins an epoch. */
function changePartition(image: KraftImage, record: PartitionChangeRecord): void {
  const partitions = partitionsOf(image, record.topicId)
  const before = partitions.get(record.partitionId)
  if (before === undefined)
    throw new ProtocolError(
      `a change of partition ${record.partitionId} of ${record.topicId}, which is not there`,
    )
  const leads = record.leader !== -2
  const after: KraftPartition = {
    replicas: record.replicas ?? before.replicas,
    isr: record.isr ?? before.isr,
    leader: leads ? record.leader : before.leader,
    leaderEpoch: before.leaderEpoch + (leads ? 1 : 0),
    directories: record.directories ?? before.directories,
  }
  partitions.set(record.partitionId, after)
}

function partitionsOf(image: KraftImage, topicId: string): Map<number, KraftPartition> {
  const topic = image.topicsById.get(topicId)
  if (topic === undefined) throw new ProtocolError(`a partition of topic ${topicId}, which is not there`)
  return topic.partitions
}

function removeTopic(image: KraftImage, topicId: string): void {
  const topic = image.topicsById.get(topicId)
  image.topicsById.delete(topicId)
  image.removedTopicIds.add(topicId)
  if (topic !== undefined) image.configs.delete(resourceKey(KraftResource.TOPIC, topic.name))
}

function setConfig(
  image: KraftImage,
  record: { resourceType: number; resourceName: string; name: string; value: string | null },
): void {
  const { resourceType, resourceName, name, value } = record
  const key = resourceKey(resourceType, resourceName)
  const config = image.configs.get(key) ?? { resourceType, resourceName, values: new Map<string, string>() }
  if (value === null) config.values.delete(name)
  else config.values.set(name, value)
  if (config.values.size === 0) image.configs.delete(key)
  else image.configs.set(key, config)
}
