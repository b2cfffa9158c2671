/**
 * Admin requests with as many elements as fit into them. Each has its stated answer, and others are answered while the
 * broker works on it.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { errorName } from '../../protocol/errors.ts'
import { metadataRequest, metadataResponse } from '../../protocol/messages/03-metadata.ts'
import { describeGroupsRequest, describeGroupsResponse } from '../../protocol/messages/15-describe-groups.ts'
import { createTopicsRequest, createTopicsResponse } from '../../protocol/messages/19-create-topics.ts'
import { deleteTopicsRequest, deleteTopicsResponse } from '../../protocol/messages/20-delete-topics.ts'
import {
  describeConfigsRequest,
  describeConfigsResponse,
} from '../../protocol/messages/32-describe-configs.ts'
import { alterConfigsRequest, alterConfigsResponse } from '../../protocol/messages/33-alter-configs.ts'
import {
  createPartitionsRequest,
  createPartitionsResponse,
} from '../../protocol/messages/37-create-partitions.ts'
import {
  incrementalAlterConfigsRequest,
  incrementalAlterConfigsResponse,
} from '../../protocol/messages/44-incremental-alter-configs.ts'
import {
  describeTopicPartitionsRequest,
  describeTopicPartitionsResponse,
} from '../../protocol/messages/75-describe-topic-partitions.ts'
import { ZERO_UUID } from '../../protocol/schema.ts'
import type { Decoded, Encodable, MessageSchema } from '../../protocol/schema.ts'
import { RawClient } from '../support/raw-client.ts'
import type { Call } from '../support/raw-client.ts'
import { startTarget, within } from './target.ts'
import type { Target } from './target.ts'

const MANY = 120_000
const LIMIT = 10_000
const TOPIC = 2
const BROKER = 4

const createTopics = { request: createTopicsRequest, response: createTopicsResponse, version: 7 } as const
const deleteTopics = { request: deleteTopicsRequest, response: deleteTopicsResponse, version: 6 } as const
const describeConfigs = {
  request: describeConfigsRequest,
  response: describeConfigsResponse,
  version: 4,
} as const
const alterConfigs = { request: alterConfigsRequest, response: alterConfigsResponse, version: 2 } as const
const incrementalAlterConfigs = {
  request: incrementalAlterConfigsRequest,
  response: incrementalAlterConfigsResponse,
  version: 1,
} as const
const createPartitions = {
  request: createPartitionsRequest,
  response: createPartitionsResponse,
  version: 3,
} as const
const describeGroups = {
  request: describeGroupsRequest,
  response: describeGroupsResponse,
  version: 5,
} as const
const describeTopicPartitions = {
  request: describeTopicPartitionsRequest,
  response: describeTopicPartitionsResponse,
  version: 0,
} as const
const metadata = { request: metadataRequest, response: metadataResponse, version: 12 } as const

let target: Target

before(async () => {
  target = await startTarget()
  const { topics } = await ask(createTopics, { topics: [newTopic('there')], timeoutMs: 1 })
  assert.deepEqual(counts(topics), { NONE: 1 })
})

after(() => target[Symbol.asyncDispose]())

async function ask<Request extends MessageSchema, Response extends MessageSchema>(
  call: Call<Request, Response>,
  body: Encodable<Request>,
): Promise<Decoded<Response>> {
  const client = await RawClient.connect(target.port)
  try {
    return await within(client.send(call, body))
  } finally {
    client.close()
  }
}

function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index))
}

function newTopic(name: string, more: Partial<NewTopic> = {}): NewTopic {
  return { name, numPartitions: 1, replicationFactor: 1, assignments: [], configs: [], ...more }
}

type NewTopic = Encodable<typeof createTopicsRequest>['topics'][number]

/** How often each error was answered. */
function counts(answers: readonly { readonly errorCode: number }[]): Record<string, number> {
  const found: Record<string, number> = {}
  for (const { errorCode } of answers) {
    const name = errorName(errorCode)
    found[name] = (found[name] ?? 0) + 1
  }
  return found
}

/** The topics there are. */
async function existing(): Promise<number> {
  const { topics } = await ask(metadata, { topics: null })
  return topics.length
}

test('topics, more than one request may create', async () => {
  await target.survives(async () => {
    for (const validateOnly of [true, false]) {
      const topics = times(MANY, (i) => newTopic(`many-${i}`))
      const many = await ask(createTopics, { topics, timeoutMs: 1, validateOnly })
      assert.deepEqual(counts(many.topics), { POLICY_VIOLATION: MANY })
      const wide = times(20, (i) => newTopic(`wide-${i}`, { numPartitions: 1_000 }))
      const partitions = await ask(createTopics, { topics: wide, timeoutMs: 1, validateOnly })
      assert.deepEqual(counts(partitions.topics), { POLICY_VIOLATION: 20 })
    }
    const assignments = times(MANY, (partitionIndex) => ({ partitionIndex, brokerIds: [0] }))
    const assigned = newTopic('assigned', { numPartitions: -1, replicationFactor: -1, assignments })
    const { topics } = await ask(createTopics, { topics: [assigned], timeoutMs: 1 })
    assert.deepEqual(counts(topics), { POLICY_VIOLATION: 1 })
  })
  assert.equal(await existing(), 1)
})

