import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { SystemDisk } from '../../src/system/disk/system-disk.ts'
import { EmbeddedStore } from '../../src/system/store/embedded-store.ts'
import { SystemClock } from '../../src/system/system-clock.ts'
import { Turn } from '../../src/system/turn.ts'
import { storeConformance } from '../metadata/store-conformance.ts'
import { SimLogger } from './sim-logger.ts'
import { SimRandom, seedsFromEnvironment } from './sim-random.ts'
import { SimWorld } from './sim-world.ts'
import { SimZooKeeper } from './sim-zookeeper.ts'
import type { SimSession } from './sim-zookeeper.ts'

storeConformance('the simulated ZooKeeper', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'samsa-sim-zookeeper-'))
  const turn = new Turn()
  const clock = new SystemClock(turn)
  // The clock's timers keep no process alive.
  const alive = setInterval(() => undefined, 1_000)
  const world = { clock, disk: new SystemDisk(turn), logger: new SimLogger() }
  let store = await EmbeddedStore.open(world, directory)
  let ensemble = new SimZooKeeper(store, clock, new SimRandom(1), { maxDelayMs: 2 })
  return {
    connect: () => Promise.resolve(ensemble.connect()),
    expire: (session) => (session as SimSession).expire(5),
    crash: async () => {
      store = await EmbeddedStore.open(world, directory)
      ensemble = new SimZooKeeper(store, clock, new SimRandom(2), { maxDelayMs: 2 })
    },
    dispose: async () => {
      await store.close()
      await rm(directory, { recursive: true, force: true })
      clearInterval(alive)
    },
  }
})

it('a server of the simulated ZooKeeper that lags shows what was, never goes back, and nothing old to who lost an answer', async () => {
  let old = 0
  for (const seed of seedsFromEnvironment(1, 20)) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const { world } = sim.start()
      const store = await EmbeddedStore.open(world, '/data')
      const options = { maxLagMs: 300 }
      const ensemble = new SimZooKeeper(store, world.clock, sim.random.fork(), options)
      const sleep = (ms: number): Promise<void> => new Promise((resolve) => world.clock.after(ms, resolve))
      const [writer, reader] = [ensemble.connect(), ensemble.connect()]
      await writer.create('/a', Buffer.alloc(0))
      let written = 0
      let seen = 0
      for (let round = 0; round < 40; round++) {
        await writer.set('/a', Buffer.alloc(0), written++)
        assert.equal((await writer.get('/a'))?.stat.version, written, 'its own change')
        if (round === 20) {
          reader.cut(1)
          await sleep(10)
        }
        const version = (await reader.get('/a'))?.stat.version ?? 0
        assert.ok(version >= seen && version <= written, `${version} after ${seen}`)
        if (round === 20) assert.equal(version, written, 'after a lost connection')
        if (version < written) old += 1
        seen = version
        await sleep(10)
      }
      let told = false
      await reader.get('/a', () => (told = true))
      await writer.set('/a', Buffer.alloc(0), written)
      await sleep(1_000)
      assert.equal(told, true)
      assert.equal((await reader.get('/a'))?.stat.version, written + 1)
      for (const session of [writer, reader]) await session.close()
      await store.close()
    })
  }
  assert.ok(old > 50, `${old} reads of something old`)
})
