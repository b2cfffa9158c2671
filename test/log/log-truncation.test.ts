import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as batch from '../../protocol/records/record-batch.ts'
import { RecordReader } from '../../protocol/records/record-reader.ts'
import { recordsOf } from '../../src/log/compaction/cleaner-batch.ts'
import type { LogConfig } from '../../src/log/log-config.ts'
import type { LogManager } from '../../src/log/manager/log-manager.ts'
import { ReadBuffers } from '../../src/log/read/read-buffers.ts'
import { readToSend } from '../../src/log/read/log-reader.ts'
import type { SendableRead } from '../../src/log/log-types.ts'
import { SimFileSlice } from '../simulator/sim-file.ts'
import { SimWorld } from '../simulator/sim-world.ts'
import type { SimProcess } from '../simulator/sim-machine.ts'
import { Seeded } from '../support/seed.ts'
import { content, makeBatch, segmentNames, split, TestLog } from './log-fixture.ts'
import { batchOf, logConfig, partitionOf, readAll, startManager } from './manager/log-manager-fixture.ts'
import type { Partition } from './manager/log-manager-fixture.ts'
import { lookupWork } from '../support/lookup-work.ts'

const NEVER_MS = 2 ** 31 - 1
const compacted = logConfig({
  cleanupPolicy: { delete: false, compact: true },
  segmentBytes: 1000,
  flushMessages: 1,
  fileDeleteDelayMs: 1,
  minCleanableDirtyRatio: 0.01,
  deleteRetentionMs: 1000,
})

test('a log may be cut during a compaction pass', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const proc = sim.start()
      const cleaner = { enabled: true, backoffMs: NEVER_MS, maxBytesPerSecond: 200_000 }
      const manager = await startManager(proc, { cleaner }, compacted)
      const partition = await partitionOf(manager, 't', 0, compacted)
      const now = proc.world.clock.nowMs()
      for (let i = 0; i < 60; i++) await partition.append(batchOf([[`k${i % 20}`, `v${i}`.padEnd(200)]], now))
      await sim.sleep(500)
      const cleaning = manager.clean()
      await sim.sleep(20 + seed * 5)
      await partition.log.truncateTo(10)
      const left = await readAll(partition.log)
      await cleaning
      assert.deepEqual(await readAll(partition.log), left, 'replaced by a record that was cut')
      assert.deepEqual(proc.logger.messages('error'), [])
      assert.equal(partition.log.failed, false)
      await manager.close(true)
    })
  }
})

test('a log may begin anew during a compaction pass', async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const proc = sim.start()
      const cleaner = { enabled: true, backoffMs: NEVER_MS }
      const manager = await startManager(proc, { cleaner }, compacted)
      const partition = await partitionOf(manager, 't', 0, compacted)
      const now = proc.world.clock.nowMs()
      for (let i = 0; i < 60; i++) await partition.append(batchOf([[`k${i % 20}`, `v${i}`.padEnd(200)]], now))
      await sim.sleep(500)
      const first = manager.clean()
      await sim.sleep(seed / 8)
      const beginning = partition.log.truncateFullyAndStartAt(seed)
      await sim.sleep(seed / 8)
      await Promise.all([first, manager.clean(), beginning])
      assert.deepEqual(proc.logger.messages('error'), [])
      assert.equal(partition.log.failed, false)
      assert.equal(partition.log.logEndOffset, seed)
      await manager.close(true)
    })
  }
})

test('what was cut counts as not compacted: a deleted key stays deleted', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const proc = sim.start()
    const cleaner = { enabled: true, backoffMs: NEVER_MS }
    const manager = await startManager(proc, { cleaner }, compacted)
    const partition = await partitionOf(manager, 't', 0, compacted)
    const now = (): number => proc.world.clock.nowMs()
    const fill = async (count: number, tag: string): Promise<void> => {
      for (let i = 0; i < count; i++) {
        partition.highWatermark = 0
        await partition.append(batchOf([[`${tag}${i}`, 'x'.repeat(150)]], now()))
      }
      await sim.sleep(200)
      await manager.clean()
    }
    await partition.append(batchOf([['user', 'personal']], now()))
    await fill(30, 'a')
    await partition.log.truncateTo(10)
    partition.highWatermark = 0
    await partition.append(batchOf([['user', null]], now()))
    await fill(40, 'b')
    await sim.sleep(5000)
    await fill(20, 'c')
    assert.deepEqual(
      (await readAll(partition.log)).filter(([, key]) => key === 'user'),
      [],
    )
    await manager.close(true)
  })
})

