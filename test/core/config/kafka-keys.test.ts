/** Our tables of keys beside those of Apache Kafka 4.3.1, of which `test/interop/config-keys` makes sure. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'

import {
  ALIASES,
  brokerDefinition,
  brokerTable,
  parseBrokerConfig,
} from '../../../src/core/config/broker-config.ts'
import type { ConfigDefinition } from '../../../src/core/config/definition.ts'
import { describeTopicConfig } from '../../../src/core/config/describe-config.ts'
import { isSecurityKey, withoutEffectTable } from '../../../src/core/config/keys-without-effect.ts'
import { brokerSynonyms, topicDefinition } from '../../../src/core/config/topic-config.ts'
import { topicKeysWithEffect, topicTable } from '../../../src/core/config/topic-keys.ts'
import { repositoryRoot } from '../../support/processes.ts'

interface KafkaKey {
  readonly resource: string
  readonly name: string
  readonly type: string
  readonly defaultText: string
  readonly rule: string
  readonly update: string
  readonly internal: boolean
}

const golden = readFileSync(join(repositoryRoot, 'test/interop/golden/keys-kafka-4.3.1.txt'), 'utf8')

const kafkaKeys: readonly KafkaKey[] = golden
  .trim()
  .split('\n')
  .map((line) => {
    const [resource = '', name = '', type = '', defaultText = '', rule = '', update = '', visibility] =
      line.split('|')
    return { resource, name, type, defaultText, rule, update, internal: visibility === 'internal' }
  })

const brokerKeys = kafkaKeys.filter(({ resource }) => resource === 'broker')

function definitionOf({ resource, name }: KafkaKey): ConfigDefinition<unknown> {
  const definition =
    resource === 'topic' ? topicDefinition(name) : brokerDefinition(ALIASES.get(name) ?? name)
  assert.ok(definition !== undefined, `${resource} ${name} is not known`)
  return definition
}

/** Where we differ on purpose. */
const OTHER_DEFAULTS: ReadonlyMap<string, string> = new Map([
  ['broker.id', 'a broker has an id without being given one'],
  ['node.id', 'a broker has an id without being given one'],
  ['controller.listener.names', 'there is no controller'],
  ['process.roles', 'there is no controller'],
  ['group.max.size', 'groups are bounded'],
  ['listeners', 'nobody else should reach it unasked'],
  ['log.dir', 'below the working directory'],
  ['log.dirs', 'below the working directory'],
  ['log.cleaner.dedupe.buffer.size', 'one log is compacted at a time'],
  ['log.cleaner.io.max.bytes.per.second', 'compaction must not keep the disk from producers'],
  ['max.connections', 'connections are bounded'],
  ['max.connections.per.ip', 'connections are bounded'],
  ['offsets.topic.replication.factor', 'there is one broker'],
  ['queued.max.request.bytes', 'memory is bounded'],
  ['socket.listen.backlog.size', 'a burst of clients should not be refused'],
])

const OTHER_RULES: ReadonlyMap<string, string> = new Map([
  ['broker.id', 'not below 0'],
  ['authorizer.class.name', 'there is none, so it must be empty'],
  ['security.inter.broker.protocol', 'there is one protocol'],
  ['remote.storage.enable', 'Kafka refuses it too, at another place'],
  ['offsets.topic.segment.bytes', 'Kafka takes less and then cannot create the topic'],
  ['internal.segment.bytes', 'has to hold the header of a batch'],
  ['process.roles', 'has no effect'],
  ...[
    'connections.max.idle.ms',
    'default.replication.factor',
    'group.initial.rebalance.delay.ms',
    'log.cleaner.dedupe.buffer.size',
    'log.cleaner.io.max.bytes.per.second',
    'group.max.session.timeout.ms',
    'group.min.session.timeout.ms',
    'log.flush.interval.ms',
    'log.flush.scheduler.interval.ms',
    'log.retention.hours',
    'log.retention.minutes',
    'log.retention.ms',
    'log.roll.jitter.ms',
    'log.roll.ms',
    'offset.metadata.max.bytes',
    'queued.max.request.bytes',
    'replica.fetch.min.bytes',
    'replica.fetch.wait.max.ms',
    'replica.lag.time.max.ms',
    'replica.socket.timeout.ms',
  ].map((key) => [key, 'what makes no sense is refused at once, by Kafka later or not at all'] as const),
])

