import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { decoderFor, encoderFor } from '../../protocol/compile.ts'
import { SIZE_BYTES, readRequestHeader, writeRequestHeader } from '../../protocol/frame.ts'
import { Reader } from '../../protocol/reader.ts'
import type { MessageSchema } from '../../protocol/schema.ts'
import { Writer } from '../../protocol/writer.ts'
import { allSchemas, isMessage } from './all-schemas.ts'

/** What kafkajs's encoders write, from the size of the frame to its end, is what ours read and write. */

interface KafkajsRequest {
  readonly apiKey: number
  readonly apiVersion: number
}

type MakeRequest = (values: unknown) => KafkajsRequest
type EncodeRequest = (of: {
  correlationId: number
  clientId: string | null
  request: KafkajsRequest
}) => Promise<{ readonly buffer: Buffer }>

const require = createRequire(import.meta.url)
const encodeRequest = require('kafkajs/src/protocol/request') as EncodeRequest

const schemas = (await allSchemas()).filter(isMessage).filter(({ kind }) => kind === 'request')

interface Case {
  /** Folder of kafkajs's encoders, first and last version. */
  readonly api: string
  readonly versions: readonly [first: number, last: number]
  /** What kafkajs is given. */
  readonly given: unknown
  /** What must come out at least. */
  readonly expected: object
}

const group = { groupId: 'grüppe', generationId: 5, memberId: 'me-1' }
const jsGroup = { groupId: group.groupId, groupGenerationId: 5, memberId: group.memberId }
const metadata = Buffer.from([0, 1, 2])

const cases: readonly Case[] = [
  {
    api: 'fetch',
    versions: [4, 11],
    given: {
      replicaId: -1,
      maxWaitTime: 500,
      minBytes: 1,
      maxBytes: 1 << 20,
      rackId: 'rack',
      isolationLevel: 1,
      topics: [
        { topic: 'one', partitions: [{ partition: 3, fetchOffset: '1099511627777', maxBytes: 4096 }] },
        { topic: 'two', partitions: [] },
      ],
    },
    expected: {
      maxWaitMs: 500,
      minBytes: 1,
      maxBytes: 1 << 20,
      isolationLevel: 1,
      sessionEpoch: -1,
      topics: [
        { topic: 'one', partitions: [{ partition: 3, fetchOffset: 2 ** 40 + 1, partitionMaxBytes: 4096 }] },
        { topic: 'two', partitions: [] },
      ],
    },
  },
  {
    api: 'metadata',
    versions: [4, 6],
    given: { topics: ['a', 'b'], allowAutoTopicCreation: false },
    expected: { topics: [{ name: 'a' }, { name: 'b' }], allowAutoTopicCreation: false },
  },
  {
    api: 'metadata',
    versions: [1, 6],
    given: { topics: [] },
    expected: { topics: null },
  },
  {
    api: 'listOffsets',
    versions: [2, 3],
    given: {
      replicaId: -1,
      isolationLevel: 1,
      topics: [{ topic: 't', partitions: [{ partition: 1, timestamp: -2 }] }],
    },
    expected: {
      isolationLevel: 1,
      topics: [{ name: 't', partitions: [{ partitionIndex: 1, timestamp: -2 }] }],
    },
  },
  {
    api: 'offsetCommit',
    versions: [2, 5],
    given: {
      ...jsGroup,
      retentionTime: 1000,
      topics: [{ topic: 't', partitions: [{ partition: 1, offset: '42', metadata: null }] }],
    },
    expected: {
      groupId: group.groupId,
      generationIdOrMemberEpoch: 5,
      topics: [
        { name: 't', partitions: [{ partitionIndex: 1, committedOffset: 42, committedMetadata: null }] },
      ],
    },
  },
  {
    api: 'offsetFetch',
    versions: [1, 4],
    given: { groupId: 'g', topics: [{ topic: 't', partitions: [{ partition: 1 }, { partition: 2 }] }] },
    expected: { groupId: 'g', topics: [{ name: 't', partitionIndexes: [1, 2] }] },
  },
  {
    api: 'findCoordinator',
    versions: [1, 2],
    given: { coordinatorKey: 'g', coordinatorType: 1 },
    expected: { key: 'g', keyType: 1 },
  },
  {
    api: 'joinGroup',
    versions: [1, 5],
    given: {
      groupId: 'g',
      sessionTimeout: 30000,
      rebalanceTimeout: 60000,
      memberId: '',
      protocolType: 'consumer',
      groupProtocols: [{ name: 'RoundRobinAssigner', metadata }],
    },
    expected: {
      sessionTimeoutMs: 30000,
      rebalanceTimeoutMs: 60000,
      groupInstanceId: null,
      protocols: [{ name: 'RoundRobinAssigner', metadata }],
    },
  },
  {
    api: 'heartbeat',
    versions: [0, 3],
    given: { ...jsGroup, groupInstanceId: null },
    expected: group,
  },
  {
    api: 'leaveGroup',
    versions: [3, 3],
    given: { groupId: 'g', members: [{ memberId: 'a' }, { memberId: 'b', groupInstanceId: 'i' }] },
    expected: {
      members: [
        { memberId: 'a', groupInstanceId: null },
        { memberId: 'b', groupInstanceId: 'i' },
      ],
    },
  },
  {
    api: 'syncGroup',
    versions: [0, 3],
    given: { ...group, groupAssignment: [{ memberId: 'a', memberAssignment: metadata }] },
    expected: { ...group, assignments: [{ memberId: 'a', assignment: metadata }] },
  },
  {
    api: 'describeGroups',
    versions: [0, 2],
    given: { groupIds: ['g', 'h'] },
    expected: { groups: ['g', 'h'] },
  },
  { api: 'listGroups', versions: [0, 2], given: undefined, expected: {} },
  { api: 'apiVersions', versions: [0, 2], given: undefined, expected: {} },
  {
    api: 'createTopics',
    versions: [1, 3],
    given: {
      topics: [
        {
          topic: 't',
          numPartitions: 3,
          replicationFactor: 1,
          replicaAssignment: [],
          configEntries: [{ name: 'retention.ms', value: '1' }],
        },
      ],
      timeout: 5000,
      validateOnly: true,
    },
    expected: {
      topics: [
        {
          name: 't',
          numPartitions: 3,
          replicationFactor: 1,
          configs: [{ name: 'retention.ms', value: '1' }],
        },
      ],
      timeoutMs: 5000,
      validateOnly: true,
    },
  },
  {
    api: 'deleteTopics',
    versions: [0, 1],
    given: { topics: ['t'], timeout: 5000 },
    expected: { topicNames: ['t'], timeoutMs: 5000 },
  },
  {
    api: 'deleteRecords',
    versions: [0, 1],
    given: { topics: [{ topic: 't', partitions: [{ partition: 0, offset: '7' }] }], timeout: 5000 },
    expected: { topics: [{ name: 't', partitions: [{ partitionIndex: 0, offset: 7 }] }], timeoutMs: 5000 },
  },
  {
    api: 'initProducerId',
    versions: [0, 1],
    given: { transactionalId: undefined, transactionTimeout: 5000 },
    expected: { transactionalId: null, transactionTimeoutMs: 5000 },
  },
  {
    api: 'describeConfigs',
    versions: [1, 2],
    given: { resources: [{ type: 2, name: 't', configNames: ['a'] }], includeSynonyms: true },
    expected: {
      resources: [{ resourceType: 2, resourceName: 't', configurationKeys: ['a'] }],
      includeSynonyms: true,
    },
  },
  {
    api: 'createPartitions',
    versions: [0, 1],
    given: { topicPartitions: [{ topic: 't', count: 4 }], timeout: 5000, validateOnly: false },
    expected: { topics: [{ name: 't', count: 4, assignments: null }], timeoutMs: 5000 },
  },
  { api: 'deleteGroups', versions: [0, 1], given: ['g'], expected: { groupsNames: ['g'] } },
]

