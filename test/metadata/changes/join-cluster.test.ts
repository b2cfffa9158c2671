import assert from 'node:assert/strict'
import { test } from 'node:test'
import { joinCluster } from '../../../src/metadata/changes/join-cluster.ts'
import type { Membership } from '../../../src/metadata/changes/join-cluster.ts'
import { Registration } from '../../../src/metadata/changes/registration.ts'
import { paths } from '../../../src/metadata/layout/znodes.ts'
import type { MetadataStore, World } from '../../../src/ports.ts'
import { EmbeddedStore, openEmbeddedStore } from '../../../src/system/store/embedded-store.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { brokerConfig } from '../metadata-harness.ts'

const CONFIG = brokerConfig({
  listeners: 'PLAINTEXT://[::1]:9092,OUT://:9093',
  'advertised.listeners': 'OUT://broker.example:19093',
  'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,OUT:PLAINTEXT',
  'broker.rack': 'r1',
})

function join(store: MetadataStore, world: World, knownClusterId: string | null): Promise<Membership> {
  return joinCluster(store, world, CONFIG, new Registration(world, CONFIG), knownClusterId)
}

test('a broker that joins is registered, is the controller, and every time in a later epoch', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    let clusterId: string | null = null
    let brokerEpoch = -1
    for (let epoch = 1; epoch <= 3; epoch++) {
      const process = sim.start()
      const store = await openEmbeddedStore(process.world, '/data')
      const joined = await join(store, process.world, clusterId)
      assert.equal(joined.controllerEpoch, epoch)
      assert.ok(joined.brokerEpoch > brokerEpoch)
      brokerEpoch = joined.brokerEpoch
      clusterId ??= joined.clusterId
      assert.equal(joined.clusterId, clusterId)
      const node = async (path: string) => JSON.parse((await store.get(path))!.data.toString())
      const { endpoints, rack } = (await node(paths.brokerId(0))) as { endpoints: string[]; rack: string }
      assert.deepEqual(endpoints, ['PLAINTEXT://[::1]:9092', 'OUT://broker.example:19093'])
      assert.equal(rack, 'r1')
      assert.equal(((await node(paths.controller)) as { brokerid: number }).brokerid, 0)
      assert.equal(await node(paths.controllerEpoch), epoch)
      await sim.powerLoss(process)
    }
  })
})

test('a broker does not join another cluster than that of its disks, and not beside another one of its id', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const { world } = sim.start()
    const store = await EmbeddedStore.open(world, '/data')
    const { clusterId } = await join(store.connect(), world, 'AAAAAAAAQACAAAAAAAAAAQ')
    assert.equal(clusterId, 'AAAAAAAAQACAAAAAAAAAAQ')
    const again = join(store.connect(), world, clusterId)
    await assert.rejects(again, {
      code: 'SAMSA_METADATA_STORE',
      message: /another broker is registered as 0/,
    })
  })
  const other = new SimWorld(2)
  await other.run(async () => {
    const process = other.start()
    await join(await openEmbeddedStore(process.world, '/data'), process.world, null)
    await other.powerLoss(process)
    const next = other.start()
    const store = await openEmbeddedStore(next.world, '/data')
    await assert.rejects(join(store, next.world, 'BBBBBBBBQACAAAAAAAAAAQ'), {
      code: 'SAMSA_METADATA_STORE',
      message: /^log\.dirs=.*: meta\.properties says cluster BBBB.*, and the metadata is that of cluster /,
    })
  })
})