const OTHER_UPDATES: ReadonlyMap<string, string> = new Map([
  ['listeners', 'opened at the start'],
  ['listener.security.protocol.map', 'opened at the start'],
  ['log.cleaner.backoff.ms', 'read at the start'],
  ['log.cleaner.dedupe.buffer.size', 'read at the start'],
  ['log.cleaner.io.max.bytes.per.second', 'read at the start'],
])

describe("Kafka's keys", () => {
  it('are known with their types, and hidden where they are internal', () => {
    for (const key of kafkaKeys) {
      const { type, hidden } = definitionOf(key)
      assert.deepEqual([type, hidden], [key.type, key.internal], key.name)
    }
    const names = new Set(brokerKeys.map(({ name }) => name))
    const own = Object.keys(brokerTable).filter((key) => !names.has(key) && !key.startsWith('samsa.'))
    assert.deepEqual(own.toSorted(), [
      'cluster.id',
      // Of Kafka before 4.0, where it is a feature.
      'eligible.leader.replicas.enable',
      'internal.segment.bytes',
      // It can only be changed while the broker runs: Kafka does not list it with the others.
      'replica.alter.log.dirs.io.max.bytes.per.second',
      // Of Kafka before 4.0.
      'zookeeper.connect',
      'zookeeper.connection.timeout.ms',
      'zookeeper.session.timeout.ms',
      'zookeeper.set.acl',
    ])
  })

  it('have their defaults', () => {
    const others = kafkaKeys.filter((key) => {
      const { defaultText } = definitionOf(key)
      return (defaultText ?? 'null') !== key.defaultText
    })
    assert.deepEqual(others.map(({ name }) => name).toSorted(), [...OTHER_DEFAULTS.keys()].toSorted())
    const readme = readFileSync(join(repositoryRoot, 'README.md'), 'utf8')
    const table = readme.slice(
      readme.indexOf("Different from Kafka's defaults:"),
      readme.indexOf('Keys of our own:'),
    )
    for (const [key, reason] of OTHER_DEFAULTS)
      if (!reason.startsWith('there is no controller')) assert.ok(table.includes(`\`${key}\``), key)
  })

  it('take the values that they take there', () => {
    const others = kafkaKeys.filter((key) => !followsRule(definitionOf(key), key))
    const known = new Set(others.map(({ name }) => name))
    assert.deepEqual(
      [...known].filter((name) => !OTHER_RULES.has(name)),
      [],
    )
    assert.deepEqual(
      [...OTHER_RULES.keys()].filter((name) => !known.has(name)),
      [],
    )
  })

  it('can change while the broker runs where they can there, but for those of TLS and SASL', () => {
    const others = brokerKeys.filter(
      (key) => definitionOf(key).update !== key.update && !isSecurityKey(key.name),
    )
    assert.deepEqual(others.map(({ name }) => name).toSorted(), [...OTHER_UPDATES.keys()].toSorted())
    for (const name of ['principal.builder.class', 'ssl.key.password', 'sasl.jaas.config'])
      assert.ok(isSecurityKey(name) && isSecurityKey(`listener.name.outside.${name}`), name)
    for (const name of ['num.io.threads', 'listener.name.outside.num.network.threads'])
      assert.equal(isSecurityKey(name), false, name)
    for (const key of brokerKeys.filter(({ name }) => isSecurityKey(name)))
      assert.equal(definitionOf(key).update, 'read-only', key.name)
  })

  it('of topics take whatever the broker keys behind them take', () => {
    for (const [name, definition] of Object.entries<ConfigDefinition<unknown>>(topicTable)) {
      for (const key of brokerSynonyms(name)) {
        const values = ['-2147483648', '-5', '-1', '0', '1', '13', '14', '1048576', '2147483647', '0.5']
        for (const text of [
          ...values,
          '9223372036854775807',
          'true',
          'gzip',
          'LogAppendTime',
          'compact',
          '',
        ]) {
          if (brokerDefinition(key)!.read(text) === undefined) continue
          const layer = { source: 'STATIC_BROKER_CONFIG', values: new Map([[key, text]]) } as const
          const { config } = parseBrokerConfig([layer])
          const effective = effectiveTopicText(name, config)
          assert.ok(definition.read(effective) !== undefined, `${key}=${text} as ${name}=${effective}`)
        }
      }
    }
  })
})

