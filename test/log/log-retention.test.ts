import assert from 'node:assert/strict'
import { test } from 'node:test'
import { writeWhole } from '../../src/log/files/disk-calls.ts'
import { SimWorld } from '../simulator/sim-world.ts'
import { batchOf, logConfig, partitionOf, startManager } from './manager/log-manager-fixture.ts'

const config = logConfig({ segmentBytes: 1000, retentionMs: 1000 })
const durable = { ...config, flushMessages: 1 }

test('a log whose last segment cannot be replaced for want of a descriptor goes on where it was', async () => {
  for (const code of ['EMFILE', 'ENFILE']) {
    for (let seed = 1; seed <= 10; seed++) {
      const sim = new SimWorld(seed)
      await sim.run(async () => {
        let proc = sim.start()
        const manager = await startManager(proc, {}, durable)
        const partition = await partitionOf(manager, 't', 0, durable)
        const now = proc.world.clock.nowMs()
        for (let i = 0; i < 20; i++) await partition.append(batchOf([[`k${i}`, 'x'.repeat(200)]], now))
        await manager.checkpointLogStartOffsets()
        await sim.sleep(5000)
        sim.faults.add({ operation: 'open', code, path: /\/t-0\/\d{20}\.log$/, count: 1 + (seed % 3) })
        const applied = manager.applyRetention()
        await sim.sleep(seed * 40)
        if (seed % 2 === 0) await applied
        assert.equal(partition.log.failed, false)
        await sim.kill(proc)
        sim.faults.clear()
        proc = sim.start()
        const again = await partitionOf(await startManager(proc, {}, durable), 't', 0, durable)
        assert.equal(again.log.logEndOffset, 20)
        assert.deepEqual(again.log.recovery?.problems, [])
        assert.equal(await again.append(batchOf([['k', 'v']], now)), 20)
      })
    }
  }
})

test('a log start never goes back, whenever the power fails', async () => {
  for (const journalledNames of [false, true]) {
    for (let seed = 1; seed <= 80; seed++) {
      const sim = new SimWorld(seed, { journalledNames })
      await sim.run(async () => {
        const random = sim.start().world.random
        const settings = seed % 2 === 0 ? durable : config
        let proc = sim.start()
        let startOffset = 0
        for (let life = 0; life < 4; life++) {
          const manager = await startManager(proc, {}, settings)
          const partition = await partitionOf(manager, 't', 0, settings)
          const { log } = partition
          assert.ok(
            log.logStartOffset >= startOffset,
            `${log.logStartOffset} after ${startOffset}, seed ${seed}`,
          )
          assert.ok(log.logEndOffset >= log.logStartOffset)
          const now = proc.world.clock.nowMs()
          for (let i = random.uint32() % 20; i >= 0; i--)
            await partition.append(batchOf([[`k${i}`, 'x'.repeat(200)]], now))
          await sim.sleep(random.uint32() % 3000)
          const applied = manager.applyRetention()
          await sim.sleep(random.uint32() % 40)
          if (random.uint32() % 3 === 0) await applied
          startOffset = log.logStartOffset
          await sim.powerLoss(proc)
          proc = sim.start()
        }
      })
    }
  }
})

test('what retention takes away can be read until it is gone for good', async () => {
  const sim = new SimWorld(4)
  await sim.run(async () => {
    const proc = sim.start()
    const manager = await startManager(proc, {}, durable)
    const partition = await partitionOf(manager, 't', 0, durable)
    const now = proc.world.clock.nowMs()
    for (let i = 0; i < 30; i++) await partition.append(batchOf([[`k${i}`, 'x'.repeat(200)]], now))
    await sim.sleep(5000)
    const { log } = partition
    let busy = true
    const reader = (async () => {
      while (busy) {
        const offset = log.logStartOffset
        const result = await new Promise<{ errorCode: number; nextOffset: number }>((done) =>
          log.read(offset, 100, Infinity, true, done),
        )
        // It may go while it is read, and then the offset is out of range: never are records passed over.
        if (result.errorCode === 0 && offset < log.logStartOffset) continue
        if (result.errorCode === 0 && offset < 30) assert.equal(result.nextOffset, offset + 1)
        else assert.equal(result.errorCode, offset < 30 ? 1 : 0)
        await sim.sleep(1)
      }
    })()
    await manager.applyRetention()
    busy = false
    await reader
    assert.equal(log.logStartOffset, 30)
    await manager.close(true)
  })
})

/** Minutes before now of the five batches of each segment, and what the last entry of the first time index becomes. */
const WRONG_TIMES: readonly (readonly [what: string, ages: readonly number[], claimedAge: number])[] = [
  ['the tail of the segment shows it', [0, 0, 0, 0, 0], 20_000],
  ['the batch that it names is another', [9, 0, 9, 9, 9], 5],
  ['as if all were from the future', [0, 0, 0, 0, 0], -20_000],
]
const UNIT_MS = 60_000

for (const [what, ages, claimedAge] of WRONG_TIMES) {
  test(`no record is deleted on the word of a time index alone: ${what}`, async () => {
    const sim = new SimWorld(7)
    await sim.run(async () => {
      const settings = logConfig({ segmentBytes: 1500, indexIntervalBytes: 300, flushMessages: 1 })
      const kept = { ...settings, retentionMs: UNIT_MS }
      let process = sim.start()
      const manager = await startManager(process, {}, settings)
      const partition = await partitionOf(manager, 't', 0, settings)
      const now = process.world.clock.nowMs()
      for (let i = 0; i < 15; i++) {
        const at = now - (i < 5 ? ages[i]! : 0) * UNIT_MS + i
        await partition.append(batchOf([[`k${i}`, 'x'.repeat(200)]], at))
      }
      assert.deepEqual(
        partition.log.segments.map(({ baseOffset }) => baseOffset),
        [0, 5, 10],
      )
      await manager.close(true)
      process = sim.start()
      const { disk } = process.world
      const path = '/data/one/t-0/00000000000000000000.timeindex'
      const good = Buffer.from(disk.readFile(path))
      const wrong = Buffer.from(good)
      wrong.writeBigInt64BE(BigInt(now - claimedAge * UNIT_MS), wrong.length - 12)
      await writeWhole(disk, path, wrong, true)
      const again = await startManager(process, {}, kept)
      await again.applyRetention()
      const { log } = await partitionOf(again, 't', 0, kept)
      assert.equal(log.logStartOffset, 0)
      assert.deepEqual(disk.readFile(path), good)
      assert.match(
        process.logger.messages('warn').join(),
        /time index says something else|index missing or damaged: rebuilding it/,
      )
      await sim.sleep(2 * UNIT_MS)
      await again.applyRetention()
      assert.equal(log.logStartOffset, 15)
      await again.close(true)
    })
  })
}
