import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as batch from '../../../protocol/records/record-batch.ts'
import type { Log } from '../../../src/log/log.ts'
import { seedsFromEnvironment } from '../../simulator/sim-random.ts'
import type { SimRandom } from '../../simulator/sim-random.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { batchOf, partitionOf, readAll, startManager } from '../manager/log-manager-fixture.ts'
import type { Entry } from '../manager/log-manager-fixture.ts'
import { compacted, quiet, replay, scene } from './cleaner-fixture.ts'
import type { Scene } from './cleaner-fixture.ts'

function randomEntries(random: SimRandom, round: number): Entry[] {
  return Array.from({ length: 1 + random.below(4) }, (_, index) => [
    `key-${random.below(12)}`,
    random.chance(0.15) ? null : `${round}.${index}${'-'.repeat(random.below(60))}`,
  ])
}

async function fill(
  { sim, partition, now }: Pick<Scene, 'sim' | 'partition' | 'now'>,
  batches: number,
): Promise<Map<string, string>> {
  const state = new Map<string, string>()
  for (let round = 0; round < batches; round++) {
    const entries = randomEntries(sim.random, round)
    const codec = sim.random.pick([0, 0, 1, 2])
    assert((await partition.append(batchOf(entries, now(), { codec }))) >= 0, 'append')
    for (const [key, value] of entries) {
      if (value === null) state.delete(key ?? '')
      else state.set(key ?? '', value)
    }
  }
  return state
}

/** Records of closed segments: what compaction may touch. */
function closedEnd(log: Log): number {
  return log.segments.at(-1)?.baseOffset ?? 0
}

test('after compaction a consumer ends up with the same state, and each key is there once', async () => {
  for (const seed of seedsFromEnvironment(1, 40)) {
    await scene(seed, compacted, async (scene) => {
      const { manager, partition, sim } = scene
      const state = await fill(scene, 80)
      const { log } = partition
      const before = await readAll(log)
      await sim.sleep(1000)
      const sizeBefore = log.sizeBytes
      await manager.clean()
      const after = await readAll(log)
      assert.deepEqual(replay(after), state)
      const known = new Map(before.map((record) => [record[0], record]))
      for (const record of after) assert.deepEqual(record, known.get(record[0]), 'a record changed')
      const closed = after.filter(([offset]) => offset < closedEnd(log)).map(([, key]) => key)
      assert.equal(new Set(closed).size, closed.length, 'a key is there twice')
      assert(log.sizeBytes < sizeBefore / 2)
      assert.equal(log.logEndOffset, known.size)
      assert.equal(log.logStartOffset, 0)
      // Every offset can be asked for, those of removed records too.
      for (let offset = 0; offset < log.logEndOffset; offset += 7) {
        const result = await new Promise<{ errorCode: number; sizeBytes: number }>((resolve) =>
          log.read(offset, 10_000, log.writtenEndOffset, true, resolve),
        )
        assert.equal(result.errorCode, 0)
        assert(result.sizeBytes > 0)
      }
    })
  }
})

test('a second round finds nothing to do until enough is new', async () => {
  await scene(3, compacted, async (scene) => {
    const { manager, partition, sim } = scene
    await fill(scene, 60)
    await manager.clean()
    const cleaned = partition.log.segments[0]
    await manager.clean()
    assert.equal(partition.log.segments[0], cleaned)
    assert.match(
      sim.start().world.disk.readFile('/data/one/cleaner-offset-checkpoint').toString(),
      new RegExp(`^0\n1\nt 0 ${closedEnd(partition.log)}\n$`),
    )
  })
})

test('tombstones stay delete.retention.ms, then they go', async () => {
  await scene(4, compacted, async ({ manager, partition, sim, now }) => {
    const put = (entries: Entry[]) => partition.append(batchOf(entries, now()))
    await put([['gone', 'x'.repeat(600)]])
    await put([
      ['gone', null],
      ['stays', 'y'.repeat(600)],
    ])
    for (let i = 0; i < 5; i++) await put([['other', `${i}${'z'.repeat(600)}`]])
    await manager.clean()
    assert.deepEqual(
      (await readAll(partition.log)).filter(([, key]) => key === 'gone'),
      [[1, 'gone', null]],
    )
    await sim.sleep(60_000)
    for (let i = 0; i < 12; i++) await put([['other', `${i}${'z'.repeat(600)}`]])
    await manager.clean()
    const left = await readAll(partition.log)
    assert.deepEqual(
      left.filter(([, key]) => key === 'gone'),
      [],
    )
    assert.equal(left.filter(([, key]) => key === 'stays').length, 1)
  })
})

test('a power loss or kill at any moment leaves the state as it was', async () => {
  for (const seed of seedsFromEnvironment(100, 80)) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const process = sim.start()
      const manager = await startManager(process, quiet, { ...compacted, deleteRetentionMs: 1 })
      const partition = await partitionOf(manager, 't', 0, { ...compacted, deleteRetentionMs: 1 })
      const now = () => process.world.clock.nowMs()
      const state = await fill({ sim, partition, now }, 50)
      // Some seeds crash in a second pass, over segments that were compacted before.
      if (sim.random.chance(0.5)) {
        await manager.clean()
        await sim.sleep(10)
        for (const [key, value] of await fill({ sim, partition, now }, 60)) state.set(key, value)
        const expected = replay(await readAll(partition.log))
        state.clear()
        for (const [key, value] of expected) state.set(key, value)
      }
      void manager.clean()
      await sim.sleep(sim.random.fraction() * 150)
      if (sim.random.chance(0.5)) await sim.kill(process)
      else await sim.powerLoss(process)
      const next = sim.start()
      const again = await startManager(next, quiet, compacted)
      const log = again.get('t', 0)
      assert(log !== undefined)
      assert.deepEqual(replay(await readAll(log)), state)
      assert.equal(log.recovery?.midLogCorruption ?? false, false)
      await sim.sleep(100_000)
      await again.clean()
      assert.deepEqual(replay(await readAll(log)), state)
      await sim.sleep(1000)
      const leftovers = next.world.disk
        .list('/data/one/t-0')
        .filter((name) => /cleaned|swap|deleted/.test(name))
      assert.deepEqual(leftovers, [])
    })
  }
})