function effectiveTopicText(name: string, config: ReturnType<typeof parseBrokerConfig>['config']): string {
  const described = describeTopicConfig(new Map(), config).find((each) => each.name === name)
  return described?.value ?? ''
}

/** Whether the values at the edges of Kafka's rule are taken and refused as there. */
function followsRule({ read }: ConfigDefinition<unknown>, { rule, type }: KafkaKey): boolean {
  const takes = (text: string): boolean => read(text) !== undefined
  const range = /^\[(-?[0-9.]+),\.\.\.,?(-?[0-9.]+)?\](?: or (-?\d+))?$/.exec(rule)
  if (range !== null) {
    const [, min = '', max, extra] = range
    const step = type === 'DOUBLE' ? 0.01 : 1
    return (
      takes(min) &&
      !takes(String(Number(min) - step)) &&
      (max === undefined || (takes(max) && !takes(String(Number(max) + step)))) &&
      (extra === undefined || takes(extra))
    )
  }
  const choices = /^\[([A-Za-z_0-9, ]+)\]$/.exec(rule)?.[1]?.split(', ')
  if (choices !== undefined) return choices.every(takes) && !takes('something.else')
  if (type === 'BOOLEAN') return takes('true') && takes('FALSE') && !takes('yes')
  if (/^(?:INT|SHORT|LONG|DOUBLE)$/.test(type))
    return (
      takes('-5') && takes('0') && !takes('x') && takes(String(type === 'SHORT' ? 32_767 : 2_147_483_647))
    )
  return takes('some text') || rule.includes('[partitionId]')
}

const ROOM = join(repositoryRoot, 'src/core/config')

function sourcesOutside(): string {
  const source = join(repositoryRoot, 'src')
  return readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.c?ts$/.test(name) && !join(source, name).startsWith(ROOM))
    .map((name) => readFileSync(join(source, name), 'utf8'))
    .join('\n')
}

/** What the parts of the cluster will read that are being built: this set only ever gets smaller. */
const IN_THE_MAKING: ReadonlySet<string> = new Set([
  'controlled.shutdown.enable',
  'eligible.leader.replicas.enable',
  'min.insync.replicas',
  'unclean.leader.election.enable',
])

/** Keys that `core/config` makes something else of, under the name that the rest of the broker reads. */
const READ_AS: ReadonlyMap<string, string> = new Map([
  ['advertised.listeners', '.endpoints'],
  ['controller.listener.names', '.endpoints'],
  ['inter.broker.listener.name', '.endpoints'],
  ['listener.security.protocol.map', '.endpoints'],
  ['listeners', '.endpoints'],
  ['max.connections.per.ip.overrides', '.connectionOverrides'],
  ['samsa.admin.listener', '.adminEndpoint'],
])

describe('a key has an effect, or whoever sets it is told that it has none', () => {
  const sources = sourcesOutside()
  const isRead = (key: string): boolean => sources.includes(`['${key}']`)

  it('those of topics', () => {
    assert.deepEqual(
      Object.keys(topicKeysWithEffect).filter((key) => !isRead(key) && !IN_THE_MAKING.has(key)),
      [],
    )
  })

  it('those of brokers', () => {
    const ofTopics = new Set<string>(Object.keys(topicKeysWithEffect).flatMap(brokerSynonyms))
    const unread = Object.entries<ConfigDefinition<unknown>>(brokerTable).filter(([key, definition]) => {
      const readAs = READ_AS.get(key)
      // One that may only be what the broker does anyway.
      const isFixed = (definition.defaultText || 'empty') === definition.allowed
      return !(
        isRead(key) ||
        IN_THE_MAKING.has(key) ||
        ofTopics.has(key) ||
        isFixed ||
        (readAs !== undefined && sources.includes(readAs))
      )
    })
    assert.deepEqual(
      unread.map(([key]) => key),
      [],
    )
  })

  it('and none is both', () => {
    assert.deepEqual(
      Object.keys(brokerTable).filter((key) => Object.hasOwn(withoutEffectTable, key)),
      [],
    )
  })
})
