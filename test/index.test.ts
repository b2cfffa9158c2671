import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { inspect } from 'node:util'
import { Kafka, logLevel } from 'kafkajs'
import { Broker, SamsaError } from '../src/index.ts'
import type { BrokerOptions, NewTopic } from '../src/index.ts'

function client(broker: Broker): Kafka {
  return new Kafka({ brokers: broker.brokers, logLevel: logLevel.ERROR })
}

async function produce(broker: Broker, topic: string, values: readonly string[]): Promise<void> {
  const producer = client(broker).producer()
  await producer.connect()
  await producer.send({ topic, messages: values.map((value) => ({ value })) })
  await producer.disconnect()
}

async function consume(broker: Broker, topic: string, count: number): Promise<string[]> {
  const consumer = client(broker).consumer({ groupId: `group-of-${topic}` })
  const values: string[] = []
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await new Promise<void>((resolve, reject) => {
    const eachMessage = ({ message }: { message: { value: Buffer | null } }): Promise<void> => {
      if (values.push(message.value!.toString()) === count) resolve()
      return Promise.resolve()
    }
    consumer.run({ eachMessage }).catch(reject)
  })
  await consumer.disconnect()
  return values
}

test('a broker in a test file: produce, consume, gone when disposed', async () => {
  let dataDir: string
  {
    await using broker = await Broker.start()
    dataDir = broker.dataDir
    assert.ok(existsSync(dataDir))
    await produce(broker, 'created-on-demand', ['one', 'two', 'three'])
    assert.deepEqual(await consume(broker, 'created-on-demand', 3), ['one', 'two', 'three'])
    assert.equal(broker.bootstrapServers, `127.0.0.1:${broker.port}`)
  }
  assert.ok(!existsSync(dataDir), 'the temporary directory went with the broker')
})

test('topics made by the test are ready, and gone after deleteAllTopics', async () => {
  await using broker = await Broker.start()
  await broker.createTopics([{ name: 'orders', partitions: 3, config: { 'cleanup.policy': 'compact' } }])
  const admin = client(broker).admin()
  await admin.connect()
  const { topics } = await admin.fetchTopicMetadata({ topics: ['orders'] })
  assert.deepEqual(
    topics[0]!.partitions.map(({ leader }) => leader),
    [0, 0, 0],
  )
  await assert.rejects(broker.createTopics([{ name: 'orders' }]), /TOPIC_ALREADY_EXISTS/)
  await assert.rejects(broker.createTopics([{ name: 'no/slashes' }]), /INVALID_TOPIC_EXCEPTION/)
  await broker.deleteAllTopics()
  assert.deepEqual(await admin.listTopics(), [])
  await broker.createTopics([{ name: 'orders' }])
  await admin.disconnect()
})

test('brokers in one process do not know each other', async () => {
  await using first = await Broker.start()
  await using second = await Broker.start()
  assert.notEqual(first.port, second.port)
  await produce(first, 't', ['first'])
  await produce(second, 't', ['second'])
  assert.deepEqual(await consume(first, 't', 1), ['first'])
  assert.deepEqual(await consume(second, 't', 1), ['second'])
})

test(
  'what a killed test process left behind goes when the next one starts a broker',
  { skip: process.platform !== 'linux' },
  async () => {
    const temporary = await mkdtemp(join(tmpdir(), 'samsa-test-'))
    try {
      const start = `import { Broker } from '${new URL('../src/index.js', import.meta.url).href}'
      const broker = await Broker.start()
      console.log(broker.dataDir)`
      const run = async (then: string): Promise<string> => {
        const child = spawn(process.execPath, ['--input-type=module', '-e', `${start}\n${then}`], {
          stdio: ['ignore', 'pipe', 'inherit'],
          env: { ...process.env, TMPDIR: temporary },
        })
        let printed = ''
        child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()))
        await once(child, 'close')
        return printed.trim()
      }
      const left = await run(`process.kill(process.pid, 'SIGKILL')`)
      assert.ok(existsSync(left))
      await run('await broker.stop()')
      assert.deepEqual(await readdir(temporary), [])
    } finally {
      await rm(temporary, { recursive: true, force: true })
    }
  },
)

