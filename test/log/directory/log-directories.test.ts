import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SamsaError } from '../../../src/core/samsa-error.ts'
import { LogManager } from '../../../src/log/manager/log-manager.ts'
import type { FaultyOperation } from '../../simulator/sim-disk-faults.ts'
import { seedsFromEnvironment } from '../../simulator/sim-random.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import type { SimProcess } from '../../simulator/sim-machine.ts'
import {
  batchOf,
  CLUSTER,
  durable,
  logConfig,
  options,
  type Partition,
  partitionOf,
  readAll,
  startManager,
  TOPIC_ID,
} from '../manager/log-manager-fixture.ts'
import { finished } from '../../support/steps.ts'

const dirs = { logDirs: ['/data/one', '/data/two', '/data/three'] }
const PER_DIRECTORY = 2

async function simulate(
  seed: number,
  body: (sim: SimWorld) => Promise<void>,
  capacityBytes?: number,
): Promise<void> {
  const sim = new SimWorld(seed, capacityBytes === undefined ? {} : { capacityBytes })
  await sim.run(() => body(sim))
}

function record(process: SimProcess, value: string): Buffer {
  return batchOf([['k', value]], process.world.clock.nowMs())
}

function inDirectory(partitions: readonly Partition[], path: string): Partition[] {
  return partitions.filter(({ log }) => log.directory.startsWith(`${path}/`))
}

/** Two partitions in each directory, with a record in each. */
async function fill(manager: LogManager, process: SimProcess, config = durable): Promise<Partition[]> {
  const partitions: Partition[] = []
  for (let index = 0; index < dirs.logDirs.length * PER_DIRECTORY; index++) {
    const partition = await partitionOf(manager, 't', index, config)
    assert.equal(await partition.append(record(process, 'first')), 0)
    partitions.push(partition)
  }
  return partitions
}

/** Every file below a directory, with what is in it. */
function bytesIn(process: SimProcess, directory: string): Map<string, string> {
  const { disk } = process.world
  const found = new Map<string, string>()
  for (const name of disk.list(directory)) {
    const path = `${directory}/${name}`
    if (/^t-\d$/.test(name)) for (const [file, bytes] of bytesIn(process, path)) found.set(file, bytes)
    else if (!name.endsWith('-delete')) found.set(path, disk.readFile(path).toString('base64'))
  }
  return found
}

const failures: readonly [string, FaultyOperation, string, RegExp][] = [
  ['a write of a log', 'write', 'EIO', /^\/data\/two\/t-\d\/\d+\.log$/],
  ['a write that finds no room', 'write', 'ENOSPC', /^\/data\/two\/t-\d\/\d+\.log$/],
  ['a flush of a log', 'sync', 'EIO', /^\/data\/two\/t-\d\/\d+\.log$/],
  ['a flush of a directory', 'syncDirectory', 'EIO', /^\/data\/two\/t-\d$/],
  ['a checkpoint', 'write', 'EROFS', /^\/data\/two\/recovery-point/],
  ['a new segment', 'open', 'EACCES', /^\/data\/two\/t-\d\/\d+\.log$/],
]

for (const [what, operation, code, path] of failures) {
  test(`${what} fails (${code}): its directory is dead, at once and for good, the others serve on`, async () => {
    for (const seed of seedsFromEnvironment(1, 8)) {
      await simulate(seed, async (sim) => {
        const process = sim.start()
        const ended: string[] = []
        const onAllDirectoriesFailed = (): void => void ended.push('all')
        const manager = await startManager(process, {
          ...dirs,
          checkpointIntervalMs: 200,
          onAllDirectoriesFailed,
        })
        // Page-cache writes, so that flushes are operations of their own, and small segments.
        const config = logConfig({ segmentBytes: 200, flushMs: 20 })
        const partitions = await fill(manager, process, config)
        await sim.sleep(100)
        sim.faults.add({ operation, code, path, count: 1 })
        const dead = inDirectory(partitions, '/data/two')
        const alive = partitions.filter((partition) => !dead.includes(partition))
        assert.equal(dead.length, PER_DIRECTORY)
        for (let i = 0; i < 10 && !dead[0]!.hasFailed; i++) {
          await Promise.all(dead.map((partition) => partition.append(record(process, 'lost'.repeat(40)))))
          await sim.sleep(100)
        }
        assert(
          dead.every((partition) => partition.hasFailed && partition.log.failed),
          'the directory lives on',
        )
        // What was under way may still end.
        await sim.sleep(500)
        const left = bytesIn(process, '/data/two')
        for (const partition of dead)
          assert.equal(partition.log.append(record(process, 'x'), 0).errorCode, 56)
        await sim.sleep(1000)
        assert.deepEqual(bytesIn(process, '/data/two'), left, 'something was written to it')
        for (const partition of alive) {
          assert(!partition.hasFailed)
          assert.equal(await partition.append(record(process, 'second')), 1)
        }
        const described = finished(manager.describe(null))
        assert.deepEqual(
          described.map(({ errorCode, topics }) => [errorCode, topics.length]),
          [
            [0, 1],
            [56, 0],
            [0, 1],
          ],
        )
        for (const { errorCode, totalBytes, usableBytes } of described)
          assert.equal(errorCode === 0, totalBytes > 0 && usableBytes >= 0 && usableBytes <= totalBytes)
        // New partitions go where there is life.
        const fresh = await manager.getOrCreate('new', 0, TOPIC_ID, durable, true)
        assert(!fresh.directory.startsWith('/data/two/'))
        assert.deepEqual(ended, [])
        await manager.close(true)
        const { disk } = process.world
        assert.deepEqual(
          dirs.logDirs.map((dir) => disk.exists(`${dir}/.kafka_cleanshutdown`)),
          [true, false, true],
        )
        // The next start scans what failed, and finds the others as they were left.
        sim.faults.clear()
        const again = await startManager(sim.start(), dirs, config)
        for (const { log } of alive) {
          const found = await readAll(again.get(log.topic, log.partition)!)
          assert.deepEqual(
            found.map(([, , value]) => value),
            ['first', 'second'],
          )
        }
        for (const { log } of dead)
          assert.equal((await readAll(again.get(log.topic, log.partition)!))[0]?.[2], 'first')
        await again.close(true)
      })
    }
  })
}

