import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import type { DescribedDirectory } from '../../../src/log/directory/described-directory.ts'
import { readGeneration } from '../../../src/log/files/log-files.ts'
import type { LogConfig } from '../../../src/log/log-config.ts'
import type { LogManager } from '../../../src/log/manager/log-manager.ts'
import { seedsFromEnvironment } from '../../simulator/sim-random.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import type { SimProcess } from '../../simulator/sim-machine.ts'
import { finished } from '../../support/steps.ts'
import {
  batchOf,
  durable,
  type Partition,
  partitionOf,
  readAll,
  startManager,
} from './log-manager-fixture.ts'

const DIRS = ['/data/one', '/data/two', '/data/three']
const three = { logDirs: DIRS }
const TIMESTAMP_MS = 1_700_000_000_000
const small = { ...durable, segmentBytes: 2_000, fileDeleteDelayMs: 10 }

async function simulate(seed: number, body: (sim: SimWorld) => Promise<void>): Promise<void> {
  const sim = new SimWorld(seed)
  await sim.run(() => body(sim))
}

function begin(manager: LogManager, bytesPerSecond = Infinity): void {
  manager.beginMoves(() => bytesPerSecond)
}

/** Where a partition lies, and where its copies do. */
function placesOf(manager: LogManager, topic = 't', partition = 0): { at: string[]; future: string[] } {
  const at: string[] = []
  const future: string[] = []
  for (const { logDir, topics } of finished(manager.describe(null)) as DescribedDirectory[])
    for (const { name, partitions } of topics)
      for (const { partitionIndex, isFutureKey } of partitions)
        if (name === topic && partitionIndex === partition) (isFutureKey ? future : at).push(logDir)
  return { at, future }
}

async function until(sim: SimWorld, what: string, reached: () => boolean): Promise<void> {
  for (let tries = 0; !reached(); tries++) {
    assert(tries < 10_000, `not within some minutes: ${what}`)
    await sim.sleep(20)
  }
}

function namesIn(process: SimProcess, directory: string): string[] {
  return process.world.disk.list(directory).filter((name) => name.startsWith('t-'))
}

/** Appends records `r<from>`, ... one by one. */
async function fill(partition: Partition, from: number, count: number): Promise<void> {
  for (let i = from; i < from + count; i++) {
    const offset = await partition.append(batchOf([[`k${i % 7}`, `r${i} ${'x'.repeat(50)}`]], TIMESTAMP_MS))
    assert.equal(offset, i)
  }
}

async function valuesOf(partition: Partition): Promise<string[]> {
  return (await readAll(partition.log)).map(([, , value]) => value!.split(' ')[0]!)
}

function values(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => `r${from + i}`)
}

test('a partition moves while it is written to: all records are there, in order, in the other directory', async () => {
  for (const seed of seedsFromEnvironment(1, 20)) {
    await simulate(seed, async (sim) => {
      const process = sim.start()
      const manager = await startManager(process, three, small)
      begin(manager)
      const partition = await partitionOf(manager, 't', 0, small)
      await fill(partition, 0, 100)
      const [from] = placesOf(manager).at
      const to = DIRS.find((directory) => directory !== from)!
      assert.equal(manager.alterDirectory('t', 0, to), ErrorCode.NONE)
      assert.deepEqual(placesOf(manager), { at: [from], future: [to] })
      let written = 100
      while (placesOf(manager).future.length > 0) {
        await fill(partition, written, 1)
        written += 1
      }
      assert.deepEqual(placesOf(manager), { at: [to], future: [] })
      assert.equal(partition.log.directory, `${to}/t-0`)
      await fill(partition, written, 20)
      assert.deepEqual(await valuesOf(partition), values(0, written + 20))
      await until(sim, 'the old files are gone', () => namesIn(process, from!).length === 0)
      assert.deepEqual(namesIn(process, to), ['t-0'])
      await manager.close(true)
      const again = await startManager(sim.start(), three, small)
      assert.deepEqual(await valuesOf(await partitionOf(again, 't', 0, small)), values(0, written + 20))
    })
  }
})

