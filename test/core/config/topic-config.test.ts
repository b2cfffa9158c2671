import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

import { parseBrokerConfig } from '../../../src/core/config/broker-config.ts'
import type { BrokerConfig, ConfigLayer } from '../../../src/core/config/broker-config.ts'
import {
  describeBrokerConfig,
  describeClusterDefaults,
  describeTopicConfig,
} from '../../../src/core/config/describe-config.ts'
import {
  brokerSynonyms,
  resolveTopicConfig,
  topicConfigProblem,
} from '../../../src/core/config/topic-config.ts'
import { CONFIG_SOURCE_IDS } from '../../../src/core/config/config-source.ts'
import type { ConfigDefinition } from '../../../src/core/config/definition.ts'
import { topicTable } from '../../../src/core/config/topic-keys.ts'

function broker(
  values: Record<string, string>,
  source: ConfigLayer['source'] = 'STATIC_BROKER_CONFIG',
): BrokerConfig {
  return parseBrokerConfig([{ source, values: new Map(Object.entries(values)) }]).config
}

function overrides(values: Record<string, string>): Map<string, string> {
  return new Map(Object.entries(values))
}

describe('topic configuration', () => {
  it('has the same defaults as the broker keys behind it', () => {
    const config = resolveTopicConfig(new Map(), broker({}))
    assert.equal(config['retention.ms'], 168 * 3_600_000)
    assert.equal(config['segment.ms'], 168 * 3_600_000)
    assert.equal(config['flush.ms'], 2 ** 63)
    for (const [key, definition] of Object.entries<ConfigDefinition<unknown>>(topicTable)) {
      const synonym = brokerSynonyms(key)[0]
      if (synonym === undefined || definition.defaultText === null) continue
      const config = broker({ [synonym]: definition.defaultText })
      assert.equal(
        describeTopicConfig(new Map(), config).find(({ name }) => name === key)?.value,
        definition.defaultText,
        key,
      )
    }
  })

  it('resolves override, dynamic broker, static broker, default', () => {
    const both = parseBrokerConfig([
      {
        source: 'STATIC_BROKER_CONFIG',
        values: overrides({ 'log.segment.bytes': '2000000', 'message.max.bytes': '50' }),
      },
      { source: 'DYNAMIC_BROKER_CONFIG', values: overrides({ 'log.segment.bytes': '3000000' }) },
    ]).config
    const config = resolveTopicConfig(overrides({ 'retention.ms': '-1' }), both)
    assert.equal(config['segment.bytes'], 3_000_000)
    assert.equal(config['max.message.bytes'], 50)
    assert.equal(config['retention.ms'], -1)
    assert.equal(config['index.interval.bytes'], 4096)
    assert.equal(
      resolveTopicConfig(overrides({ 'segment.bytes': '4000000' }), both)['segment.bytes'],
      4_000_000,
    )
  })

  it('reads broker keys with units', () => {
    const retention = (values: Record<string, string>) =>
      resolveTopicConfig(new Map(), broker(values))['retention.ms']
    assert.equal(retention({ 'log.retention.hours': '2' }), 7_200_000)
    assert.equal(retention({ 'log.retention.hours': '2', 'log.retention.minutes': '3' }), 180_000)
    assert.equal(
      retention({ 'log.retention.hours': '2', 'log.retention.minutes': '3', 'log.retention.ms': '9' }),
      9,
    )
    assert.equal(retention({ 'log.retention.hours': '-1' }), -1)
    const config = resolveTopicConfig(
      new Map(),
      broker({ 'log.roll.hours': '1', 'log.roll.jitter.hours': '1' }),
    )
    assert.equal(config['segment.ms'], 3_600_000)
    assert.equal(config['segment.jitter.ms'], 3_600_000)
    const flush = resolveTopicConfig(new Map(), broker({ 'log.flush.scheduler.interval.ms': '5' }))
    assert.equal(flush['flush.ms'], 5)
  })

  it('says what is wrong with overrides', () => {
    const problem = (values: Record<string, string>) => topicConfigProblem(overrides(values), broker({}))
    assert.equal(problem({ 'cleanup.policy': 'compact,delete', 'retention.ms': ' 5 ' }), null)
    assert.match(problem({ 'retention.msx': '5' })!, /Unknown topic config name: retention\.msx/)
    assert.match(problem({ toString: '5' })!, /Unknown/)
    assert.match(problem({ 'retention.ms': '-2' })!, /-2.*retention\.ms.*from -1 to 9223372036854775807/)
    assert.match(problem({ 'min.compaction.lag.ms': '10', 'max.compaction.lag.ms': '5' })!, /conflict/)
    const short = broker({ 'log.cleaner.max.compaction.lag.ms': '5' })
    assert.match(topicConfigProblem(overrides({ 'min.compaction.lag.ms': '10' }), short)!, /10.*5/)
    assert.match(problem({ 'compression.gzip.level': '10' })!, /from 1 to 9, or -1/)
  })

  it('leaves out stored overrides that are not allowed any more', () => {
    const config = resolveTopicConfig(
      overrides({ 'retention.ms': 'x', nope: '1', 'segment.bytes': ' 100 ', 'flush.ms': ' 100 ' }),
      broker({}),
    )
    assert.equal(config['retention.ms'], 604_800_000)
    assert.deepEqual([...config.overrides], [['flush.ms', '100']])
  })
})

