import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseBrokerConfig } from '../../src/core/config/broker-config.ts'
import { writeWhole } from '../../src/log/files/disk-calls.ts'
import { metadataDirectory } from '../../src/server/metadata-directory.ts'
import { startBroker } from '../../src/server/start-broker.ts'
import type { RunningBroker } from '../../src/server/start-broker.ts'
import { openEmbeddedStore } from '../../src/system/store/embedded-store.ts'
import { SimWorld } from '../simulator/sim-world.ts'

function start(sim: SimWorld, ...directories: string[]): Promise<RunningBroker> {
  const { world } = sim.start()
  const values = new Map([
    ['listeners', 'PLAINTEXT://127.0.0.1:9092'],
    ['log.dirs', directories.join()],
  ])
  const { config } = parseBrokerConfig([{ source: 'STATIC_BROKER_CONFIG', origin: 'test', values }])
  return startBroker(world, config, (path) => openEmbeddedStore(world, path))
}

function topicsOf({ broker }: RunningBroker): unknown {
  const topics = [...broker.metadata.topics.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1))
  return topics.map(({ name, config }) => [name, Object.fromEntries(config.overrides)])
}

test('the order of log.dirs, and a new directory in front, change nothing of the topics', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    let running = await start(sim, '/a', '/b')
    await running.createTopics([{ name: 'kept', config: { 'retention.ms': '3000' } }, { name: 'gone' }])
    await running.stop()
    running = await start(sim, '/c', '/b', '/a')
    const { metadata } = running.broker
    assert.deepEqual(topicsOf(running), [
      ['gone', {}],
      ['kept', { 'retention.ms': '3000' }],
    ])
    const values = [{ name: 'retention.ms', value: '-1' }]
    await metadata.replaceConfigs({ kind: 'topic', name: 'kept' }, values, false)
    await metadata.deleteTopic('gone')
    await running.stop()
    for (const order of [
      ['/a', '/b', '/c'],
      ['/b', '/a'],
    ]) {
      running = await start(sim, ...order)
      assert.deepEqual(topicsOf(running), [['kept', { 'retention.ms': '-1' }]])
      await running.stop()
    }
  })
})

test('topics and configurations in two directories are refused in one line that names both, until one is set aside', async () => {
  const sim = new SimWorld(2)
  await sim.run(async () => {
    for (const path of ['/a', '/b']) {
      const running = await start(sim, path)
      await running.createTopics([{ name: `of-${path.slice(1)}` }])
      await running.stop()
      // As in directories of one cluster.
      const { disk } = sim.start().world
      await writeWhole(disk, `${path}/meta.properties`, Buffer.from('version=0\n'), true)
    }
    const message =
      /^log\.dirs: .* in \/b\/samsa-metadata\.log and in \/a\/samsa-metadata\.log: keep .* move the others away$/
    for (let starts = 0; starts < 2; starts++)
      await assert.rejects(start(sim, '/new', '/b', '/a'), { code: 'SAMSA_METADATA_STORE', message })
    const { disk } = sim.start().world
    disk.rename('/b/samsa-metadata.log', '/b/old-samsa-metadata.log')
    const running = await start(sim, '/new', '/b', '/a')
    assert(running.broker.metadata.topics.has('of-a'))
    await running.stop()
  })
})

test('whether the metadata may be in a directory that cannot be used', async () => {
  const sim = new SimWorld(3)
  await sim.run(async () => {
    const { disk } = sim.start().world
    for (const path of ['/a', '/b', '/zookeeper', '/snapshot']) disk.makeDirectory(path)
    await writeWhole(disk, '/snapshot/samsa-metadata.snapshot', Buffer.alloc(1), true)
    await writeWhole(disk, '/zookeeper/samsa-metadata.zookeeper', Buffer.alloc(1), true)
    const choose = (usable: string[], unusable: string[], clusterId: string | null): string =>
      metadataDirectory(
        disk,
        { directoryPaths: usable, unusablePaths: unusable, clusterId },
        [...unusable, ...usable].toSorted((a, b) => (a < b ? -1 : 1))[0]!,
      )
    assert.equal(choose(['/a', '/b'], [], null), '/a')
    assert.equal(choose(['/a', '/b'], [], 'cluster'), '/a')
    assert.equal(choose(['/a', '/snapshot'], ['/b'], 'cluster'), '/snapshot')
    assert.equal(choose(['/a', '/zookeeper'], ['/b'], 'cluster'), '/zookeeper')
    // Of a new broker the first is the place.
    assert.equal(choose(['/a'], ['/b'], null), '/a')
    for (const [usable, clusterId] of [
      ['/a', 'cluster'],
      ['/b', null],
    ] as const)
      assert.throws(() => choose([usable], [usable === '/a' ? '/b' : '/a'], clusterId), {
        code: 'SAMSA_METADATA_STORE',
        message: /no directory that can be used, and may be in \/[ab]: make it usable/,
      })
  })
})
