import assert from 'node:assert/strict'
import { test } from 'node:test'
import { writeAt } from '../../../src/log/files/disk-calls.ts'
import { SegmentBin } from '../../../src/log/space/segment-bin.ts'
import { RecentSegments } from '../../../src/log/segment/segment-cache.ts'
import { Segment } from '../../../src/log/segment/segment.ts'
import { SpareBudget } from '../../../src/log/space/spare-budget.ts'
import type { World } from '../../../src/ports.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { makeBatch, onEveryDisk, segmentNames, TestLog } from '../log-fixture.ts'

const KIB = 1024
const durable = { flushMessages: 1 }
/** Two small segments stay, the rest goes at once. */
const recycling = { ...durable, segmentBytes: 40 * KIB, retentionBytes: 80 * KIB, fileDeleteDelayMs: 1 }

type Pace = Pick<World, 'clock'>

function fileBytes(world: Pick<World, 'disk'>, path: string): number {
  const file = world.disk.open(path, 'read')
  file.close()
  return file.sizeBytes
}

function firstFile(directory: string): string {
  return `${directory}/00000000000000000000.log`
}

async function until(world: Pace, what: string, condition: () => boolean): Promise<void> {
  // A timer of the broker's does not keep the process alive.
  const alive = setInterval(() => {}, 1000)
  try {
    for (let i = 0; i < 2000; i++) {
      if (condition()) return
      await new Promise<void>((resolve) => void world.clock.after(5, resolve))
    }
  } finally {
    clearInterval(alive)
  }
  assert.fail(`waited in vain: ${what}`)
}

async function appendMany(log: TestLog, count: number, valueBytes = 4 * KIB): Promise<void> {
  for (let i = 0; i < count; i++) await log.append(makeBatch(1, valueBytes))
}

onEveryDisk(
  'a durable log reserves ahead from its second write on; other logs do not',
  async (world, directory) => {
    const test = await TestLog.open(world, directory, durable)
    const file = firstFile(directory)
    assert.equal(fileBytes(world, file), 0)
    await test.append(makeBatch(1))
    assert.ok(fileBytes(world, file) <= 4096)
    await test.append(makeBatch(1))
    await until(world, 'the first step', () => fileBytes(world, file) >= 64 * KIB)
    assert.ok(fileBytes(world, file) <= 72 * KIB)
    assert.equal((await test.readAll()).length, 2)
    for (let i = 0; i < 200; i++) test.log.append(makeBatch(1, 4 * KIB), 0)
    await test.reached(202)
    await test.append(makeBatch(1))
    await until(world, 'more', () => fileBytes(world, file) > test.log.sizeBytes + 256 * KIB)
    assert.equal((await test.readAll()).length, 203)
    await test.log.close(false)

    const other = await TestLog.open(world, `${directory}x`)
    await appendMany(other, 3)
    assert.equal(fileBytes(world, firstFile(`${directory}x`)), other.log.sizeBytes)
    await other.log.close(false)
  },
)

onEveryDisk('files end with the log after a roll and after a clean stop', async (world, directory) => {
  const config = { ...durable, segmentBytes: 40 * KIB }
  const test = await TestLog.open(world, directory, config)
  await appendMany(test, 25)
  const closed = test.log.segments.slice(0, -1)
  assert.ok(closed.length >= 2)
  const last = test.log.segments.at(-1)!
  await until(world, 'closed', () => test.log.recoveryPoint === last.baseOffset)
  for (const segment of closed) assert.equal(fileBytes(world, segment.path), segment.sizeBytes)
  const all = await test.readAll()
  await test.log.close(true)
  assert.equal(test.log.failed, false)
  for (const segment of test.log.segments) assert.equal(fileBytes(world, segment.path), segment.sizeBytes)
  const again = await TestLog.open(world, directory, config, { cleanShutdown: true, recoveryPoint: 25 })
  assert.equal(again.log.recovery, null)
  assert.deepEqual(await again.readAll(), all)
  // Ordinary writes leave no room behind them, and room of before is gone too.
  again.log.updateConfig({ ...again.log.config, flushMessages: Number.MAX_SAFE_INTEGER })
  await appendMany(again, 5)
  await again.log.close(true)
  for (const segment of again.log.segments)
    assert.equal(fileBytes(world, segment.path), segment.sizeBytes, segment.path)
})

