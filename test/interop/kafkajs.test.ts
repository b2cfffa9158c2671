/**
 * kafkajs 2.2.4: speaks only the old, non-flexible versions (Produce 7, Fetch 11, Metadata 6).
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

// A CommonJS package: half of its names exist only on the whole module.
import kafkajs, { type Consumer, type ConsumerGroupJoinEvent, type Message } from 'kafkajs'

import { type ServerUnderTest, startServer } from '../support/broker-process.ts'
import { until } from '../support/until.ts'

const {
  AclOperationTypes,
  AclPermissionTypes,
  AclResourceTypes,
  CompressionTypes,
  ConfigResourceTypes,
  Kafka,
  logLevel,
  ResourcePatternTypes,
} = kafkajs
type Kafka = kafkajs.Kafka

const timeout = 60_000
const topic = 'kafkajs'

/** A record as both sides of a comparison spell it. */
interface Seen {
  readonly offset: number
  readonly key: string | null
  readonly value: string | null
  readonly headers: Record<string, string>
  readonly timestamp: number
}

describe('kafkajs', { concurrency: false, timeout: 150_000 }, () => {
  let server: ServerUnderTest
  let kafka: Kafka
  const expected: Seen[][] = [[], [], [], []]
  let clock = 1_700_000_000_000

  before(async () => {
    server = await startServer()
    kafka = new Kafka({
      clientId: 'samsa-test',
      brokers: [server.bootstrap],
      logLevel: logLevel.NOTHING,
      retry: { initialRetryTime: 100, maxRetryTime: 500, retries: 60 },
    })
  })
  after(() => server[Symbol.asyncDispose]())

  /** Makes a message and notes what has to come back. */
  function message(partition: number, value: string | null, extra: Partial<Message> = {}): Message {
    const timestamp = (clock += 10)
    const list = expected[partition]
    assert(list !== undefined)
    list.push({
      offset: list.length,
      key: extra.key === undefined ? null : String(extra.key),
      value,
      headers: Object.fromEntries(Object.entries(extra.headers ?? {}).map(([k, v]) => [k, String(v)])),
      timestamp,
    })
    return { partition, value, timestamp: String(timestamp), ...extra }
  }

  async function withAdmin<T>(use: (admin: ReturnType<Kafka['admin']>) => Promise<T>): Promise<T> {
    const admin = kafka.admin()
    await admin.connect()
    try {
      return await use(admin)
    } finally {
      await admin.disconnect()
    }
  }

  test('create topic', { timeout }, () =>
    withAdmin(async (admin) => {
      const created = await admin.createTopics({
        topics: [{ topic, numPartitions: 4, configEntries: [{ name: 'retention.ms', value: '-1' }] }],
      })
      assert.equal(created, true)
      assert.equal(await admin.createTopics({ topics: [{ topic }] }), false, 'it exists already')
      assert((await admin.listTopics()).includes(topic))
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
      assert.deepEqual(topics[0]?.partitions.map((each) => each.partitionId).sort(), [0, 1, 2, 3])
      await assert.rejects(admin.createTopics({ topics: [{ topic: 'not/a/name' }] }))
    }),
  )

  test('produce with acks 0, 1 and all', { timeout }, async () => {
    const producer = kafka.producer()
    await producer.connect()
    for (let i = 0; i < 3; i++) {
      await producer.send({ topic, acks: 0, messages: [message(0, `acks 0 ${i}`)] })
    }
    for (const acks of [1, -1]) {
      const [answer] = await producer.send({ topic, acks, messages: [message(1, `acks ${acks}`)] })
      assert.equal(answer?.errorCode, 0)
      assert.equal(answer?.baseOffset, String((expected[1]?.length ?? 0) - 1))
    }
    await producer.disconnect()
  })

  test('produce with every codec', { timeout }, async () => {
    const producer = kafka.producer()
    await producer.connect()
    for (const compression of [CompressionTypes.None, CompressionTypes.GZIP]) {
      const messages = Array.from({ length: 20 }, (_, i) => message(2, `codec ${compression} ${i}`))
      await producer.send({ topic, acks: -1, compression, messages })
    }
    await producer.disconnect()
  })

  test('keys, headers, null values, timestamps', { timeout }, async () => {
    const producer = kafka.producer()
    await producer.connect()
    await producer.send({
      topic,
      messages: [
        message(2, 'with a key', { key: 'key' }),
        message(2, null, { key: 'tombstone' }),
        message(2, '', { key: '' }),
        message(2, 'with headers', { headers: { one: '1', umlaut: 'ä€😀', empty: '' } }),
      ],
    })
    await producer.disconnect()
  })

  test('batches of 1 and of 1000', { timeout }, async () => {
    const producer = kafka.producer()
    await producer.connect()
    await producer.send({ topic, messages: [message(3, 'alone')] })
    const [answer] = await producer.send({
      topic,
      messages: Array.from({ length: 1000 }, (_, i) => message(3, `many ${i}`, { key: `${i}` })),
    })
    assert.equal(answer?.baseOffset, '1')
    await producer.disconnect()
  })

  /** Reads the topic from its start until `count` records came. */
  async function collect(groupId: string, count: number): Promise<Seen[][]> {
    const seen: Seen[][] = [[], [], [], []]
    let total = 0
    const consumer = kafka.consumer({ groupId, heartbeatInterval: 300, sessionTimeout: 10_000 })
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    let complete = (): void => undefined
    const done = new Promise<void>((resolve) => {
      complete = resolve
    })
    await consumer.run({
      eachMessage: ({ partition, message: got }) => {
        seen[partition]?.push({
          offset: Number(got.offset),
          key: got.key?.toString() ?? null,
          value: got.value?.toString() ?? null,
          headers: Object.fromEntries(Object.entries(got.headers ?? {}).map(([k, v]) => [k, String(v)])),
          timestamp: Number(got.timestamp),
        })
        if (++total === count) complete()
        return Promise.resolve()
      },
    })
    await done
    await consumer.disconnect()
    return seen
  }

  const recordCount = (): number => expected.reduce((sum, list) => sum + list.length, 0)

  test('consume everything, in order, as it was written', { timeout }, async () => {
    assert.deepEqual(await collect('kafkajs-all', recordCount()), expected)
  })

  test('offsets at the ends and by time', { timeout }, () =>
    withAdmin(async (admin) => {
      const ends = await admin.fetchTopicOffsets(topic)
      for (const { partition, low, high, offset } of ends) {
        assert.deepEqual([low, high, offset], ['0', ...Array(2).fill(String(expected[partition]?.length))])
      }
      const middle = expected[3]?.[500]
      assert(middle !== undefined)
      const byTime = await admin.fetchTopicOffsetsByTimestamp(topic, middle.timestamp)
      assert.equal(byTime.find((each) => each.partition === 3)?.offset, '500')
    }),
  )

  test('group of two, one joins later, one leaves', { timeout }, async () => {
    const groupTopic = 'kafkajs-group'
    await withAdmin((admin) => admin.createTopics({ topics: [{ topic: groupTopic, numPartitions: 4 }] }))
    const producer = kafka.producer()
    await producer.connect()
    const send = (round: number): Promise<unknown> =>
      producer.send({
        topic: groupTopic,
        messages: Array.from({ length: 40 }, (_, i) => ({ partition: i % 4, value: `${round}/${i}` })),
      })
    const first = new GroupMember(kafka, 'kafkajs-two', groupTopic)
    const second = new GroupMember(kafka, 'kafkajs-two', groupTopic)
    await first.start()
    await first.assigned(4)
    await send(0)
    await first.received(40)
    await second.start()
    await Promise.all([first.assigned(2), second.assigned(2)])
    assert.deepEqual(new Set([...first.partitions, ...second.partitions]), new Set([0, 1, 2, 3]))
    await send(1)
    await Promise.all([first.received(60), second.received(20)])
    await withAdmin(async (admin) => {
      const { groups } = await admin.describeGroups(['kafkajs-two'])
      assert.equal(groups[0]?.state, 'Stable')
      assert.equal(groups[0]?.members.length, 2)
      assert.equal(groups[0]?.protocol, 'RoundRobinAssigner')
    })
    await second.stop()
    await first.assigned(4)
    await send(2)
    await first.received(100)
    await first.stop()
    await producer.disconnect()
    for (let partition = 0; partition < 4; partition++) {
      const got = [...first.log, ...second.log].filter((each) => each.partition === partition)
      got.sort((a, b) => a.offset - b.offset)
      const sent = [0, 1, 2].flatMap((round) =>
        Array.from({ length: 10 }, (_, i) => `${round}/${i * 4 + partition}`),
      )
      assert.deepEqual(
        got.map((each) => each.value),
        sent,
      )
      assert.deepEqual(
        got.map((each) => each.offset),
        sent.map((_, i) => i),
      )
    }
  })

  test('commit, restart, resume', { timeout }, async () => {
    const groupId = 'kafkajs-resume'
    const resumeTopic = 'kafkajs-resume'
    await withAdmin((admin) => admin.createTopics({ topics: [{ topic: resumeTopic, numPartitions: 1 }] }))
    const producer = kafka.producer()
    await producer.connect()
    await producer.send({
      topic: resumeTopic,
      messages: Array.from({ length: 20 }, (_, i) => ({ value: `${i}` })),
    })
    const member = new GroupMember(kafka, groupId, resumeTopic, false)
    await member.start()
    await member.received(20)
    await member.consumer.commitOffsets([
      { topic: resumeTopic, partition: 0, offset: '12', metadata: 'a note' },
    ])
    await member.stop()

    await server.stop()
    await server.start()

    await withAdmin(async (admin) => {
      // This call of kafkajs does not retry, and a broker may still be loading its groups.
      const [committed] = await whileLoading(() => admin.fetchOffsets({ groupId, topics: [resumeTopic] }))
      assert.deepEqual(committed?.partitions, [{ partition: 0, offset: '12', metadata: 'a note' }])
    })
    await producer.send({ topic: resumeTopic, messages: [{ value: 'after' }] })
    const resumed = new GroupMember(kafka, groupId, resumeTopic)
    await resumed.start()
    await resumed.received(9)
    await resumed.stop()
    await producer.disconnect()
    assert.deepEqual(
      resumed.log.map((each) => each.value),
      ['12', '13', '14', '15', '16', '17', '18', '19', 'after'],
    )
    assert.deepEqual(await collect('kafkajs-again', recordCount()), expected, 'the log after the restart')
  })

  test('idempotent producer over a restart', { timeout }, async () => {
    const name = 'kafkajs-idempotent'
    await withAdmin((admin) => admin.createTopics({ topics: [{ topic: name, numPartitions: 1 }] }))
    const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
    await producer.connect()
    const produce = async (from: number, to: number): Promise<void> => {
      for (let i = from; i < to; i++) await producer.send({ topic: name, messages: [{ value: `${i}` }] })
    }
    await produce(0, 50)
    const during = produce(50, 200)
    await server.stop()
    await server.start()
    await during
    await producer.disconnect()
    const reader = new GroupMember(kafka, 'kafkajs-idempotent', name)
    await reader.start()
    await reader.received(200)
    await sleep(100)
    await reader.stop()
    assert.deepEqual(
      reader.log.map((each) => each.value),
      Array.from({ length: 200 }, (_, i) => `${i}`),
    )
  })

  test('admin: cluster, configs, groups, offsets', { timeout }, () =>
    withAdmin(async (admin) => {
      const cluster = await admin.describeCluster()
      assert.equal(cluster.brokers.length, 1)
      assert.equal(cluster.brokers[0]?.port, server.port)
      assert.equal(cluster.controller, cluster.brokers[0]?.nodeId)
      assert(cluster.clusterId.length > 0)

      await admin.alterConfigs({
        validateOnly: false,
        resources: [
          {
            type: ConfigResourceTypes.TOPIC,
            name: topic,
            configEntries: [{ name: 'retention.ms', value: '86400000' }],
          },
        ],
      })
      const configs = await admin.describeConfigs({
        includeSynonyms: true,
        resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }],
      })
      const entries = configs.resources[0]?.configEntries ?? []
      const retention = entries.find((each) => each.configName === 'retention.ms')
      assert.equal(retention?.configValue, '86400000')
      assert.equal(retention?.isDefault, false)
      assert.equal(entries.find((each) => each.configName === 'cleanup.policy')?.configValue, 'delete')

      const groups = (await admin.listGroups()).groups.map((each) => each.groupId)
      assert(groups.includes('kafkajs-two'))
      await admin.setOffsets({
        groupId: 'kafkajs-two',
        topic: 'kafkajs-group',
        partitions: [{ partition: 0, offset: '3' }],
      })
      const [offsets] = await admin.fetchOffsets({ groupId: 'kafkajs-two', topics: ['kafkajs-group'] })
      assert.equal(offsets?.partitions.find((each) => each.partition === 0)?.offset, '3')
      await admin.deleteGroups(['kafkajs-two'])
      assert(!(await admin.listGroups()).groups.some((each) => each.groupId === 'kafkajs-two'))
    }),
  )

  test('admin: records, partitions, topics', { timeout }, () =>
    withAdmin(async (admin) => {
      // kafkajs finds the leader only of topics it has asked about before.
      await admin.fetchTopicOffsets(topic)
      await admin.deleteTopicRecords({ topic, partitions: [{ partition: 3, offset: '600' }] })
      const ends = await admin.fetchTopicOffsets(topic)
      assert.equal(ends.find((each) => each.partition === 3)?.low, '600')
      await admin.createPartitions({ topicPartitions: [{ topic, count: 6 }] })
      assert.equal((await admin.fetchTopicMetadata({ topics: [topic] })).topics[0]?.partitions.length, 6)
      await admin.deleteTopics({ topics: ['kafkajs-group'] })
      assert(!(await admin.listTopics()).includes('kafkajs-group'))
    }),
  )

  test('admin: access control is off', { timeout }, () =>
    withAdmin((admin) =>
      assert.rejects(
        admin.describeAcls({
          resourceType: AclResourceTypes.ANY,
          resourcePatternType: ResourcePatternTypes.ANY,
          operation: AclOperationTypes.ANY,
          permissionType: AclPermissionTypes.ANY,
        }),
        /Security features are disabled/,
      ),
    ),
  )
})