test('a data directory of the caller stays, and is found again', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'samsa-test-'))
  try {
    {
      await using broker = await Broker.start({ dataDir })
      await produce(broker, 'kept', ['before'])
      await assert.rejects(Broker.start({ dataDir }), (error: unknown) => {
        assert.ok(error instanceof SamsaError)
        assert.equal(error.code, 'SAMSA_DATA_DIR_LOCKED')
        return true
      })
    }
    await using broker = await Broker.start({ dataDir })
    await produce(broker, 'kept', ['after'])
    assert.deepEqual(await consume(broker, 'kept', 2), ['before', 'after'])
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
})

test('what cannot be is refused with a reason', async () => {
  await using broker = await Broker.start()
  await assert.rejects(Broker.start({ port: broker.port }), { code: 'SAMSA_LISTEN' })
  await assert.rejects(Broker.start({ config: { 'num.partitions': 'many' } }), {
    code: 'SAMSA_CONFIG',
    message: /num\.partitions=many/,
  })
  await assert.rejects(Broker.start({ host: `${'x'.repeat(64)}.invalid` }), {
    code: 'SAMSA_LISTEN',
    message: /there is no host of that name/,
  })
})

/** What callers without a compiler, or with casts, may give; and what they are told. */
const wrongOptions: readonly (readonly [unknown, string])[] = [
  [{ prot: 1 }, 'prot: there is no such option; did you mean port?'],
  [{ zzz: 1 }, 'zzz: there is no such option; there are port, host, dataDir, config, profile, logLevel'],
  [
    { brokers: [] },
    'brokers: there is no such option; a broker has one address: host and port; several brokers come from Cluster.start',
  ],
  [JSON.parse('{"__proto__":1}'), '__proto__: there is no such option; did you mean port?'],
  [{ port: '21611' }, `port: must be an integer from 0 to 65535, not '21611'`],
  [{ port: null }, 'port: must be an integer from 0 to 65535, not null'],
  [{ port: -1 }, 'port: must be an integer from 0 to 65535, not -1'],
  [{ port: 65_536 }, 'port: must be an integer from 0 to 65535, not 65536'],
  [{ port: 1.5 }, 'port: must be an integer from 0 to 65535, not 1.5'],
  [{ port: NaN }, 'port: must be an integer from 0 to 65535, not NaN'],
  [{ port: 9092n }, 'port: must be an integer from 0 to 65535, not the bigint 9092'],
  [{ port: {} }, 'port: must be an integer from 0 to 65535, not an object'],
  [{ host: '' }, `host: must be a host name or an address, without a port, not ''`],
  [{ host: 'a:9092' }, `host: must be a host name or an address, without a port, not 'a:9092'`],
  [{ host: 'a,b' }, `host: must be a host name or an address, without a port, not 'a,b'`],
  [{ dataDir: 7 }, 'dataDir: must be the path of a directory, not 7'],
  [{ dataDir: 'a\0b' }, String.raw`dataDir: must be the path of a directory, not 'a\u0000b'`],
  [{ profile: 'x' }, `profile: must be one of embedded, server, not 'x'`],
  [{ logLevel: 'loud' }, `logLevel: must be one of debug, info, warn, error, silent, not 'loud'`],
  [{ config: null }, 'config: must be an object of keys and values, not null'],
  [{ config: new Map([['a', 'b']]) }, 'config: must be an object of keys and values, not a Map'],
  [
    { config: { 'log.retention.hour': '5' } },
    `config['log.retention.hour']: there is no such configuration; did you mean log.retention.hours?`,
  ],
  [
    { config: { 'num.partitions': null } },
    `config['num.partitions']: must be a string, a number or a boolean, not null`,
  ],
  [
    { config: { 'sasl.jaas.config': ['hunter2'] } },
    `config['sasl.jaas.config']: must be a string, a number or a boolean, not an array`,
  ],
  [
    { port: 0, config: { listeners: 'PLAINTEXT://127.0.0.1:0' } },
    `port: config['listeners'] says where to listen, too; give one of them`,
  ],
  [
    { dataDir: '/tmp/a', config: { 'log.dir': '/tmp/b' } },
    `dataDir: config['log.dir'] says where the data lives, too; give one of them`,
  ],
  [
    { prot: 1, port: 'x' },
    `prot: there is no such option; did you mean port?; port: must be an integer from 0 to 65535, not 'x'`,
  ],
  [null, 'options: must be an object, not null'],
  ['localhost', `options: must be an object, not 'localhost'`],
  [[], 'options: must be an object, not an array'],
]

