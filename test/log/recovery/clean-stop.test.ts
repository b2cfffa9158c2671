import assert from 'node:assert/strict'
import { test } from 'node:test'
import { removePath, writeWhole } from '../../../src/log/files/disk-calls.ts'
import type { LogConfig } from '../../../src/log/log-config.ts'
import type { Log } from '../../../src/log/log.ts'
import type { LogManager } from '../../../src/log/manager/log-manager.ts'
import type { World } from '../../../src/ports.ts'
import type { SimProcess } from '../../simulator/sim-machine.ts'
import { compacted, quiet, scene } from '../compaction/cleaner-fixture.ts'
import type { Scene } from '../compaction/cleaner-fixture.ts'
import { batchOf, logConfig, startManager } from '../manager/log-manager-fixture.ts'

/** What a clean stop left is there at the next start, or the start says what is missing; so it is with the log start. */

const STARTS = '/data/one/log-start-offset-checkpoint'
const plain = logConfig({ flushMessages: 1, segmentBytes: 1000 })
const MISSING = /RECORDS ARE MISSING/

type Damage = (world: World, segments: readonly string[]) => Promise<void>

interface Start {
  readonly process: SimProcess
  readonly manager: LogManager
  readonly log: Log
}

async function put({ partition, now }: Scene, count: number): Promise<void> {
  for (let i = 0; i < count; i++)
    await partition.append(batchOf([[`key-${i % 12}`, `${i}${'-'.repeat(300)}`]], now()))
}

async function startAgain(
  { sim }: Scene,
  config: LogConfig,
  damage: (world: World) => Promise<void> = async () => {},
): Promise<Start> {
  const process = sim.start()
  await damage(process.world)
  const manager = await startManager(process, quiet, config)
  const log = manager.get('t', 0)
  assert(log !== undefined)
  return { process, manager, log }
}

const remove =
  (index: number, suffixes: readonly string[]): Damage =>
  async (world, segments) => {
    for (const suffix of suffixes) {
      const path = segments[index]!.replace(/\.log$/, suffix)
      if (world.disk.exists(path)) await removePath(world.disk, path)
    }
  }
const ALL_FILES = ['.log', '.index', '.timeindex', '.snapshot']

const LOSSES: readonly (readonly [what: string, index: number, damage: Damage])[] = [
  ['whose oldest segment is gone', 0, remove(0, ALL_FILES)],
  ['of whose oldest segment the log file is gone', 0, remove(0, ['.log'])],
  ['of which a segment in the middle is gone', 1, remove(1, ALL_FILES)],
  [
    'whose oldest segment is empty',
    0,
    (world, [path]) => writeWhole(world.disk, path!, Buffer.alloc(0), true),
  ],
  [
    'whose oldest segment is all zeros',
    0,
    (world, [path]) => {
      const { length } = world.disk.readFile(path!)
      return writeWhole(world.disk, path!, Buffer.alloc(length), true)
    },
  ],
]

for (const [kind, config] of [
  ['plain', plain],
  ['compacted', compacted],
] as const) {
  for (const [what, index, damage] of LOSSES) {
    test(`a ${kind} log ${what} after a clean stop misses records, with their offsets, once`, async () => {
      await scene(1, config, async (scene) => {
        await put(scene, 30)
        if (kind === 'compacted') {
          await scene.manager.clean()
          await put(scene, 9)
        }
        const segments = scene.partition.log.segments.map(({ path, baseOffset, sizeBytes }) => ({
          path,
          baseOffset,
          sizeBytes,
        }))
        // Of some compaction left nothing.
        const full = segments.filter(({ sizeBytes }) => sizeBytes > 0)
        assert(full.length > 3)
        await scene.manager.close(true)
        const { process, manager } = await startAgain(scene, config, (world) =>
          damage(
            world,
            full.map(({ path }) => path),
          ),
        )
        const lines = process.logger.lines.filter(({ message }) => MISSING.test(message))
        assert.equal(lines.length, 1, process.logger.messages('error').join())
        const { fields } = lines[0]!
        assert.deepEqual(
          [fields['offset'], fields['goesOnAt']],
          [full[index]!.baseOffset, segments[segments.indexOf(full[index]!) + 1]!.baseOffset],
        )
        assert.equal(manager.uncleanCount, 1)
        await manager.close(true)
        const next = await startAgain(scene, config)
        assert.deepEqual(next.process.logger.messages('error'), [])
        assert.equal(next.manager.uncleanCount, 0)
      })
    })
  }

  test(`a ${kind} log that is as it was has nothing to say, and neither when another broker ran in between`, async () => {
    await scene(2, config, async (scene) => {
      await put(scene, 30)
      await scene.manager.clean()
      await scene.manager.close(true)
      const again = await startAgain(scene, config)
      assert.deepEqual(again.process.logger.messages('warn'), [])
      assert.equal(again.manager.uncleanCount, 0)
      const [oldest] = again.log.segments
      await again.manager.close(true)
      // As Apache Kafka leaves it, whose retention took the oldest segment.
      const marker = Buffer.from('{"version":0,"brokerEpoch":9}')
      const after = await startAgain(scene, config, async (world) => {
        await writeWhole(world.disk, '/data/one/.kafka_cleanshutdown', marker, true)
        await remove(0, ALL_FILES)(world, [oldest!.path])
      })
      assert.deepEqual(after.process.logger.messages('error'), [])
      assert.equal(after.manager.uncleanCount, 0)
    })
  })
}