test('the last directory that dies ends the broker, without a clean marker anywhere', async () => {
  await simulate(2, async (sim) => {
    const process = sim.start()
    const ended: string[] = []
    const manager = await startManager(process, {
      ...dirs,
      onAllDirectoriesFailed: (error) => ended.push(error.code),
    })
    const partitions = await fill(manager, process)
    for (const [i, path] of dirs.logDirs.entries()) {
      assert.deepEqual(ended, [])
      sim.faults.add({ operation: 'write', code: 'EIO', path: new RegExp(`^${path}/t-`), count: 1 })
      assert.equal(await inDirectory(partitions, path)[0]!.append(record(process, 'x')), -1)
      assert.equal(finished(manager.describe(null)).filter(({ errorCode }) => errorCode === 56).length, i + 1)
    }
    assert.deepEqual(ended, ['SAMSA_DISK_IO'])
    await assert.rejects(manager.getOrCreate('new', 0, TOPIC_ID, durable, true), { code: 'SAMSA_DISK_IO' })
    await manager.close(true)
    for (const dir of dirs.logDirs) assert(!process.world.disk.exists(`${dir}/.kafka_cleanshutdown`))
  })
})

test('a directory that fails while it is opened is dead, its partitions are not made anew elsewhere', async () => {
  for (const operation of ['open', 'read', 'sync', 'truncate'] as const) {
    await simulate(3, async (sim) => {
      const process = sim.start()
      const manager = await startManager(process, dirs)
      const partitions = await fill(manager, process)
      await sim.kill(process)
      // A torn write, so that there is something to cut.
      for (const { log } of partitions)
        sim.image.file(`${log.segments[0]!.path}`, 'test').write(5000, Buffer.from('torn'), true)
      sim.faults.add({ operation, code: 'EIO', path: /^\/data\/two\/t-\d\/\d+\.log$/, count: 1 })
      const next = sim.start()
      const again = await startManager(next, dirs)
      assert.deepEqual(
        finished(again.describe(null)).map(({ errorCode }) => errorCode),
        [0, 56, 0],
        operation,
      )
      for (const { log } of partitions) {
        const name = log.directory.startsWith('/data/two/') ? 'dead' : 'alive'
        const asked = again.getOrCreate(log.topic, log.partition, TOPIC_ID, durable)
        if (name === 'alive') assert.deepEqual((await readAll(await asked)).length, 1)
        // One that was open when another failed is known, and dead.
        else if (again.get(log.topic, log.partition) !== undefined) assert((await asked).failed)
        else await assert.rejects(asked, { code: 'SAMSA_DISK_IO', message: /may be in \/data\/two/ })
      }
      await again.close(true)
      assert(!next.world.disk.exists('/data/two/.kafka_cleanshutdown'))
    })
  }
})