test('options that are none: which, why, and what may have been meant', async () => {
  for (const [given, message] of wrongOptions)
    await assert.rejects(
      Broker.start(given as BrokerOptions),
      (error: unknown) => {
        assert.ok(error instanceof SamsaError)
        assert.deepEqual([error.name, error.code, error.kafkaError], ['SamsaError', 'SAMSA_CONFIG', null])
        assert.equal(error.message, message)
        return true
      },
      message,
    )
})

const wrongTopics: readonly (readonly [unknown, string])[] = [
  [undefined, 'topics: must be an array of topics, not undefined'],
  [{ name: 'a' }, 'topics: must be an array of topics, not an object'],
  ['a', `topics: must be an array of topics, not 'a'`],
  [['a'], `topics[0]: must be an object, not 'a'`],
  [[{ name: 'a' }, null], 'topics[1]: must be an object, not null'],
  [[{}], 'topics[0].name: must be given'],
  [[{ name: 5 }], 'topics[0].name: must be a string, not 5'],
  [
    [{ name: 'a', replicationFactor: 3 }],
    'topics[0].replicationFactor: there is no such option; there is one broker, which has the only replica of each partition',
  ],
  [
    [{ topic: 'a', numPartitions: 3 }],
    'topics[0].topic: there is no such option; did you mean name?; ' +
      'topics[0].numPartitions: there is no such option; did you mean partitions?; topics[0].name: must be given',
  ],
  [[{ name: 'a', partitions: 0 }], 'topics[0].partitions: must be an integer from 1 to 2147483647, not 0'],
  [
    [{ name: 'a', partitions: '3' }],
    `topics[0].partitions: must be an integer from 1 to 2147483647, not '3'`,
  ],
  [
    [{ name: 'a', config: { 'retention.m': 1 } }],
    `topics[0].config['retention.m']: there is no such configuration of a topic; did you mean retention.ms?`,
  ],
  [[{ name: 'a' }, { name: 'a' }], `topics[1].name: 'a' is named twice`],
]

test('a broker is not made by new', () => {
  for (const given of [[], [{ port: 0 }], [Symbol('Broker.start')]])
    assert.throws(() => Reflect.construct(Broker, given), {
      code: 'SAMSA_CONFIG',
      message: 'new Broker(): a broker comes from await Broker.start()',
    })
})

test('topics that are none are refused before any is created', async () => {
  await using broker = await Broker.start()
  for (const [given, message] of wrongTopics)
    await assert.rejects(broker.createTopics(given as NewTopic[]), { code: 'SAMSA_CONFIG', message })
  await broker.createTopics([{ name: 'a', config: { 'retention.ms': 1_000, preallocate: false } }])
})

test('what the broker refuses has the name that clients get', async () => {
  await using broker = await Broker.start({ config: { 'delete.topic.enable': false } })
  await broker.createTopics([{ name: 'there' }])
  await assert.rejects(
    broker.createTopics([{ name: 'there' }, { name: 'new' }, { name: 'no/slashes' }]),
    (error: unknown) => {
      assert.ok(error instanceof SamsaError)
      assert.equal(error.code, 'SAMSA_REFUSED')
      assert.equal(error.kafkaError, 'TOPIC_ALREADY_EXISTS')
      assert.match(error.message, /^there: TOPIC_ALREADY_EXISTS: .*; no\/slashes: INVALID_TOPIC_EXCEPTION: /)
      return true
    },
  )
  await assert.rejects(broker.createTopics([{ name: 'new' }]), { kafkaError: 'TOPIC_ALREADY_EXISTS' })
  await assert.rejects(broker.createTopics([{ name: 'x', config: { 'cleanup.policy': 'burn' } }]), {
    code: 'SAMSA_REFUSED',
    kafkaError: 'INVALID_CONFIG',
  })
})

test('a store that is damaged is an error of ours, with what is wrong', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'samsa-test-'))
  try {
    await using broker = await Broker.start({ dataDir })
    await broker.stop()
    await writeFile(join(dataDir, 'samsa-metadata.snapshot'), 'nothing of the kind')
    await assert.rejects(Broker.start({ dataDir }), (error: unknown) => {
      assert.ok(error instanceof SamsaError && error.code === 'SAMSA_METADATA_STORE')
      assert.match(error.message, /samsa-metadata\.snapshot is damaged/)
      return true
    })
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
})

