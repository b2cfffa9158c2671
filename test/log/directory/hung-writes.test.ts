import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SimWorld } from '../../simulator/sim-world.ts'
import type { SimProcess } from '../../simulator/sim-machine.ts'
import { batchOf, partitionOf, startManager } from '../manager/log-manager-fixture.ts'

/** More than a round. */
const CHECKPOINTS_MS = 70_000

/** From `begin` to `release`, writes to files with such names do not come back. */
function hang(process: SimProcess, names: RegExp): { begin(): void; release(): void } {
  const { disk } = process.world
  const open = disk.open.bind(disk)
  let held: (() => void)[] | null = null
  disk.open = (path, mode) => {
    const file = open(path, mode)
    if (!names.test(path)) return file
    const write = file.write.bind(file)
    file.write = (...args) => {
      if (held === null) write(...args)
      else held.push(() => write(...args))
    }
    return file
  }
  return {
    begin: () => (held = []),
    release: () => {
      const all = held ?? []
      held = null
      for (const start of all) start()
    },
  }
}

for (const [what, before, names] of [
  ['logs', 1, /^\/data\/two\/(t-.*\.log$|[^/]*checkpoint)/],
  ['what comes before them', 0, /^\/data\/two\/(t-.*checkpoint|[^/]*checkpoint)/],
] as const)
  test(`${what}: a directory whose writes do not come back refuses records and says so, the others serve on, and it comes back`, async () => {
    const sim = new SimWorld(3, {})
    await sim.run(async () => {
      const process = sim.start()
      const manager = await startManager(process, { logDirs: ['/data/one', '/data/two'] })
      const hung = hang(process, names)
      const all = [await partitionOf(manager, 't', 0), await partitionOf(manager, 't', 1)]
      const healthy = all.find(({ log }) => log.directory.startsWith('/data/one'))!
      const stuck = all.find(({ log }) => log.directory.startsWith('/data/two'))!
      const refused = (): boolean[] =>
        [healthy, stuck].map(({ log }) => manager.refusesRecords(log.directory))
      const record = (value: string): Buffer => batchOf([['k', value]], process.world.clock.nowMs())

      for (let offset = 0; offset < before; offset++)
        assert.equal(await stuck.append(record('before')), offset)
      hung.begin()
      const told: string[] = []
      void stuck.append(record('first')).then((offset) => told.push(`first ${offset}`))
      void stuck.append(record('second')).then((offset) => told.push(`second ${offset}`))
      assert.equal(await healthy.append(record('x')), 0)
      await sim.sleep(8_000)
      assert.deepEqual(refused(), [false, false], 'a disk may be slow')
      assert.deepEqual(told, [])
      await sim.sleep(5_000)
      assert.deepEqual(refused(), [false, true])
      assert.deepEqual(told, ['first -1', 'second -1'], 'who waits is told')
      assert.equal(await healthy.append(record('y')), 1)
      assert.equal(
        process.logger.messages('error').filter((message) => message.includes('do not come back')).length,
        1,
      )

      // Housekeeping goes on, though that of the other directory waits for its disk.
      const path = '/data/one/replication-offset-checkpoint'
      const checkpointed = (): string => process.world.disk.readFile(path).toString()
      await sim.sleep(CHECKPOINTS_MS)
      assert.match(checkpointed(), /^t \d 2$/m)
      assert.equal(await healthy.append(record('z')), 2)
      await sim.sleep(CHECKPOINTS_MS)
      assert.match(checkpointed(), /^t \d 3$/m)

      hung.release()
      await sim.sleep(2_500)
      assert.deepEqual(refused(), [false, false])
      assert.equal(
        await stuck.append(record('third')),
        before + 2,
        'what was asked for before is written after all',
      )
      await sim.sleep(30_000)
      assert.deepEqual(refused(), [false, false], 'an idle log does not hang')
      await manager.close(true)
    })
  })

test('a directory that is slow takes records: one write comes back after the other, each after a long wait', async () => {
  const sim = new SimWorld(5, {})
  await sim.run(async () => {
    const process = sim.start()
    const manager = await startManager(process)
    const line: (() => void)[] = []
    const { disk, clock } = process.world
    const open = disk.open.bind(disk)
    disk.open = (path, mode) => {
      const file = open(path, mode)
      if (!/t-.*\.log$/.test(path)) return file
      const write = file.write.bind(file)
      file.write = (...args) => void line.push(() => write(...args))
      return file
    }
    let over = false
    const serve = (): void => {
      line.shift()?.()
      if (!over) clock.after(3_000, serve)
    }
    serve()
    const partitions = await Promise.all(Array.from({ length: 8 }, (_, i) => partitionOf(manager, 't', i)))
    const appends = partitions.map((partition) => partition.append(batchOf([['k', 'v']], clock.nowMs())))
    assert.deepEqual(
      await Promise.all(appends),
      partitions.map(() => 0),
    )
    assert.deepEqual(process.logger.messages('error'), [])
    over = true
    await manager.close(true)
  })
})
