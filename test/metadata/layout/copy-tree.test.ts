import assert from 'node:assert/strict'
import { test } from 'node:test'
import { copyTree } from '../../../src/metadata/layout/copy-tree.ts'
import { encodeClusterId, paths } from '../../../src/metadata/layout/znodes.ts'
import type { MetadataStore } from '../../../src/ports.ts'
import { EmbeddedStore } from '../../../src/system/store/embedded-store.ts'
import { SimWorld } from '../../simulator/sim-world.ts'

async function treeOf(store: MetadataStore, path = '/'): Promise<string[]> {
  const children = ((await store.children(path)) ?? []).toSorted()
  const below = path === '/' ? '' : path
  const lines: string[] = []
  for (const child of children) {
    const node = await store.get(`${below}/${child}`)
    lines.push(`${below}/${child} ${node!.data.toString()}`, ...(await treeOf(store, `${below}/${child}`)))
  }
  return lines
}

async function withStores(
  body: (from: MetadataStore, to: MetadataStore, other: MetadataStore) => Promise<void>,
): Promise<void> {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const { world } = sim.start()
    const from = (await EmbeddedStore.open(world, '/from')).connect()
    const target = await EmbeddedStore.open(world, '/to')
    await body(from, target.connect(), target.connect())
  })
}

async function fill(store: MetadataStore): Promise<void> {
  for (const path of ['/cluster', '/brokers', '/brokers/ids', '/brokers/topics'])
    await store.create(path, Buffer.alloc(0))
  for (let topic = 0; topic < 300; topic++)
    await store.create(`/brokers/topics/t${topic}`, Buffer.from(`topic ${topic}`))
  await store.create('/controller_epoch', Buffer.from('7'))
  await store.create('/controller', Buffer.from('me'), 'ephemeral')
  await store.create('/brokers/ids/1', Buffer.from('me'), 'ephemeral')
  await store.create(paths.clusterId, encodeClusterId('AAAA'))
}

test('all that lasts is copied, and what belongs to a session is not', () =>
  withStores(async (from, to) => {
    await fill(from)
    const told: number[] = []
    const copied = await copyTree(from, to, (nodes) => told.push(nodes))
    const lasting = (await treeOf(from)).filter((line) => !line.endsWith(' me'))
    assert.deepEqual(await treeOf(to), lasting)
    assert.equal(copied, lasting.length)
    assert.deepEqual(told.at(-1), copied - 1)
  }))

test('a copy that was interrupted is completed', () =>
  withStores(async (from, to, other) => {
    await fill(from)
    const interrupted = copyTree(from, to, (nodes) => {
      if (nodes === 100) throw new Error('killed')
    })
    await assert.rejects(interrupted, /killed/)
    assert.equal(await other.get(paths.clusterId), null, 'nobody takes it for a cluster')
    await copyTree(from, other, () => {})
    assert.equal((await other.get('/brokers/topics/t299'))!.data.toString(), 'topic 299')
  }))

test('what became of a copy since it was complete is left alone', () =>
  withStores(async (from, to) => {
    await fill(from)
    await copyTree(from, to, () => {})
    await to.set('/brokers/topics/t7', Buffer.from('more partitions'), -1)
    assert.equal(await copyTree(from, to, () => {}), 0)
    assert.equal((await to.get('/brokers/topics/t7'))!.data.toString(), 'more partitions')
    await to.delete('/brokers/topics/t7', -1)
    await assert.rejects(
      copyTree(from, to, () => {}),
      /goes on without topic t7, which is only here/,
    )
  }))

test('another cluster is left alone, and where there is none nothing is copied', () =>
  withStores(async (from, to) => {
    await assert.rejects(
      copyTree(from, to, () => {}),
      /no broker has ever kept its metadata here/,
    )
    await fill(from)
    await to.create('/cluster', Buffer.alloc(0))
    await to.create(paths.clusterId, encodeClusterId('BBBB'))
    await assert.rejects(
      copyTree(from, to, () => {}),
      /there is a cluster already, BBBB/,
    )
    assert.equal(await to.get('/brokers'), null)
  }))
