import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeConfig, paths } from '../../../src/metadata/layout/znodes.ts'
import { openEmbeddedStore } from '../../../src/system/store/embedded-store.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { newTopic, openMetadata } from '../metadata-harness.ts'

test('what is stored of a topic and cannot be is told of, with the value and what may be', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const before = await openMetadata(sim.start())
    await before.metadata.createTopics([newTopic('a', 1)], false)
    await before.metadata.close()
    const { world } = sim.start()
    const store = await openEmbeddedStore(world, '/data')
    const stored = new Map([
      ['segment.bytes', '20000'],
      ['retention.ms', '7'],
      ['no.such', 'x'],
    ])
    await store.create(paths.topicConfig('a'), encodeConfig(stored))
    await store.close()
    const process = sim.start()
    const { metadata } = await openMetadata(process)
    assert.deepEqual([...metadata.topics.get('a')!.config.overrides], [['retention.ms', '7']])
    const told = process.logger.lines.filter(({ level }) => level === 'warn')
    assert.deepEqual(
      told.map(({ fields }) => fields['problem']),
      [
        'Invalid value 20000 for configuration segment.bytes: must be an integer from 1048576 to 2147483647.',
        'Unknown topic config name: no.such',
      ],
    )
    await metadata.close()
  })
})
