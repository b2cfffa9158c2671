/** DescribeConfigs, AlterConfigs, IncrementalAlterConfigs, ListConfigResources, and what CreateTopics says of configurations. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { repositoryRoot } from '../../support/processes.ts'
import { AreaBuilder } from '../scenario.ts'
import { dig } from '../session.ts'
import type { Session } from '../session.ts'
import type { Body, Struct } from '../wire.ts'

const TOPIC = 2
const BROKER = 4
const BROKER_LOGGER = 8
const CLIENT_METRICS = 16
const GROUP = 32
const SET = 0
const DELETE = 1
const APPEND = 2
const SUBTRACT = 3

type Change = readonly [name: string, operation: number, value: string | null]

function resource(
  resourceType: number,
  resourceName: string,
  configurationKeys: string[] | null = null,
): Body {
  return { resourceType, resourceName, configurationKeys }
}

function describe(s: Session, resources: readonly Body[], version = 4): Promise<Struct> {
  return s.ask('DescribeConfigs', version, { resources, ...(version >= 1 ? { includeSynonyms: true } : {}) })
}

/** Until the value of a key is so: Apache Kafka applies what it acknowledged a little later. */
function describeUntil(s: Session, asked: Body, value: string | null): Promise<Struct> {
  const body = { resources: [asked], includeSynonyms: true }
  const wanted = (answer: Struct): boolean => dig(answer, 'results', 0, 'configs', 0, 'value') === value
  return s.askUntil(wanted, 'DescribeConfigs', 4, body)
}

function alter(
  s: Session,
  resourceType: number,
  resourceName: string,
  changes: readonly Change[],
  { validateOnly = false, version = 1 } = {},
): Promise<Struct> {
  const configs = changes.map(([name, configOperation, value]) => ({ name, configOperation, value }))
  return s.ask('IncrementalAlterConfigs', version, {
    resources: [{ resourceType, resourceName, configs }],
    validateOnly,
  })
}

function replace(
  s: Session,
  resourceType: number,
  resourceName: string,
  values: readonly (readonly [string, string | null])[],
  { validateOnly = false, version = 2 } = {},
): Promise<Struct> {
  const configs = values.map(([name, value]) => ({ name, value }))
  return s.ask('AlterConfigs', version, {
    resources: [{ resourceType, resourceName, configs }],
    validateOnly,
  })
}

export const configs = new AreaBuilder('configs')

configs.addVersions('all of a topic', 'DescribeConfigs', async (s, version) => {
  const name = await s.topic('t', { configs: { 'retention.ms': '7000', 'cleanup.policy': 'compact,delete' } })
  await describe(s, [resource(TOPIC, name)], version)
})

const DESCRIBED: Readonly<Record<string, (s: Session, topic: string) => readonly Body[]>> = {
  'some keys of a topic': (_, topic) => [resource(TOPIC, topic, ['retention.ms', 'no.such.key', 'flush.ms'])],
  'no keys of a topic': (_, topic) => [resource(TOPIC, topic, [])],
  'a key twice': (_, topic) => [resource(TOPIC, topic, ['flush.ms', 'flush.ms'])],
  'a topic twice': (_, topic) => [
    resource(TOPIC, topic, ['flush.ms']),
    resource(TOPIC, topic, ['segment.ms']),
  ],
  'a topic that is not there': (s) => [resource(TOPIC, s.name('missing'))],
  'a topic whose name nobody can have': () => [resource(TOPIC, 'b@d')],
  'a topic without a name': () => [resource(TOPIC, '')],
  'another broker': () => [resource(BROKER, '9')],
  'a broker that is no number': () => [resource(BROKER, 'one')],
  'a broker below zero': () => [resource(BROKER, '-1')],
  'a broker with a sign': () => [resource(BROKER, '+1', ['num.partitions'])],
  'the loggers of another broker': () => [resource(BROKER_LOGGER, '9')],
  'loggers of no broker': () => [resource(BROKER_LOGGER, '')],
  'a subscription': (s) => [resource(CLIENT_METRICS, s.name('m'))],
  'a subscription without a name': () => [resource(CLIENT_METRICS, '')],
  'a group': (s) => [resource(GROUP, s.name('g'))],
  'a group without a name': () => [resource(GROUP, '')],
  'a type that nobody has': (_, topic) => [resource(3, 'x'), resource(TOPIC, topic, ['flush.ms'])],
  'type 0': () => [resource(0, 'x')],
  nothing: () => [],
  several: (_, topic) => [
    resource(TOPIC, topic, ['retention.ms']),
    resource(BROKER, '1', ['num.partitions', 'log.retention.ms', 'log.retention.hours', 'log.roll.hours']),
    resource(TOPIC, 'b@d'),
  ],
}

