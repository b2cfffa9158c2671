import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as batch from '../../protocol/records/record-batch.ts'
import { buildControlBatch } from '../../protocol/records/record-builder.ts'
import { syncDirectory } from '../../src/log/files/disk-calls.ts'
import { SpareBudget } from '../../src/log/space/spare-budget.ts'
import type { DiskFault } from '../simulator/sim-disk-faults.ts'
import { seedsFromEnvironment } from '../simulator/sim-random.ts'
import { SimWorld } from '../simulator/sim-world.ts'
import { content, makeBatch, TestLog } from './log-fixture.ts'
import { lookupWork } from '../support/lookup-work.ts'
import { logConfig, Partition, startManager, TOPIC_ID } from './manager/log-manager-fixture.ts'

const KIB = 1024
const HOME = '/data/t-0'

async function made(sim: SimWorld): Promise<void> {
  const { disk } = sim.start().world
  disk.makeDirectory('/data')
  await syncDirectory(disk, '/')
}

test('the first acknowledged write of the durable mode takes all before it to the device', async () => {
  for (const seed of seedsFromEnvironment(1, 60)) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const { random } = sim
      await made(sim)
      const machine = sim.start()
      const log = await TestLog.open(machine.world, HOME, { segmentBytes: 3000 })
      const expected: string[] = []
      const append = (): void => {
        const bytes = makeBatch(1, random.below(800))
        expected.push(content(bytes))
        log.log.append(bytes, 0)
      }
      const before = 1 + random.below(12)
      for (let i = 0; i < before; i++) append()
      if (random.chance(0.7)) await log.reached(log.log.logEndOffset)
      log.log.updateConfig({ ...log.log.config, flushMessages: 1 })
      for (let i = random.below(8); i >= 0; i--) {
        append()
        if (random.chance(0.3)) await sim.sleep(random.below(5))
      }
      const end = before + 1 + random.below(log.log.logEndOffset - before)
      await log.reached(end)
      const promised = log.log.writtenEndOffset
      assert.ok(log.log.durableEndOffset >= promised)
      await sim.powerLoss(machine)
      const again = await TestLog.open(sim.start().world, HOME)
      const found = (await again.readAll()).map(content)
      assert.ok(found.length >= promised, `${found.length} of ${promised}`)
      assert.deepEqual(found, expected.slice(0, found.length))
    })
  }
})

test('once all below is durable, durable writes need no flush', async () => {
  const sim = new SimWorld(3)
  await sim.run(async () => {
    const { world, disk } = sim.start()
    const log = await TestLog.open(world, HOME)
    await log.append(makeBatch(1))
    log.log.updateConfig({ ...log.log.config, flushMessages: 1 })
    // Writes without a pause: each is done while the flush of those before it is under way.
    for (let i = 0; i < 200; i++) {
      log.log.append(makeBatch(1), 0)
      await sim.sleep(0.5)
    }
    await log.reached(log.log.logEndOffset)
    const syncs = disk.counts['sync']
    for (let i = 0; i < 50; i++) await log.append(makeBatch(1))
    assert.equal(disk.counts['sync'], syncs)
    assert.equal(await log.flush(), true)
    assert.equal(disk.counts['sync'], syncs)
    await log.log.close(true)
  })
})

test('whatever fails on the device ends the log, and nothing is tried again', async () => {
  const recycling = {
    flushMessages: 1,
    segmentBytes: 40 * KIB,
    retentionBytes: 80 * KIB,
    fileDeleteDelayMs: 1,
  }
  const faults: DiskFault[] = [
    { operation: 'write', code: 'EIO', path: /\.log$/ },
    { operation: 'write', code: 'ENOSPC', path: /\.log$/ },
    { operation: 'sync', code: 'EIO', path: /\.log$/ },
    { operation: 'sync', code: 'EIO', path: /index$/ },
    { operation: 'truncate', code: 'EIO', path: /\.log$/ },
    { operation: 'reserve', code: 'EIO', path: /\.log$/ },
    { operation: 'syncDirectory', code: 'EIO' },
    { operation: 'rename', code: 'EIO', path: /\.spare$/ },
    { operation: 'rename', code: 'EIO', path: /\.log\.deleted$/ },
    { operation: 'remove', code: 'EIO', path: /\.deleted$/ },
  ]
  for (const fault of faults) {
    const sim = new SimWorld(4)
    await sim.run(async () => {
      const { world, disk, logger } = sim.start()
      const log = await TestLog.open(world, HOME, recycling, { spares: new SpareBudget() })
      for (let i = 0; i < 45; i++) await log.append(makeBatch(1, 4 * KIB))
      await log.log.applyRetention(0)
      await sim.sleep(100)
      sim.faults.add(fault)
      const what = `${fault.operation} ${fault.path?.source}`
      let rejected = 0
      for (let i = 0; i < 60 && log.failure === null; i++) {
        await log.append(makeBatch(1, 4 * KIB)).catch(() => rejected++)
        if (i % 20 === 19) await log.log.applyRetention(0)
        await sim.sleep(5)
      }
      assert.equal(log.failure?.code, 'SAMSA_DISK_IO', what)
      if (fault.operation === 'write') assert.equal(rejected, 1)
      assert.equal(logger.messages('error').length, 1, what)
      await sim.sleep(1000)
      const counts = { ...disk.counts }
      const hits = sim.faults.hits
      sim.faults.clear()
      log.log.roll()
      log.log.dropSpare()
      log.log.updateConfig({ ...log.log.config, flushMessages: 5 })
      assert.equal(await log.log.applyRetention(0), 0)
      assert.equal(await log.flush(), false)
      await log.log.trimReserved(Infinity)
      await sim.sleep(100_000)
      await log.log.close(true)
      assert.deepEqual(disk.counts, counts, what)
      assert.ok(hits > 0)
    })
  }
})

