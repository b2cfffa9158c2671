import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseProperties } from '../src/core/config/config-input.ts'
import { loadConfig } from '../src/cli/load-config.ts'

const root = findRoot(import.meta.dirname)

function findRoot(directory: string): string {
  return existsSync(join(directory, 'package.json')) ? directory : findRoot(join(directory, '..'))
}

const read = (path: string): string => readFileSync(join(root, path), 'utf8')

/** Instructions with their arguments, continuation lines joined. */
function instructions(dockerfile: string): [string, string][] {
  return dockerfile
    .replace(/^\s*#.*\n/gm, '')
    .replace(/\\\n\s*/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const at = line.indexOf(' ')
      return [line.slice(0, at), line.slice(at + 1).trim()]
    })
}

test('what the Dockerfile copies exists and is not kept out of the context', () => {
  const allowed = read('docker/Dockerfile.dockerignore')
    .split('\n')
    .filter((line) => line.startsWith('!'))
    .map((line) => line.slice(1))
  const copied = instructions(read('docker/Dockerfile'))
    .filter(([name, rest]) => name === 'COPY' && !rest.startsWith('--from'))
    .flatMap(([, rest]) => rest.split(/\s+/).slice(0, -1))
  assert.ok(copied.length > 5)
  for (const path of copied) {
    assert.ok(existsSync(join(root, path)), `${path} does not exist`)
    assert.ok(allowed.includes(path), `${path} is not in the context`)
  }
})

