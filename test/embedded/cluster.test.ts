import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { Kafka, logLevel } from 'kafkajs'
import type { Producer } from 'kafkajs'
import { Cluster, SamsaError } from '../../src/index.ts'
import type { ClusterOptions, NewClusterTopic } from '../../src/index.ts'
import { until } from '../support/until.ts'

const TOPIC = 'orders'

function client(cluster: Cluster): Kafka {
  const retry = { initialRetryTime: 20, maxRetryTime: 200, retries: 100 }
  return new Kafka({ brokers: cluster.brokers, logLevel: logLevel.NOTHING, retry })
}

/** One record after the other, each acknowledged by all in sync, over every partition. */
async function send(producer: Producer, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++)
    await producer.send({ topic: TOPIC, acks: -1, messages: [{ partition: i % 3, value: `v${i}` }] })
}

async function consume(cluster: Cluster, groupId: string, count: number): Promise<string[]> {
  const consumer = client(cluster).consumer({ groupId, maxWaitTimeInMs: 50 })
  const values: string[] = []
  await consumer.connect()
  await consumer.subscribe({ topic: TOPIC, fromBeginning: true })
  const eachMessage = ({ message }: { message: { value: Buffer | null } }): Promise<void> => {
    values.push(message.value!.toString())
    return Promise.resolve()
  }
  await consumer.run({ eachMessage })
  await until(() => values.length >= count)
  await consumer.disconnect()
  return values
}

const sent = (count: number): string[] => Array.from({ length: count }, (_, i) => `v${i}`).toSorted()

async function withProducer(cluster: Cluster, work: (producer: Producer) => Promise<void>): Promise<void> {
  const producer = client(cluster).producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  await work(producer)
  await producer.disconnect()
}

describe('a cluster in a test file', () => {
  test('the leader is killed, others lead on, and it comes back with nothing lost', async () => {
    await using cluster = await Cluster.start({ brokers: 3 })
    await cluster.createTopics([{ name: TOPIC, partitions: 3 }])
    const { brokers } = cluster
    await withProducer(cluster, async (producer) => {
      await send(producer, 0, 9)
      const killed = await cluster.leaderOf(TOPIC, 0)
      await cluster.kill(killed)
      assert.notEqual(await cluster.leaderOf(TOPIC, 0), killed)
      await send(producer, 9, 18)
      assert.deepEqual((await consume(cluster, 'meanwhile', 18)).toSorted(), sent(18))
      await cluster.restart(killed)
      assert.deepEqual(cluster.brokers, brokers, 'on the same port')
      // What only the one that came back and one other have is there when the third dies.
      await send(producer, 18, 27)
      await cluster.kill(await cluster.leaderOf(TOPIC, 1))
      await send(producer, 27, 36)
    })
    assert.deepEqual((await consume(cluster, 'afterwards', 36)).toSorted(), sent(36))
  })

  test('a broker that is cut off leads no more, and finds its place again', async () => {
    await using cluster = await Cluster.start({ brokers: 3 })
    await cluster.createTopics([{ name: TOPIC, partitions: 3 }])
    await withProducer(cluster, async (producer) => {
      await send(producer, 0, 6)
      const isolated = await cluster.leaderOf(TOPIC, 1)
      await cluster.isolate(isolated)
      await cluster.isolate(isolated)
      assert.notEqual(await cluster.leaderOf(TOPIC, 1), isolated)
      await send(producer, 6, 12)
      await assert.rejects(cluster.restart(isolated), {
        code: 'SAMSA_REFUSED',
        message: `broker ${isolated} is cut off, and would wait for ever: call heal(${isolated}) first`,
      })
      await cluster.heal(isolated)
      const others = [1, 2, 3].filter((id) => id !== isolated)
      await inSync(cluster, 3)
      // It is one of the two that min.insync.replicas needs.
      await cluster.kill(others[0]!)
      await send(producer, 12, 18)
    })
    assert.deepEqual((await consume(cluster, 'g', 18)).toSorted(), sent(18))
  })

  test('brokers are stopped and started one after the other under load', async () => {
    await using cluster = await Cluster.start({ brokers: 3 })
    await cluster.createTopics([{ name: TOPIC, partitions: 3 }])
    await withProducer(cluster, async (producer) => {
      for (const [i, id] of [1, 2, 3].entries()) {
        await cluster.stopBroker(id)
        await send(producer, 6 * i, 6 * i + 3)
        await cluster.restart(id)
        await send(producer, 6 * i + 3, 6 * i + 6)
        await inSync(cluster, 3)
      }
      await cluster.restart(2)
    })
    assert.deepEqual((await consume(cluster, 'g', 18)).toSorted(), sent(18))
  })

  test('groups work when the first thing that happens is that a broker dies', async () => {
    await using cluster = await Cluster.start()
    await cluster.createTopics([{ name: TOPIC, partitions: 3 }])
    await cluster.kill(1)
    await withProducer(cluster, (producer) => send(producer, 0, 3))
    assert.deepEqual((await consume(cluster, 'g', 3)).toSorted(), sent(3))
  })

  test('topics are ready at every broker, and gone from every broker', async () => {
    await using cluster = await Cluster.start({ brokers: 2 })
    await cluster.createTopics([
      { name: TOPIC, partitions: 2 },
      { name: 'one', replicationFactor: 1 },
    ])
    for (const address of cluster.brokers) {
      const admin = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING }).admin()
      await admin.connect()
      const { topics } = await admin.fetchTopicMetadata({ topics: [TOPIC, 'one'] })
      assert.deepEqual(
        topics
          .toSorted((a, b) => a.name.localeCompare(b.name))
          .map(({ name, partitions }) => [name, partitions.map(({ isr }) => isr.length)]),
        [
          ['one', [1]],
          [TOPIC, [2, 2]],
        ],
      )
      await admin.disconnect()
    }
    await assert.rejects(cluster.createTopics([{ name: TOPIC }]), {
      code: 'SAMSA_REFUSED',
      kafkaError: 'TOPIC_ALREADY_EXISTS',
    })
    await assert.rejects(cluster.createTopics([{ name: 'three', replicationFactor: 3 }]), {
      kafkaError: 'INVALID_REPLICATION_FACTOR',
    })
    await cluster.deleteAllTopics()
    await cluster.createTopics([{ name: TOPIC, partitions: 1 }])
  })

  test('one broker alone, whose data is gone afterwards', async () => {
    const before = process.env['TMPDIR']
    const temporary = mkdtempSync(join(tmpdir(), 'samsa-test-'))
    process.env['TMPDIR'] = temporary
    try {
      await using cluster = await Cluster.start({ brokers: 1, config: { 'num.partitions': 3 } })
      assert.equal(cluster.bootstrapServers, cluster.brokers.join())
      await withProducer(cluster, (producer) => send(producer, 0, 3))
      assert.deepEqual((await consume(cluster, 'g', 3)).toSorted(), sent(3))
      const [directory] = readdirSync(temporary)
      assert.ok(existsSync(join(temporary, directory!, 'broker-1', `${TOPIC}-0`)))
      await cluster.kill(1)
      await cluster.restart(1)
      assert.deepEqual((await consume(cluster, 'h', 3)).toSorted(), sent(3))
      await cluster.stop()
      assert.deepEqual(readdirSync(temporary), [])
    } finally {
      if (before === undefined) delete process.env['TMPDIR']
      else process.env['TMPDIR'] = before
      rmSync(temporary, { recursive: true, force: true })
    }
  })
})

