/**
 * @platformatic/kafka against a broker, on a Node.js that is new enough for it:
 *   node platformatic.mjs HOST:PORT DIRECTORY_OF_THE_PACKAGE
 */
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'

const [bootstrap, packages] = process.argv.slice(2)
const {
  Admin,
  Consumer,
  Producer,
  stringSerializers,
  stringDeserializers,
  MessagesStreamModes,
  ProduceAcks,
} = await import(
  pathToFileURL(createRequire(join(packages, 'package.json')).resolve('@platformatic/kafka')).href
)

const name = 'platformatic'
const base = {
  clientId: 'samsa-test',
  bootstrapBrokers: [bootstrap],
  retries: 300,
  retryDelay: 200,
  timeout: 10_000,
}
const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const expected = [[], [], [], []]
let clock = 1_700_000_000_000n

const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`)

async function step(title, run) {
  try {
    await run()
    say({ ok: title })
  } catch (error) {
    say({ fail: title, why: describe(error) })
  }
}

/** An error with what lies behind it: this library wraps them several times. */
function describe(error) {
  const inner = [error.cause, ...(error.errors ?? [])].filter((each) => each !== undefined && each !== null)
  return [error.stack ?? String(error), ...inner.map(describe)].join('\nbecause of ')
}

async function restart(how) {
  say({ restart: how })
  assert.equal((await input.next()).value, 'restarted')
}

async function withAdmin(use) {
  const admin = new Admin(base)
  try {
    return await use(admin)
  } finally {
    await admin.close()
  }
}

const createTopic = (topic, partitions) =>
  withAdmin((admin) =>
    admin.createTopics({
      topics: [topic],
      partitions,
      replicas: 1,
      configs: [{ name: 'retention.ms', value: '-1' }],
    }),
  )

async function withProducer(options, use) {
  const producer = new Producer({ ...base, serializers: stringSerializers, ...options })
  try {
    return await use(producer)
  } finally {
    await producer.close()
  }
}

/** Makes a message for the topic and notes what has to come back. */
function message(partition, value, more = {}) {
  clock += 10n
  expected[partition].push({
    partition,
    offset: expected[partition].length,
    key: more.key,
    value,
    headers: Object.entries(more.headers ?? {}),
    timestamp: Number(clock),
  })
  return { topic: name, partition, value, timestamp: clock, ...more }
}

/** A consumer with what it got; `options` go to `consume`. */
async function consume(groupId, topic, options) {
  const consumer = new Consumer({
    ...base,
    groupId,
    deserializers: stringDeserializers,
    sessionTimeout: 10_000,
    heartbeatInterval: 200,
    rebalanceTimeout: 10_000,
  })
  const log = []
  const stream = await consumer.consume({ topics: [topic], maxWaitTime: 200, ...options })
  let failure = null
  stream.on('error', (error) => {
    failure = error
  })
  stream.on('data', (got) => {
    log.push({
      partition: got.partition,
      offset: Number(got.offset),
      key: got.key,
      value: got.value,
      headers: got.headerEntries.map(([key, value]) => [key, value]),
      timestamp: Number(got.timestamp),
    })
  })
  const until = async (what, condition) => {
    const end = Date.now() + 30_000
    while (!condition()) {
      if (failure !== null) throw failure
      assert(Date.now() < end, `waited for ${what}: ${partitions().join()}, ${log.length} records`)
      await sleep(10)
    }
  }
  const partitions = () => consumer.assignments?.find((each) => each.topic === topic)?.partitions ?? []
  return {
    consumer,
    log,
    partitions,
    until,
    assigned: (count) => until(`${count} partitions`, () => partitions().length === count),
    received: (count) => until(`${count} records`, () => log.length >= count),
    stop: async () => {
      await stream.close()
      await consumer.close(true)
    },
  }
}

async function checkEverything(groupId) {
  const count = expected.flat().length
  const reader = await consume(groupId, name, { mode: MessagesStreamModes.EARLIEST, autocommit: false })
  await reader.received(count)
  await sleep(200)
  await reader.stop()
  for (let partition = 0; partition < 4; partition++) {
    assert.deepEqual(
      reader.log.filter((each) => each.partition === partition),
      expected[partition],
    )
  }
}

await step('create topic', async () => {
  const [created] = await createTopic(name, 4)
  assert.equal(created.name, name)
  assert.equal(created.partitions, 4)
  await assert.rejects(createTopic(name, 4), /TOPIC_ALREADY_EXISTS|already exists|failed/)
})

await step('produce with acks 0, 1 and all', async () => {
  for (const acks of [ProduceAcks.LEADER, ProduceAcks.ALL]) {
    await withProducer({}, async (producer) => {
      const { offsets } = await producer.send({ acks, messages: [message(1, `acks ${acks}`)] })
      assert.deepEqual(
        offsets.map((each) => Number(each.offset)),
        [expected[1].length - 1],
      )
    })
  }
  await withProducer({}, async (producer) => {
    await producer.send({
      acks: ProduceAcks.NO_RESPONSE,
      messages: [message(0, 'acks 0'), message(0, 'acks 0')],
    })
    await sleep(200)
  })
})

await step('produce with every codec', () =>
  withProducer({}, async (producer) => {
    for (const compression of ['none', 'gzip', 'snappy', 'lz4', 'zstd']) {
      const messages = Array.from({ length: 50 }, (_, i) => message(2, `${compression} ${i} `.repeat(20)))
      await producer.send({ acks: ProduceAcks.ALL, compression, messages })
    }
  }),
)

await step('keys, headers, null values, timestamps', () =>
  withProducer({}, async (producer) => {
    const messages = [
      message(2, 'with a key', { key: 'key' }),
      message(2, undefined, { key: 'tombstone' }),
      message(2, 'with headers', { headers: { one: '1', 'umlaut ä€': 'ä€😀' } }),
    ]
    await producer.send({ acks: ProduceAcks.ALL, messages })
  }),
)

await step('batches of 1 and of 1000', () =>
  withProducer({}, async (producer) => {
    await producer.send({ acks: ProduceAcks.ALL, messages: [message(3, 'alone')] })
    const messages = Array.from({ length: 1000 }, (_, i) => message(3, `many ${i}`, { key: `${i}` }))
    const { offsets } = await producer.send({ acks: ProduceAcks.ALL, messages })
    assert.equal(Number(offsets[0].offset), 1)
  }),
)

await step('consume by assign', async () => {
  await checkEverything('platformatic-all')
  const offsets = [0, 1, 2, 3].map((partition) => ({
    topic: name,
    partition,
    offset: BigInt(partition === 3 ? 500 : expected[partition].length),
  }))
  const reader = await consume('platformatic-part', name, {
    mode: MessagesStreamModes.MANUAL,
    offsets,
    autocommit: false,
  })
  await reader.received(501)
  await sleep(200)
  await reader.stop()
  assert.deepEqual(reader.log, expected[3].slice(500))
})

await step('group of two, one joins later, one leaves', async () => {
  const topic = 'platformatic-group'
  await createTopic(topic, 4)
  const options = { mode: MessagesStreamModes.COMMITTED, fallbackMode: 'earliest', autocommit: true }
  await withProducer({}, async (producer) => {
    const send = (round) =>
      producer.send({
        acks: ProduceAcks.ALL,
        messages: Array.from({ length: 40 }, (_, i) => ({ topic, partition: i % 4, value: `${round}/${i}` })),
      })
    const first = await consume('platformatic-two', topic, options)
    await first.assigned(4)
    await send(0)
    await first.received(40)
    const second = await consume('platformatic-two', topic, options)
    await Promise.all([first.assigned(2), second.assigned(2)])
    assert.deepEqual(new Set([...first.partitions(), ...second.partitions()]), new Set([0, 1, 2, 3]))
    await send(1)
    await Promise.all([first.received(60), second.received(20)])
    const seen = new Set([...first.log, ...second.log].map((each) => each.value))
    assert.equal(seen.size, 80)
    await second.stop()
    await first.assigned(4)
    await send(2)
    // Distinct ones: see below.
    const lastRound = () =>
      new Set(first.log.map((each) => each.value).filter((value) => value.startsWith('2/')))
    await first.until('the last round', () => lastRound().size === 40)
    await first.stop()
    for (let partition = 0; partition < 4; partition++) {
      // This client skips its automatic commits during a rebalance, so a record may come twice, but never out
      // of its place.
      const rows = [...first.log, ...second.log].filter((each) => each.partition === partition)
      const got = [...new Map(rows.map((each) => [each.offset, each])).values()].toSorted(
        (a, b) => a.offset - b.offset,
      )
      const sent = [0, 1, 2].flatMap((round) =>
        Array.from({ length: 10 }, (_, i) => `${round}/${i * 4 + partition}`),
      )
      assert.deepEqual(
        got.map((each) => each.value),
        sent,
      )
    }
  })
})

await step('commit, restart, resume', async () => {
  const topic = 'platformatic-resume'
  await createTopic(topic, 1)
  await withProducer({}, async (producer) => {
    const messages = Array.from({ length: 20 }, (_, i) => ({ topic, partition: 0, value: `${i}` }))
    await producer.send({ acks: ProduceAcks.ALL, messages })
    const member = await consume('platformatic-resume', topic, {
      mode: MessagesStreamModes.EARLIEST,
      autocommit: false,
    })
    await member.received(20)
    await member.consumer.commit({ offsets: [{ topic, partition: 0, offset: 12n, leaderEpoch: 0 }] })
    await member.stop()
    await restart('stop')
    await withAdmin(async (admin) => {
      const [group] = await admin.listConsumerGroupOffsets({ groups: ['platformatic-resume'] })
      assert.equal(group.topics[0].partitions[0].committedOffset, 12n)
    })
    await producer.send({ acks: ProduceAcks.ALL, messages: [{ topic, partition: 0, value: 'after' }] })
    const resumed = await consume('platformatic-resume', topic, {
      mode: MessagesStreamModes.COMMITTED,
      autocommit: false,
    })
    await resumed.received(9)
    await resumed.stop()
    assert.deepEqual(
      resumed.log.map((each) => each.value),
      ['12', '13', '14', '15', '16', '17', '18', '19', 'after'],
    )
  })
  await checkEverything('platformatic-again')
})

await step('idempotent producer over a restart', async () => {
  const topic = 'platformatic-idempotent'
  await createTopic(topic, 1)
  await withProducer({ idempotent: true }, async (producer) => {
    const produce = async (from, to) => {
      for (let i = from; i < to; i++) {
        await producer.send({ acks: ProduceAcks.ALL, messages: [{ topic, partition: 0, value: `${i}` }] })
      }
    }
    await produce(0, 50)
    await Promise.all([produce(50, 300), restart('kill')])
  })
  const reader = await consume('platformatic-idempotent', topic, {
    mode: MessagesStreamModes.EARLIEST,
    autocommit: false,
  })
  await reader.received(300)
  await sleep(200)
  await reader.stop()
  assert.deepEqual(
    reader.log.map((each) => each.value),
    Array.from({ length: 300 }, (_, i) => `${i}`),
  )
})

await step('admin: topics and configs', () =>
  withAdmin(async (admin) => {
    assert((await admin.listTopics()).includes(name))
    await admin.incrementalAlterConfigs({
      resources: [
        {
          resourceType: 2,
          resourceName: name,
          configs: [{ name: 'max.message.bytes', configOperation: 0, value: '2000000' }],
        },
      ],
    })
    const [described] = await admin.describeConfigs({
      resources: [
        { resourceType: 2, resourceName: name, configurationKeys: ['max.message.bytes', 'retention.ms'] },
      ],
    })
    const values = Object.fromEntries(described.configs.map((each) => [each.name, each.value]))
    assert.deepEqual(values, { 'max.message.bytes': '2000000', 'retention.ms': '-1' })
  }),
)

await step('admin: groups', () =>
  withAdmin(async (admin) => {
    assert.equal(
      (await admin.describeGroups({ groups: ['platformatic-two'] }))
        .get('platformatic-two')
        .state.toUpperCase(),
      'EMPTY',
    )
    await admin.alterConsumerGroupOffsets({
      groupId: 'platformatic-two',
      topics: [{ name: 'platformatic-group', partitionOffsets: [{ partition: 0, offset: 3n }] }],
    })
    await admin.deleteConsumerGroupOffsets({
      groupId: 'platformatic-two',
      topics: [{ name: 'platformatic-group', partitionIndexes: [0] }],
    })
    await admin.deleteGroups({ groups: ['platformatic-two'] })
    const groups = await admin.listGroups()
    assert(!groups.has('platformatic-two'))
    assert(groups.has('platformatic-resume'))
  }),
)

await step('admin: offsets, log directories', () =>
  withAdmin(async (admin) => {
    const [listed] = await admin.listOffsets({
      topics: [{ name, partitions: [{ partitionIndex: 3, timestamp: -1n }] }],
    })
    assert.equal(listed.partitions[0].offset, 1001n)
    const [dirs] = await admin.describeLogDirs({ topics: [{ name, partitions: [3] }] })
    assert(Number(dirs.results[0].topics[0].partitions[0].partitionSize) > 1000)
  }),
)

await step('admin: partitions, records, topics', () =>
  withAdmin(async (admin) => {
    await admin.createPartitions({ topics: [{ name: 'platformatic-group', count: 6, assignments: null }] })
    const [deleted] = await admin.deleteRecords({
      topics: [{ name, partitions: [{ partition: 3, offset: 600n }] }],
    })
    assert.equal(deleted.partitions[0].lowWatermark, 600n)
    await admin.deleteTopics({ topics: ['platformatic-group'] })
    assert(!(await admin.listTopics()).includes('platformatic-group'))
  }),
)

await step('admin: access control is off', () =>
  withAdmin((admin) =>
    assert.rejects(
      admin.describeAcls({
        filter: {
          resourceType: 1,
          resourceName: null,
          resourcePatternType: 1,
          principal: null,
          host: null,
          operation: 1,
          permissionType: 1,
        },
      }),
      (error) => /SECURITY_DISABLED|Security features are disabled/.test(describe(error)),
    ),
  ),
)

say({ done: true })
process.exit(0)