test('topics, as many as one request may create, only looked at', async () => {
  await target.survives(async () => {
    const topics = times(LIMIT, (i) => newTopic(`looked-at-${i}`))
    const looked = await ask(createTopics, { topics, timeoutMs: 1, validateOnly: true })
    assert.deepEqual(counts(looked.topics), { NONE: LIMIT })
    assert.ok((looked.topics[0]?.configs?.length ?? 0) > 20)
    assert.deepEqual(looked.topics[LIMIT - 1]?.configs, [])
    assert.equal(errorName(looked.topics[LIMIT - 1]?.topicConfigErrorCode ?? 0), 'POLICY_VIOLATION')
  })
  assert.equal(await existing(), 1)
})

test('topics that cannot be created', async () => {
  await target.survives(async () => {
    const bad = await ask(createTopics, { topics: times(LIMIT, (i) => newTopic(`bad ${i}`)), timeoutMs: 1 })
    assert.deepEqual(counts(bad.topics), { INVALID_TOPIC_EXCEPTION: LIMIT })
    const same = await ask(createTopics, { topics: times(LIMIT, () => newTopic('same')), timeoutMs: 1 })
    assert.deepEqual(counts(same.topics), { INVALID_REQUEST: 1 })
    const unknown = times(MANY, (i) => ({ name: `unknown.${i}`, value: '1' }))
    const configured = await ask(createTopics, {
      topics: [newTopic('configured', { configs: unknown })],
      timeoutMs: 1,
    })
    assert.deepEqual(counts(configured.topics), { INVALID_CONFIG: 1 })
  })
  assert.equal(await existing(), 1)
})

test('topics to delete and to grow', async () => {
  await target.survives(async () => {
    for (const [count, error] of [
      [MANY, 'POLICY_VIOLATION'],
      [LIMIT, 'UNKNOWN_TOPIC_OR_PARTITION'],
    ] as const) {
      const topics = times(count, (i) => ({ name: `unknown-${i}`, topicId: ZERO_UUID }))
      const deleted = await ask(deleteTopics, { topics, timeoutMs: 1 })
      assert.deepEqual(counts(deleted.responses), { [error]: count })
      const grown = await ask(createPartitions, {
        topics: topics.map(({ name }) => ({ name, count: 2, assignments: null })),
        timeoutMs: 1,
        validateOnly: false,
      })
      assert.deepEqual(counts(grown.results), { [error]: count })
    }
    const grown = await ask(createPartitions, {
      topics: [{ name: 'there', count: 2 * LIMIT, assignments: null }],
      timeoutMs: 1,
      validateOnly: false,
    })
    assert.deepEqual(counts(grown.results), { POLICY_VIOLATION: 1 })
  })
})

test('configurations to change', async () => {
  await target.survives(async () => {
    for (const call of [alterConfigs, incrementalAlterConfigs]) {
      for (const [count, error] of [
        [MANY, 'POLICY_VIOLATION'],
        [LIMIT, 'UNKNOWN_TOPIC_OR_PARTITION'],
      ] as const) {
        const resources = times(count, (i) => ({
          resourceType: TOPIC,
          resourceName: `unknown-${i}`,
          configs: [],
        }))
        const { responses } = await ask(call, { resources, validateOnly: false })
        assert.deepEqual(counts(responses), { [error]: count })
      }
      const configs = times(MANY, (i) => ({ name: `unknown.${i}`, value: '1', configOperation: 0 }))
      const resources = [
        { resourceType: TOPIC, resourceName: 'there', configs },
        { resourceType: BROKER, resourceName: '', configs: [] },
        { resourceType: BROKER, resourceName: '', configs: [] },
      ]
      const { responses } = await ask(call, { resources, validateOnly: false })
      assert.deepEqual(counts(responses), { INVALID_REQUEST: 2 })
    }
  })
})

test('configurations to describe', async () => {
  const describe = (resourceType: number, names: readonly string[], configurationKeys: string[] | null) =>
    ask(describeConfigs, {
      resources: names.map((resourceName) => ({ resourceType, resourceName, configurationKeys })),
      includeSynonyms: true,
      includeDocumentation: true,
    })
  await target.survives(async () => {
    const same = await describe(
      TOPIC,
      times(MANY, () => 'there'),
      null,
    )
    assert.deepEqual(counts(same.results), { NONE: 1 })
    assert.ok((same.results[0]?.configs.length ?? 0) > 20)
    const one = await describe(
      BROKER,
      times(MANY / 2, () => '0'),
      ['log.retention.ms'],
    )
    assert.deepEqual(
      one.results.map(({ configs }) => configs.map(({ name }) => name)),
      [['log.retention.ms']],
    )
    const unknown = await describe(
      TOPIC,
      times(MANY, (i) => `unknown-${i}`),
      null,
    )
    assert.deepEqual(counts(unknown.results), {
      UNKNOWN_TOPIC_OR_PARTITION: LIMIT,
      POLICY_VIOLATION: MANY - LIMIT,
    })
  })
})

