import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SystemDisk } from '../../src/system/disk/system-disk.ts'
import { EmbeddedStore } from '../../src/system/store/embedded-store.ts'
import { SystemClock } from '../../src/system/system-clock.ts'
import { Turn } from '../../src/system/turn.ts'
import { storeConformance } from '../metadata/store-conformance.ts'
import { SimLogger } from './sim-logger.ts'
import { SimRandom } from './sim-random.ts'
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
  let ensemble = new SimZooKeeper(store, clock, new SimRandom(1), 2)
  return {
    connect: () => Promise.resolve(ensemble.connect()),
    expire: (session) => (session as SimSession).expire(5),
    crash: async () => {
      store = await EmbeddedStore.open(world, directory)
      ensemble = new SimZooKeeper(store, clock, new SimRandom(2), 2)
    },
    dispose: async () => {
      await store.close()
      await rm(directory, { recursive: true, force: true })
      clearInterval(alive)
    },
  }
})
