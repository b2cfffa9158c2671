import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

import {
  brokerConfigProblem,
  brokerDefinition,
  brokerTable,
  parseBrokerConfig,
  withDynamicConfig,
} from '../../../src/core/config/broker-config.ts'
import type { ConfigLayer } from '../../../src/core/config/broker-config.ts'
import { describeBrokerConfig } from '../../../src/core/config/describe-config.ts'
import type { ConfigDefinition } from '../../../src/core/config/definition.ts'
import { reasonWithoutEffect, withoutEffectTable } from '../../../src/core/config/keys-without-effect.ts'

function layer(
  values: Record<string, string>,
  source: ConfigLayer['source'] = 'STATIC_BROKER_CONFIG',
): ConfigLayer {
  return { source, values: new Map(Object.entries(values)) }
}

function parse(values: Record<string, string>) {
  return parseBrokerConfig([layer(values)])
}

function refused(values: Record<string, string>, ...parts: string[]): void {
  assert.throws(
    () => parse(values),
    (error: Error & { code?: string }) => {
      assert.equal(error.code, 'SAMSA_CONFIG')
      for (const part of parts)
        assert.ok(error.message.includes(part), `${error.message} should hold ${part}`)
      return true
    },
  )
}

describe('broker configuration', () => {
  it('starts with defaults of the server profile', () => {
    const { config, warnings } = parseBrokerConfig([])
    assert.deepEqual(warnings, [])
    assert.equal(config['log.segment.bytes'], 1_073_741_824)
    assert.equal(config['auto.create.topics.enable'], true)
    assert.equal(config['log.retention.ms'], null)
    assert.equal(config['group.initial.rebalance.delay.ms'], 3000)
    assert.equal(config['offsets.topic.replication.factor'], 1)
    assert.deepEqual(config['log.dirs'], ['./samsa-data'])
    assert.deepEqual(config.endpoints, [
      { name: 'PLAINTEXT', host: '127.0.0.1', port: 9092, protocol: 'PLAINTEXT', advertised: null },
    ])
    assert.equal(config.adminEndpoint, null)
  })

  it('has other defaults when embedded, and explicit values win over them', () => {
    const { config } = parseBrokerConfig([], 'embedded')
    assert.equal(config['group.initial.rebalance.delay.ms'], 0)
    assert.equal(config.endpoints[0]?.port, 0)
    const set = parseBrokerConfig([layer({ 'group.initial.rebalance.delay.ms': '7' })], 'embedded').config
    assert.equal(set['group.initial.rebalance.delay.ms'], 7)
  })

  it('lets later layers win and remembers the strongest setting per source', () => {
    const { config } = parseBrokerConfig([
      layer({ 'num.partitions': '3', 'log.segment.bytes': '2000000' }),
      layer({ 'num.partitions': '5' }),
      layer({ 'log.segment.bytes': '3000000' }, 'DYNAMIC_DEFAULT_BROKER_CONFIG'),
      layer({ 'log.segment.bytes': '4000000' }, 'DYNAMIC_BROKER_CONFIG'),
    ])
    assert.equal(config['num.partitions'], 5)
    assert.equal(config['log.segment.bytes'], 4_000_000)
    assert.deepEqual(
      config.settings.get('log.segment.bytes')?.map(({ source, text }) => [source, text]),
      [
        ['DYNAMIC_BROKER_CONFIG', '4000000'],
        ['DYNAMIC_DEFAULT_BROKER_CONFIG', '3000000'],
        ['STATIC_BROKER_CONFIG', '2000000'],
      ],
    )
    assert.deepEqual(config.settings.get('num.partitions'), [
      { key: 'num.partitions', text: '5', source: 'STATIC_BROKER_CONFIG' },
    ])
  })

  it('keeps every digit of a 64-bit number in its text', () => {
    const { config } = parse({ 'log.flush.interval.messages': '+9223372036854775806' })
    assert.equal(config.settings.get('log.flush.interval.messages')?.[0]?.text, '9223372036854775806')
    assert.equal(config['log.flush.interval.messages'], 2 ** 63)
    refused({ 'log.flush.interval.messages': '9223372036854775808' }, '9223372036854775807')
  })

  it('spells values as Kafka does', () => {
    const { config } = parse({
      'auto.create.topics.enable': ' FALSE ',
      'log.cleaner.min.cleanable.ratio': '1',
      'log.cleanup.policy': 'compact , delete',
    })
    assert.equal(config['auto.create.topics.enable'], false)
    assert.equal(config.settings.get('auto.create.topics.enable')?.[0]?.text, 'false')
    assert.equal(config.settings.get('log.cleaner.min.cleanable.ratio')?.[0]?.text, '1.0')
    assert.deepEqual(config['log.cleanup.policy'], ['compact', 'delete'])
  })

  it('says at once that nothing can be replicated, and what a later layer adds comes after it', () => {
    const files = { 'offsets.topic.replication.factor': '3', 'default.replication.factor': '2' }
    const { config, warnings } = parse(files)
    assert.equal(warnings.length, 2)
    assert.match(warnings[0]!, /^offsets\.topic\.replication\.factor=3: .* consumer groups .* must be 1$/)
    assert.match(warnings[1]!, /^default\.replication\.factor=2: /)
    const changed = withDynamicConfig(config, new Map(), new Map([['log.retention.ms', 'soon']]))
    assert.equal(changed.warnings.length, 1)
    assert.match(changed.warnings[0]!, /log\.retention\.ms=soon/)
  })

  it('with a ZooKeeper the offsets topic has three replicas, unless it is told otherwise', () => {
    const zookeeper = { 'zookeeper.connect': 'localhost:2181' }
    const key = 'offsets.topic.replication.factor'
    const { config, warnings } = parse(zookeeper)
    assert.deepEqual([config[key], config['default.replication.factor']], [3, 1])
    assert.deepEqual(warnings, [])
    assert.equal(withDynamicConfig(config, new Map(), new Map()).config[key], 3)
    const described = describeBrokerConfig(config).find(({ name }) => name === key)
    assert.deepEqual([described?.value, described?.source], ['3', 'DEFAULT_CONFIG'])
    assert.equal(parse({ ...zookeeper, [key]: '2' }).config[key], 2)
  })

  it('names the key, the value and what is allowed when it refuses', () => {
    refused({ 'num.partitions': 'many' }, 'num.partitions', 'many', 'an integer from 1 to 2147483647')
    refused({ 'num.partitions': '0' }, 'num.partitions', '0')
    refused({ 'num.partitions': '1.5' }, '1.5')
    refused({ 'num.partitions': '0x10' }, '0x10')
    refused({ 'num.partitions': '' }, 'num.partitions')
    refused({ 'delete.topic.enable': 'yes' }, 'true or false')
    refused({ 'log.cleanup.policy': 'shred' }, 'shred', 'delete, compact')
    refused({ 'log.cleanup.policy': 'delete,' }, 'log.cleanup.policy')
    refused({ 'log.segment.bytes': '1048575' }, 'log.segment.bytes', '1048576')
    refused({ 'log.retention.hours': '0' }, 'log.retention.hours', 'not 0')
    refused({ 'compression.type': 'brotli' }, 'brotli', 'zstd')
    refused({ 'log.cleaner.min.cleanable.ratio': '1.01' }, '1.01', 'from 0 to 1')
    refused({ 'cluster.id': 'not one' }, 'cluster.id', '255')
    refused({ 'group.min.session.timeout.ms': '10', 'group.max.session.timeout.ms': '9' }, '10', '9')
    refused({ 'authorizer.class.name': 'kafka.AclAuthorizer' }, 'authorizer.class.name', 'must be empty')
    refused({ 'samsa.admin.listener': '9100' }, 'samsa.admin.listener', 'host:port')
    refused({ 'max.connections.per.ip.overrides': 'localhost' }, 'address:count')
    refused({ 'max.connections.per.ip': '0' }, 'max.connections.per.ip=0', 'overrides')
    assert.doesNotThrow(() =>
      parse({ 'max.connections.per.ip': '0', 'max.connections.per.ip.overrides': '127.0.0.1:1' }),
    )
  })

  it('says where a wrong value stands', () => {
    const values = new Map([['num.io.threads', 'x']])
    assert.throws(
      () => parseBrokerConfig([{ source: 'STATIC_BROKER_CONFIG', origin: '/etc/samsa.properties', values }]),
      /\(\/etc\/samsa\.properties\)/,
    )
  })

  it('warns about unknown keys and puts keys without effect into one line, with the reasons', () => {
    const { warnings } = parse({
      'process.roles': 'broker,controller',
      'controller.quorum.voters': '1@localhost:9093',
      'zookeeper.sync.time.ms': '2000',
      'transaction.state.log.min.isr': '1',
      'num.partition': '3',
    })
    assert.equal(warnings.length, 2)
    assert.match(warnings[0]!, /unknown configuration num\.partition/)
    assert.match(
      warnings[1]!,
      /^without effect in this broker: process\.roles, controller\.quorum\.voters \(one broker .*\); zookeeper\.sync\.time\.ms \(.*\); transaction\.state\.log\.min\.isr \(there are no transactions/,
    )
  })

  it('warns about each key of Kafka that nothing here reads', () => {
    for (const [key, { defaultText, type }] of Object.entries(withoutEffectTable)) {
      const text = defaultText ?? (type === 'INT' || type === 'LONG' ? '5' : 'x')
      const { warnings, config } = parse({ [key]: text })
      assert.equal(warnings.length, 1, key)
      assert.ok(warnings[0]!.startsWith(`without effect in this broker: ${key} (`), warnings[0])
      assert.equal(Reflect.get(config, key), undefined, key)
    }
  })

  it('never takes a key for one without effect that it reads', () => {
    assert.deepEqual(
      Object.keys(brokerTable).filter((key) => reasonWithoutEffect(key) !== undefined),
      [],
    )
  })

  it('keeps a server.properties of Kafka from being wrong without a word', () => {
    const { warnings } = parse({
      'num.network.threads': '3',
      'num.io.threads': '8',
      'socket.send.buffer.bytes': '102400',
      'socket.receive.buffer.bytes': '102400',
      'log.preallocate': 'true',
      'queued.max.requests': '100',
      'background.threads': '4',
    })
    assert.equal(warnings.length, 1)
    for (const key of ['num.io.threads', 'socket.send.buffer.bytes', 'log.preallocate'])
      assert.ok(warnings[0]!.includes(key), key)
    refused({ 'num.io.threads': '0' }, 'num.io.threads')
    refused({ 'transaction.max.timeout.ms': 'x' }, 'transaction.max.timeout.ms')
  })

  it('reads second names', () => {
    assert.equal(parse({ 'node.id': '4' }).config['broker.id'], 4)
    assert.equal(parse({ 'node.id': '4', 'broker.id': '4' }).config['broker.id'], 4)
    refused({ 'node.id': '4', 'broker.id': '5' }, 'node.id', 'broker.id')
    assert.deepEqual(parse({ 'log.dir': '/a' }).config['log.dirs'], ['/a'])
    assert.deepEqual(parse({ 'log.dir': '/a', 'log.dirs': '/b, /c' }).config['log.dirs'], ['/b', '/c'])
  })

  it('is not fooled by names that every object has', () => {
    const { config, warnings } = parse({ constructor: 'x', hasOwnProperty: 'y', ['__proto__x']: 'z' })
    assert.equal(warnings.length, 3)
    assert.equal(config['num.partitions'], 1)
    assert.equal(brokerDefinition('toString'), undefined)
  })

  it('lays dynamic values over the static ones and drops those it does not allow', () => {
    const { config } = parse({ 'log.segment.bytes': '2000000', zzz: '1' })
    const changed = withDynamicConfig(
      config,
      new Map([['message.max.bytes', '77']]),
      new Map([
        ['log.segment.bytes', '5000000'],
        ['log.retention.ms', 'soon'],
      ]),
    )
    assert.equal(changed.config['log.segment.bytes'], 5_000_000)
    assert.equal(changed.config['message.max.bytes'], 77)
    assert.equal(changed.config['log.retention.ms'], null)
    assert.equal(changed.warnings.length, 1)
    assert.match(changed.warnings[0]!, /log\.retention\.ms=soon/)
    const back = withDynamicConfig(changed.config, new Map(), new Map()).config
    assert.equal(back['log.segment.bytes'], 2_000_000)
  })

  it('gives every key a sentence, a default it allows itself, and a rule', () => {
    for (const [key, definition] of Object.entries<ConfigDefinition<unknown>>({
      ...brokerTable,
      ...withoutEffectTable,
    })) {
      if (Object.hasOwn(brokerTable, key)) assert.match(definition.doc, /^[A-Z].*\.$/, key)
      assert.ok(definition.allowed.length > 0, key)
      if (definition.defaultText !== null)
        assert.equal(brokerConfigProblem(key, definition.defaultText), null, key)
    }
  })
})

describe('listeners', () => {
  const endpoints = (values: Record<string, string>) => parse(values).config.endpoints

  it('reads names, hosts and ports', () => {
    assert.deepEqual(
      endpoints({
        listeners: 'internal://[::1]:19092, PLAINTEXT://:9092',
        'advertised.listeners': 'INTERNAL://broker:19092',
        'listener.security.protocol.map': 'INTERNAL:PLAINTEXT,PLAINTEXT:PLAINTEXT',
        'inter.broker.listener.name': 'INTERNAL',
      }),
      [
        {
          name: 'INTERNAL',
          host: '::1',
          port: 19092,
          protocol: 'PLAINTEXT',
          advertised: { host: 'broker', port: 19092 },
        },
        { name: 'PLAINTEXT', host: '', port: 9092, protocol: 'PLAINTEXT', advertised: null },
      ],
    )
  })

  it('leaves out the listeners of a controller quorum', () => {
    const { config, warnings } = parse({
      listeners: 'PLAINTEXT://:9092,CONTROLLER://:9093',
      'controller.listener.names': 'CONTROLLER',
      'process.roles': 'broker,controller',
    })
    assert.deepEqual(
      config.endpoints.map(({ name }) => name),
      ['PLAINTEXT'],
    )
    assert.ok(warnings.some((warning) => warning.includes('CONTROLLER')))
  })

  it('refuses what it cannot serve', () => {
    refused({ listeners: 'SSL://:9093' }, 'listeners=SSL://', 'PLAINTEXT')
    refused({ 'log.dirs': ' , ' }, 'log.dirs', 'not empty')
    refused({ listeners: 'SASL_PLAINTEXT://:9093' }, 'SASL_PLAINTEXT')
    refused({ listeners: 'INTERNAL://:9093' }, 'INTERNAL', 'listener.security.protocol.map')
    refused({ listeners: 'localhost:9092' }, 'listeners', 'localhost:9092', 'NAME://host:port')
    refused({ listeners: 'PLAINTEXT://h:65536' }, '65536')
    refused({ listeners: '' }, 'listeners')
    refused({ listeners: 'PLAINTEXT://a:1,PLAINTEXT://a:2' }, 'name of its own')
    refused(
      { listeners: 'A://h:1,B://h:1', 'listener.security.protocol.map': 'A:PLAINTEXT,B:PLAINTEXT' },
      'same address',
    )
    refused({ 'advertised.listeners': 'OTHER://h:1' }, 'OTHER')
    refused({ 'advertised.listeners': 'PLAINTEXT://0.0.0.0:9092' }, '0.0.0.0')
    refused({ 'inter.broker.listener.name': 'OTHER' }, 'inter.broker.listener.name')
    refused({ 'listener.security.protocol.map': 'A:B:C' }, 'A:B:C')
    refused(
      { listeners: 'CONTROLLER://:1', 'controller.listener.names': 'CONTROLLER' },
      'listener for clients',
    )
  })

  it('allows any number of listeners on free ports', () => {
    const map = 'A:PLAINTEXT,B:PLAINTEXT'
    assert.equal(endpoints({ listeners: 'A://h:0,B://h:0', 'listener.security.protocol.map': map }).length, 2)
  })

  it('reads the admin address and the connection overrides', () => {
    const { config } = parse({
      'samsa.admin.listener': '[::1]:9100',
      'max.connections.per.ip.overrides': '10.0.0.1:5,[::1]:7',
    })
    assert.deepEqual(config.adminEndpoint, { host: '::1', port: 9100 })
    assert.deepEqual(
      [...config.connectionOverrides],
      [
        ['10.0.0.1', 5],
        ['::1', 7],
      ],
    )
  })
})
