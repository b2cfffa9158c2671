import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import type { LogConfig } from '../../../src/log/log-config.ts'
import type { ReadResult } from '../../../src/log/log-types.ts'
import type { Log } from '../../../src/log/log.ts'
import { LogManager } from '../../../src/log/manager/log-manager.ts'
import type { LogManagerOptions } from '../../../src/log/manager/log-manager-types.ts'
import { RecentSegments } from '../../../src/log/segment/segment-cache.ts'
import type { World } from '../../../src/ports.ts'
import { seedsFromEnvironment } from '../../simulator/sim-random.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { onEveryDisk, makeBatch, NOW, TestLog } from '../log-fixture.ts'
import {
  batchOf,
  CLUSTER,
  logConfig,
  options,
  Partition,
  partitionOf,
  startManager,
  TOPIC_ID,
} from '../manager/log-manager-fixture.ts'
import { lookupWork } from '../../support/lookup-work.ts'

const read = (log: Log, offset: number, maxBytes = 64 << 10): Promise<ReadResult> =>
  new Promise((resolve) => log.read(offset, maxBytes, Infinity, true, resolve))

async function openManager(
  world: World,
  config: LogConfig,
  more: Partial<LogManagerOptions>,
): Promise<LogManager> {
  const manager = await LogManager.open(world, { ...options, ...more })
  await manager.load(CLUSTER, 1, () => config)
  return manager
}

onEveryDisk(
  'a topic that is deleted under its readers is gone for them, and nothing else',
  async (world, path, sim) => {
    const config = logConfig({ segmentBytes: 60_000, indexIntervalBytes: 100 })
    for (let round = 0; round < 12; round++) {
      const failures: string[] = []
      const more = {
        logDirs: [path],
        segmentCache: new RecentSegments(2, 1 << 20),
        onAllDirectoriesFailed: (error: Error) => void failures.push(error.message),
      }
      let manager = await openManager(world, config, more)
      const partition = new Partition(manager, await manager.getOrCreate('t', 0, TOPIC_ID, config))
      for (let i = 0; i < 40; i++) await partition.append(batchOf([[`k${i}`, 'x'.repeat(9_000)]], 1))
      await manager.close(true)
      // Nothing of it is open, no index is loaded.
      manager = await openManager(world, config, more)
      const log = manager.get('t', 0)!
      const ends: number[] = []
      const reader = async (from: number): Promise<void> => {
        for (let offset = from; offset < 40;) {
          const result = await read(log, offset, 5_000)
          if (result.errorCode !== ErrorCode.NONE) {
            ends.push(result.errorCode)
            return
          }
          assert.ok(result.sizeBytes > 0 && result.nextOffset > offset, `nothing at ${offset}`)
          offset = result.nextOffset
        }
      }
      const readers = Array.from({ length: 8 }, (_, i) => reader(1 + i * 5))
      const lookups = [2, 5].map(() => log.offsetForTimestamp(1, Infinity, lookupWork()))
      for (let turns = 0; turns < round; turns++)
        await (sim === null ? new Promise((resolve) => setTimeout(resolve)) : sim.sleep(0))
      await manager.delete('t', 0)
      await Promise.all([...readers, ...lookups])
      assert.deepEqual(failures, [])
      assert.ok(!log.failed)
      assert.deepEqual(
        ends.filter((code) => code !== ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        [],
      )
      assert.equal((await read(log, 0)).errorCode, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
      assert.equal(log.append(batchOf([['k', 'v']], 1), 0).errorCode, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
      assert.ok(!world.disk.exists(log.directory), 'nothing is made in the name of what is gone')
      await manager.close(true)
    }
  },
)

onEveryDisk('a search by time goes on while the cache takes segments away', async (world, directory) => {
  const segmentCache = new RecentSegments(1, 1 << 20)
  const config = { segmentBytes: 200_000, indexIntervalBytes: 100_000 }
  const test = await TestLog.open(world, directory, config, { segmentCache })
  for (let i = 0; i < 40; i++) await test.append(makeBatch(1, 20_000, { timestampMs: NOW + i * 10 }))
  await test.flush()
  for (let round = 0; round < 5; round++) {
    const found = await Promise.all(
      Array.from({ length: 30 }, (_, i) => test.log.offsetForTimestamp(NOW + i * 10, Infinity, lookupWork())),
    )
    assert.deepEqual(
      found.map((place) => place?.offset),
      Array.from({ length: 30 }, (_, i) => i),
    )
    await Promise.all(Array.from({ length: 30 }, (_, i) => test.read(i)))
  }
  assert.equal(test.failure, null)
  await test.log.close(true)
})

test('a read never passes over records while segments come and go', async () => {
  const config = logConfig({
    cleanupPolicy: { delete: true, compact: true },
    segmentBytes: 1000,
    flushMessages: 1,
    fileDeleteDelayMs: 1,
    minCleanableDirtyRatio: 0.01,
    retentionMs: -1,
  })
  let reads = 0
  for (let seed = 1; seed <= 20; seed++) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const cleaner = { enabled: true, backoffMs: 2 ** 31 - 1 }
      let proc = sim.start()
      let manager = await startManager(proc, { cleaner }, config)
      let partition = await partitionOf(manager, 't', 0, config)
      const now = proc.world.clock.nowMs()
      // Three batches a segment; the last of each is a key that comes again in the next, so compaction takes it away.
      for (let i = 0; i < 60; i++)
        await partition.append(batchOf([[i % 3 === 2 ? 'again' : `k${i}`, 'x'.repeat(200)]], now))
      await sim.sleep(1000)
      // Each segment alone: as when they were too large to be joined.
      manager.updateConfig('t', 0, { ...config, segmentBytes: 500 })
      await manager.clean()
      manager.updateConfig('t', 0, config)
      for (let i = 0; i < 3; i++) await partition.append(batchOf([[`z${i}`, 'x'.repeat(200)]], now))
      await sim.sleep(1000)
      await manager.close(true)
      proc = sim.start()
      manager = await startManager(proc, { cleaner }, config)
      partition = await partitionOf(manager, 't', 0, config)
      const { log } = partition
      const expected = log.segments[log.segments.findIndex((segment) => segment.baseOffset === 30) + 1]!
      let busy = true
      const reader = (async () => {
        while (busy) {
          for (const segment of log.segments) segment.evict()
          log.readHints.clear()
          const result = await read(log, 32)
          reads++
          assert.equal(result.errorCode, ErrorCode.NONE)
          assert.equal(batch.baseOffset(result.buffers[0]!, 0), expected.baseOffset)
        }
      })()
      for (let i = 0; i < 8; i++) {
        log.deleteRecordsBefore(log.segments[1]!.baseOffset)
        await log.applyRetention(now)
        await sim.sleep(1)
      }
      busy = false
      await reader
    })
  }
  assert.ok(reads > 500, `${reads} reads`)
})