test('the image is what Kafka users expect: user, port, volume, health, paths', () => {
  const found = new Map(instructions(read('docker/Dockerfile')))
  assert.equal(found.get('USER'), '1000:1000')
  assert.equal(found.get('EXPOSE'), '9092')
  assert.equal(found.get('VOLUME'), '["/var/lib/kafka/data"]')
  assert.match(found.get('HEALTHCHECK') ?? '', /CMD \["samsa", "health"/)
  const { config } = loadConfig({ defaults: join(root, 'docker/defaults.properties') }, {})
  assert.deepEqual(config['log.dirs'], ['/var/lib/kafka/data'])
  assert.equal(config.endpoints[0]?.host, '0.0.0.0')
})

test('one argument names the base image, so that it can be pinned by its digest', () => {
  const found = instructions(read('docker/Dockerfile'))
  const bases = found.filter(([name]) => name === 'FROM').map(([, rest]) => rest.split(' ')[0])
  assert.deepEqual(bases, ['${NODE_IMAGE}', '${NODE_IMAGE}'])
  const [first] = found
  assert.match(first?.join(' ') ?? '', /^ARG NODE_IMAGE=node:\d+-[\w-]+$/)
  const inCompose = /NODE_IMAGE: \$\{NODE_IMAGE:-(.+)\}/.exec(read('docker/compose.yaml'))?.[1]
  assert.equal(`ARG NODE_IMAGE=${inCompose}`, first?.join(' '))
  // No other image gets in by a COPY or a service of its own.
  const stages = found.filter(([name, rest]) => name === 'COPY' && rest.startsWith('--from'))
  for (const [, rest] of stages) assert.match(rest, /^--from=build /)
})

test('the container of the compose file can do no more than it needs', () => {
  const compose = read('docker/compose.yaml')
  assert.match(compose, /^ {4}cap_drop: \[ALL\]$/m)
  assert.match(compose, /^ {4}security_opt: \["no-new-privileges:true"\]$/m)
  assert.match(compose, /^ {4}read_only: true$/m)
  assert.doesNotMatch(compose, /privileged|cap_add|network_mode|pid:|\/var\/run/)
  // What it writes: its volume, and a small /tmp.
  assert.match(compose, /^ {4}tmpfs: \["\/tmp:size=16m,mode=1777"\]$/m)
  assert.deepEqual(
    Array.from(compose.matchAll(/^ {6}- ([\w-]+:\/.*)$/gm), ([, volume]) => volume),
    ['kafka-data:/var/lib/kafka/data'],
  )
  // Programs on this machine reach it, others do not.
  for (const [, port] of compose.matchAll(/^ {6}- "(.+:\d+)"$/gm)) assert.match(port ?? '', /^127\.0\.0\.1:/)
})

test('the environment of the compose file is a configuration without warnings', () => {
  const environment: Record<string, string> = {}
  for (const [, name, value] of read('docker/compose.yaml').matchAll(/^ {6}(KAFKA_\w+): (.+)$/gm)) {
    if (name !== undefined && value !== undefined) environment[name] = value
  }
  assert.ok(Object.keys(environment).length >= 5)
  const { config, warnings } = loadConfig({ defaults: join(root, 'docker/defaults.properties') }, environment)
  assert.deepEqual(warnings, [])
  assert.deepEqual(
    config.endpoints.map(({ name, port, advertised }) => [name, port, advertised?.host]),
    [
      ['PLAINTEXT', 19092, 'kafka'],
      ['PLAINTEXT_HOST', 9092, 'localhost'],
    ],
  )
  assert.equal(config.adminEndpoint?.port, 9644)
  assert.equal(parseProperties(read('docker/defaults.properties')).size, 3)
})

/** Of a compose file whose services take shared parts by `<<: *name`. */
function environmentOf(compose: string, service: string): Record<string, string> {
  const block = new RegExp(`^  ${service}:\n((?:^ {4}.*\n|\n)+)`, 'm').exec(compose)?.[1] ?? ''
  const shared = Array.from(
    block.matchAll(/<<: \*([\w-]+)/g),
    ([, name]) => new RegExp(`^x-[\\w-]+: &${name}\n((?:^ {2}.*\n)+)`, 'm').exec(compose)?.[1],
  )
  const found: Record<string, string> = {}
  for (const text of [...shared, block])
    for (const [, name, value] of (text ?? '').matchAll(/^ +([A-Z][A-Z_]+): (.+)$/gm)) found[name!] = value!
  return found
}

test('the compose file of a cluster: three brokers that share three ZooKeeper servers, each reached by its own address', () => {
  const compose = read('docker/cluster.yaml')
  const directories = new Set<string>()
  for (const id of [1, 2, 3]) {
    const environment = environmentOf(compose, `kafka${id}`)
    const { config, warnings } = loadConfig(
      { defaults: join(root, 'docker/defaults.properties') },
      environment,
    )
    assert.deepEqual(warnings, [])
    assert.equal(config['broker.id'], id)
    assert.equal(config['zookeeper.connect'], 'zookeeper1:2181,zookeeper2:2181,zookeeper3:2181')
    assert.deepEqual([config['default.replication.factor'], config['min.insync.replicas']], [3, 2])
    assert.deepEqual(
      config.endpoints.map(({ name, port, advertised }) => [name, port, advertised?.host, advertised?.port]),
      [
        ['PLAINTEXT', 19092, `kafka${id}`, 19092],
        ['PLAINTEXT_HOST', 9091 + id, 'localhost', 9091 + id],
      ],
    )
    assert.match(compose, new RegExp(`^ {6}- "127\\.0\\.0\\.1:${9091 + id}:${9091 + id}"$`, 'm'))
    const keeper = environmentOf(compose, `zookeeper${id}`)
    assert.equal(keeper['ZOO_MY_ID'], String(id))
    assert.match(keeper['ZOO_SERVERS'] ?? '', new RegExp(`server\\.${id}=zookeeper${id}:2888:3888;2181`))
  }
  for (const [, volume] of compose.matchAll(/^ {6}- ([\w-]+):\/.*$/gm)) {
    assert.ok(!directories.has(volume!), `${volume} has two users`)
    directories.add(volume!)
    assert.match(compose, new RegExp(`^ {2}${volume}:$`, 'm'))
  }
  assert.equal(directories.size, 9)
  assert.doesNotMatch(compose, /privileged|cap_add|network_mode|pid:|\/var\/run/)
  assert.equal(compose.match(/^ {2}cap_drop: \[ALL\]$/gm)?.length, 2, 'of both kinds')
})

test('the image has the client of ZooKeeper in the version that is tested', () => {
  const tested = /clientVersion = '([\d.]+)'/.exec(read('test/support/zookeeper.ts'))?.[1]
  assert.match(read('docker/Dockerfile'), new RegExp(`zookeeper@${tested}$`, 'm'))
  const { config } = loadConfig({ defaults: join(root, 'docker/defaults.properties') }, {})
  const directory = /^WORKDIR (\/opt\/zookeeper-client)$/m.exec(read('docker/Dockerfile'))?.[1]
  assert.equal(config['samsa.zookeeper.module'], `${directory}/node_modules/zookeeper`)
})