/** Should the directory that took the last records be lost for a while, nobody may take an older one for the partition. */
function noOlderIsLeft({ world }: SimProcess, acknowledgedIn: string): void {
  if (acknowledgedIn === '' || !world.disk.exists(acknowledgedIn)) return
  const generation = readGeneration(world.disk, acknowledgedIn)
  for (const path of DIRS.map((directory) => `${directory}/t-0`))
    if (path !== acknowledgedIn && world.disk.exists(path))
      assert(
        readGeneration(world.disk, path) > generation,
        `${path} was left when ${acknowledgedIn} took over`,
      )
}

test('whatever moment the process or the power ends, every acknowledged record is there once', async () => {
  for (const seed of seedsFromEnvironment(1, 60)) {
    await simulate(seed, async (sim) => {
      const { random } = sim
      const byPower = random.chance(0.6)
      const config: LogConfig = byPower ? small : { ...small, flushMessages: Number.MAX_SAFE_INTEGER }
      let acknowledged = 0
      let sent = 0
      for (let life = 0; life < 3; life++) {
        const process = sim.start()
        const manager = await startManager(process, three, config)
        assert.equal(manager.uncleanCount, 0)
        const partition = await partitionOf(manager, 't', 0, config)
        const found = await valuesOf(partition)
        assert.deepEqual(found, values(0, found.length), `life ${life}`)
        assert(found.length >= acknowledged, `life ${life}: ${found.length} of ${acknowledged} records`)
        assert(found.length <= sent, 'nothing was made up')
        assert.equal(placesOf(manager).at.length, 1)
        acknowledged = found.length
        sent = found.length
        begin(manager, random.chance(0.5) ? Infinity : 20_000)
        const ended = { now: false, acknowledgedIn: '' }
        const writing = (async () => {
          for (;;) {
            if (ended.now) return
            sent += 1
            const offset = await partition.append(
              batchOf([['k', `r${sent - 1} ${'x'.repeat(random.below(200))}`]], TIMESTAMP_MS),
            )
            if (ended.now || offset < 0) return
            acknowledged = offset + 1
            ended.acknowledgedIn = partition.log.directory
            if (random.chance(0.3)) await sim.sleep(random.below(5))
          }
        })()
        await sim.sleep(random.below(60))
        assert.equal(manager.alterDirectory('t', 0, random.pick(DIRS)), ErrorCode.NONE)
        await sim.sleep(random.below(120))
        if (random.chance(0.3)) manager.alterDirectory('t', 0, random.pick(DIRS))
        await sim.sleep(random.below(60))
        ended.now = true
        if (byPower) await sim.powerLoss(process)
        else await sim.kill(process)
        void writing
        noOlderIsLeft(sim.start(), ended.acknowledgedIn)
      }
      const manager = await startManager(sim.start(), three, config)
      const partition = await partitionOf(manager, 't', 0, config)
      const found = await valuesOf(partition)
      assert(found.length >= acknowledged)
      assert.deepEqual(found, values(0, found.length))
      begin(manager)
      await until(sim, 'moves end', () => placesOf(manager).future.length === 0)
      await until(sim, 'one place', () => placesOf(manager).at.length === 1)
      assert.deepEqual(await valuesOf(partition), found)
    })
  }
})