for (const [name, asked] of Object.entries(DESCRIBED))
  configs.add(name, async (s) => {
    const topic = await s.topic()
    await describe(s, asked(s, topic))
  })

/** Of the machine, of the controllers, or set on one of the two only. */
const NOT_COMPARED =
  /^(?:listeners|advertised\.listeners|inter\.broker\.listener\.name|listener\.security\.protocol\.map|log\.dirs?|process\.roles|controller\.(?:listener\.names|quorum\.bootstrap\.servers)|(?:share\.coordinator|transaction)\.state\..*|broker\.id|node\.id|log\.initial\.task\.delay\.ms)$/

const brokerKeys = readFileSync(join(repositoryRoot, 'test/interop/golden/keys-kafka-4.3.1.txt'), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('broker|'))
  .map((line) => line.split('|')[1] ?? '')
  .filter((key) => !NOT_COMPARED.test(key))

configs.add('all keys of the broker', (s) => describe(s, [resource(BROKER, '1', brokerKeys)]))

configs.addVersions('some keys of the broker', 'DescribeConfigs', (s, version) =>
  describe(
    s,
    [resource(BROKER, '1', ['log.retention.ms', 'log.retention.hours', 'num.partitions'])],
    version,
  ),
)

configs.add('names of configurations of a new topic', async (s) => {
  const configs = [
    { name: 'retention.ms', value: '7000' },
    { name: 'preallocate', value: 'true' },
  ]
  const topics = [{ name: s.name('t'), numPartitions: 1, replicationFactor: 1, configs }]
  for (const version of [5, 7])
    await s.ask(
      'CreateTopics',
      version,
      { topics, timeoutMs: 10_000, validateOnly: true },
      { without: ['topicId'] },
    )
})

// ------------------------------------------------------------------------------------------------- changes of topics

configs.addVersions('a topic changes by steps', 'IncrementalAlterConfigs', async (s, version) => {
  const topic = await s.topic('t', { configs: { 'retention.ms': '7000' } })
  await alter(
    s,
    TOPIC,
    topic,
    [
      ['cleanup.policy', APPEND, 'compact'],
      ['retention.ms', DELETE, null],
    ],
    { version },
  )
  await describeUntil(s, resource(TOPIC, topic, ['cleanup.policy']), 'delete,compact')
  await alter(s, TOPIC, topic, [['cleanup.policy', SUBTRACT, 'delete,compact']], { version })
  await describeUntil(s, resource(TOPIC, topic, ['cleanup.policy']), '')
  await describe(s, [resource(TOPIC, topic, ['retention.ms', 'cleanup.policy'])])
})

configs.addVersions('a topic is given a whole configuration', 'AlterConfigs', async (s, version) => {
  const topic = await s.topic('t', { configs: { 'retention.ms': '7000' } })
  await replace(
    s,
    TOPIC,
    topic,
    [
      ['flush.ms', '5'],
      ['preallocate', 'TRUE'],
    ],
    { version },
  )
  await describeUntil(s, resource(TOPIC, topic, ['flush.ms']), '5')
  await describe(s, [resource(TOPIC, topic, ['retention.ms', 'preallocate'])])
  await replace(s, TOPIC, topic, [], { version })
  await describeUntil(s, resource(TOPIC, topic, ['flush.ms']), '9223372036854775807')
})

configs.add('values of a topic are shown as they were read', async (s) => {
  const topic = await s.topic()
  await alter(s, TOPIC, topic, [
    ['retention.ms', SET, ' 5000 '],
    ['min.cleanable.dirty.ratio', SET, '1'],
    ['preallocate', SET, ' TRUE '],
    ['cleanup.policy', SET, ' compact , delete '],
    ['flush.messages', SET, '+9223372036854775806'],
    ['leader.replication.throttled.replicas', SET, '0:1 , 1:1'],
  ])
  await describeUntil(s, resource(TOPIC, topic, ['retention.ms']), '5000')
  await describe(s, [
    resource(TOPIC, topic, [
      'min.cleanable.dirty.ratio',
      'preallocate',
      'cleanup.policy',
      'flush.messages',
      'leader.replication.throttled.replicas',
    ]),
  ])
})