async function whileLoading<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      const type = typeof error === 'object' && error !== null && 'type' in error ? error.type : null
      if (type !== 'GROUP_LOAD_IN_PROGRESS' && type !== 'GROUP_COORDINATOR_NOT_AVAILABLE') throw error
      await sleep(100)
    }
  }
}

/** A consumer that notes what it is assigned and what it gets. */
class GroupMember {
  readonly consumer: Consumer
  readonly log: { partition: number; offset: number; value: string }[] = []
  partitions: number[] = []
  readonly #topic: string
  readonly #autoCommit: boolean

  constructor(kafka: Kafka, groupId: string, topicName: string, autoCommit = true) {
    // kafkajs hears of a rebalance only between two fetches.
    const maxWaitTimeInMs = 200
    this.consumer = kafka.consumer({
      groupId,
      heartbeatInterval: 200,
      sessionTimeout: 10_000,
      maxWaitTimeInMs,
    })
    this.#topic = topicName
    this.#autoCommit = autoCommit
  }

  async start(): Promise<void> {
    this.consumer.on(this.consumer.events.GROUP_JOIN, (event: ConsumerGroupJoinEvent) => {
      this.partitions = event.payload.memberAssignment[this.#topic] ?? []
    })
    await this.consumer.connect()
    await this.consumer.subscribe({ topic: this.#topic, fromBeginning: true })
    await this.consumer.run({
      autoCommit: this.#autoCommit,
      eachMessage: ({ partition, message }) => {
        this.log.push({ partition, offset: Number(message.offset), value: String(message.value) })
        return Promise.resolve()
      },
    })
  }

  async stop(): Promise<void> {
    await this.consumer.disconnect()
  }

  assigned(count: number): Promise<void> {
    return until(() => this.partitions.length === count)
  }

  received(count: number): Promise<void> {
    return until(() => this.log.length >= count)
  }
}
