import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { loadConfig } from '../../src/cli/load-config.ts'

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'samsa-config-'))
after(() => fs.rmSync(directory, { recursive: true, force: true }))

function propertiesFile(text: string): string {
  const file = path.join(directory, `${Math.random()}.properties`)
  fs.writeFileSync(file, text)
  return file
}

test('defaults alone', () => {
  const { config, warnings } = loadConfig({}, { PATH: '/bin', KAFKA_HEAP_OPTS: '-Xmx1g' })
  assert.deepEqual(warnings, [])
  assert.deepEqual(config['log.dirs'], [path.resolve('samsa-data')])
  assert.deepEqual(config.endpoints[0], {
    name: 'PLAINTEXT',
    host: '127.0.0.1',
    port: 9092,
    protocol: 'PLAINTEXT',
    advertised: null,
  })
})

test('file, environment and --set, each winning over those before it', () => {
  const file = propertiesFile(
    '# comment\nnum.partitions=2\nlog.retention.hours = 5\nlog.segment.bytes:1048\\\n  576\nlog.dirs=a, b\n',
  )
  const environment = { KAFKA_NUM_PARTITIONS: '3', KAFKA_LOG_RETENTION_HOURS: '6' }
  const { config } = loadConfig({ config: file, set: [['num.partitions', '4']] }, environment)
  assert.equal(config['num.partitions'], 4)
  assert.equal(config['log.retention.hours'], 6)
  assert.equal(config['log.segment.bytes'], 1_048_576)
  assert.deepEqual(config['log.dirs'], [path.resolve('a'), path.resolve('b')])
})

test('--io is samsa.io, and wins over --set', () => {
  assert.equal(loadConfig({}, {}).config['samsa.io'], 'auto')
  assert.equal(loadConfig({ io: 'threads', set: [['samsa.io', 'uring']] }, {}).config['samsa.io'], 'threads')
  assert.throws(
    () => loadConfig({ set: [['samsa.io', 'aio']] }, {}),
    /samsa\.io=aio .*one of auto, uring, threads/,
  )
})

test('names of the environment: dots, underscores, dashes, the other image, the cluster', () => {
  const { config, warnings } = loadConfig(
    {},
    {
      KAFKA_CFG_AUTO_CREATE_TOPICS_ENABLE: 'false',
      KAFKA_LOG_DIR: '/data/one',
      KAFKA_SOME__KEY___NAME: 'x',
      CLUSTER_ID: 'AAAAAAAAAAAAAAAAAAAAAA',
    },
  )
  assert.equal(config['auto.create.topics.enable'], false)
  assert.deepEqual(config['log.dirs'], ['/data/one'])
  assert.equal(config['cluster.id'], 'AAAAAAAAAAAAAAAAAAAAAA')
  assert.equal(warnings.length, 1)
  assert.match(warnings[0] ?? '', /some_key-name.*environment/)
})

test('only advertised listeners: the same ports are opened on every interface', () => {
  const advertised = 'PLAINTEXT://broker:19092,HOST://[::1]:9092'
  const map = 'PLAINTEXT:PLAINTEXT,HOST:PLAINTEXT'
  const { config } = loadConfig(
    {},
    { KAFKA_ADVERTISED_LISTENERS: advertised, KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: map },
  )
  assert.deepEqual(
    config.endpoints.map(({ name, host, port, advertised: told }) => [name, host, port, told]),
    [
      ['PLAINTEXT', '0.0.0.0', 19092, { host: 'broker', port: 19092 }],
      ['HOST', '0.0.0.0', 9092, { host: '::1', port: 9092 }],
    ],
  )
})

test('a file of defaults loses against everything, derived listeners too', () => {
  const defaults = propertiesFile('listeners=PLAINTEXT://0.0.0.0:9092\nlog.dirs=/var/lib/kafka/data\n')
  const addresses = (environment: Record<string, string>): string[] =>
    loadConfig({ defaults }, environment).config.endpoints.map(({ host, port }) => `${host}:${port}`)
  assert.deepEqual(addresses({}), ['0.0.0.0:9092'])
  assert.deepEqual(addresses({ KAFKA_ADVERTISED_LISTENERS: 'PLAINTEXT://localhost:29092' }), [
    '0.0.0.0:29092',
  ])
  assert.deepEqual(addresses({ KAFKA_LISTENERS: 'PLAINTEXT://127.0.0.1:1' }), ['127.0.0.1:1'])
  const { config } = loadConfig({ defaults }, { KAFKA_LOG_DIRS: '/other' })
  assert.deepEqual(config['log.dirs'], ['/other'])
  assert.deepEqual(loadConfig({ defaults }, {}).config['log.dirs'], ['/var/lib/kafka/data'])
})

test('a folder whose name has a comma is not taken for two', () => {
  const before = process.cwd()
  const folder = path.join(directory, 'a,b')
  fs.mkdirSync(folder)
  process.chdir(folder)
  try {
    for (const set of [[], [['log.dirs', 'x,y']]] as [string, string][][])
      assert.throws(() => loadConfig({ set }, {}), {
        code: 'SAMSA_CONFIG',
        message: /^log\.dirs: .*a,b.*commas/,
      })
    assert.deepEqual(loadConfig({ set: [['log.dirs', '/x,/y']] }, {}).config['log.dirs'], ['/x', '/y'])
  } finally {
    process.chdir(before)
  }
})

test('the compose recipe of a KRaft broker is understood', () => {
  const { config, warnings } = loadConfig(
    {},
    {
      KAFKA_NODE_ID: '1',
      KAFKA_PROCESS_ROLES: 'broker,controller',
      KAFKA_LISTENERS: 'CONTROLLER://localhost:9091,HOST://0.0.0.0:9092,DOCKER://0.0.0.0:9093',
      KAFKA_ADVERTISED_LISTENERS: 'HOST://localhost:9092,DOCKER://kafka:9093',
      KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'CONTROLLER:PLAINTEXT,DOCKER:PLAINTEXT,HOST:PLAINTEXT',
      KAFKA_CONTROLLER_LISTENER_NAMES: 'CONTROLLER',
      KAFKA_CONTROLLER_QUORUM_VOTERS: '1@localhost:9091',
      KAFKA_INTER_BROKER_LISTENER_NAME: 'DOCKER',
      KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: '1',
      KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: '1',
    },
  )
  assert.deepEqual(
    config.endpoints.map(({ name }) => name),
    ['HOST', 'DOCKER'],
  )
  assert.equal(config['broker.id'], 1)
  assert.deepEqual(
    warnings.filter((warning) => warning.startsWith('unknown')),
    [],
  )
})

test('what is wrong is said with key, value, origin and what is allowed', () => {
  const wrong = { code: 'SAMSA_CONFIG', message: /num\.partitions=many \(--set\): must be/ }
  assert.throws(() => loadConfig({ set: [['num.partitions', 'many']] }, {}), wrong)
  const file = propertiesFile('log.retention.hours=soon')
  assert.throws(() => loadConfig({ config: file }, {}), {
    message: new RegExp(`log.retention.hours=soon \\(${file}`),
  })
  assert.throws(() => loadConfig({ config: '/nowhere/x' }, {}), {
    code: 'SAMSA_CONFIG',
    message: /\/nowhere\/x/,
  })
})