test('bytes that are on their way to a client stay what they were when the log is cut and goes on', async () => {
  const sim = new SimWorld(3)
  await sim.run(async () => {
    const { world } = sim.start()
    const test = await TestLog.open(world, '/data/t-0', { segmentBytes: 1 << 20, flushMessages: 1 })
    for (let i = 0; i < 60; i++) await test.append(makeBatch(1, 2_000))
    const before = await test.readAll()
    const buffers = new ReadBuffers()
    let slice: SimFileSlice | null = null
    for (let i = 0; i < 50 && slice === null; i++) {
      const read = await new Promise<SendableRead>((done) =>
        readToSend(test.log, 0, 100_000, Infinity, true, buffers, true, done),
      )
      const [piece] = read.pieces
      if (piece instanceof SimFileSlice) slice = piece
    }
    assert.ok(slice !== null)
    await test.log.truncateTo(10)
    for (let i = 0; i < 60; i++) await test.append(makeBatch(1, 2_000, { timestampMs: 1 }))
    const sent = split(slice.take(0, slice.length))
    assert.deepEqual(sent.map(content), before.slice(0, sent.length).map(content))
    slice.release()
    assert.equal((await test.readAll()).length, 70)
    await test.log.close(true)
  })
})

test('a reader that is under way does not bring back the file of a segment that was cut off', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const { world } = sim.start()
      const test = await TestLog.open(world, '/data/t-0', { segmentBytes: 1000, indexIntervalBytes: 50 })
      for (let i = 0; i < 40; i++) await test.append(makeBatch(1, 200))
      await test.flush()
      let busy = true
      const readers = Array.from({ length: 6 }, async (_, i) => {
        while (busy) {
          for (const segment of test.log.segments) segment.evict()
          await Promise.all([test.read(5 + i * 6), test.log.offsetForTimestamp(0, Infinity, lookupWork())])
          await sim.sleep(1)
        }
      })
      await sim.sleep(5)
      await test.log.truncateTo(7)
      await sim.sleep(50)
      busy = false
      await Promise.all(readers)
      assert.equal(test.failure, null)
      assert.deepEqual(
        segmentNames(world, '/data/t-0'),
        test.log.segments.map(({ baseOffset }) => `${String(baseOffset).padStart(20, '0')}.log`),
      )
      await test.log.close(true)
    })
  }
})

/** A follower's life: it appends, cuts, is read, compacted and flushed meanwhile, and loses power. */
class CutLog {
  readonly #sim: SimWorld
  readonly #random: Seeded
  readonly #config: LogConfig
  #proc: SimProcess
  #manager!: LogManager
  #partition!: Partition
  /** By offset, what a batch of one record holds. */
  #records = new Map<number, string>()
  /** All that ever was. */
  readonly #ever = new Set<string>()
  /** What must survive: everything below was on the device when it was cut last. */
  #durableEnd = 0
  #count = 0

  constructor(sim: SimWorld, seed: number, config: LogConfig) {
    this.#sim = sim
    this.#random = new Seeded(seed)
    this.#config = config
    this.#proc = sim.start()
  }

  async run(): Promise<void> {
    await this.#open()
    for (let step = 0; step < 60; step++) await this.#step()
    await this.#manager.close(true)
  }

