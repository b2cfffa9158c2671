import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { encoderFor } from '../../../protocol/compile.ts'
import * as records from '../../../protocol/messages/kraft-records.ts'
import type { Encodable, Schema } from '../../../protocol/schema.ts'
import { Writer } from '../../../protocol/writer.ts'
import { KraftResource } from '../../../src/core/kraft/kraft-image.ts'
import { KraftReplay } from '../../../src/core/kraft/kraft-replay.ts'

const A = 'AAAAAAAAQACAAAAAAAAAAQ'
const B = 'AAAAAAAAQACAAAAAAAAAAg'

function framed<S extends Schema>(
  type: number,
  schema: S,
  value: Encodable<S>,
  version = schema.versions[1],
  claimed = version,
): Buffer {
  const writer = new Writer(64)
  encoderFor(schema, version)(writer, value)
  return Buffer.concat([Buffer.from([1, type, claimed]), writer.finishBuffer()])
}

function marker(type: number): Buffer {
  // No fields, no tags.
  return Buffer.from([1, type, 0, 0])
}

const topic = (name: string, topicId: string): Buffer => framed(2, records.topicRecord, { name, topicId })
const partition = (topicId: string, version = 2, claimed = version): Buffer =>
  framed(
    3,
    records.partitionRecord,
    {
      partitionId: 0,
      topicId,
      replicas: [1, 2],
      isr: [1],
      removingReplicas: [],
      addingReplicas: [],
      leader: 1,
      leaderEpoch: 4,
      partitionEpoch: 9,
      ...(version > 0 ? { directories: [A, B] } : {}),
    },
    version,
    claimed,
  )
const change = (value: Partial<Encodable<typeof records.partitionChangeRecord>>, topicId = A): Buffer =>
  framed(5, records.partitionChangeRecord, { partitionId: 0, topicId, ...value })
const config = (resourceName: string, name: string, value: string | null): Buffer =>
  framed(4, records.configRecord, { resourceType: KraftResource.TOPIC, resourceName, name, value })

function replayed(...all: readonly Buffer[]): KraftReplay {
  const replay = new KraftReplay()
  for (const record of all) replay.apply(record)
  return replay
}

describe('the records of Kafka’s controllers', () => {
  it('make partitions, of every version', () => {
    for (const version of [0, 1, 2]) {
      const { image } = replayed(topic('a', A), partition(A, version))
      const { replicas, isr, leader, leaderEpoch, directories } = image.topics().get('a')!.partitions.get(0)!
      assert.deepEqual([replicas, isr, leader, leaderEpoch], [[1, 2], [1], 1, 4])
      assert.deepEqual(directories, version === 0 ? [] : [A, B])
    }
  })

  it('begin an epoch with each leader, and with none', () => {
    const { image } = replayed(
      topic('a', A),
      partition(A),
      change({ isr: [1, 2] }),
      change({ leader: -1 }),
      change({ leader: 2 }),
    )
    const { isr, leader, leaderEpoch } = image.topics().get('a')!.partitions.get(0)!
    assert.deepEqual([isr, leader, leaderEpoch], [[1, 2], 2, 6])
  })

  it('take a topic away with its configuration, which one of its name does not get', () => {
    const { image } = replayed(
      topic('a', A),
      config('a', 'retention.ms', '-1'),
      framed(9, records.removeTopicRecord, { topicId: A }),
      topic('a', B),
    )
    assert.equal(image.topics().get('a')!.topicId, B)
    assert.equal(image.configOf(KraftResource.TOPIC, 'a').size, 0)
    assert.deepEqual([...image.removedTopicIds], [A])
  })

  it('of a transaction count when it ends, and not at all when it is aborted or stays open', () => {
    const [begin, end, abort] = [marker(23), marker(24), marker(25)]
    assert.equal(replayed(begin, topic('a', A), end).image.topicsById.size, 1)
    assert.equal(replayed(begin, topic('a', A), abort, topic('b', B)).image.topicsById.size, 1)
    assert.equal(replayed(begin, topic('a', A)).image.topicsById.size, 0)
    // The bytes of a record are read over once it was applied.
    const record = topic('a', A)
    const replay = replayed(begin, record)
    record.fill(0)
    replay.apply(end)
    assert.equal(replay.image.topics().get('a')?.topicId, A)
  })

  it('take back what they set', () => {
    const quota = (remove: boolean, entity = [{ entityType: 'user', entityName: null }]): Buffer =>
      framed(14, records.clientQuotaRecord, { entity, key: 'k', value: 1, remove })
    const acl = {
      id: A,
      resourceType: 2,
      resourceName: 'a',
      patternType: 3,
      principal: 'p',
      host: '*',
      operation: 3,
      permissionType: 3,
    }
    const keys = { salt: Buffer.of(1), storedKey: Buffer.of(2), serverKey: Buffer.of(3) }
    const user = framed(11, records.userScramCredentialRecord, {
      name: 'u',
      mechanism: 1,
      iterations: 9,
      ...keys,
    })
    const token = {
      owner: 'o',
      requester: 'r',
      renewers: [],
      issueTimestamp: 1,
      maxTimestamp: 2,
      expirationTimestamp: 3,
      tokenId: 't',
    }
    const set = [
      quota(false),
      framed(18, records.accessControlEntryRecord, acl),
      user,
      framed(10, records.delegationTokenRecord, token),
      framed(12, records.featureLevelRecord, { name: 'f', featureLevel: 3 }),
    ]
    const { image } = replayed(...set)
    const sizes = (of: typeof image): number[] => [
      of.quotas.size,
      of.acls.size,
      of.credentials.size,
      of.tokens.size,
      of.features.size,
    ]
    assert.deepEqual(sizes(image), [1, 1, 1, 1, 1])
    const unset = [
      quota(true),
      framed(19, records.removeAccessControlEntryRecord, { id: A }),
      framed(22, records.removeUserScramCredentialRecord, { name: 'u', mechanism: 1 }),
      framed(26, records.removeDelegationTokenRecord, { tokenId: 't' }),
      framed(12, records.featureLevelRecord, { name: 'f', featureLevel: 0 }),
    ]
    assert.deepEqual(sizes(replayed(...set, ...unset).image), [0, 0, 0, 0, 0])
  })

  it('of unknown types are passed over and counted; those that topics need are not', () => {
    const unknown = Buffer.from([1, 99, 3, 1, 2, 3])
    const newerQuota = Buffer.from([1, 14, 1, 0])
    const replay = replayed(unknown, unknown, newerQuota, topic('a', A))
    assert.deepEqual(
      [...replay.unknown],
      [
        ['99 v3', 2],
        ['14 v1', 1],
      ],
    )
    for (const bytes of [
      partition(A, 2, 3),
      Buffer.from([1, 2, 1, 0]),
      Buffer.from([1, 9, 1, 0]),
      Buffer.from([2, 2, 0, 0]),
      topic('b', B).subarray(0, 8),
      Buffer.concat([topic('b', B), Buffer.of(0)]),
      partition(B),
      change({}, B),
      Buffer.alloc(0),
    ])
      assert.throws(() => replay.apply(bytes), { name: 'ProtocolError' })
  })
})

it('resources have the numbers that Kafka gives them', () => {
  assert.deepEqual(KraftResource, { TOPIC: 2, BROKER: 4, CLIENT_METRICS: 16, GROUP: 32 })
})
