import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as batch from '../../../protocol/records/record-batch.ts'
import { buildControlBatch } from '../../../protocol/records/record-builder.ts'
import { seedsFromEnvironment } from '../../simulator/sim-random.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { makeBatch, NOW, TestLog } from '../log-fixture.ts'

const HOME = '/data/t-0'
const CONFIG = {
  segmentBytes: 300,
  flushMessages: 1,
  cleanupPolicy: { delete: false, compact: true },
} as const
const REPLACED = 3

function offsets(batches: readonly Buffer[]): number[] {
  return batches.map((bytes) => batch.baseOffset(bytes, 0))
}

async function fill(log: TestLog): Promise<void> {
  const producer = { producerId: 3, producerEpoch: 0 }
  await log.append(makeBatch(1, 60, { ...producer, baseSequence: 0, transactional: true }))
  await log.append(buildControlBatch('ABORT', 1, producer, NOW))
  for (let i = 0; i < 12; i++) await log.append(makeBatch(1, 60))
  await log.flush()
}

/** A kill leaves names that a power loss may still take; what the start does about them must not count on them. */
test('a compaction that is killed, and a start after it that loses power, leave the old segments or the new one', async () => {
  const seen = new Set<string>()
  for (const seed of seedsFromEnvironment(1, 200)) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const process = sim.start()
      process.world.disk.makeDirectory('/data')
      await new Promise((done) => process.world.disk.syncDirectory('/', done))
      const log = await TestLog.open(process.world, HOME, CONFIG)
      await fill(log)
      const all = await log.readAll()
      const { segments } = log.log
      assert(segments.length > REPLACED + 1)
      const last = segments[REPLACED - 1]!.baseOffset
      const replacement = log.log.beginReplacement(0)
      await replacement.append(
        Buffer.concat(all.filter((bytes) => [0, 1, last].includes(batch.baseOffset(bytes, 0)))),
      )
      const behind = segments[REPLACED]!.baseOffset
      const compacted = [0, 1, last, ...offsets(all).filter((offset) => offset >= behind)]
      const swapping = log.log.replaceSegments(segments.slice(0, REPLACED), replacement, new Set())
      swapping.catch(() => {})
      const isNamed = (): boolean => process.world.disk.list(HOME).some((name) => name.endsWith('.log.swap'))
      while (!isNamed()) await sim.sleep(0.1)
      await sim.sleep(sim.random.fraction() * sim.random.pick([0, 3, 12]))
      if (sim.random.chance(0.5)) await sim.kill(process)
      else await sim.powerLoss(process)
      for (let start = 0; start < 2; start++) {
        const starting = sim.start()
        TestLog.open(starting.world, HOME, CONFIG).catch(() => {})
        await sim.sleep(sim.random.fraction() * 12)
        if (sim.random.chance(0.2)) await sim.kill(starting)
        else await sim.powerLoss(starting)
      }
      const again = await TestLog.open(sim.start().world, HOME, CONFIG)
      const left = offsets(await again.readAll()).join()
      assert([offsets(all).join(), compacted.join()].includes(left), `left: ${left}`)
      assert.equal(again.log.abortedTransactions.within(0, 100).length, 1, `aborted: ${left}`)
      seen.add(left)
    })
  }
  assert.equal(seen.size, 2, 'the power was cut at different moments')
})