  async #step(): Promise<void> {
    const random = this.#random
    const { log } = this.#partition
    const what = random.between(1, 20)
    if (what <= 10) this.#append()
    else if (what === 11) await this.#sim.sleep(random.between(0, 30))
    else if (what === 12) await new Promise((done) => log.flush(done))
    else if (what === 13) void this.#manager.clean()
    else if (what === 14) await this.#manager.checkpointLogStartOffsets()
    else if (what <= 16) void this.#read()
    else if (what <= 18) await this.#cut()
    else await this.#crash(what === 19)
    assert.equal(log.failed, false)
  }

  #append(): void {
    for (let i = this.#random.between(1, 4); i > 0; i--) {
      const value = `v${this.#count++}`
      const bytes = batchOf([[`k${this.#random.between(0, 30)}`, value.padEnd(150)]], this.#now())
      const { errorCode, baseOffset } = this.#partition.log.append(bytes, 0)
      assert.equal(errorCode, 0)
      this.#records.set(baseOffset, value)
      this.#ever.add(`${baseOffset} ${value}`)
    }
  }

  async #cut(): Promise<void> {
    const { log } = this.#partition
    if (log.logEndOffset === log.logStartOffset) return
    const end = this.#random.between(log.logStartOffset, log.logEndOffset - 1)
    const cutting = log.truncateTo(end)
    const crashes = this.#random.between(1, 4) === 1
    if (crashes) {
      await this.#sim.sleep(this.#random.between(0, 20))
      await this.#crash(this.#random.between(0, 1) === 0, end)
      return
    }
    await cutting
    assert.equal(log.logEndOffset, end)
    assert.equal(log.writtenEndOffset, end)
    this.#forgetFrom(end)
    this.#partition.highWatermark = end
    await this.#check()
  }

  /** `cutTo`: where a cut that may or may not have happened would have ended the log. */
  async #crash(power: boolean, cutTo = Infinity): Promise<void> {
    this.#durableEnd = Math.min(this.#partition.log.durableEndOffset, cutTo)
    if (power) await this.#sim.powerLoss(this.#proc)
    else await this.#sim.kill(this.#proc)
    this.#proc = this.#sim.start()
    await this.#open()
    const { log } = this.#partition
    // A power loss takes what was not flushed, in any order.
    if (!power || this.#config.flushMessages === 1) assert.deepEqual(log.recovery?.problems ?? [], [])
    // Where a cut falls into a gap, only the end of the cut tells where the log ends.
    if (!this.#config.cleanupPolicy.compact || cutTo === Infinity)
      assert.ok(log.logEndOffset >= this.#durableEnd, `${log.logEndOffset} of ${this.#durableEnd}`)
    this.#forgetFrom(log.logEndOffset)
    await this.#check()
  }

  #forgetFrom(end: number): void {
    for (const offset of this.#records.keys()) if (offset >= end) this.#records.delete(offset)
  }

  async #open(): Promise<void> {
    const cleaner = { enabled: true, backoffMs: NEVER_MS }
    this.#manager = await startManager(this.#proc, { cleaner, checkpointIntervalMs: NEVER_MS }, this.#config)
    this.#partition = await partitionOf(this.#manager, 't', 0, this.#config)
  }

  async #check(): Promise<void> {
    let last = -1
    for (const [offset, , value] of await readAll(this.#partition.log)) {
      assert.equal(value?.trim(), this.#records.get(offset), `offset ${offset}`)
      assert.ok(offset > last)
      last = offset
    }
  }

  /** Whatever happens meanwhile, what comes is what was there. */
  async #read(): Promise<void> {
    const { log } = this.#partition
    const offset = this.#random.between(log.logStartOffset, log.logEndOffset)
    const result = await new Promise<{ readonly errorCode: number; readonly buffers: Buffer[] }>((done) =>
      log.read(offset, 2000, Infinity, true, done),
    )
    for (const bytes of split(Buffer.concat(result.buffers))) {
      const reader = new RecordReader(recordsOf(bytes, 0, 1 << 20), batch.recordCount(bytes, 0))
      while (reader.next()) {
        const offset = batch.baseOffset(bytes, 0) + reader.offsetDelta
        assert.ok(this.#ever.has(`${offset} ${reader.value()?.toString().trim()}`), `offset ${offset}`)
      }
    }
  }

  #now(): number {
    return this.#proc.world.clock.nowMs()
  }
}

for (const [mode, flushMessages] of [
  ['durable', 1],
  ['os', Number.MAX_SAFE_INTEGER],
  ['every third', 3],
] as const) {
  test(`a log that is cut again and again is what is left of it, whatever happens meanwhile (${mode})`, async () => {
    for (let seed = 1; seed <= 40; seed++) {
      for (const compact of [false, true]) {
        const sim = new SimWorld(seed)
        const cleanupPolicy = { delete: !compact, compact }
        const config = { ...compacted, cleanupPolicy, flushMessages, segmentBytes: 700 }
        try {
          await sim.run(() => new CutLog(sim, seed, config).run())
        } catch (error) {
          assert.fail(`seed ${seed}, compact ${compact}: ${(error as Error).stack}`)
        }
      }
    }
  })
}