test('a read that begins while a compacted segment takes the place of others is answered', async () => {
  for (const seed of seedsFromEnvironment(1, 10)) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const test = await TestLog.open(sim.start().world, '/data/t-0', { segmentBytes: 300 })
      for (let i = 0; i < 9; i++) await test.append(makeBatch(1, 100))
      await test.flush()
      let swapping = true
      const replacing = test.log.replaceSegments(
        test.log.segments.slice(0, 2),
        test.log.beginReplacement(0),
        new Set(),
      )
      const swapped = replacing.finally(() => (swapping = false))
      while (swapping) {
        assert.equal((await read(test.log, 0, 100)).errorCode, 0)
        await sim.sleep(0.1)
      }
      await swapped
      assert.equal(test.failure, null)
    })
  }
})

test('a lookup that does not understand what is stored says so, and blames no disk', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const test = await TestLog.open(sim.start().world, '/data/t-0')
    await test.append(makeBatch(3))
    const work = { ...lookupWork(), decompress: () => Promise.reject(new RangeError('no such offset')) }
    await assert.rejects(test.log.offsetForTimestamp(0, Infinity, work), RangeError)
    assert.equal(test.failure, null)
    await test.log.close(true)
  })
})

test('a lookup for which there is no descriptor ends when nobody waits for it any more', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const test = await TestLog.open(sim.start().world, '/data/t-0', { segmentBytes: 300 })
    for (let i = 0; i < 60; i++) await test.append(makeBatch(1, 60))
    await test.flush()
    sim.faults.add({ operation: 'open', code: 'EMFILE' })
    const work = lookupWork()
    const looking = test.log.offsetForTimestamp(0, Infinity, work)
    await sim.sleep(1000)
    work.abandoned = true
    assert.equal(await looking, null)
    assert.equal(test.failure, null)
  })
})
