import assert from 'node:assert/strict'
import { test } from 'node:test'
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