test('a directory that cannot be used when the broker starts is left out; none that can is the end', async () => {
  await simulate(4, async (sim) => {
    const process = sim.start()
    const first = await startManager(process, dirs)
    const partitions = await fill(first, process)
    await first.close(true)
    sim.faults.add({ operation: 'read', code: 'EACCES', path: /^\/data\/two\/meta\.properties$/ })
    const manager = await startManager(sim.start(), dirs)
    const described = finished(manager.describe(null)).map(
      ({ logDir, errorCode }) => `${logDir} ${errorCode}`,
    )
    assert.deepEqual(described.sort(), ['/data/one 0', '/data/three 0', '/data/two 56'])
    for (const { log } of inDirectory(partitions, '/data/two')) {
      const asked = manager.getOrCreate(log.topic, log.partition, TOPIC_ID, durable)
      await assert.rejects(asked, { code: 'SAMSA_DISK_IO', message: /may be in \/data\/two/ })
      const error = await asked.catch((reason: unknown) => reason)
      assert(error instanceof SamsaError)
      const stand = manager.offline(log.topic, log.partition, TOPIC_ID, durable, error)
      assert(stand.failed)
      assert.equal(stand.append(record(process, 'x'), 0).errorCode, 56)
    }
    await manager.close(true)
    sim.faults.add({ operation: 'read', code: 'EIO', path: /meta\.properties$/ })
    await assert.rejects(LogManager.open(sim.start().world, { ...options, ...dirs }), {
      code: 'SAMSA_DISK_IO',
    })
  })
})

test('a directory that is named twice, or lies in another one, is a mistake in the configuration, not somebody else in it', async () => {
  await simulate(9, async (sim) => {
    const logDirs = ['/data/one', '/data/two', '/data/one']
    await assert.rejects(LogManager.open(sim.start().world, { ...options, logDirs }), {
      code: 'SAMSA_CONFIG',
      message: 'log.dirs: /data/one is named twice',
    })
    const nested = { ...options, logDirs: ['/data/one/t-0', '/data/two', '/data/one'] }
    await assert.rejects(LogManager.open(sim.start().world, nested), {
      code: 'SAMSA_CONFIG',
      message: 'log.dirs: /data/one/t-0 lies in another one of them',
    })
    // Nobody holds the directories.
    const manager = await startManager(sim.start(), dirs)
    await manager.close(true)
  })
})

test('a new partition that one directory cannot take goes to another', async () => {
  await simulate(9, async (sim) => {
    const manager = await startManager(sim.start(), dirs)
    sim.faults.add({ operation: 'open', code: 'EIO', path: /^\/data\/one\/new-/ })
    const log = await manager.getOrCreate('new', 0, TOPIC_ID, durable, true)
    assert(!log.directory.startsWith('/data/one/'))
    assert.deepEqual(
      finished(manager.describe(null)).map(({ errorCode }) => errorCode),
      [56, 0, 0],
    )
    await manager.close(true)
  })
})

test('a partition whose directory is gone although it had records is unclean, and counted', async () => {
  await simulate(5, async (sim) => {
    const process = sim.start()
    const manager = await startManager(process, { checkpointIntervalMs: 50 })
    const gone = await partitionOf(manager, 'gone')
    const deleted = await partitionOf(manager, 'deleted')
    for (const partition of [gone, deleted]) await partition.append(record(process, 'x'))
    await manager.checkpointLogStartOffsets()
    await manager.delete('deleted', 0)
    await sim.powerLoss(process)
    sim.image.remove('/data/one/gone-0')
    const next = sim.start()
    const again = await startManager(next)
    assert.equal(again.uncleanCount, 0)
    assert.equal((await again.getOrCreate('deleted', 0, TOPIC_ID, durable)).recovery, null)
    const log = await again.getOrCreate('gone', 0, TOPIC_ID, durable)
    assert.equal(log.recovery?.unclean, true)
    assert.equal(again.uncleanCount, 1)
    assert(next.logger.messages('error').some((message) => message.startsWith('RECORDS ARE MISSING')))
    // Said once: from here on it is a new log.
    await again.close(true)
    const third = await startManager(sim.start())
    assert.equal(third.uncleanCount, 0)
    await third.load(CLUSTER, 1, () => 'deleted').catch(() => {})
  })
})

test('the floor refuses records early, offsets late, and gives both back; what is kept back goes first', async () => {
  await simulate(
    6,
    async (sim) => {
      const process = sim.start()
      const manager = await startManager(process, { minFreeBytes: 100_000 })
      const { log } = await partitionOf(manager)
      const ballast = process.world.disk.open('/ballast', 'create')
      const leave = async (freeBytes: number): Promise<void> => {
        await new Promise((done) => ballast.truncate(0, done))
        const size = process.world.disk.freeBytes('/') - freeBytes
        if (size > 0) await new Promise((done) => ballast.write(0, [Buffer.alloc(size)], false, done))
        await sim.sleep(1500)
      }
      const refused = (): boolean[] => [
        manager.refusesRecords(log.directory),
        manager.refusesRecords(log.directory, true),
      ]
      await leave(450_000)
      assert.deepEqual(refused(), [false, false])
      await leave(99_000)
      assert.deepEqual(refused(), [true, false])
      await leave(40_000)
      assert.deepEqual(refused(), [true, true])
      await leave(450_000)
      assert.deepEqual(refused(), [false, false])
      await manager.close(true)
    },
    500_000,
  )
})