onEveryDisk('an idle log gives back all but one step', async (world, directory) => {
  const test = await TestLog.open(world, directory, durable)
  const file = firstFile(directory)
  for (let i = 0; i < 200; i++) test.log.append(makeBatch(1, 4 * KIB), 0)
  await test.reached(200)
  await appendMany(test, 2)
  const active = test.log.segments[0]!
  await until(
    world,
    'room',
    () => !active.reserving && active.openFile().sizeBytes > active.sizeBytes + 256 * KIB,
  )
  const heldBytes = fileBytes(world, file)
  await test.log.trimReserved(world.clock.monotonicMs())
  assert.ok(fileBytes(world, file) >= heldBytes, 'it is not idle yet')
  await test.log.trimReserved(world.clock.monotonicMs() + 60_000)
  assert.ok(fileBytes(world, file) <= test.log.sizeBytes + 72 * KIB)
  await test.append(makeBatch(1, 100))
  await until(
    world,
    'room',
    () => !active.reserving && active.openFile().sizeBytes > active.sizeBytes + 72 * KIB,
  )
  // Writes under way are waited for, and those that come meanwhile wait for the cut.
  const appended = test.append(makeBatch(1, 3 * KIB))
  await new Promise<void>((resolve) => world.clock.atEndOfTurn('reply', resolve))
  const trimmed = test.log.trimReserved(world.clock.monotonicMs() + 60_000)
  await Promise.all([appended, trimmed, test.append(makeBatch(1, 5 * KIB))])
  await appendMany(test, 30)
  assert.equal((await test.readAll()).length, 235)
  await test.log.close(true)
  assert.equal(test.log.failed, false)
})

test('without room on the volume a log goes on without a reserve, and says so once', async () => {
  const sim = new SimWorld(5)
  await sim.run(async () => {
    const { world, logger } = sim.start()
    sim.faults.add({ operation: 'reserve', code: 'ENOSPC' })
    const test = await TestLog.open(world, '/data/t-0', durable)
    await appendMany(test, 20)
    await sim.sleep(31_000)
    await appendMany(test, 20)
    assert.equal(test.failure, null)
    const lines = logger.messages('warn').filter((message) => message.includes('no room to reserve'))
    assert.equal(lines.length, 1)
    sim.faults.clear()
    await sim.sleep(31_000)
    await appendMany(test, 2)
    await until(world, 'room again', () => fileBytes(world, firstFile('/data/t-0')) > 200 * KIB)
    await test.log.close(true)
  })
})

test('any other error while reserving ends the log', async () => {
  const sim = new SimWorld(6)
  await sim.run(async () => {
    const { world } = sim.start()
    sim.faults.add({ operation: 'reserve', code: 'EIO' })
    const test = await TestLog.open(world, '/data/t-0', durable)
    await appendMany(test, 2)
    await until(world, 'failure', () => test.failure !== null)
    assert.equal(test.failure?.code, 'SAMSA_DISK_IO')
  })
})

onEveryDisk(
  'the file of a deleted segment becomes a later segment; nothing of what it held is seen',
  async (world, directory) => {
    const spares = new SpareBudget()
    const test = await TestLog.open(world, directory, recycling, { spares })
    let recycled = 0
    for (let round = 0; round < 12; round++) {
      await appendMany(test, 10)
      if (test.log.segments.at(-1)?.recycled === true) recycled++
      const expected = await test.readAll()
      assert.equal(expected.length, test.log.logEndOffset - test.log.logStartOffset)
      if ((await test.log.applyRetention(0)) > 0) {
        await until(world, 'a spare', () => segmentNames(world, directory, '.deleted').length === 0)
      }
      assert.ok(segmentNames(world, directory, '.spare').length <= 1)
      assert.equal(segmentNames(world, directory, '.spare').length === 1, spares.usedBytes > 0)
    }
    assert.ok(recycled >= 3, `${recycled}`)
    const last = await test.readAll()
    await test.log.close(true)
    assert.deepEqual(segmentNames(world, directory, '.spare'), [])
    assert.equal(spares.usedBytes, 0)
    const { logStartOffset } = test.log
    for (const cleanShutdown of [true, false]) {
      const again = await TestLog.open(world, directory, recycling, { cleanShutdown, logStartOffset })
      assert.deepEqual(await again.readAll(), last)
      await again.log.close(true)
    }
  },
)

