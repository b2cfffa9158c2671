import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

import { ErrorCode } from '../../protocol/errors.ts'
import type { ConfigChange } from '../../src/metadata/changes/config-change.ts'
import type { OneNodeMetadata } from '../../src/metadata/one-node.ts'
import type { NewTopic } from '../../src/metadata/changes/topic-plan.ts'
import { SimWorld } from '../simulator/sim-world.ts'
import { brokerConfig, newTopic, openMetadata } from './metadata-harness.ts'
import type { OpenMetadata } from './metadata-harness.ts'

/** Runs `body` on fresh metadata. */
function inWorld(
  title: string,
  body: (opened: OpenMetadata) => Promise<void>,
  config: Record<string, string> = {},
): void {
  it(title, async () => {
    const sim = new SimWorld(1)
    await sim.run(async () => body(await openMetadata(sim.start(), brokerConfig(config))))
  })
}

async function create(metadata: OneNodeMetadata, topic: NewTopic): Promise<number> {
  return (await metadata.createTopics([topic], false))[0]!.errorCode
}

describe('topics', () => {
  inWorld('are created with their leaders, and visible only then', async ({ metadata, listener }) => {
    const configs = [{ name: 'retention.ms', value: ' 1000 ' }]
    const [result] = await metadata.createTopics([newTopic('a', 3, { configs })], false)
    assert.equal(result?.errorCode, ErrorCode.NONE)
    assert.deepEqual([result.numPartitions, result.replicationFactor], [3, 1])
    assert.deepEqual(listener.events, ['created a:3'])
    const topic = metadata.topics.get('a')!
    assert.equal(metadata.topicById(result.topicId!), topic)
    assert.match(topic.topicId, /^[A-Za-z0-9_-]{22}$/)
    assert.equal(topic.config['retention.ms'], 1000)
    assert.deepEqual(topic.partitions[2], {
      topic: 'a',
      index: 2,
      leader: 0,
      leaderEpoch: 0,
      leaderBrokerEpoch: metadata.brokerEpoch,
      leaderRecoveryState: 0,
      controllerEpoch: 1,
      replicas: [0],
      adding: [],
      removing: [],
      isr: [0],
      elr: [],
      lastKnownElr: [],
      minIsr: 1,
      partitionEpoch: 0,
    })
    assert.equal(metadata.partitionCount, 3)
  })

  inWorld(
    'take the defaults of the broker',
    async ({ metadata }) => {
      await create(metadata, newTopic('a'))
      assert.equal(metadata.topics.get('a')?.partitions.length, 4)
    },
    { 'num.partitions': '4' },
  )

  inWorld('are only checked when that is all that is asked', async ({ metadata, listener }) => {
    const [fine, bad] = await metadata.createTopics([newTopic('a', 2), newTopic('b', 0)], true)
    assert.deepEqual([fine?.errorCode, fine?.numPartitions], [ErrorCode.NONE, 2])
    assert.equal(bad?.errorCode, ErrorCode.INVALID_PARTITIONS)
    assert.equal(metadata.topics.size, 0)
    assert.deepEqual(listener.events, [])
  })

  inWorld(
    'are refused for what is wrong with them',
    async ({ metadata }) => {
      const assignments = (...lists: number[][]) =>
        lists.map((brokerIds, partitionIndex) => ({ partitionIndex, brokerIds }))
      const cases: [NewTopic, keyof typeof ErrorCode][] = [
        [newTopic('', 1), 'INVALID_TOPIC_EXCEPTION'],
        [newTopic('..', 1), 'INVALID_TOPIC_EXCEPTION'],
        [newTopic('a/b', 1), 'INVALID_TOPIC_EXCEPTION'],
        [newTopic('a b', 1), 'INVALID_TOPIC_EXCEPTION'],
        [newTopic('x'.repeat(250), 1), 'INVALID_TOPIC_EXCEPTION'],
        [newTopic('__consumer_offsets', 1), 'INVALID_TOPIC_EXCEPTION'],
        [newTopic('__transaction_state', 1), 'INVALID_TOPIC_EXCEPTION'],
        [newTopic('__cluster_metadata', 1), 'INVALID_REQUEST'],
        [newTopic('t', 0), 'INVALID_PARTITIONS'],
        [newTopic('t', -2), 'INVALID_PARTITIONS'],
        [newTopic('t', 2_147_483_647), 'POLICY_VIOLATION'],
        [newTopic('t', 101), 'POLICY_VIOLATION'],
        [newTopic('t', 1, { replicationFactor: 0 }), 'INVALID_REPLICATION_FACTOR'],
        [newTopic('t', 1, { replicationFactor: -2 }), 'INVALID_REPLICATION_FACTOR'],
        [newTopic('t', 1, { replicationFactor: 2 }), 'INVALID_REPLICATION_FACTOR'],
        [newTopic('t', 1, { assignments: assignments([0]) }), 'INVALID_REQUEST'],
        [newTopic('t', -1, { replicationFactor: 1, assignments: assignments([0]) }), 'INVALID_REQUEST'],
        [newTopic('t', -1, { assignments: assignments([1]) }), 'INVALID_REPLICA_ASSIGNMENT'],
        [newTopic('t', -1, { assignments: assignments([0, 0]) }), 'INVALID_REPLICA_ASSIGNMENT'],
        [newTopic('t', -1, { assignments: assignments([]) }), 'INVALID_REPLICA_ASSIGNMENT'],
        [
          newTopic('t', -1, { assignments: [{ partitionIndex: 1, brokerIds: [0] }] }),
          'INVALID_REPLICA_ASSIGNMENT',
        ],
        [newTopic('t', 1, { configs: [{ name: 'retention.ms', value: 'x' }] }), 'INVALID_CONFIG'],
        [newTopic('t', 1, { configs: [{ name: 'nope', value: '1' }] }), 'INVALID_CONFIG'],
        [newTopic('t', 1, { configs: [{ name: 'retention.ms', value: null }] }), 'INVALID_CONFIG'],
      ]
      for (const [topic, expected] of cases) {
        const [result] = await metadata.createTopics([topic], false)
        assert.equal(result?.errorCode, ErrorCode[expected], `${topic.name} ${result?.errorMessage}`)
        assert.ok(result.errorMessage)
      }
      assert.equal(metadata.topics.size, 0)
      // Nothing that was refused may keep a name or a place.
      assert.equal(await create(metadata, newTopic('t', 100)), ErrorCode.NONE)
    },
    { 'samsa.max.partitions': '100' },
  )

  inWorld('take replicas that the client chose', async ({ metadata }) => {
    const assignments = [1, 0].map((partitionIndex) => ({ partitionIndex, brokerIds: [0] }))
    assert.equal(await create(metadata, newTopic('a', -1, { assignments })), ErrorCode.NONE)
    assert.equal(metadata.topics.get('a')?.partitions.length, 2)
  })

  inWorld('exist once, and do not differ in dots and underscores only', async ({ metadata }) => {
    const results = await metadata.createTopics(
      [newTopic('a.b', 1), newTopic('a.b', 1), newTopic('a_b', 1)],
      false,
    )
    assert.deepEqual(
      results.map(({ errorCode }) => errorCode),
      [ErrorCode.NONE, ErrorCode.TOPIC_ALREADY_EXISTS, ErrorCode.INVALID_TOPIC_EXCEPTION],
    )
    assert.equal(await create(metadata, newTopic('a_b', 1)), ErrorCode.INVALID_TOPIC_EXCEPTION)
    await metadata.deleteTopic('a.b')
    assert.equal(await create(metadata, newTopic('a_b', 1)), ErrorCode.NONE)
  })

  inWorld(
    'are counted while they are being created',
    async ({ metadata }) => {
      const results = await metadata.createTopics(
        Array.from({ length: 5 }, (_, index) => newTopic(`t${index}`, 3)),
        false,
      )
      assert.equal(results.filter(({ errorCode }) => errorCode === ErrorCode.NONE).length, 3)
      assert.equal(metadata.partitionCount, 9)
      assert.equal(await create(metadata, newTopic('late', 2)), ErrorCode.POLICY_VIOLATION)
      assert.equal(await create(metadata, newTopic('late', 1)), ErrorCode.NONE)
    },
    { 'samsa.max.partitions': '10' },
  )

  inWorld('are created on demand, internal ones their own way', async ({ metadata }) => {
    assert.equal(await metadata.autoCreateTopic('a'), ErrorCode.NONE)
    assert.equal(await metadata.autoCreateTopic('a'), ErrorCode.NONE)
    assert.equal(await metadata.autoCreateTopic('a b'), ErrorCode.INVALID_TOPIC_EXCEPTION)
    const both = await Promise.all([metadata.autoCreateTopic('b'), metadata.autoCreateTopic('b')])
    assert.deepEqual(both, [ErrorCode.NONE, ErrorCode.NONE])
    assert.equal(await metadata.autoCreateTopic('__consumer_offsets'), ErrorCode.NONE)
    assert.equal(await metadata.autoCreateTopic('__transaction_state'), ErrorCode.INVALID_TOPIC_EXCEPTION)
    const offsets = metadata.topics.get('__consumer_offsets')!
    assert.equal(offsets.internal, true)
    assert.equal(offsets.partitions.length, 50)
    assert.deepEqual(offsets.config['cleanup.policy'], ['compact'])
    assert.equal(offsets.config['segment.bytes'], 104_857_600)
    assert.equal(
      (await metadata.deleteTopic('__consumer_offsets')).errorCode,
      ErrorCode.INVALID_TOPIC_EXCEPTION,
    )
    const grown = await metadata.createPartitions('__consumer_offsets', 51, null, false)
    assert.equal(grown.errorCode, ErrorCode.INVALID_REQUEST)
  })

  inWorld('leave nothing behind when their leaders cannot be made', async ({ metadata, listener }) => {
    listener.failOn = 'created'
    assert.equal(await create(metadata, newTopic('a', 2)), ErrorCode.KAFKA_STORAGE_ERROR)
    assert.equal(metadata.topics.size, 0)
    assert.deepEqual(listener.events, ['created a:2', 'deleted a'])
    listener.failOn = null
    assert.equal(await create(metadata, newTopic('a', 2)), ErrorCode.NONE)
  })

  inWorld('grow', async ({ metadata, listener }) => {
    await create(metadata, newTopic('a', 2))
    const grow = async (count: number, assignments: number[][] | null, validateOnly = false) =>
      (await metadata.createPartitions('a', count, assignments, validateOnly)).errorCode
    assert.equal(await grow(2, null), ErrorCode.INVALID_PARTITIONS)
    assert.equal(await grow(1, null), ErrorCode.INVALID_PARTITIONS)
    assert.equal(await grow(-1, null), ErrorCode.INVALID_PARTITIONS)
    assert.equal(await grow(2_147_483_647, null), ErrorCode.POLICY_VIOLATION)
    assert.equal(await grow(4, [[0]]), ErrorCode.INVALID_REPLICA_ASSIGNMENT)
    assert.equal(await grow(3, [[7]]), ErrorCode.INVALID_REPLICA_ASSIGNMENT)
    assert.equal(await grow(3, [[0, 0]]), ErrorCode.INVALID_REPLICA_ASSIGNMENT)
    assert.equal(await grow(4, null, true), ErrorCode.NONE)
    assert.equal(metadata.topics.get('a')?.partitions.length, 2)
    assert.equal(await grow(4, [[0], [0]]), ErrorCode.NONE)
    assert.equal(metadata.topics.get('a')?.partitions.length, 4)
    assert.equal(metadata.partitionCount, 4)
    assert.equal(listener.events.at(-1), 'grown a:2,3')
    const unknown = await metadata.createPartitions('b', 3, null, false)
    assert.equal(unknown.errorCode, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
  })

  inWorld('are deleted, and the name is free again', async ({ metadata, listener }) => {
    await create(metadata, newTopic('a', 2))
    const first = metadata.topics.get('a')!.topicId
    const [deleted, again] = await Promise.all([
      metadata.deleteTopic('a'),
      create(metadata, newTopic('a', 1)),
    ])
    assert.deepEqual([deleted.errorCode, again], [ErrorCode.NONE, ErrorCode.NONE])
    assert.deepEqual(listener.events, ['created a:2', 'deleted a', 'created a:1'])
    assert.equal(metadata.topicById(first), undefined)
    assert.notEqual(metadata.topics.get('a')?.topicId, first)
    assert.equal(metadata.partitionCount, 1)
    assert.equal((await metadata.deleteTopic('b')).errorCode, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
  })

  inWorld('come by the thousand', async ({ metadata, listener }) => {
    const topics = Array.from({ length: 1000 }, (_, index) => newTopic(`t${index}`, 1))
    const results = await metadata.createTopics(topics, false)
    assert.ok(results.every(({ errorCode }) => errorCode === ErrorCode.NONE))
    assert.equal(await create(metadata, newTopic('wide', 1000)), ErrorCode.NONE)
    assert.equal(metadata.partitionCount, 2000)
    const wide = listener.events.filter((event) => event.includes('wide'))
    assert.equal(listener.events.length, 1000 + wide.length)
    // The partitions of one topic come in portions, each of them once, and before the topic is visible.
    const indexes = wide.slice(1).flatMap((event) => event.replace('grown wide:', '').split(',').map(Number))
    const first = Number(wide[0]?.replace('created wide:', ''))
    assert.deepEqual(
      indexes,
      Array.from({ length: 1000 - first }, (_, index) => first + index),
    )
  })
})

describe('configurations', () => {
  const set = (name: string, value: string | null): ConfigChange => ({ name, operation: 'set', value })
  const topic = { kind: 'topic', name: 'a' } as const
  const broker = { kind: 'broker', id: 0 } as const
  const everyBroker = { kind: 'broker', id: null } as const

  inWorld('of topics change by steps', async ({ metadata, listener }) => {
    await create(metadata, newTopic('a', 1, { configs: [{ name: 'retention.ms', value: '5' }] }))
    const alter = async (changes: ConfigChange[], validateOnly = false) =>
      (await metadata.incrementalAlterConfigs(topic, changes, validateOnly)).errorCode
    const config = () => metadata.topics.get('a')!.config
    assert.equal(
      await alter([
        set('segment.bytes', ' 1000000000'),
        { name: 'retention.ms', operation: 'delete', value: null },
      ]),
      0,
    )
    assert.deepEqual([...config().overrides], [['segment.bytes', '1000000000']])
    assert.equal(config()['retention.ms'], 604_800_000)
    assert.equal(listener.events.at(-1), 'configured a')
    assert.equal(await alter([{ name: 'cleanup.policy', operation: 'append', value: 'compact' }]), 0)
    assert.deepEqual(config()['cleanup.policy'], ['delete', 'compact'])
    assert.equal(await alter([{ name: 'cleanup.policy', operation: 'subtract', value: 'delete' }]), 0)
    assert.deepEqual(config()['cleanup.policy'], ['compact'])
    const events = listener.events.length
    assert.equal(await alter([set('segment.bytes', '2000000')], true), 0)
    assert.equal(await alter([set('segment.bytes', '1048575')]), ErrorCode.INVALID_CONFIG)
    assert.equal(await alter([set('nope', '1')]), ErrorCode.INVALID_CONFIG)
    assert.equal(await alter([set('segment.bytes', null)]), ErrorCode.INVALID_REQUEST)
    assert.equal(
      await alter([set('segment.bytes', '1'), set('segment.bytes', '2')]),
      ErrorCode.INVALID_REQUEST,
    )
    assert.equal(
      await alter([{ name: 'segment.bytes', operation: 'append', value: '1' }]),
      ErrorCode.INVALID_CONFIG,
    )
    assert.equal(config()['segment.bytes'], 1_000_000_000)
    assert.equal(listener.events.length, events)
    // An empty policy keeps everything (KAFKA-19112).
    assert.equal(await alter([{ name: 'cleanup.policy', operation: 'subtract', value: 'compact' }]), 0)
    assert.deepEqual(config()['cleanup.policy'], [])
    const unknown = await metadata.incrementalAlterConfigs({ kind: 'topic', name: 'b' }, [], false)
    assert.equal(unknown.errorCode, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
  })

  inWorld('of topics are replaced as a whole', async ({ metadata }) => {
    await create(metadata, newTopic('a', 1, { configs: [{ name: 'retention.ms', value: '5' }] }))
    const outcome = await metadata.replaceConfigs(topic, [{ name: 'flush.messages', value: '1' }], false)
    assert.equal(outcome.errorCode, ErrorCode.NONE)
    assert.deepEqual([...metadata.topics.get('a')!.config.overrides], [['flush.messages', '1']])
  })

  inWorld('of brokers reach the topics that do not override them', async ({ metadata, listener }) => {
    await create(metadata, newTopic('a', 1))
    await create(metadata, newTopic('b', 1, { configs: [{ name: 'internal.segment.bytes', value: '77' }] }))
    const alter = async (target: typeof broker | typeof everyBroker, changes: ConfigChange[]) =>
      (await metadata.incrementalAlterConfigs(target, changes, false)).errorCode
    assert.equal(await alter(everyBroker, [set('log.segment.bytes', '1500000')]), 0)
    assert.equal(metadata.topics.get('a')?.config['segment.bytes'], 1_500_000)
    assert.equal(metadata.topicById(metadata.topics.get('a')!.topicId), metadata.topics.get('a'))
    assert.equal(metadata.topics.get('b')?.config['internal.segment.bytes'], 77)
    assert.deepEqual(listener.events.slice(2), ['configured a', 'configured b'])
    await create(metadata, newTopic('c', 1))
    assert.equal(await alter(broker, [set('log.segment.bytes', '2000000')]), 0)
    assert.equal(metadata.config['log.segment.bytes'], 2_000_000)
    assert.equal(metadata.topics.get('a')?.config['segment.bytes'], 2_000_000)
    // Thousands of topics are resolved again in no time, because most are the same.
    assert.equal(metadata.topics.get('a')?.config, metadata.topics.get('c')?.config)
    assert.equal(await alter(broker, [{ name: 'log.segment.bytes', operation: 'delete', value: null }]), 0)
    assert.equal(metadata.config['log.segment.bytes'], 1_500_000)
    assert.deepEqual([...metadata.clusterDefaults], [['log.segment.bytes', '1500000']])
    const events = listener.events.length
    assert.equal(await alter(broker, [set('max.connections', '7')]), 0)
    assert.deepEqual(listener.events.slice(events), [])
    assert.equal(await alter(broker, [set('num.partitions', '7')]), ErrorCode.INVALID_REQUEST)
    assert.equal(await alter(broker, [set('message.max.bytes', '-7')]), ErrorCode.INVALID_REQUEST)
    const clash = [
      set('log.cleaner.min.compaction.lag.ms', '9'),
      set('log.cleaner.max.compaction.lag.ms', '8'),
    ]
    assert.equal(await alter(broker, clash), ErrorCode.INVALID_REQUEST)
    const stranger = await metadata.incrementalAlterConfigs({ kind: 'broker', id: 9 }, [], false)
    assert.equal(stranger.errorCode, ErrorCode.INVALID_REQUEST)
  })

  it('survive a restart', async () => {
    const sim = new SimWorld(1)
    await sim.run(async () => {
      const process = sim.start()
      const { metadata } = await openMetadata(process)
      await create(metadata, newTopic('a', 1))
      await metadata.incrementalAlterConfigs(topic, [set('segment.ms', '99')], false)
      await metadata.incrementalAlterConfigs(broker, [set('message.max.bytes', '88')], false)
      await metadata.incrementalAlterConfigs(everyBroker, [set('log.retention.ms', '77')], false)
      await metadata.incrementalAlterConfigs(broker, [set('my.plugin.key', 'kept')], false)
      await sim.powerLoss(process)
      const again = (await openMetadata(sim.start())).metadata
      const { config } = again.topics.get('a')!
      assert.deepEqual(
        [config['segment.ms'], config['max.message.bytes'], config['retention.ms']],
        [99, 88, 77],
      )
      assert.equal(
        again.config.settings.get('log.retention.ms')?.[0]?.source,
        'DYNAMIC_DEFAULT_BROKER_CONFIG',
      )
      assert.equal(again.config.settings.get('my.plugin.key')?.[0]?.source, 'DYNAMIC_BROKER_CONFIG')
    })
  })

  inWorld('of brokers keep keys that nobody knows, as Kafka does', async ({ metadata }) => {
    const alter = async (target: typeof broker | typeof everyBroker, changes: ConfigChange[]) =>
      (await metadata.incrementalAlterConfigs(target, changes, false)).errorCode
    for (const target of [broker, everyBroker]) {
      assert.equal(await alter(target, [set('my.plugin.key', 'x'), set('cleanup.policy', 'shred')]), 0)
      assert.equal(await alter(target, [{ name: 'my.plugin.key', operation: 'delete', value: null }]), 0)
      const append = { name: 'my.plugin.key', operation: 'append', value: 'x' } as const
      assert.equal(await alter(target, [append]), ErrorCode.INVALID_CONFIG)
    }
    const replaced = await metadata.replaceConfigs(broker, [{ name: 'my.other.key', value: 'y' }], false)
    assert.equal(replaced.errorCode, 0)
    assert.deepEqual(
      [metadata.config.settings.has('cleanup.policy'), metadata.config.settings.has('my.other.key')],
      [true, true],
    )
    assert.deepEqual([...metadata.clusterDefaults], [['cleanup.policy', 'shred']])
    // Kafka's own keys without effect are checked, and may be set where Kafka lets them.
    assert.equal(await alter(broker, [set('num.io.threads', '4')]), 0)
    assert.equal(await alter(broker, [set('num.io.threads', '0')]), ErrorCode.INVALID_REQUEST)
    assert.equal(await alter(broker, [set('transaction.max.timeout.ms', '5')]), ErrorCode.INVALID_REQUEST)
    // Second names of keys that cannot change, and a limit that would lock everybody out.
    for (const [key, value] of [
      ['node.id', '5'],
      ['log.dir', '/elsewhere'],
      ['max.connections.per.ip', '0'],
    ] as const)
      assert.equal(await alter(broker, [set(key, value)]), ErrorCode.INVALID_REQUEST, key)
    // Nobody may believe that what is sent is encrypted now.
    for (const key of [
      'ssl.keystore.location',
      'sasl.enabled.mechanisms',
      'principal.builder.class',
      'listener.name.plaintext.ssl.keystore.password',
      'listener.name.plaintext.plain.sasl.jaas.config',
    ])
      assert.equal(await alter(broker, [set(key, 'x')]), ErrorCode.INVALID_REQUEST, key)
    const much = (name: string): ConfigChange => set(name, 'x'.repeat(30_000))
    const many = Array.from({ length: 9 }, (_, index) => much(`my.key.${index}`))
    assert.equal(await alter(broker, many), ErrorCode.POLICY_VIOLATION)
    assert.equal(await alter(broker, [set('my.key', 'x'.repeat(32_768))]), ErrorCode.INVALID_CONFIG)
  })
})

describe('the cluster', () => {
  it('has an id, and epochs that grow with every start', async () => {
    const sim = new SimWorld(1)
    await sim.run(async () => {
      const seen: { clusterId: string; brokerEpoch: number; controllerEpoch: number; leaderEpoch: number }[] =
        []
      for (let life = 0; life < 3; life++) {
        const process = sim.start()
        const { metadata } = await openMetadata(process)
        if (life === 0) await create(metadata, newTopic('a', 1))
        const { clusterId, brokerEpoch, controllerEpoch } = metadata
        const { leaderEpoch } = metadata.topics.get('a')!.partitions[0]!
        seen.push({ clusterId, brokerEpoch, controllerEpoch, leaderEpoch })
        await (life === 1 ? metadata.close() : sim.powerLoss(process))
      }
      assert.match(seen[0]!.clusterId, /^[A-Za-z0-9_][A-Za-z0-9_-]{21}$/)
      assert.equal(new Set(seen.map(({ clusterId }) => clusterId)).size, 1)
      assert.ok(seen[0]!.brokerEpoch < seen[1]!.brokerEpoch && seen[1]!.brokerEpoch < seen[2]!.brokerEpoch)
      assert.deepEqual(
        seen.map(({ controllerEpoch }) => controllerEpoch),
        [1, 2, 3],
      )
      assert.deepEqual(
        seen.map(({ leaderEpoch }) => leaderEpoch),
        [0, 1, 2],
      )
    })
  })

  it('takes the id that the log directories or the configuration name, and no other one later or beside it', async () => {
    const fromDisk = 'AAAAAAAAAAAAAAAAAAAAAQ'
    const configured = 'AAAAAAAAAAAAAAAAAAAAAg'
    const sim = new SimWorld(1)
    await sim.run(async () => {
      const process = sim.start()
      const { metadata } = await openMetadata(process, brokerConfig(), fromDisk)
      assert.equal(metadata.clusterId, fromDisk)
      await sim.kill(process)
      await assert.rejects(openMetadata(sim.start(), brokerConfig(), configured), {
        code: 'SAMSA_METADATA_STORE',
      })
      const config = brokerConfig({ 'cluster.id': configured })
      for (const [known, who] of [
        [fromDisk, 'log.dirs=./samsa-data: meta.properties says'],
        [null, 'the metadata is that of'],
      ] as const)
        await assert.rejects(openMetadata(sim.start(), config, known), {
          code: 'SAMSA_CONFIG',
          message: `cluster.id=${configured}: ${who} cluster ${fromDisk}`,
        })
    })
    const other = new SimWorld(1)
    await other.run(async () => {
      const { metadata } = await openMetadata(other.start(), brokerConfig({ 'cluster.id': 'my-cluster' }))
      assert.equal(metadata.clusterId, 'my-cluster')
    })
  })

  it('tells of topics that come, grow and go, and once of each key of theirs that has no effect', async () => {
    const sim = new SimWorld(1)
    await sim.run(async () => {
      const process = sim.start()
      const { metadata } = await openMetadata(process)
      const configs = [
        { name: 'remote.log.copy.disable', value: 'true' },
        { name: 'retention.ms', value: '5' },
      ]
      for (const name of ['a', 'b']) await create(metadata, newTopic(name, 1, { configs }))
      const change = { name: 'preallocate', operation: 'set', value: 'true' } as const
      await metadata.incrementalAlterConfigs({ kind: 'topic', name: 'a' }, [change], false)
      await metadata.createPartitions('a', 3, null, false)
      await metadata.deleteTopic('b')
      const told = process.logger.lines.flatMap(({ fields: { topic, key }, message }) =>
        topic === undefined ? [] : [[topic, message, ...(key === undefined ? [] : [key])]],
      )
      const noEffect = 'a topic has a configuration that has no effect here; told once for this key'
      assert.deepEqual(told, [
        ['a', 'topic created'],
        ['a', noEffect, 'remote.log.copy.disable'],
        ['b', 'topic created'],
        ['a', noEffect, 'preallocate'],
        ['a', 'partitions added to a topic'],
        ['b', 'topic deleted'],
      ])
    })
  })

  it('leaves partitions that lie on another broker without a leader', async () => {
    const sim = new SimWorld(1)
    await sim.run(async () => {
      const process = sim.start()
      await create((await openMetadata(process)).metadata, newTopic('a', 1))
      await sim.kill(process)
      const { metadata } = await openMetadata(sim.start(), brokerConfig({ 'broker.id': '5' }))
      const partition = metadata.topics.get('a')!.partitions[0]!
      assert.deepEqual([partition.leader, partition.leaderEpoch, partition.isr], [-1, 1, [0]])
    })
  })

  it('gives out every producer id once', async () => {
    const sim = new SimWorld(1)
    await sim.run(async () => {
      const seen = new Set<number>()
      for (let life = 0; life < 4; life++) {
        const process = sim.start()
        const { metadata } = await openMetadata(process)
        if (life === 2) {
          metadata.skipProducerIdsThrough(50_000)
          const partitions = [{ index: 0, leaderEpoch: 0 }]
          await metadata.registerDiscoveredTopics([
            { name: 'found', topicId: null, partitions, overrides: new Map() },
          ])
        }
        // The ids that a topic brought along stay taken when nobody asks for one before the next start.
        if (life === 2) {
          await sim.powerLoss(process)
          continue
        }
        const ids = await Promise.all(Array.from({ length: 1500 }, () => metadata.nextProducerId()))
        for (const id of ids) {
          assert.ok(!seen.has(id), `${id} came twice`)
          if (life > 2) assert.ok(id > 50_000)
          seen.add(id)
        }
        await sim.powerLoss(process)
      }
    })
  })

  it('takes over topics that lie on disk', async () => {
    const sim = new SimWorld(1)
    await sim.run(async () => {
      const { metadata, listener } = await openMetadata(sim.start())
      await create(metadata, newTopic('known', 1))
      const topicId = 'AAAAAAAAAAAAAAAAAAAAAQ'
      const partitions = [
        { index: 1, leaderEpoch: 3 },
        { index: 0, leaderEpoch: -1 },
      ]
      const overrides = new Map([['cleanup.policy', 'compact']])
      const taken = await metadata.registerDiscoveredTopics([
        { name: 'known', topicId: null, partitions, overrides },
        { name: 'found', topicId, partitions, overrides },
        { name: 'no name', topicId: null, partitions, overrides },
        { name: '__consumer_offsets', topicId: null, partitions, overrides },
        { name: 'huge', topicId: null, partitions: [{ index: 2_000_000_000, leaderEpoch: 0 }], overrides },
      ])
      assert.deepEqual(
        taken.map(({ name }) => name),
        ['found', '__consumer_offsets'],
      )
      const found = metadata.topics.get('found')!
      assert.equal(found.topicId, topicId)
      assert.deepEqual(
        found.partitions.map(({ leaderEpoch }) => leaderEpoch),
        [0, 4],
      )
      assert.deepEqual(metadata.topics.get('__consumer_offsets')?.config['cleanup.policy'], ['compact'])
      assert.ok(listener.events.includes('created found:2'))
    })
  })

  it('answers store failures with an error code', async () => {
    const sim = new SimWorld(1)
    await sim.run(async () => {
      const { metadata, listener } = await openMetadata(sim.start())
      await create(metadata, newTopic('a', 1))
      sim.faults.add({ operation: 'write', code: 'EIO' })
      assert.equal(await create(metadata, newTopic('b', 1)), ErrorCode.KAFKA_STORAGE_ERROR)
      assert.equal((await metadata.deleteTopic('a')).errorCode, ErrorCode.KAFKA_STORAGE_ERROR)
      const altered = await metadata.replaceConfigs({ kind: 'topic', name: 'a' }, [], false)
      assert.equal(altered.errorCode, ErrorCode.KAFKA_STORAGE_ERROR)
      assert.ok(metadata.topics.has('a'))
      assert.deepEqual(listener.events, ['created a:1'])
      await assert.rejects(metadata.nextProducerId())
    })
  })
})
