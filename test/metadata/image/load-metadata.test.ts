import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { OneNodeMetadata } from '../../../src/metadata/one-node.ts'
import {
  CLUSTER_DEFAULTS,
  decodeConfig,
  encodeConfig,
  paths,
  whole,
} from '../../../src/metadata/layout/znodes.ts'
import { toLogConfig } from '../../../src/metadata/topic-log-config.ts'
import { openEmbeddedStore } from '../../../src/system/store/embedded-store.ts'
import type { LogLine } from '../../simulator/sim-logger.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { newTopic, openMetadata } from '../metadata-harness.ts'

type Stored = Readonly<Record<string, string>>

/** Runs over a start that finds a topic `a`, and what another version stored at `path`. */
async function withStored(
  path: string,
  stored: Stored,
  body: (metadata: OneNodeMetadata, warnings: readonly LogLine[]) => Promise<void> | void,
): Promise<void> {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const before = await openMetadata(sim.start())
    await before.metadata.createTopics([newTopic('a', 1)], false)
    await before.metadata.close()
    const store = await openEmbeddedStore(sim.start().world, '/data')
    await store.create(path, encodeConfig(new Map(Object.entries(stored))))
    await store.close()
    const process = sim.start()
    const { metadata } = await openMetadata(process)
    const warnings = process.logger.lines.filter(({ level }) => level === 'warn')
    await body(metadata, warnings)
    await metadata.close()
    const left = await openEmbeddedStore(sim.start().world, '/data')
    const node = await left.get(path)
    assert.deepEqual(
      Object.fromEntries(whole(decodeConfig(path, node!.data))),
      stored,
      'it stays for who can read it',
    )
    await left.close()
  })
}

/** What may go of the topic. */
function taken(metadata: OneNodeMetadata): unknown {
  const { cleanupPolicy, retentionMs, retentionBytes } = toLogConfig(
    metadata.topics.get('a')!.config,
    metadata.config,
  )
  return { compact: cleanupPolicy.compact, retentionMs, retentionBytes }
}

const NOTHING = { compact: false, retentionMs: -1, retentionBytes: -1 }

test('what is stored of a topic and cannot be is told of, with the value and what may be', async () => {
  const stored = { 'max.message.bytes': 'many', 'retention.ms': '7', 'no.such': 'x' }
  await withStored(paths.topicConfig('a'), stored, (metadata, warnings) => {
    assert.deepEqual([...metadata.topics.get('a')!.config.overrides], [['retention.ms', '7']])
    assert.deepEqual(
      warnings.map(({ fields }) => fields['problems']),
      [
        [
          'Invalid value many for configuration max.message.bytes: must be an integer from 0 to 2147483647.',
          'Unknown topic config name: no.such',
        ],
      ],
    )
  })
})

test('a stored value that decides on deletion and cannot be read holds the topic as it is, told once', async () => {
  const unreadable = [
    ['cleanup.policy', 'archive'],
    ['retention.ms', '7d'],
    ['retention.bytes', '1GiB'],
    ['delete.retention.ms', 'never'],
    ['segment.bytes', '20000'],
    ['segment.ms', '0'],
    ['min.compaction.lag.ms', '-5'],
    ['max.compaction.lag.ms', '0'],
    ['message.timestamp.type', 'BrokerTime'],
  ] as const
  for (const [key, value] of unreadable) {
    const stored = { 'cleanup.policy': 'compact,delete', 'retention.ms': '1000', [key]: value }
    await withStored(paths.topicConfig('a'), stored, (metadata, warnings) => {
      assert.deepEqual(taken(metadata), NOTHING, key)
      assert.equal(warnings.length, 1, key)
      const [{ fields, message }] = warnings as [LogLine]
      assert.equal(fields['topic'], 'a')
      assert.match(String(fields['problems']), new RegExp(`${value} for configuration ${key}`))
      assert.match(message, /nothing of the topic is deleted or compacted.*--add-config cleanup\.policy/)
    })
  }
})

test('a change of a held topic holds on, until it says what decides', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const first = await openMetadata(sim.start())
    await first.metadata.createTopics([newTopic('a', 1)], false)
    await first.metadata.close()
    const store = await openEmbeddedStore(sim.start().world, '/data')
    await store.create(paths.topicConfig('a'), encodeConfig(new Map([['cleanup.policy', 'archive']])))
    await store.close()
    const { metadata } = await openMetadata(sim.start())
    const a = { kind: 'topic', name: 'a' } as const
    const change = (name: string, value: string): Promise<unknown> =>
      metadata.incrementalAlterConfigs(a, [{ name, operation: 'set', value }], false)
    await change('max.message.bytes', '1000')
    assert.deepEqual(taken(metadata), NOTHING)
    await metadata.close()
    const again = await openMetadata(sim.start())
    assert.deepEqual(taken(again.metadata), NOTHING)
    await again.metadata.close()
  })
})

test('a dynamic value of the brokers that decides on deletion and cannot be read holds what topics get from them', async () => {
  const stored = { 'log.retention.ms': '7d' }
  await withStored(paths.brokerConfig(CLUSTER_DEFAULTS), stored, (metadata, warnings) => {
    assert.deepEqual(taken(metadata), NOTHING)
    assert.match(
      warnings.map(({ message }) => message).join(),
      /nothing is deleted or compacted, until log\.retention\.ms/,
    )
  })
  await withStored(paths.brokerConfig(CLUSTER_DEFAULTS), { 'message.max.bytes': 'many' }, (metadata) => {
    assert.deepEqual(taken(metadata), { compact: false, retentionMs: 604_800_000, retentionBytes: -1 })
  })
})