test('a move that another directory or its own is asked for goes there instead', async () => {
  await simulate(3, async (sim) => {
    const process = sim.start()
    const manager = await startManager(process, three, small)
    // So slow that it does not end by itself.
    begin(manager, 1)
    const partition = await partitionOf(manager, 't', 0, small)
    await fill(partition, 0, 100)
    const [from] = placesOf(manager).at
    const [first, second] = DIRS.filter((directory) => directory !== from)
    assert.equal(manager.alterDirectory('t', 0, first!), ErrorCode.NONE)
    const [copy] = namesIn(process, first!)
    assert.match(copy!, /^t-0\.[0-9a-f]{32}-future$/)
    assert.equal(manager.alterDirectory('t', 0, first!), ErrorCode.NONE)
    assert.deepEqual(namesIn(process, first!), [copy])
    assert.equal(manager.alterDirectory('t', 0, second!), ErrorCode.NONE)
    assert.deepEqual(placesOf(manager), { at: [from], future: [second] })
    await until(sim, 'the first copy is gone', () => namesIn(process, first!).length === 0)
    assert.equal(manager.alterDirectory('t', 0, from!), ErrorCode.NONE)
    assert.deepEqual(placesOf(manager), { at: [from], future: [] })
    await until(sim, 'the second copy is gone', () => namesIn(process, second!).length === 0)
    assert.equal(manager.alterDirectory('t', 0, from!), ErrorCode.NONE)
    await fill(partition, 100, 10)
    assert.deepEqual(await valuesOf(partition), values(0, 110))
    assert.deepEqual(process.logger.messages('error'), [])
  })
})

