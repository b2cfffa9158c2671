import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as batch from '../../../protocol/records/record-batch.ts'
import type { LogConfig } from '../../../src/log/log-config.ts'
import { seedsFromEnvironment } from '../../simulator/sim-random.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { makeBatch, split, TestLog } from '../log-fixture.ts'

/** The offset after the last record that a reader gets. */
async function seenEnd(log: TestLog): Promise<number> {
  let next = log.log.logStartOffset
  for (;;) {
    const { buffers } = await log.read(next)
    const last = split(Buffer.concat(buffers)).at(-1)
    if (last === undefined) return next
    next = batch.lastOffset(last, 0) + 1
  }
}

async function whileFlushing(
  seed: number,
  config: Partial<LogConfig>,
  body: (log: TestLog, sim: SimWorld) => Promise<void>,
): Promise<{ seen: number; durable: number; left: number }> {
  const sim = new SimWorld(seed, { disk: { slowSyncMs: 3000, slowChance: 1 } })
  const result = { seen: 0, durable: 0, left: 0 }
  await sim.run(async () => {
    const process = sim.start()
    process.world.disk.makeDirectory('/data')
    await new Promise((done) => process.world.disk.syncDirectory('/', done))
    const log = await TestLog.open(process.world, '/data/t-0', config)
    await log.append(makeBatch())
    await log.flush()
    await body(log, sim)
    result.seen = await seenEnd(log)
    assert.equal(result.seen, log.log.writtenEndOffset)
    result.durable = log.log.durableEndOffset
    await sim.powerLoss(process)
    result.left = (await TestLog.open(sim.start().world, '/data/t-0', config)).log.logEndOffset
  })
  return result
}

/** Until the file has all that was appended, on the device or not. */
async function written(log: TestLog, sim: SimWorld): Promise<void> {
  while (log.log.segments.some((segment) => segment.writtenBytes < segment.sizeBytes)) await sim.sleep(1)
}

test('flush.messages=2: what waits for its flush is seen by nobody', async () => {
  for (const seed of seedsFromEnvironment(1, 40)) {
    const { seen, durable, left } = await whileFlushing(seed, { flushMessages: 2 }, async (log, sim) => {
      log.log.append(makeBatch(), 0)
      log.log.append(makeBatch(), 0)
      await written(log, sim)
    })
    assert.equal(seen, durable)
    assert(left >= seen, `${seen} records were seen, ${left} are left`)
  }
})

test('flush.messages=n: a power cut takes fewer than n records that a reader has seen', async () => {
  for (const seed of seedsFromEnvironment(100, 40)) {
    const flushMessages = 2 + (seed % 5)
    const config = { flushMessages, segmentBytes: seed % 2 === 0 ? 300 : 1 << 20 }
    const { seen, left } = await whileFlushing(seed, config, async (log, sim) => {
      for (let i = 0; i < 12; i++) {
        log.log.append(makeBatch(1 + (i % 3)), 0)
        if (sim.random.chance(0.6)) await written(log, sim)
        if (sim.random.chance(0.1)) await sim.sleep(4000)
      }
      await written(log, sim)
    })
    assert(left > seen - flushMessages, `flush.messages=${flushMessages}: ${seen} seen, ${left} left`)
  }
})

test('flush.messages raised while records wait for a flush: they are seen when the new rule says so', async () => {
  const { seen } = await whileFlushing(7, { flushMessages: 2 }, async (log, sim) => {
    log.log.append(makeBatch(3), 0)
    await written(log, sim)
    assert.equal(await seenEnd(log), 1)
    log.log.updateConfig({ ...log.log.config, flushMessages: 100 })
    await log.append(makeBatch())
  })
  assert.equal(seen, 5)
})