/** Every partition has so many replicas in sync. */
async function inSync(cluster: Cluster, count: number): Promise<void> {
  const admin = client(cluster).admin()
  await admin.connect()
  await until(async () => {
    const { topics } = await admin.fetchTopicMetadata({ topics: [TOPIC] })
    return topics[0]!.partitions.every(({ isr }) => isr.length === count)
  })
  await admin.disconnect()
}

const wrongOptions: readonly (readonly [unknown, string])[] = [
  [{ broker: 3 }, 'broker: there is no such option; did you mean brokers?'],
  [{ brokers: 0 }, 'brokers: must be an integer from 1 to 32, not 0'],
  [{ brokers: '3' }, `brokers: must be an integer from 1 to 32, not '3'`],
  [{ port: 9092 }, 'port: there is no such option; each broker has a free port of its own'],
  [
    { dataDir: '/tmp/a' },
    'dataDir: there is no such option; each broker has a temporary directory of its own',
  ],
  [{ host: 'a:1' }, `host: must be a host name or an address, without a port, not 'a:1'`],
  [
    { config: { 'log.dirs': '/tmp/a', 'broker.id': 7 } },
    `config['log.dirs']: cannot be set for a whole cluster: each broker has a temporary directory of its own; ` +
      `config['broker.id']: cannot be set for a whole cluster: ids are 1, 2, 3 and so on`,
  ],
  [
    { config: { 'zookeeper.connect': 'localhost:2181' } },
    `config['zookeeper.connect']: cannot be set for a whole cluster: brokers of one process share a store of their own`,
  ],
  [
    { config: { 'min.insync.replica': 2 } },
    `config['min.insync.replica']: there is no such configuration; did you mean min.insync.replicas?`,
  ],
  [
    { brokers: 2, config: { 'default.replication.factor': 3 } },
    'default.replication.factor=3: must not be above the number of brokers, which is 2',
  ],
  [null, 'options: must be an object, not null'],
]

test('options that are none: which, why, and what may have been meant', async () => {
  for (const [given, message] of wrongOptions)
    await assert.rejects(
      Cluster.start(given as ClusterOptions),
      (error: unknown) => {
        assert.ok(error instanceof SamsaError)
        assert.deepEqual([error.code, error.message], ['SAMSA_CONFIG', message])
        return true
      },
      message,
    )
})

test('a cluster is not made by new', () => {
  assert.throws(() => Reflect.construct(Cluster, []), {
    code: 'SAMSA_CONFIG',
    message: 'new Cluster(): a cluster comes from await Cluster.start()',
  })
})

test('what is asked of a cluster and cannot be', async () => {
  const cluster = await Cluster.start({ brokers: 1 })
  await assert.rejects(cluster.kill(4), {
    code: 'SAMSA_CONFIG',
    message: 'broker: there is none with id 4; there are 1',
  })
  await assert.rejects(cluster.isolate('1' as unknown as number), {
    message: `broker: there is none with id '1'; there are 1`,
  })
  await assert.rejects(cluster.leaderOf('nothing', 0), {
    code: 'SAMSA_REFUSED',
    kafkaError: 'UNKNOWN_TOPIC_OR_PARTITION',
    message: 'nothing-0: no broker knows this partition',
  })
  await assert.rejects(cluster.createTopics([{ name: 'a', replicas: 3 }] as unknown as NewClusterTopic[]), {
    code: 'SAMSA_CONFIG',
    message: 'topics[0].replicas: there is no such option; did you mean replicationFactor?',
  })
  await cluster.stopBroker(1)
  await cluster.stopBroker(1)
  await cluster.kill(1)
  await assert.rejects(cluster.createTopics([{ name: 'a' }]), {
    code: 'SAMSA_REFUSED',
    message: 'no broker can be reached: each is stopped or cut off',
  })
  await cluster.stop()
  await cluster.stop()
  await assert.rejects(cluster.restart(1), { code: 'SAMSA_STOPPED', message: 'the cluster was stopped' })
})