test('flush.ms: no byte stays unflushed for longer, however many logs are dirty', async () => {
  for (const seed of seedsFromEnvironment(1, 5)) {
    const sim = new SimWorld(seed, { disk: { minDelayMs: 0.02, maxDelayMs: 0.1, slowChance: 0 } })
    await sim.run(async () => {
      const { random } = sim
      const process = sim.start()
      const manager = await startManager(process, {}, logConfig())
      const partitions: Partition[] = []
      for (let i = 0; i < 50; i++) {
        const config = logConfig({ flushMs: random.pick([20, 50, 200]) })
        partitions.push(new Partition(manager, await manager.getOrCreate('t', i, TOPIC_ID, config)))
      }
      const changedMs = new Map<number, number>()
      /** By partition and offset, when it was written. */
      const writtenMs: number[][] = partitions.map(() => [])
      let latest = -Infinity
      const { clock } = process.world
      for (let step = 0; step < 800; step++) {
        const partition = random.pick(partitions)
        const offset = await partition.append(makeBatch(1))
        writtenMs[partition.log.partition]![offset] = clock.monotonicMs()
        await sim.sleep(random.pick([0.1, 1, 3]))
        for (const { log } of partitions) {
          const oldestMs = writtenMs[log.partition]![log.durableEndOffset]
          if (oldestMs === undefined) continue
          const dueMs = Math.max(oldestMs + log.config.flushMs, changedMs.get(log.partition) ?? 0)
          latest = Math.max(latest, clock.monotonicMs() - dueMs)
        }
        if (random.chance(0.02)) {
          const flushMs = random.pick([20, 50, 200])
          manager.updateConfig('t', partition.log.partition, logConfig({ flushMs }))
          changedMs.set(partition.log.partition, clock.monotonicMs())
        }
      }
      await sim.sleep(210)
      for (const { log } of partitions) assert.equal(log.durableEndOffset, log.logEndOffset)
      // One flush takes some calls of a tenth of a millisecond, and four run at a time.
      assert.ok(latest < 10, `${latest} ms late`)
      assert.ok(latest > -20, 'nothing was ever dirty')
      await manager.close(true)
    })
  }
})

test('partitions without news cost nothing at a clean stop', async () => {
  const sim = new SimWorld(5)
  await sim.run(async () => {
    const config = logConfig({ flushMessages: 1 })
    const changes = async (work: (partitions: readonly Partition[]) => Promise<void>): Promise<number> => {
      const process = sim.start()
      const { counts } = process.disk
      const manager = await startManager(process, {}, config)
      const partitions: Partition[] = []
      for (let i = 0; i < 40; i++) {
        const log = await manager.getOrCreate('t', i, TOPIC_ID, config)
        log.epochs.assign(0, log.logEndOffset)
        partitions.push(new Partition(manager, log))
      }
      await work(partitions)
      const before = { ...counts }
      await manager.close(true)
      const of = (name: string): number => (counts[name] ?? 0) - (before[name] ?? 0)
      return of('write') + of('sync') + of('syncDirectory') + of('truncate')
    }
    const nothing = async (): Promise<void> => {}
    // What a stop writes in any case: checkpoints and the marker.
    assert.ok((await changes(nothing)) < 20)
    assert.ok((await changes(nothing)) < 20)
    const written = await changes(async (partitions) => {
      for (const partition of partitions.slice(0, 4)) await partition.append(makeBatch(3))
    })
    assert.ok(written >= 20 && written < 100, `${written}`)
    assert.ok((await changes(nothing)) < 20)
    const process = sim.start()
    const manager = await startManager(process, {}, config)
    assert.deepEqual(
      [0, 3, 4].map((i) => manager.get('t', i)?.logEndOffset),
      [3, 3, 0],
    )
    assert.equal(manager.get('t', 0)?.recovery, null)
    await manager.close(true)
  })
})