onEveryDisk('no file is kept where it is not to be written over', async (world, directory) => {
  const fill = async (name: string, config: object, budget: SpareBudget): Promise<TestLog> => {
    const log = await TestLog.open(
      world,
      `${directory}${name}`,
      { ...recycling, ...config },
      { spares: budget },
    )
    await appendMany(log, 40)
    assert.ok((await log.log.applyRetention(0)) > 0)
    await until(world, 'deletion', () => segmentNames(world, `${directory}${name}`, '.deleted').length === 0)
    return log
  }
  const spares = new SpareBudget()
  const none = await fill('a', {}, new SpareBudget(0))
  const ordinary = await fill('b', { flushMessages: Number.MAX_SAFE_INTEGER }, spares)
  const compacted = await fill('c', { cleanupPolicy: { delete: true, compact: true } }, spares)
  assert.equal(spares.usedBytes, 0)
  const first = await fill('d', {}, spares)
  assert.ok(spares.usedBytes > 0)
  assert.equal(segmentNames(world, `${directory}d`, '.spare').length, 1)
  first.log.updateConfig({ ...first.log.config, flushMessages: Number.MAX_SAFE_INTEGER })
  await until(world, 'the end of the spare', () => spares.usedBytes === 0)
  const second = await fill('e', {}, spares)
  second.log.dropSpare()
  await until(world, 'the end of the spare', () => spares.usedBytes === 0)
  for (const log of [none, ordinary, compacted, first, second]) {
    assert.deepEqual(segmentNames(world, log.log.directory, '.spare'), [])
    await log.log.close(true)
    assert.equal(log.log.failed, false)
  }
})

test('a file that is being read, or was given to a socket, is not written over', async () => {
  const sim = new SimWorld(7, { disk: { minDelayMs: 50, maxDelayMs: 60, slowChance: 0 } })
  await sim.run(async () => {
    const { world } = sim.start()
    const { clock, disk } = world
    disk.makeDirectory('/data/t-0')
    const spares = new SpareBudget()
    const run = (task: () => Promise<void>): void => void task()
    const limits = { delayMs: () => 5, maxSpareBytes: () => 1000, run }
    const retired = async (baseOffset: number, use: (segment: Segment) => void): Promise<string[]> => {
      const bin = new SegmentBin({ clock, disk, directory: '/data/t-0', spares, ...limits })
      const cache = new RecentSegments()
      const more = { indexIntervalBytes: 4096, createdMs: 0 }
      const segment = new Segment({ disk, cache, directory: '/data/t-0', baseOffset, ...more })
      segment.create()
      await writeAt(segment.openFile(), 0, [Buffer.alloc(1000, 1)], true)
      segment.sizeBytes = 1000
      use(segment)
      segment.rename('.deleted')
      bin.retire(segment, baseOffset + 10)
      await sim.sleep(1000)
      assert.equal(spares.usedBytes, segmentNames(world, '/data/t-0', '.spare').length * 1000)
      const names = world.disk.list('/data/t-0')
      await bin.empty()
      return names
    }
    assert.deepEqual(await retired(0, () => {}), ['00000000000000000010.spare'])
    let bytesRead = 0
    const into = Buffer.alloc(1000)
    const read = (segment: Segment): void =>
      segment.openFile().read(0, into, (_error, length) => (bytesRead = length))
    assert.deepEqual(await retired(20, read), [])
    assert.equal(bytesRead, 1000)
    assert.deepEqual(into, Buffer.alloc(1000, 1))
    // The cache has closed it under the reader.
    const evicted = (segment: Segment): void => {
      segment.become('closed')
      read(segment)
      segment.evict()
    }
    assert.deepEqual(await retired(30, evicted), [])
    // A reader of several steps is between two of them.
    assert.deepEqual(await retired(50, (segment) => void segment.hold()), [])
    assert.deepEqual(await retired(40, (segment) => segment.noteSlice()), [])
  })
})

test('a truncation leaves nothing behind the end, and nothing of it is used again', async () => {
  const sim = new SimWorld(8)
  await sim.run(async () => {
    const { world } = sim.start()
    const spares = new SpareBudget()
    const test = await TestLog.open(world, '/data/t-0', recycling, { spares })
    await appendMany(test, 40)
    await test.log.applyRetention(0)
    await until(world, 'a spare', () => spares.usedBytes > 0)
    await appendMany(test, 12)
    assert.ok(test.log.segments.some((segment) => segment.recycled))
    const all = await test.readAll()
    const { logStartOffset } = test.log
    const end = 50
    await test.log.truncateTo(end)
    assert.equal(test.log.logEndOffset, end)
    const active = test.log.segments.at(-1)!
    assert.equal(fileBytes(world, active.path), active.sizeBytes)
    assert.deepEqual(await test.readAll(), all.slice(0, end - logStartOffset))
    await appendMany(test, 20)
    assert.equal((await test.readAll()).length, end + 20 - logStartOffset)
    // A log that starts over below the offsets of the spare does not take it.
    await test.log.applyRetention(0)
    await until(world, 'a spare', () => spares.usedBytes > 0)
    await test.log.truncateFullyAndStartAt(5)
    await appendMany(test, 12)
    assert.equal(
      test.log.segments.some((segment) => segment.recycled),
      false,
    )
    assert.equal((await test.readAll()).length, 12)
    await test.log.close(true)
    assert.equal(spares.usedBytes, 0)
  })
})