describe('described configuration', () => {
  it('reports a topic with sources, exact long texts, types and synonyms', () => {
    const described = describeTopicConfig(
      overrides({ 'segment.bytes': '3000000' }),
      broker({ 'log.segment.bytes': '2000000', 'log.retention.hours': '2' }),
    )
    assert.equal(described.length, Object.keys(topicTable).length - 1, 'all but the internal one')
    const find = (name: string) => described.find((entry) => entry.name === name)!
    assert.equal(find('flush.messages').value, '9223372036854775807')
    assert.equal(find('flush.messages').source, 'DEFAULT_CONFIG')
    assert.deepEqual(find('segment.bytes').synonyms, [
      { name: 'segment.bytes', value: '3000000', source: 'DYNAMIC_TOPIC_CONFIG' },
      { name: 'log.segment.bytes', value: '2000000', source: 'STATIC_BROKER_CONFIG' },
      { name: 'log.segment.bytes', value: '1073741824', source: 'DEFAULT_CONFIG' },
    ])
    assert.equal(find('retention.ms').value, '7200000')
    assert.equal(find('retention.ms').source, 'DEFAULT_CONFIG')
    assert.equal(find('retention.ms').settingSource, 'STATIC_BROKER_CONFIG')
    assert.deepEqual(find('retention.ms').synonyms, [])
    assert.equal(find('leader.replication.throttled.replicas').value, '')
  })

  it('reports a broker', () => {
    const described = describeBrokerConfig(broker({ 'num.partitions': '4' }))
    const find = (name: string) => described.find((entry) => entry.name === name)!
    assert.equal(find('num.partitions').value, '4')
    assert.equal(find('num.partitions').source, 'STATIC_BROKER_CONFIG')
    assert.equal(find('num.partitions').readOnly, true)
    assert.equal(find('log.segment.bytes').readOnly, false)
    assert.equal(find('delete.topic.enable').value, 'true')
    assert.equal(find('log.retention.ms').value, null)
    assert.match(find('inter.broker.protocol.version').value!, /^3\.9/)
  })

  it('reports the cluster defaults that were set', () => {
    const set = broker({ 'log.segment.bytes': '2000000', gone: '1' }, 'DYNAMIC_DEFAULT_BROKER_CONFIG')
    const described = describeClusterDefaults(set)
    assert.deepEqual(
      described.map(({ name, value, source }) => [name, value, source]),
      [
        ['log.segment.bytes', '2000000', 'DYNAMIC_DEFAULT_BROKER_CONFIG'],
        ['gone', null, 'DYNAMIC_DEFAULT_BROKER_CONFIG'],
      ],
    )
  })
})

it('all topics without a configuration of their own share that of the broker', () => {
  const { config } = parseBrokerConfig([])
  assert.equal(resolveTopicConfig(new Map(), config), resolveTopicConfig(new Map(), config))
})

it('the sources of values have the numbers that clients know', () => {
  assert.deepEqual(Object.values(CONFIG_SOURCE_IDS), [1, 2, 3, 4, 5])
})