test('a log that begins anew at its start offset is there after every power loss, before a checkpoint says so', async () => {
  for (const seed of seedsFromEnvironment(1, 40)) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      await made(sim)
      if (seed % 2 === 0) {
        const first = sim.start()
        const log = await TestLog.open(first.world, HOME, { segmentBytes: 500 })
        for (let i = 0; i < 4; i++) await log.append(makeBatch(1, 200))
        await log.flush()
        await sim.powerLoss(first)
      }
      // DeleteRecords went beyond what survived, or the files are gone.
      const second = sim.start()
      const { log } = await TestLog.open(second.world, HOME, {}, { logStartOffset: 1000 })
      assert.deepEqual([log.logStartOffset, log.logEndOffset], [1000, 1000])
      await sim.powerLoss(second)
      // The checkpoint names only starts inside of a segment.
      const third = await TestLog.open(sim.start().world, HOME, {}, { recoveryPoint: 1000 })
      assert.deepEqual([third.log.logStartOffset, third.log.logEndOffset], [1000, 1000])
      assert.notEqual(third.log.recovery?.unclean, true)
    })
  }
})

test('below the recovery point no side file is missing after a power loss', async () => {
  for (const seed of seedsFromEnvironment(1, 150)) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const { random } = sim
      await made(sim)
      const machine = sim.start()
      const test = await TestLog.open(machine.world, HOME, { segmentBytes: 700 })
      const producer = { producerId: 7, producerEpoch: 0 }
      let recoveryPoint = 0
      for (let i = 0; i < 4; i++) {
        // As the checkpoint has it, which is not of this moment.
        recoveryPoint = test.log.recoveryPoint
        await test.append(makeBatch(1, 100, { ...producer, baseSequence: i, transactional: true }))
        await test.append(buildControlBatch('ABORT', 0, producer, sim.scheduler.nowMs))
        void test.append(makeBatch(1, 200)).catch(() => {})
        if (random.chance(0.7)) test.log.flush(() => {})
        await sim.sleep(random.fraction() * 6)
      }
      if (random.chance(0.5)) ({ recoveryPoint } = test.log)
      await sim.powerLoss(machine)
      const again = await TestLog.open(sim.start().world, HOME, {}, { recoveryPoint })
      if (recoveryPoint > 0)
        assert.equal((await again.log.offsetForTimestamp(0, Infinity, lookupWork()))?.offset, 0)
      const aborted = again.log.abortedTransactions.within(0, recoveryPoint)
      const markers = (await again.readAll()).filter((bytes) => batch.isControl(bytes, 0))
      const below = markers.filter((bytes) => batch.lastOffset(bytes, 0) < recoveryPoint)
      assert(aborted.length >= below.length, `${aborted.length} of ${below.length} are known`)
    })
  }
})

test('a crash while a log starts anew leaves one that promises nothing', async () => {
  for (const seed of seedsFromEnvironment(1, 60)) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      await made(sim)
      const machine = sim.start()
      let recoveryPoint = 0
      const beforeCut = (offset: number): Promise<void> => {
        recoveryPoint = Math.min(recoveryPoint, offset)
        return Promise.resolve()
      }
      const known = { beforeCut, logStartOffset: 100 }
      const test = await TestLog.open(machine.world, HOME, { segmentBytes: 400 }, known)
      for (let i = 0; i < 6; i++) await test.append(makeBatch(1, 200))
      await test.flush()
      recoveryPoint = test.log.recoveryPoint
      void test.log.truncateFullyAndStartAt(500)
      await sim.sleep(sim.random.fraction() * 100)
      await sim.kill(machine)
      const again = await TestLog.open(sim.start().world, HOME, {}, { recoveryPoint })
      assert.notEqual(again.log.recovery?.unclean, true)
    })
  }
})

test('files that a start found gone do not come back under the log it began', async () => {
  for (const seed of seedsFromEnvironment(1, 60)) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      await made(sim)
      const first = sim.start()
      const test = await TestLog.open(first.world, HOME)
      for (let i = 0; i < 6; i++) await test.append(makeBatch(1, 100))
      await test.flush()
      first.world.disk.remove(`${HOME}/00000000000000000000.log`, () => {})
      await sim.sleep(sim.random.fraction() * 200)
      await sim.kill(first)
      const second = sim.start()
      const { log } = await TestLog.open(second.world, HOME)
      const { logEndOffset } = log
      await sim.powerLoss(second)
      const again = await TestLog.open(sim.start().world, HOME)
      assert.equal(again.log.logEndOffset, logEndOffset)
    })
  }
})

test('a recovery point from before the roll does not vouch for the side files of the segment', async () => {
  for (const seed of seedsFromEnvironment(1, 150)) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      await made(sim)
      const machine = sim.start()
      const test = await TestLog.open(machine.world, HOME)
      const producer = { producerId: 7, producerEpoch: 0 }
      await test.append(makeBatch(2, 100, { ...producer, baseSequence: 0, transactional: true }))
      await test.append(buildControlBatch('ABORT', 0, producer, sim.scheduler.nowMs))
      await test.flush()
      const { recoveryPoint } = test.log
      assert.equal(recoveryPoint, 3)
      test.log.roll()
      await sim.sleep(sim.random.fraction() * 20)
      await sim.powerLoss(machine)
      const again = await TestLog.open(sim.start().world, HOME, {}, { recoveryPoint })
      assert.equal((await again.log.offsetForTimestamp(0, Infinity, lookupWork()))?.offset, 0)
      assert.equal(again.log.abortedTransactions.within(0, 3).length, 1)
    })
  }
})