test('the state of producers survives compaction and a start without snapshots', async () => {
  for (const seed of seedsFromEnvironment(1, 10)) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const process = sim.start()
      const manager = await startManager(process, quiet, compacted)
      const partition = await partitionOf(manager, 't', 0, compacted)
      const nowMs = process.world.clock.nowMs()
      const producer = { producerId: 9, producerEpoch: 0 }
      for (let sequence = 0; sequence < 5; sequence++)
        await partition.append(
          batchOf([['k', `${sequence}`.padEnd(300)]], nowMs, { ...producer, baseSequence: sequence }),
        )
      for (let i = 0; i < 8; i++) await partition.append(batchOf([['k', `later ${i}`.padEnd(300)]], nowMs))
      await manager.clean()
      await sim.kill(process)
      const next = sim.start()
      for (const name of next.world.disk.list('/data/one/t-0'))
        if (name.endsWith('.snapshot')) next.world.disk.remove(`/data/one/t-0/${name}`, () => {})
      await sim.sleep(100)
      const log = (await startManager(next, quiet, compacted)).get('t', 0)
      assert(log !== undefined)
      const again = log.append(batchOf([['k', '4'.padEnd(300)]], nowMs, { ...producer, baseSequence: 4 }), 0)
      assert.equal(again.duplicate, true)
      assert.equal(again.baseOffset, 4)
      const gap = log.append(batchOf([['k', 'x']], nowMs, { ...producer, baseSequence: 7 }), 0)
      assert.equal(gap.errorCode, 45)
    })
  }
})

test('the lags: what is too young waits, what is too old leaves the active segment and is compacted', async () => {
  await scene(5, { ...compacted, minCompactionLagMs: 10_000 }, async (scene) => {
    const { manager, partition, sim } = scene
    await fill(scene, 40)
    const before = await readAll(partition.log)
    await manager.clean()
    assert.deepEqual(await readAll(partition.log), before)
    await sim.sleep(11_000)
    await manager.clean()
    assert((await readAll(partition.log)).length < before.length)
  })
  await scene(6, { ...compacted, segmentBytes: 1_000_000, maxCompactionLagMs: 60_000 }, async (scene) => {
    const { manager, partition, sim } = scene
    const state = await fill(scene, 40)
    await manager.clean()
    assert.equal(partition.log.segmentCount, 1)
    await sim.sleep(61_000)
    await manager.clean()
    await sim.sleep(100)
    await manager.clean()
    assert(partition.log.segmentCount >= 2)
    const after = await readAll(partition.log)
    assert.deepEqual(replay(after), state)
    assert.equal(new Set(after.map(([, key]) => key)).size, after.length)
  })
})

test('little memory takes more passes, with the same end', async () => {
  await scene(
    7,
    { ...compacted, minCleanableDirtyRatio: 0 },
    async (scene) => {
      const { manager, partition } = scene
      const state = await fill(scene, 60)
      for (let pass = 0; pass < 60; pass++) await manager.clean()
      const after = await readAll(partition.log)
      assert.deepEqual(replay(after), state)
      const closed = after.filter(([offset]) => offset < closedEnd(partition.log)).map(([, key]) => key)
      assert.equal(new Set(closed).size, closed.length)
    },
    { maxMapBytes: 500 },
  )
})

test('an open transaction holds compaction back', async () => {
  await scene(8, compacted, async ({ manager, partition, now }) => {
    const put = (value: string, more = {}) =>
      partition.append(batchOf([['k', value.padEnd(600)]], now(), more))
    await put('before')
    await put('open', { producerId: 3, producerEpoch: 0, baseSequence: 0, transactional: true })
    for (let i = 0; i < 5; i++) await put(`after ${i}`)
    await manager.clean()
    const offsets = (await readAll(partition.log)).map(([offset]) => offset)
    assert.deepEqual(offsets, [0, 1, 2, 3, 4, 5, 6])
  })
})

test('deleting and stopping do not wait for a long pass', async () => {
  await scene(
    9,
    compacted,
    async (scene) => {
      const { manager, sim } = scene
      await fill(scene, 60)
      const cleaning = manager.clean()
      await sim.sleep(100)
      const startedMs = sim.scheduler.nowMs
      await manager.delete('t', 0)
      assert(sim.scheduler.nowMs - startedMs < 5000)
      await cleaning
      assert.equal(manager.get('t', 0), undefined)
    },
    { maxBytesPerSecond: 1000 },
  )
})

test('a batch that rotted stops the compaction of its log, and is left as it is', async () => {
  await scene(10, compacted, async (scene) => {
    const { manager, partition, sim } = scene
    await fill(scene, 40)
    const path = '/data/one/t-0/00000000000000000000.log'
    sim.image.flipBit(path, batch.BATCH_OVERHEAD + 3, 1)
    const before = sim.start().world.disk.readFile(path)
    await manager.clean()
    assert(sim.start().world.disk.readFile(path).equals(before))
    assert(!partition.hasFailed)
  })
})