test('what cannot be moved is refused as Kafka does', async () => {
  await simulate(4, async (sim) => {
    const manager = await startManager(sim.start(), three, small)
    begin(manager)
    await partitionOf(manager, 't', 0, small)
    const [from] = placesOf(manager).at
    const to = DIRS.find((directory) => directory !== from)!
    assert.equal(manager.alterDirectory('t', 0, '/data'), ErrorCode.LOG_DIR_NOT_FOUND)
    assert.equal(manager.alterDirectory('t', 1, to), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    assert.equal(manager.alterDirectory('t'.repeat(249), 1, to), ErrorCode.INVALID_TOPIC_EXCEPTION)
    sim.faults.add({ operation: 'write', code: 'EIO', path: /^\/data\/three\// })
    const third = manager.alterDirectory('t', 0, '/data/three')
    assert.equal(third, ErrorCode.NONE)
    await sim.sleep(2_000)
    if (from === '/data/three') return
    assert.deepEqual(placesOf(manager), { at: [from], future: [] })
    assert.equal(manager.alterDirectory('t', 0, '/data/three'), ErrorCode.KAFKA_STORAGE_ERROR)
    // A copy may lie in the directory that is offline.
    const other = DIRS.find((directory) => directory !== from && directory !== '/data/three')!
    assert.equal(manager.alterDirectory('t', 0, other), ErrorCode.KAFKA_STORAGE_ERROR)
    assert.equal(manager.alterDirectory('t', 0, from!), ErrorCode.NONE)
  })
})

test('deleted with its topic, a copy is gone, and no start goes on with it', async () => {
  for (const seed of seedsFromEnvironment(5, 10)) {
    await simulate(seed, async (sim) => {
      const process = sim.start()
      const manager = await startManager(process, three, small)
      begin(manager, 30_000)
      const partition = await partitionOf(manager, 't', 0, small)
      await fill(partition, 0, 60)
      const [from] = placesOf(manager).at
      const to = DIRS.find((directory) => directory !== from)!
      assert.equal(manager.alterDirectory('t', 0, to), ErrorCode.NONE)
      await sim.sleep(sim.random.below(400))
      await manager.delete('t', 0)
      assert.deepEqual(placesOf(manager), { at: [], future: [] })
      await sim.powerLoss(process)
      const next = sim.start()
      const again = await startManager(next, three, small)
      begin(again)
      await sim.sleep(1_000)
      assert.deepEqual(placesOf(again), { at: [], future: [] })
      for (const directory of DIRS) assert.deepEqual(namesIn(next, directory), [])
    })
  }
})

test('a move that a clean stop interrupts begins again at the next start', async () => {
  await simulate(6, async (sim) => {
    const manager = await startManager(sim.start(), three, small)
    begin(manager, 1)
    const partition = await partitionOf(manager, 't', 0, small)
    await fill(partition, 0, 60)
    const [from] = placesOf(manager).at
    const to = DIRS.find((directory) => directory !== from)!
    manager.alterDirectory('t', 0, to)
    await manager.close(true)
    const process = sim.start()
    const again = await startManager(process, three, small)
    const found = await partitionOf(again, 't', 0, small)
    begin(again)
    assert.deepEqual(placesOf(again), { at: [from], future: [to] })
    await until(sim, 'it moves', () => placesOf(again).at[0] === to)
    assert.deepEqual(await valuesOf(found), values(0, 60))
    await until(sim, 'nothing is left', () => namesIn(process, from!).length === 0)
  })
})

test('where the log starts, what was compacted and who wrote move along', async () => {
  for (const seed of seedsFromEnvironment(7, 20)) {
    await simulate(seed, async (sim) => {
      const process = sim.start()
      const config = {
        ...small,
        cleanupPolicy: { delete: false, compact: sim.random.chance(0.5) },
        minCleanableDirtyRatio: 0,
      }
      const manager = await startManager(process, three, config)
      begin(manager)
      const partition = await partitionOf(manager, 't', 0, config)
      await fill(partition, 0, 100)
      await partition.append(
        batchOf([['k', 'idempotent x']], TIMESTAMP_MS, { producerId: 7, producerEpoch: 2, baseSequence: 5 }),
      )
      await manager.clean()
      partition.log.deleteRecordsBefore(33)
      const before = await readAll(partition.log)
      const epochs = partition.log.epochs.entries()
      const producers = partition.log.producers.encodeSnapshot()
      const { logEndOffset, sizeBytes, segmentCount } = partition.log
      const [from] = placesOf(manager).at
      const to = DIRS.find((directory) => directory !== from)!
      manager.alterDirectory('t', 0, to)
      await until(sim, 'it moves', () => placesOf(manager).at[0] === to)
      const look = async ({ log }: Partition): Promise<void> => {
        assert.deepEqual(await readAll(log), before)
        assert.equal(log.logStartOffset, 33)
        assert.equal(log.logEndOffset, logEndOffset)
        assert.equal(log.sizeBytes, sizeBytes)
        assert.equal(log.segmentCount, segmentCount)
        assert.deepEqual(log.epochs.entries(), epochs)
        assert.deepEqual(log.producers.encodeSnapshot(), producers)
      }
      await look(partition)
      if (sim.random.chance(0.5)) await sim.powerLoss(process)
      else await manager.close(true)
      const again = await startManager(sim.start(), three, config)
      await look(await partitionOf(again, 't', 0, config))
    })
  }
})

test('the original serves on when the other disk fails at any step, and never loses to the copy', async () => {
  for (const seed of seedsFromEnvironment(8, 80)) {
    await simulate(seed, async (sim) => {
      const { random } = sim
      const process = sim.start()
      const manager = await startManager(process, three, small)
      begin(manager)
      const partition = await partitionOf(manager, 't', 0, small)
      await fill(partition, 0, 40)
      const [from] = placesOf(manager).at
      const to = DIRS.find((directory) => directory !== from)!
      const operation = random.pick(['open', 'write', 'sync', 'syncDirectory', 'rename', 'remove'] as const)
      const codes = { open: 'EMFILE', write: 'ENOSPC', sync: 'ENOSPC' } as const
      const code = operation in codes && random.chance(0.5) ? codes[operation as keyof typeof codes] : 'EIO'
      const path = new RegExp(`^${to}(/|$)`)
      sim.faults.add({ operation, code, path, after: random.below(30), count: 1 + random.below(3) })
      manager.alterDirectory('t', 0, to)
      let written = 40
      for (; written < 90; written++) {
        if ((await partition.append(batchOf([['k', `r${written} x`]], TIMESTAMP_MS))) < 0) break
        await sim.sleep(random.below(20))
      }
      const moved = placesOf(manager).at[0] === to
      if (written < 90) assert(partition.log.directory.startsWith(to), 'only the disk that failed may refuse')
      else assert.deepEqual(await valuesOf(partition), values(0, written))
      sim.faults.clear()
      await sim.powerLoss(process)
      const again = await startManager(sim.start(), three, small)
      const found = await valuesOf(await partitionOf(again, 't', 0, small))
      assert.deepEqual(found.slice(0, written), values(0, written), `moved: ${moved}`)
    })
  }
})