const TOPIC_CHANGES: Readonly<Record<string, readonly Change[]>> = {
  nothing: [],
  'an unknown key': [['no.such.key', SET, '1']],
  'an unknown key away': [['no.such.key', DELETE, null]],
  'something to an unknown key': [['no.such.key', APPEND, '1']],
  'a wrong value': [['retention.ms', SET, 'soon']],
  'a value out of range': [['retention.ms', SET, '-2']],
  'segments below 1 MiB': [['segment.bytes', SET, '1048575']],
  'a null value': [['retention.ms', SET, null]],
  'a key twice': [
    ['retention.ms', SET, '1'],
    ['retention.ms', DELETE, null],
  ],
  'something to a number': [['retention.ms', APPEND, '1']],
  'something from a number': [['retention.ms', SUBTRACT, '1']],
  'a policy that nobody has': [['cleanup.policy', APPEND, 'keep']],
  'a policy that it has': [['cleanup.policy', APPEND, 'delete']],
  'a policy away that it has not': [['cleanup.policy', SUBTRACT, 'compact']],
  'lags that contradict': [
    ['min.compaction.lag.ms', SET, '10'],
    ['max.compaction.lag.ms', SET, '5'],
  ],
  'tiered storage': [['remote.storage.enable', SET, 'true']],
  'local retention above the retention': [
    ['local.retention.ms', SET, '50'],
    ['retention.ms', SET, '10'],
  ],
  'throttled replicas that are none': [['leader.replication.throttled.replicas', SET, 'some']],
  'a right and a wrong value': [
    ['flush.ms', SET, '1'],
    ['retention.ms', SET, '-2'],
  ],
}

for (const [name, changes] of Object.entries(TOPIC_CHANGES))
  configs.add(`a topic is given ${name}`, async (s) => {
    const topic = await s.topic()
    await alter(s, TOPIC, topic, changes, { validateOnly: true })
    await alter(s, TOPIC, topic, changes)
  })

for (const [name, topicName] of [
  ['a topic that is not there', 'd-nowhere'],
  ['a topic whose name nobody can have', 'b@d'],
  ['a topic without a name', ''],
] as const) {
  configs.add(`${name} changes`, async (s) => {
    await alter(s, TOPIC, topicName, [['retention.ms', SET, '1']])
    await alter(s, TOPIC, topicName, [['no.such.key', SET, '1']])
    await alter(s, TOPIC, topicName, [])
    await replace(s, TOPIC, topicName, [['retention.ms', '1']])
    await replace(s, TOPIC, topicName, [])
  })
}

configs.add('records are deleted from topics of each policy', async (s) => {
  for (const [short, policy] of [
    ['none', ''],
    ['compacted', 'compact'],
    ['both', 'compact,delete'],
  ] as const) {
    const topic = await s.topic(short, { configs: { 'cleanup.policy': policy } })
    await s.produce(topic, [
      { key: 'a', value: '1' },
      { key: 'b', value: '2' },
    ])
    const partitions = [{ partitionIndex: 0, offset: 1 }]
    await s.ask('DeleteRecords', 2, { topics: [{ name: topic, partitions }], timeoutMs: 10_000 })
  }
})

configs.add('whole configurations that cannot be', async (s) => {
  const topic = await s.topic()
  await replace(s, TOPIC, topic, [['retention.ms', null]])
  await replace(s, TOPIC, topic, [
    ['retention.ms', '1'],
    ['retention.ms', '2'],
  ])
  await replace(s, TOPIC, topic, [['no.such.key', '1']])
  await replace(s, TOPIC, topic, [['retention.ms', 'soon']])
})

configs.add('only validating changes nothing', async (s) => {
  const topic = await s.topic()
  await alter(s, TOPIC, topic, [['retention.ms', SET, '7000']], { validateOnly: true })
  await replace(s, TOPIC, topic, [['retention.ms', '7000']], { validateOnly: true })
  await describe(s, [resource(TOPIC, topic, ['retention.ms'])])
})

configs.add('a resource twice', async (s) => {
  const topic = await s.topic()
  const twice = {
    resourceType: TOPIC,
    resourceName: topic,
    configs: [{ name: 'flush.ms', configOperation: SET, value: '1' }],
  }
  await s.ask('IncrementalAlterConfigs', 1, { resources: [twice, twice] })
})

// What Apache Kafka takes and this broker does not have.
configs.add('groups, subscriptions and loggers change', async (s) => {
  const validateOnly = { validateOnly: true }
  await alter(s, GROUP, s.name('g'), [['consumer.session.timeout.ms', SET, '46000']], validateOnly)
  await alter(s, CLIENT_METRICS, s.name('m'), [['interval.ms', SET, '5000']], validateOnly)
  await alter(s, BROKER_LOGGER, '1', [['root', SET, 'INFO']], validateOnly)
  await describe(s, [resource(BROKER_LOGGER, '1', ['root'])])
})