for (const length of ['no bytes', 'zeros']) {
  test(`a segment of a compacted log that has ${length} where its time index knows of records is a loss after a kill too`, async () => {
    await scene(5, compacted, async (scene) => {
      await put(scene, 30)
      await scene.manager.clean()
      await put(scene, 9)
      await new Promise<boolean>((done) => scene.partition.log.flush(done))
      await scene.manager.checkpointLogStartOffsets()
      const { segments } = scene.partition.log
      const [full] = segments.filter(({ sizeBytes }) => sizeBytes > 0)
      const behind = segments[segments.indexOf(full!) + 1]!.baseOffset
      await scene.sim.kill(scene.process)
      const { process, manager } = await startAgain(scene, compacted, (world) => {
        const bytes = Buffer.alloc(length === 'zeros' ? full!.sizeBytes : 0)
        return writeWhole(world.disk, full!.path, bytes, true)
      })
      const lines = process.logger.lines.filter(({ message }) => MISSING.test(message))
      assert.deepEqual(
        lines.map(({ fields }) => [fields['offset'], fields['goesOnAt']]),
        [[full!.baseOffset, behind]],
      )
      assert.equal(manager.uncleanCount, 1)
    })
  })
}

test('a log start that a flipped bit raised after a kill is said', async () => {
  await scene(6, plain, async (scene) => {
    await put(scene, 30)
    scene.partition.log.deleteRecordsBefore(14)
    await scene.manager.checkpointLogStartOffsets()
    await scene.sim.kill(scene.process)
    const raised = Buffer.from('0\n1\nt 0 15\n')
    const again = await startAgain(scene, plain, (world) => writeWhole(world.disk, STARTS, raised, true))
    assert.equal(again.log.logStartOffset, 15)
    assert.match(again.process.logger.messages('warn').join(), /the log starts above where it started before/)
  })
})

const DAMAGED_STARTS: readonly (readonly [what: string, damage: (world: World) => Promise<void>])[] = [
  ['gone', (world) => removePath(world.disk, STARTS)],
  ['empty', (world) => writeWhole(world.disk, STARTS, Buffer.alloc(0), true)],
  ['garbage', (world) => writeWhole(world.disk, STARTS, Buffer.from('0\n1\nt 0 x'), true)],
  ['without the log', (world) => writeWhole(world.disk, STARTS, Buffer.from('0\n0\n'), true)],
  ['too low', (world) => writeWhole(world.disk, STARTS, Buffer.from('0\n1\nt 0 3\n'), true)],
]
const READABLE = ['without the log', 'too low']

for (const [what, damage] of DAMAGED_STARTS) {
  for (const clean of [true, false]) {
    const stop = clean ? 'a clean stop' : 'a kill'
    test(`a log does not start lower in silence when the checkpoint of log starts is ${what} after ${stop}`, async () => {
      await scene(3, plain, async (scene) => {
        await put(scene, 30)
        const { manager, partition, process, sim } = scene
        partition.log.deleteRecordsBefore(14)
        await manager.checkpointLogStartOffsets()
        if (clean) await manager.close(true)
        else await sim.kill(process)
        const again = await startAgain(scene, plain, damage)
        const said = again.process.logger.messages('warn').join()
        if (clean || !READABLE.includes(what)) {
          assert.equal(again.log.logStartOffset, 14)
          assert.match(said, /log start checkpoint is lost or damaged: the logs start where they did before/)
        } else {
          assert(again.log.logStartOffset < 14)
          assert.match(said, /the log starts below where it started before/)
        }
        await again.manager.close(true)
        // It was told.
        assert.deepEqual((await startAgain(scene, plain)).process.logger.messages('warn'), [])
      })
    })
  }
}

test('a log start that a flipped bit raised beyond the log costs no record after a clean stop', async () => {
  await scene(4, plain, async (scene) => {
    await put(scene, 30)
    scene.partition.log.deleteRecordsBefore(14)
    await scene.manager.close(true)
    const raised = Buffer.from('0\n1\nt 0 54\n')
    const { log } = await startAgain(scene, plain, (world) => writeWhole(world.disk, STARTS, raised, true))
    assert.deepEqual([log.logStartOffset, log.logEndOffset], [14, 30])
  })
})
