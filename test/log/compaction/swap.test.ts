import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as batch from '../../../protocol/records/record-batch.ts'
import { buildControlBatch } from '../../../protocol/records/record-builder.ts'
import { seedsFromEnvironment } from '../../simulator/sim-random.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { makeBatch, TestLog } from '../log-fixture.ts'

const config = {
  segmentBytes: 300,
  flushMessages: 1,
  cleanupPolicy: { delete: false, compact: true },
} as const

function offsets(batches: readonly Buffer[]): number[] {
  return batches.map((bytes) => batch.baseOffset(bytes, 0))
}

/**
 * Segments of which all went may come back, with all that came after them: an older record never comes back without the
 * tombstone behind it.
 */
test('a power loss in a swap of whose last segments nothing is kept leaves them, or a tail of them, or none', async () => {
  const seen = new Set<string>()
  for (const seed of seedsFromEnvironment(1, 150)) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const process = sim.start()
      process.world.disk.makeDirectory('/data')
      await new Promise((done) => process.world.disk.syncDirectory('/', done))
      const log = await TestLog.open(process.world, '/data/t-0', config)
      for (let i = 0; i < 12; i++) await log.append(makeBatch(1, 60))
      await log.flush()
      const all = await log.readAll()
      const { segments } = log.log
      assert(segments.length > 5)
      const replaced = segments.slice(0, 4)
      const bases = segments.map(({ baseOffset }) => baseOffset)
      const kept = all.slice(0, 1)
      const replacement = log.log.beginReplacement(0)
      await replacement.append(Buffer.concat(kept))
      const swapping = log.log.replaceSegments(replaced, replacement, new Set()).catch(() => {})
      await sim.sleep(sim.random.fraction() * 12)
      await sim.powerLoss(process)
      void swapping
      const again = await TestLog.open(sim.start().world, '/data/t-0', config)
      const left = offsets(await again.readAll())
      const possible = [offsets(all)]
      for (let from = 1; from <= 4; from++)
        possible.push([0, ...offsets(all).filter((offset) => offset >= bases[from]!)])
      assert(
        possible.some((one) => one.join() === left.join()),
        `left: ${left.join()}`,
      )
      assert.equal(again.log.recovery?.unclean, false)
      seen.add(left.join())
    })
  }
  assert(seen.size >= 3, 'the power was cut at different moments')
})

test('a swap that waited for descriptors, wherever that was, leaves no file of its work behind', async () => {
  for (let after = 0; after < 8; after++) {
    const sim = new SimWorld(after)
    await sim.run(async () => {
      const process = sim.start()
      const log = await TestLog.open(process.world, '/data/t-0', { ...config, fileDeleteDelayMs: 1 })
      const transactional = { producerId: 5, producerEpoch: 0, baseSequence: 0, transactional: true }
      await log.append(makeBatch(1, 60, transactional))
      await log.append(buildControlBatch('ABORT', 0, { producerId: 5, producerEpoch: 0 }, 1000))
      for (let i = 0; i < 10; i++) await log.append(makeBatch(1, 60))
      await log.flush()
      const replaced = log.log.segments.slice(0, 3)
      const replacement = log.log.beginReplacement(0)
      const end = replaced.at(-1)!.baseOffset
      const kept = (await log.readAll()).filter((bytes) => batch.baseOffset(bytes, 0) <= end)
      await replacement.append(Buffer.concat(kept))
      sim.faults.add({ operation: 'syncDirectory', code: 'EMFILE', after, count: 1 })
      assert.equal(await log.log.replaceSegments(replaced, replacement, new Set()), true)
      await sim.sleep(1000)
      const left = process.world.disk.list('/data/t-0')
      assert.deepEqual(
        left.filter(
          (name) => !/\.(log|index|timeindex|txnindex|snapshot)$/.test(name) && name.startsWith('0'),
        ),
        [],
      )
      await log.log.close(true)
    })
  }
})