configs.add('security cannot be set up at run time', async (s) => {
  const validateOnly = { validateOnly: true }
  for (const key of ['sasl.jaas.config', 'listener.name.plaintext.ssl.keystore.password'])
    await alter(s, BROKER, '1', [[key, SET, 'x']], validateOnly)
})

configs.add('resources of types that cannot change', async (s) => {
  for (const [type, name] of [
    [0, 'x'],
    [3, 'x'],
    [BROKER_LOGGER, '9'],
    [BROKER_LOGGER, ''],
  ] as const) {
    await alter(s, type, name, [['a.key', SET, '1']])
    await replace(s, type, name, [['a.key', '1']])
  }
})

// ------------------------------------------------------------------------------------------------- changes of brokers

/** Validated only: they change nothing, and may run beside each other. */
const BROKER_VALUES: readonly (readonly [key: string, value: string])[] = [
  ['my.plugin.key', 'x'],
  ['cleanup.policy', 'nonsense'],
  ['zookeeper.connect', 'x'],
  ['log.message.format.version', '3.0'],
  ['inter.broker.protocol.version', '3.0'],
  ['num.io.threads', '8'],
  ['num.io.threads', '0'],
  ['num.network.threads', '3'],
  ['background.threads', '5'],
  ['num.recovery.threads.per.data.dir', '2'],
  ['num.replica.fetchers', '2'],
  ['num.partitions', '3'],
  ['auto.create.topics.enable', 'false'],
  ['broker.id', '5'],
  ['node.id', '5'],
  ['log.dirs', '/x'],
  ['log.dir', '/x'],
  ['advertised.listeners', 'PLAINTEXT://127.0.0.1:1'],
  ['log.cleaner.enable', 'false'],
  ['log.retention.hours', '3'],
  ['log.retention.minutes', '3'],
  ['log.retention.ms', '3000'],
  ['log.retention.ms', '0'],
  ['log.retention.ms', '-1'],
  ['log.retention.ms', '-5'],
  ['log.retention.ms', 'soon'],
  ['log.retention.bytes', '-1'],
  ['log.roll.ms', '0'],
  ['log.roll.ms', '70000'],
  ['log.segment.bytes', '1048575'],
  ['log.segment.bytes', '1048576'],
  ['log.cleanup.policy', ''],
  ['log.cleanup.policy', 'compact'],
  ['log.cleanup.policy', 'keep'],
  ['log.message.timestamp.type', 'LogAppendTime'],
  ['log.message.timestamp.type', 'Never'],
  ['log.preallocate', 'maybe'],
  ['log.flush.scheduler.interval.ms', '5'],
  ['log.flush.interval.ms', '5'],
  ['message.max.bytes', '-1'],
  ['message.max.bytes', '1000'],
  ['compression.type', 'gzip'],
  ['compression.type', 'brotli'],
  ['unclean.leader.election.enable', 'true'],
  ['producer.id.expiration.ms', '0'],
  ['producer.id.expiration.ms', '5000'],
  ['max.connections', '1000'],
  ['max.connections', '-1'],
  ['max.connections.per.ip', '0'],
  ['max.connections.per.ip.overrides', '127.0.0.1:5000'],
  ['max.connections.per.ip.overrides', 'x'],
  ['leader.replication.throttled.rate', '100'],
  ['leader.replication.throttled.rate', '-1'],
  ['follower.replication.throttled.rate', '100'],
  ['replica.alter.log.dirs.io.max.bytes.per.second', '100'],
  ['transaction.state.log.min.isr', '1'],
  ['transaction.partition.verification.enable', 'false'],
  ['controller.quorum.voters', '1@h:1'],
  ['delegation.token.secret.key', 'x'],
  ['ssl.keystore.password', 'x'],
  ['ssl.keystore.location', '/x'],
  ['socket.send.buffer.bytes', '5'],
  ['queued.max.requests', '5'],
  ['remote.log.storage.system.enable', 'true'],
  ['log.local.retention.ms', '50'],
  ['group.max.size', '5'],
  ['offsets.topic.segment.bytes', '1048576'],
  ['default.replication.factor', '1'],
]

for (const [key, value] of BROKER_VALUES)
  configs.add(`a broker is given ${key}=${value}`, async (s) => {
    for (const name of ['1', '']) await alter(s, BROKER, name, [[key, SET, value]], { validateOnly: true })
    await replace(s, BROKER, '1', [[key, value]], { validateOnly: true })
  })