for (const { api, versions, given, expected } of cases) {
  const [first, last] = versions
  test(`${api} v${first} to v${last} of kafkajs`, async () => {
    for (let version = first; version <= last; version++) {
      const make = require(`kafkajs/src/protocol/requests/${api}/v${version}/request`) as MakeRequest
      await check(make(given), version, expected)
    }
  })
}

test('produce v3 to v7 of kafkajs', async () => {
  const record = { timestamp: '1700000000000', key: Buffer.from('k'), value: Buffer.from('v'), headers: {} }
  const topicData = [{ topic: 't', partitions: [{ partition: 2, firstSequence: 0, messages: [record] }] }]
  const given = {
    acks: -1,
    timeout: 3000,
    transactionalId: null,
    producerId: '-1',
    producerEpoch: -1,
    compression: 0,
    topicData,
  }
  for (let version = 3; version <= 7; version++) {
    const make = require(`kafkajs/src/protocol/requests/produce/v${version}/request`) as MakeRequest
    const decoded = await check(make(given), version, { acks: -1, timeoutMs: 3000, transactionalId: null })
    const [topic] = decoded['topicData'] as {
      name: string
      partitionData: { index: number; records: Buffer }[]
    }[]
    assert.equal(topic!.name, 't')
    const [partition] = topic!.partitionData
    assert.equal(partition!.index, 2)
    // A record batch: its length field says where it ends, its magic is 2.
    assert.equal(partition!.records.readInt32BE(8), partition!.records.length - 12)
    assert.equal(partition!.records[16], 2)
  }
})

async function check(
  request: KafkajsRequest,
  version: number,
  expected: object,
): Promise<Record<string, unknown>> {
  const header = { apiKey: request.apiKey, apiVersion: version, correlationId: 77, clientId: 'kafkajs' }
  assert.equal(request.apiVersion, version)
  const encoded = await encodeRequest({ correlationId: 77, clientId: 'kafkajs', request })
  const frame = Buffer.from(encoded.buffer)
  const schema = schemas.find(({ key }) => key === request.apiKey) as MessageSchema
  const what = `${schema.name} v${version}`

  const reader = new Reader(frame, SIZE_BYTES)
  assert.equal(frame.readInt32BE(0), reader.remaining, what)
  assert.deepEqual(readRequestHeader(reader), header, what)
  const decoded = decoderFor(schema, version)(reader)
  reader.expectEnd()
  assert.deepEqual(atLeast(decoded, expected), expected, what)

  const writer = new Writer()
  writer.beginFrame()
  writeRequestHeader(writer, header)
  encoderFor(schema, version)(writer, decoded)
  assert.deepEqual(writer.finishBuffer(), frame, what)
  return decoded
}

/** The part of a value that `shape` has properties for. */
function atLeast(value: unknown, shape: unknown): unknown {
  if (Array.isArray(value) && Array.isArray(shape))
    return value.map((element, i) => atLeast(element, shape[i]))
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return value
  if (typeof shape !== 'object' || shape === null) return value
  const properties = value as Record<string, unknown>
  return Object.fromEntries(
    Object.entries(shape).map(([name, inner]) => [name, atLeast(properties[name], inner)]),
  )
}
