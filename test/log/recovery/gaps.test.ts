import assert from 'node:assert/strict'
import { test } from 'node:test'
import { removePath } from '../../../src/log/files/disk-calls.ts'
import type { LogConfig } from '../../../src/log/log-config.ts'
import type { LogManager } from '../../../src/log/manager/log-manager.ts'
import { compacted, scene } from '../compaction/cleaner-fixture.ts'
import type { Scene } from '../compaction/cleaner-fixture.ts'
import { batchOf, logConfig, readAll, startManager } from '../manager/log-manager-fixture.ts'

/** A gap in the offsets of a log is what compaction took, or it is a loss. */

const HOME = '/data/one/t-0'
const kept = logConfig({ flushMessages: 1, segmentBytes: 1000 })

async function put({ partition, now }: Scene, count: number): Promise<void> {
  for (let i = 0; i < count; i++)
    await partition.append(batchOf([[`key-${i % 3}`, `${i}${'-'.repeat(300)}`]], now()))
}

/** Ends the process, and starts anew with the whole log to be looked at and without `missing`. */
async function startAgain(
  { sim, process }: Scene,
  config: LogConfig,
  missing: readonly string[] = [],
): Promise<{ manager: LogManager; errors: string[] }> {
  await sim.kill(process)
  const next = sim.start()
  for (const path of ['/data/one/recovery-point-offset-checkpoint', ...missing])
    await removePath(next.world.disk, path)
  const manager = await startManager(next, {}, config)
  return { manager, errors: next.logger.messages('error') }
}

test('a log that is not compacted any more keeps its gaps, and they are no loss', async () => {
  await scene(1, compacted, async (scene) => {
    await put(scene, 30)
    await scene.manager.clean()
    const before = await readAll(scene.partition.log)
    assert(before.length < 30)
    const { manager, errors } = await startAgain(scene, kept)
    assert.deepEqual(errors, [])
    assert.equal(manager.uncleanCount, 0)
    const log = manager.get('t', 0)
    assert(log !== undefined)
    assert.deepEqual(await readAll(log), before)
  })
})

test('a pass that is cut short has said before how far it may make gaps', async () => {
  for (const sleepMs of [1, 2, 4, 8, 16, 32]) {
    await scene(sleepMs, compacted, async (scene) => {
      await put(scene, 30)
      scene.manager.clean().catch(() => {})
      await scene.sim.sleep(sleepMs)
      const { manager, errors } = await startAgain(scene, kept)
      assert.deepEqual(errors, [])
      assert.equal(manager.uncleanCount, 0)
    })
  }
})

test('a segment that is missing behind what compaction went through is a loss, though the log is compacted', async () => {
  await scene(1, compacted, async (scene) => {
    await put(scene, 30)
    await scene.manager.clean()
    const cleaned = scene.partition.log.segments.at(-1)!.baseOffset
    await put(scene, 20)
    // The side files of closed segments.
    await new Promise<boolean>((resolve) => scene.partition.log.flush(resolve))
    const dirty = scene.partition.log.segments.filter(({ baseOffset }) => baseOffset > cleaned)
    assert(dirty.length > 3)
    const { manager, errors } = await startAgain(scene, compacted, [dirty[1]!.path])
    assert.equal(manager.uncleanCount, 1)
    assert.match(errors.join(), /RECORDS ARE MISSING/)
    await manager.close(true)
    // It was told.
    assert.equal((await startManager(scene.sim.start(), {}, compacted)).uncleanCount, 0)
  })
})

test('a log that Apache Kafka compacted may have gaps anywhere, until a pass says how far', async () => {
  await scene(1, compacted, async (scene) => {
    await put(scene, 30)
    const { manager, errors } = await startAgain(scene, compacted, [
      '/data/one/samsa-gap-offset-checkpoint',
      `${HOME}/00000000000000000003.log`,
    ])
    assert.deepEqual(errors, [])
    assert.equal(manager.uncleanCount, 0)
  })
})