const BROKER_CHANGES: Readonly<Record<string, readonly Change[]>> = {
  nothing: [],
  'a null value': [['log.retention.ms', SET, null]],
  'a key twice': [
    ['log.retention.ms', SET, '1'],
    ['log.retention.ms', DELETE, null],
  ],
  'something to a number': [['num.io.threads', APPEND, '1']],
  'something to an unknown key': [['no.such.key', APPEND, '1']],
  'something from an unknown key': [['no.such.key', SUBTRACT, '1']],
  'an unknown key away': [['no.such.key', DELETE, null]],
  'a key away that cannot change': [['num.partitions', DELETE, null]],
  'a policy': [['log.cleanup.policy', APPEND, 'compact']],
  'an operation that nobody has': [['log.retention.ms', 7, '1']],
  'an operation below zero': [['log.retention.ms', -1, '1']],
}

for (const [name, changes] of Object.entries(BROKER_CHANGES))
  configs.add(`a broker is given ${name}`, async (s) => {
    await alter(s, BROKER, '1', changes, { validateOnly: true })
  })

for (const id of ['9', 'one', '-1', '+1', '01', ' 1', '1.0', '99999999999'])
  configs.add(`the broker "${id}" changes`, async (s) => {
    await alter(s, BROKER, id, [['log.retention.ms', SET, '100000']], { validateOnly: true })
    await replace(s, BROKER, id, [['log.retention.ms', '100000']], { validateOnly: true })
  })

export const brokerConfigs = new AreaBuilder('broker configs', { alone: true })

brokerConfigs.add('keys that nobody knows are kept, and shown as secrets', async (s) => {
  await alter(s, BROKER, '1', [['my.plugin.key', SET, 'x']])
  await describeUntil(s, resource(BROKER, '1', ['my.plugin.key']), null)
  await alter(s, BROKER, '', [['my.plugin.key', SET, 'y']])
  await describeUntil(s, resource(BROKER, '', ['my.plugin.key']), null)
  await describe(s, [resource(BROKER, '1', ['my.plugin.key'])])
  await alter(s, BROKER, '1', [['my.plugin.key', DELETE, null]])
  await alter(s, BROKER, '', [['my.plugin.key', DELETE, null]])
})

brokerConfigs.add('where a value comes from', async (s) => {
  const topic = await s.topic()
  const retention = resource(BROKER, '1', ['log.retention.ms'])
  await alter(s, BROKER, '', [['log.retention.ms', SET, '600000']])
  await describeUntil(s, retention, '600000')
  await alter(s, BROKER, '1', [['log.retention.ms', SET, '500000']])
  await describeUntil(s, retention, '500000')
  await describe(s, [
    resource(BROKER, '1', ['log.retention.hours', 'log.retention.minutes']),
    resource(BROKER, '', ['log.retention.ms']),
    resource(TOPIC, topic, ['retention.ms']),
  ])
  await alter(s, TOPIC, topic, [['retention.ms', SET, '400000']])
  await describeUntil(s, resource(TOPIC, topic, ['retention.ms']), '400000')
  await alter(s, TOPIC, topic, [['retention.ms', DELETE, null]])
  await alter(s, BROKER, '1', [['log.retention.ms', DELETE, null]])
  await describeUntil(s, resource(TOPIC, topic, ['retention.ms']), '600000')
  await alter(s, BROKER, '', [['log.retention.ms', DELETE, null]])
  await describeUntil(s, resource(TOPIC, topic, ['retention.ms']), '604800000')
})

brokerConfigs.add('lists of the broker change by steps', async (s) => {
  const policy = resource(BROKER, '1', ['log.cleanup.policy'])
  await alter(s, BROKER, '1', [['log.cleanup.policy', APPEND, 'compact']])
  await describeUntil(s, policy, 'delete,compact')
  await alter(s, BROKER, '1', [['log.cleanup.policy', SUBTRACT, 'delete']])
  await describeUntil(s, policy, 'compact')
  await alter(s, BROKER, '1', [['log.cleanup.policy', SUBTRACT, 'compact']])
  await describeUntil(s, policy, '')
  await replace(s, BROKER, '1', [['log.roll.ms', '70000000']])
  await describeUntil(s, policy, 'delete')
  await describe(s, [resource(BROKER, '1', ['log.roll.ms', 'log.roll.hours'])])
  await replace(s, BROKER, '1', [])
  await describeUntil(s, resource(BROKER, '1', ['log.roll.ms']), null)
})

configs.addVersions('names of what has configurations', 'ListConfigResources', async (s, version) => {
  await s.topic('t')
  const types =
    version === 0 ? [[]] : [[], [TOPIC], [BROKER], [GROUP], [CLIENT_METRICS], [TOPIC, BROKER], [8], [99]]
  for (const resourceTypes of types)
    await s.ask('ListConfigResources', version, version === 0 ? {} : { resourceTypes })
})