test('groups and topics to describe', async () => {
  await target.survives(async () => {
    // Without an offsets topic nobody coordinates any group.
    const described = await ask(describeGroups, { groups: times(MANY, (i) => `unknown-${i}`) })
    assert.deepEqual(counts(described.groups), { NOT_COORDINATOR: LIMIT, POLICY_VIOLATION: MANY - LIMIT })
    // Missing topics take no room on a page, as in Kafka.
    const topics = times(MANY, (i) => ({ name: `unknown-${i}` }))
    const page = { responsePartitionLimit: 2_000, cursor: null }
    const first = await ask(describeTopicPartitions, { topics, ...page })
    assert.deepEqual(counts(first.topics), {
      UNKNOWN_TOPIC_OR_PARTITION: LIMIT,
      INVALID_REQUEST: MANY - LIMIT,
    })
    assert.equal(first.nextCursor, null)
    const second = await ask(describeTopicPartitions, {
      topics: topics.slice(0, LIMIT),
      responsePartitionLimit: 2_000,
      cursor: { topicName: 'unknown-5', partitionIndex: 0 },
    })
    assert.ok(second.topics.every(({ name }) => (name ?? '') >= 'unknown-5'))
  })
})

test('names and values as long as a string may be', async () => {
  const long = 'x'.repeat(32_767)
  const config = { name: long, value: long, configOperation: 0 }
  await target.survives(async () => {
    const repeated = [{ partitionIndex: 0, brokerIds: times(MANY, () => 0) }]
    const created = await ask(createTopics, {
      topics: [
        newTopic(long),
        newTopic('a', { configs: [config] }),
        newTopic('b', { configs: [{ name: 'retention.ms', value: long }] }),
        newTopic('c', { numPartitions: -1, replicationFactor: -1, assignments: repeated }),
      ],
      timeoutMs: 1,
    })
    assert.deepEqual(counts(created.topics), {
      INVALID_TOPIC_EXCEPTION: 1,
      INVALID_CONFIG: 2,
      INVALID_REPLICA_ASSIGNMENT: 1,
    })
    for (const call of [alterConfigs, incrementalAlterConfigs]) {
      const { responses } = await ask(call, {
        resources: [
          { resourceType: TOPIC, resourceName: long, configs: [config] },
          { resourceType: TOPIC, resourceName: 'there', configs: [config] },
          { resourceType: BROKER, resourceName: long, configs: [config] },
        ],
        validateOnly: false,
      })
      assert.deepEqual(counts(responses), {
        INVALID_TOPIC_EXCEPTION: 1,
        INVALID_CONFIG: 1,
        INVALID_REQUEST: 1,
      })
    }
    const resources = [TOPIC, BROKER, 99].map((resourceType) => ({
      resourceType,
      resourceName: long,
      configurationKeys: null,
    }))
    const known = await ask(describeConfigs, { resources: resources.slice(0, 2) })
    assert.deepEqual(counts(known.results), { INVALID_TOPIC_EXCEPTION: 1, INVALID_REQUEST: 1 })
    const described = await ask(describeConfigs, { resources })
    assert.deepEqual(counts(described.results), { INVALID_REQUEST: 3 })
  })
})

test('a list that grows with every change', async () => {
  const append = { name: 'leader.replication.throttled.replicas', configOperation: 2 }
  const replicas = (from: number) => times(3_000, (i) => `${from + i}:0`).join(',')
  await target.survives(async () => {
    const errors: string[] = []
    for (let from = 100_000; from < 130_000; from += 3_000) {
      const configs = [{ ...append, value: replicas(from) }]
      const resources = [{ resourceType: TOPIC, resourceName: 'there', configs }]
      const { responses } = await ask(incrementalAlterConfigs, { resources, validateOnly: false })
      errors.push(...Object.keys(counts(responses)))
    }
    assert.deepEqual(errors.slice(0, 2), ['NONE', 'INVALID_CONFIG'])
    const resources = [{ resourceType: TOPIC, resourceName: 'there', configurationKeys: null }]
    const { results } = await ask(describeConfigs, { resources })
    assert.deepEqual(counts(results), { NONE: 1 })
  })
})

test('topics asked for that do not exist', async () => {
  await target.survives(async () => {
    const topics = times(MANY, (i) => ({ name: `asked-${i}`, topicId: ZERO_UUID }))
    const asked = await ask(metadata, { topics, allowAutoTopicCreation: false })
    assert.deepEqual(counts(asked.topics), { UNKNOWN_TOPIC_OR_PARTITION: MANY })
    assert.equal(await existing(), 1)
    const created = await ask(metadata, { topics, allowAutoTopicCreation: true })
    assert.deepEqual(counts(created.topics), { NONE: 1_000, UNKNOWN_TOPIC_OR_PARTITION: MANY - 1_000 })
    assert.equal(await existing(), 1_001)
  })
})
