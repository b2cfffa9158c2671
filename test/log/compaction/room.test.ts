import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogManager } from '../../../src/log/manager/log-manager.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import type { SimProcess } from '../../simulator/sim-machine.ts'
import { batchOf, partitionOf, readAll, startManager } from '../manager/log-manager-fixture.ts'
import type { Partition } from '../manager/log-manager-fixture.ts'
import { compacted, quiet, replay } from './cleaner-fixture.ts'

/** Compaction for which there is no room is put off: the log, and its directory, are as they were. */

const MIN_FREE = 20_000
const SAID = 'log is not compacted: there is no room for it on its volume. It is tried again'

interface Scene {
  readonly sim: SimWorld
  readonly process: SimProcess
  readonly manager: LogManager
  readonly partition: Partition
  readonly append: (key: string, value: string) => Promise<void>
  /** Fills the volume up to so many free bytes. */
  readonly leave: (freeBytes: number) => Promise<void>
  readonly said: () => number
}

async function scene(seed: number, body: (scene: Scene) => Promise<void>): Promise<void> {
  const sim = new SimWorld(seed, { capacityBytes: 500_000 })
  await sim.run(async () => {
    const process = sim.start()
    const { world, logger } = process
    const manager = await startManager(process, { ...quiet, minFreeBytes: MIN_FREE }, compacted)
    const partition = await partitionOf(manager, 't', 0, compacted)
    const ballast = world.disk.open('/ballast', 'create')
    await body({
      sim,
      process,
      manager,
      partition,
      append: async (key, value) => {
        await partition.append(batchOf([[key, value]], world.clock.nowMs()))
      },
      leave: async (freeBytes) => {
        await new Promise((done) => ballast.truncate(0, done))
        const size = world.disk.freeBytes('/') - freeBytes
        await new Promise((done) => ballast.write(0, [Buffer.alloc(size)], false, done))
        await sim.sleep(1500)
      },
      said: () => logger.messages('warn').filter((message) => message === SAID).length,
    })
  })
}

const nothingBegun = ({ process }: Scene): void =>
  assert.deepEqual(
    process.world.disk.list('/data/one/t-0').filter((name) => /cleaned|swap/.test(name)),
    [],
  )

test('compaction does not begin where what it writes would not leave the floor free, says so once, and comes later', async () => {
  await scene(1, async (scene) => {
    const { manager, partition, append, leave, said } = scene
    for (let i = 0; i < 30; i++) await append(`key-${i % 3}`, `${i}${'-'.repeat(300)}`)
    const before = await readAll(partition.log)
    await leave(MIN_FREE + 500)
    for (let round = 0; round < 3; round++) await manager.clean()
    assert.deepEqual(await readAll(partition.log), before)
    assert.equal(said(), 1)
    nothingBegun(scene)
    assert.equal(manager.directoryPaths.length, 1)
    await leave(100_000)
    await manager.clean()
    const after = await readAll(partition.log)
    assert(after.length < before.length)
    assert.deepEqual(replay(after), replay(before))
    await manager.close(true)
  })
})

test('a write of compaction that finds no room, wherever that is, leaves the directory online and nothing behind', async () => {
  const places = [
    ['open', 0],
    ['open', 1],
    ['write', 0],
    ['write', 1],
    ['write', 2],
    ['sync', 0],
    ['sync', 1],
    ['sync', 2],
  ] as const
  for (const [operation, after] of places) {
    await scene(after, async (scene) => {
      const { sim, manager, partition, append, said } = scene
      for (let i = 0; i < 30; i++) await append(`key-${i % 3}`, `${i}${'-'.repeat(300)}`)
      const before = await readAll(partition.log)
      sim.faults.add({ operation, code: 'ENOSPC', path: /\.cleaned$/, after, count: 1 })
      await manager.clean()
      assert.equal(sim.faults.hits, 1, `${operation} ${after}`)
      assert.deepEqual([said(), partition.hasFailed, manager.directoryPaths.length], [1, false, 1])
      assert.deepEqual(replay(await readAll(partition.log)), replay(before))
      nothingBegun(scene)
      await sim.sleep(61_000)
      await manager.clean()
      assert((await readAll(partition.log)).length < 10)
      await append('last', 'x')
      await manager.close(true)
    })
  }
})