test('keys without effect are told although the broker is silent, and once', async () => {
  const told: (string | undefined)[] = []
  const listen = (warning: Error): void => {
    if (warning.name === 'SamsaWarning') told.push(warning.message)
  }
  process.on('warning', listen)
  const config = { 'controller.quorum.voters': '1@localhost:9093' }
  for (const logLevel of ['silent', 'error', 'silent'] as const) {
    await using _broker = await Broker.start({ logLevel, config })
  }
  await setImmediate()
  process.off('warning', listen)
  assert.equal(told.length, 1)
  assert.match(
    told[0]!,
    /^without effect in this broker \(Broker\.start\): controller\.quorum\.voters \(one broker keeps the metadata/,
  )
})

test('addresses are such that clients can use them', async () => {
  await using every = await Broker.start({ host: '0.0.0.0' })
  assert.deepEqual(every.brokers, [`127.0.0.1:${every.port}`])
  if (
    Object.values(networkInterfaces())
      .flat()
      .some((each) => each?.address === '::1')
  ) {
    await using six = await Broker.start({ host: '::1' })
    assert.deepEqual(six.brokers, [`[::1]:${six.port}`])
  }
})

test('log.dirs of the configuration wins, and dataDir says so', async () => {
  const base = await mkdtemp(join(tmpdir(), 'samsa-test-'))
  try {
    await using broker = await Broker.start({ config: { 'log.dirs': `${base}/a,${base}/b` } })
    assert.equal(broker.dataDir, join(base, 'a'))
    await using alias = await Broker.start({ config: { 'log.dir': `${base}/c` } })
    assert.equal(alias.dataDir, join(base, 'c'))
  } finally {
    await rm(base, { recursive: true, force: true })
  }
})

test('a data directory that cannot be used: one line with key, path and reason', async () => {
  const temporary = process.env['TMPDIR']
  const base = await mkdtemp(join(tmpdir(), 'samsa-test-'))
  const file = join(base, 'file')
  await writeFile(file, '')
  const reasons: [string, RegExp][] = [
    [file, /is no directory/],
    [join(file, 'below'), /is no directory/],
    ['', /the path of one directory/],
    [`${base}/a,b`, /the path of one directory/],
    ...(existsSync('/proc/self') ? [['/proc/samsa', /cannot be made there/] satisfies [string, RegExp]] : []),
  ]
  try {
    for (const [dataDir, reason] of reasons) {
      await assert.rejects(Broker.start({ dataDir }), (error: unknown) => {
        assert.ok(error instanceof SamsaError)
        assert.match(error.message, /^dataDir: [^\n]*$/)
        assert.ok(error.message.includes(dataDir), error.message)
        assert.match(error.message, reason)
        assert.equal(inspect(error).split('cannot use').length, 2, 'said more than once')
        return true
      })
    }
    await using broker = await Broker.start({ dataDir: join(base, 'data') })
    await assert.rejects(Broker.start({ dataDir: broker.dataDir }), (error: unknown) => {
      assert.ok(error instanceof SamsaError && error.code === 'SAMSA_DATA_DIR_LOCKED')
      assert.match(error.message, /^dataDir: \S+ is in use by [^\n]*$/)
      assert.equal(inspect(error).split('in use').length, 2, 'said more than once')
      return true
    })
    process.env['TMPDIR'] = join(base, 'missing')
    await assert.rejects(Broker.start(), { code: 'SAMSA_DISK_IO', message: /^TMPDIR: .*missing$/ })
  } finally {
    if (temporary === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = temporary
    await rm(base, { recursive: true, force: true })
  }
})

test('stop may be called twice, and all that comes after it has one answer', async () => {
  const broker = await Broker.start()
  const late = broker.createTopics([{ name: 'late' }])
  const stopping = Promise.all([broker.stop(), broker.stop()])
  const stopped = { name: 'SamsaError', code: 'SAMSA_STOPPED', message: 'the broker was stopped' }
  const calls = (): (() => Promise<void>)[] => [
    () => broker.createTopics([{ name: 'later' }]),
    () => broker.createTopics([]),
    () => broker.createTopics([{ nonsense: true } as unknown as NewTopic]),
    () => broker.deleteAllTopics(),
  ]
  for (const call of calls()) await assert.rejects(call, stopped)
  // Begun before: it came through, or it is told why not.
  await late.catch((error: unknown) =>
    assert.ok(error instanceof SamsaError && error.code === 'SAMSA_STOPPED'),
  )
  await stopping
  for (const call of calls()) await assert.rejects(call, stopped)
  await broker.stop()
})
