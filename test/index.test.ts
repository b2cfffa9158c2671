import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { Kafka, logLevel } from 'kafkajs'
import { Broker, SamsaError } from '../src/index.ts'

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
  const untyped: readonly object[] = [{ profile: 'fast' }, { logLevel: 'verbose' }]
  for (const options of untyped)
    await assert.rejects(Broker.start(options), {
      code: 'SAMSA_CONFIG',
      message: /^(?:profile|logLevel): must be one of .*, not '(?:fast|verbose)'$/,
    })
})

test('log.dirs of the configuration wins, and dataDir says so', async () => {
  const base = await mkdtemp(join(tmpdir(), 'samsa-test-'))
  try {
    await using broker = await Broker.start({ config: { 'log.dirs': `${base}/a,${base}/b` } })
    assert.equal(broker.dataDir, join(base, 'a'))
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

test('stop may be called twice', async () => {
  const broker = await Broker.start()
  await Promise.all([broker.stop(), broker.stop()])
  const stopped = { code: 'SAMSA_STOPPED', message: 'the broker was stopped' }
  await assert.rejects(broker.createTopics([{ name: 'late' }]), stopped)
  await assert.rejects(broker.deleteAllTopics(), stopped)
  await broker.stop()
})
