import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import { diskError } from '../../src/log/files/disk-calls.ts'
import { diskProblem, SegmentGone } from '../../src/log/files/disk-problem.ts'
import { finished } from '../support/steps.ts'
import { SimDiskError } from '../simulator/sim-disk-image.ts'
import type { FaultyOperation } from '../simulator/sim-disk-faults.ts'
import { SimWorld } from '../simulator/sim-world.ts'
import { Seeded } from '../support/seed.ts'
import { batchOf, logConfig, partitionOf, readAll, startManager } from './manager/log-manager-fixture.ts'
import { lookupWork } from '../support/lookup-work.ts'

test('what an error of the disk means', () => {
  const of = (code: string): string => diskProblem(new SimDiskError(code, 'open', '/data'))
  assert.deepEqual(['EMFILE', 'ENFILE'].map(of), ['short', 'short'])
  assert.deepEqual(['ENOENT', 'ENOTDIR'].map(of), ['gone', 'gone'])
  assert.deepEqual(['EIO', 'ENOSPC', 'EROFS', 'EACCES', 'EBADF'].map(of), Array(5).fill('device'))
  assert.equal(diskProblem(new SegmentGone('/data/t-0/0.log')), 'gone')
  assert.equal(diskProblem(new assert.AssertionError({ message: 'no' })), 'invariant')
  assert.equal(diskProblem(new TypeError('no')), 'invariant')
  const error = diskError('log', new SimDiskError('EMFILE', 'open', '/data'))
  assert.equal(diskProblem(diskError('log directory', error)), 'short', 'however often it was passed on')
})

const OPERATIONS: readonly FaultyOperation[] = [
  'open',
  'read',
  'write',
  'sync',
  'syncDirectory',
  'truncate',
  'reserve',
]

test('a shortage of descriptors is never taken for a dead disk', async () => {
  let refused = 0
  for (let seed = 1; seed <= 60; seed++) {
    const random = new Seeded(seed)
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const proc = sim.start()
      const compact = random.between(0, 1) === 1
      const config = logConfig({
        segmentBytes: 800,
        flushMessages: [1, 3, Number.MAX_SAFE_INTEGER][random.between(0, 2)]!,
        cleanupPolicy: { delete: !compact, compact },
        retentionMs: 60_000,
        minCleanableDirtyRatio: 0.01,
        fileDeleteDelayMs: 10,
      })
      const manager = await startManager(
        proc,
        {
          cleaner: { enabled: true, backoffMs: 500 },
          retentionCheckIntervalMs: 300,
          checkpointIntervalMs: 200,
        },
        config,
      )
      const partition = await partitionOf(manager, 't', 0, config)
      const { log } = partition
      const records = new Map<number, string>()
      for (let step = 0; step < 60; step++) {
        const operation = OPERATIONS[random.between(0, OPERATIONS.length - 1)]!
        if (random.between(0, 2) === 0)
          sim.faults.add({ operation, code: 'EMFILE', count: random.between(1, 3) })
        const value = `v${step}`.padEnd(200)
        const result = log.append(batchOf([[`k${step}`, value]], proc.world.clock.nowMs()), 0)
        if (result.errorCode === ErrorCode.NONE) records.set(result.baseOffset, value)
        else {
          refused++
          assert.equal(result.errorCode, ErrorCode.KAFKA_STORAGE_ERROR)
        }
        const offset = random.between(log.logStartOffset, log.logEndOffset)
        log.read(offset, 5000, Infinity, true, ({ errorCode }) =>
          assert.ok([ErrorCode.NONE, ErrorCode.KAFKA_STORAGE_ERROR].includes(errorCode as 0)),
        )
        if (random.between(0, 5) === 0) void log.offsetForTimestamp(1, Infinity, lookupWork())
        if (random.between(0, 9) === 0) for (const segment of log.segments) segment.evict()
        if (random.between(0, 9) === 0) await log.truncateTo(log.logEndOffset - 1)
        for (const known of records.keys()) if (known >= log.logEndOffset) records.delete(known)
        if (random.between(0, 3) === 0) await sim.sleep(random.between(0, 300))
        assert.equal(log.failed, false)
      }
      sim.faults.clear()
      await sim.sleep(2000)
      assert.equal(log.failed, false)
      assert.equal(log.writtenEndOffset, log.logEndOffset)
      const found = await readAll(log)
      assert.deepEqual(
        found.map(([place, , value]) => [place, value]),
        [...records].filter(([place]) => place >= log.logStartOffset).map(([place, value]) => [place, value]),
      )
      // A topic is made and deleted without one, too.
      sim.faults.add({ operation: 'open', code: 'ENFILE', count: 3 })
      sim.faults.add({ operation: 'syncDirectory', code: 'EMFILE', count: 2 })
      await partitionOf(manager, 'other', 0, config)
      await manager.delete('other', 0)
      await manager.close(true)
      assert.equal(finished(manager.describe(null))[0]?.errorCode, 0)
    })
  }
  assert.ok(refused > 10, `${refused} appends refused`)
})