test('a log whose fresh start failed half way can still be closed', async () => {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const test = await TestLog.open(sim.start().world, '/data/t-0', { segmentBytes: 300 })
    for (let i = 0; i < 10; i++) await test.append(makeBatch(1, 60))
    sim.faults.add({ operation: 'remove', code: 'EIO' })
    await test.log.truncateFullyAndStartAt(100)
    assert.equal(test.failure?.code, 'SAMSA_DISK_IO')
    await test.log.close(false)
  })
})

test('indexes on their way from the disk do not replace those of a log that was cut meanwhile', async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const test = await TestLog.open(sim.start().world, '/t-0', {
        segmentBytes: 4000,
        indexIntervalBytes: 1,
      })
      const appended = (count: number, timestampMs: number): Promise<unknown> =>
        Promise.all(
          Array.from({ length: count }, (_, i) =>
            test.append(makeBatch(1, 10, { timestampMs: timestampMs + i })),
          ),
        )
      await appended(120, 1_000)
      await sim.sleep(100)
      const [first] = test.log.segments
      assert.ok(test.log.segments.length > 1)
      first!.evict()
      const found = test.log.offsetForTimestamp(1_005, Infinity, lookupWork())
      await sim.sleep(seed / 10)
      await test.log.truncateTo(5)
      await found
      // Other batches, at other places than those that were cut.
      for (let i = 0; i < 20; i++) await test.append(makeBatch(3, 10, { timestampMs: 5_000 + 10 * i }))
      for (let i = 0; i < 20; i++)
        assert.equal(
          (await test.log.offsetForTimestamp(5_000 + 10 * i, Infinity, lookupWork()))?.offset,
          5 + 3 * i,
        )
    })
  }
})

test('a cut reads what comes behind the last index entry, and leaves the indexes that the log had there', async () => {
  const sim = new SimWorld(7)
  await sim.run(async () => {
    const { world } = sim.start()
    const config = { indexIntervalBytes: 300 }
    const random = new Seeded(3)
    const batches = Array.from({ length: 60 }, (_, i) =>
      makeBatch(random.between(1, 3), random.between(20, 99), { timestampMs: 1_000 * random.between(0, i) }),
    )
    const ends: number[] = []
    const whole = async (directory: string, count: number): Promise<TestLog> => {
      const log = await TestLog.open(world, directory, config)
      for (const bytes of batches.slice(0, count)) await log.append(Buffer.from(bytes))
      return log
    }
    for (const bytes of batches) ends.push((ends.at(-1) ?? 0) + batch.recordCount(bytes, 0))
    for (let count = 0; count < batches.length; count += 7) {
      const cut = await whole(`/data/cut-${count}`, batches.length)
      // Nobody looks at what is in front: the size of the first batch, which the index says nothing of.
      const isIndexed = count >= 14
      const path = `/data/cut-${count}/${'0'.repeat(20)}.log`
      if (isIndexed) sim.image.flipBit(path, 8, 6)
      await cut.log.truncateTo(ends[count - 1] ?? 0)
      if (isIndexed) sim.image.flipBit(path, 8, 6)
      const expected = await whole(`/data/expected-${count}`, count)
      // What comes next is indexed as it would have been.
      for (const log of [cut, expected]) for (let i = 0; i < 9; i++) await log.append(makeBatch(1, 50 + i))
      const looks = [cut, expected].map(({ log }) => {
        const segment = log.segments.at(-1)!
        const { sizeBytes, firstTimestampMs, largestTimestampMs, largestTimestampOffset } = segment
        const indexes = [segment.offsetIndex?.encode(), segment.timeIndex?.encode()]
        return { sizeBytes, firstTimestampMs, largestTimestampMs, largestTimestampOffset, indexes }
      })
      assert.deepEqual(looks[0], looks[1], `cut to ${count} batches`)
      assert.deepEqual((await cut.readAll()).map(content), (await expected.readAll()).map(content))
    }
  })
})
