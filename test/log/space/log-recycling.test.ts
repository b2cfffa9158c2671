import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as batch from '../../../protocol/records/record-batch.ts'
import { syncDirectory } from '../../../src/log/files/disk-calls.ts'
import { SpareBudget } from '../../../src/log/space/spare-budget.ts'
import { seedsFromEnvironment } from '../../simulator/sim-random.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import type { SimProcess } from '../../simulator/sim-machine.ts'
import { content, makeBatch, split, TestLog } from '../log-fixture.ts'

const HOME = '/data/t-0'
const DURABLE = 1
const ORDINARY = Number.MAX_SAFE_INTEGER

/**
 * One partition over several lives of its broker, with small segments, retention that hardly keeps any, and files
 * written over again and again; beside it what each offset must hold. A record of one life never shows up under an
 * offset of another, whatever file it is in, and what was promised is there.
 */
class Lives {
  readonly #sim: SimWorld
  /** By offset: every batch has one record. */
  readonly #contents: string[] = []
  /** What must be there after a kill, and after a power loss. */
  #writtenEnd = 0
  #durableEnd = 0
  #startOffset = 0
  #recoveryPoint = 0
  #clean = false
  recycled = 0

  constructor(sim: SimWorld) {
    this.#sim = sim
  }

  async run(): Promise<void> {
    const { disk } = this.#sim.start().world
    disk.makeDirectory('/data')
    await syncDirectory(disk, '/')
    for (let life = 0; life < 6; life++) await this.#live()
  }

  async #live(): Promise<void> {
    const { random } = this.#sim
    const machine = this.#sim.start()
    const config = {
      flushMessages: random.chance(0.8) ? DURABLE : ORDINARY,
      segmentBytes: random.pick([6000, 12_000, 20_000]),
      retentionBytes: random.pick([5000, 20_000]),
      indexIntervalBytes: 500,
      fileDeleteDelayMs: random.pick([1, 20]),
    }
    const recoveryPoint = random.chance(0.7) ? this.#recoveryPoint : 0
    const spares = new SpareBudget(random.pick([1 << 20, 1 << 20, 0]))
    const known = { recoveryPoint, cleanShutdown: this.#clean, spares }
    const log = await TestLog.open(machine.world, HOME, config, known)
    await this.#found(log)
    const steps = random.below(60)
    for (let i = 0; i < steps; i++) await this.#step(log)
    await this.#end(log, machine)
  }

  async #found(log: TestLog): Promise<void> {
    const end = log.log.logEndOffset
    assert.ok(end >= this.#writtenEnd, `ends at ${end}, ${this.#writtenEnd} was promised`)
    assert.ok(log.log.logStartOffset <= this.#startOffset)
    const batches = await log.readAll(this.#startOffset)
    assert.deepEqual(
      batches.map((bytes) => batch.baseOffset(bytes, 0)),
      Array.from({ length: end - this.#startOffset }, (_, i) => this.#startOffset + i),
    )
    this.#check(await log.readAll())
    this.#contents.length = end
    this.#writtenEnd = end
    this.#durableEnd = log.log.durableEndOffset
  }

  #check(batches: readonly Buffer[]): void {
    for (const bytes of batches) {
      const offset = batch.baseOffset(bytes, 0)
      assert.equal(content(bytes), this.#contents[offset], `offset ${offset}`)
    }
  }

  async #step(log: TestLog): Promise<void> {
    const { random } = this.#sim
    const what = random.below(20)
    if (what < 12) {
      for (let i = random.below(4); i >= 0; i--) {
        // Equal sizes make batches of one life begin where those of another ended.
        const bytes = makeBatch(1, random.pick([900, 900, 900, random.below(2500)]), {
          timestampMs: this.#sim.scheduler.nowMs,
        })
        this.#contents.push(content(bytes))
        assert.equal(log.log.append(bytes, 0).errorCode, 0)
      }
      if (random.chance(0.6)) await log.reached(log.log.logEndOffset)
      if (log.log.segments.at(-1)?.recycled === true) this.recycled++
    } else if (what < 15) {
      await log.log.applyRetention(0)
      this.#startOffset = log.log.logStartOffset
    } else if (what === 15) log.log.roll()
    else if (what === 16) await this.#sim.sleep(random.below(40))
    else if (what === 17) void this.#readSome(log)
    else if (what === 18) await log.log.trimReserved(Infinity)
    else if (random.chance(0.3)) {
      const flushMessages = log.log.config.flushMessages === 1 ? ORDINARY : DURABLE
      log.log.updateConfig({ ...log.log.config, flushMessages })
    } else assert.equal(await log.flush(), true)
    assert.equal(log.failure, null)
    this.#writtenEnd = log.log.writtenEndOffset
    this.#durableEnd = log.log.durableEndOffset
    if (random.chance(0.3)) this.#recoveryPoint = log.log.recoveryPoint
  }

  /** Segments may go while it reads. */
  async #readSome(log: TestLog): Promise<void> {
    let offset = log.log.logStartOffset
    for (let i = 0; i < 5; i++) {
      const result = await log.read(offset, 4000)
      if (result.errorCode !== 0 || result.sizeBytes === 0) return
      this.#check(split(Buffer.concat(result.buffers)))
      offset = result.nextOffset
    }
  }

  async #end(log: TestLog, machine: SimProcess): Promise<void> {
    const { random } = this.#sim
    this.#clean = random.chance(0.3)
    if (this.#clean) {
      await log.log.close(true)
      assert.equal(log.failure, null)
      this.#writtenEnd = log.log.logEndOffset
      this.#durableEnd = log.log.logEndOffset
      this.#recoveryPoint = log.log.recoveryPoint
      assert.equal(this.#recoveryPoint, this.#writtenEnd)
    }
    if (random.chance(0.5)) {
      await this.#sim.kill(machine)
    } else {
      await this.#sim.powerLoss(machine)
      this.#writtenEnd = this.#durableEnd
    }
  }
}

test('whatever a file held before, a log holds what was appended to it', async () => {
  let recycled = 0
  for (const seed of seedsFromEnvironment(1, 60)) {
    const sim = new SimWorld(seed, { journalledNames: seed % 2 === 0 })
    const lives = new Lives(sim)
    await sim.run(() => lives.run())
    recycled += lives.recycled
  }
  assert.ok(recycled > 0, 'no file was written over')
})

/** Batches of this size: the second of a file has a header that lies on two sectors. */
const ACROSS_SECTORS = 502

/** What is in the log after a power loss that met the second batch of a file in which a batch began just there. */
async function afterTornHeader(seed: number): Promise<{ found: string[]; appended: string[] }> {
  const sim = new SimWorld(seed)
  const appended: string[] = []
  let found: string[] = []
  await sim.run(async () => {
    const config = { flushMessages: DURABLE, segmentBytes: 3 * ACROSS_SECTORS, fileDeleteDelayMs: 1 }
    const machine = sim.start()
    machine.world.disk.makeDirectory('/data')
    await syncDirectory(machine.world.disk, '/')
    const test = await TestLog.open(machine.world, HOME, config, { spares: new SpareBudget(1 << 20) })
    const append = (): void => {
      const empty = makeBatch(1, 0).length
      const bytes = makeBatch(1, ACROSS_SECTORS - empty - 2, { timestampMs: appended.length })
      assert.equal(bytes.length, ACROSS_SECTORS)
      appended.push(content(bytes))
      assert.equal(test.log.append(bytes, 0).errorCode, 0)
    }
    for (let i = 0; i < 6; i++) append()
    await test.reached(6)
    await test.flush()
    test.log.updateConfig({ ...test.log.config, retentionBytes: 600 })
    await test.log.applyRetention(0)
    await sim.sleep(20)
    append()
    await test.reached(7)
    assert.equal(test.log.segments.at(-1)?.recycled, true)
    append()
    await sim.sleep(sim.random.fraction() * 4)
    await sim.powerLoss(machine)
    const again = await TestLog.open(sim.start().world, HOME, config)
    found = (await again.readAll()).map(content)
    appended.splice(0, again.log.logStartOffset)
  })
  return { found, appended }
}

test('a write that is cut short within a header gives no old batch a new offset', async () => {
  const ends = new Set<number>()
  for (const seed of seedsFromEnvironment(1, 150)) {
    const { found, appended } = await afterTornHeader(seed)
    assert.deepEqual(found, appended.slice(0, found.length), `seed ${seed}`)
    ends.add(found.length - appended.length)
  }
  assert.deepEqual(
    [...ends].sort((left, right) => left - right),
    [-1, 0],
  )
})

test('a compacted segment that is deleted while the one it replaced still waits leaves a log that lives', async () => {
  for (const seed of seedsFromEnvironment(1, 5)) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const config = { flushMessages: DURABLE, segmentBytes: 500, fileDeleteDelayMs: 30 }
      const { world } = sim.start()
      const test = await TestLog.open(world, HOME, config, { spares: new SpareBudget(1 << 20) })
      for (let i = 0; i < 8; i++) await test.append(makeBatch(1, 300))
      await test.flush()
      const [first] = await test.readAll()
      const replacement = test.log.beginReplacement(0)
      await replacement.append(Buffer.from(first!))
      await test.log.replaceSegments(test.log.segments.slice(0, 1), replacement, new Set())
      await sim.sleep(10)
      test.log.updateConfig({ ...test.log.config, retentionBytes: 500 })
      assert(await test.log.applyRetention(world.clock.nowMs()))
      await sim.sleep(200)
      assert.equal(test.failure, null)
      assert.deepEqual(
        world.disk.list(HOME).filter((name) => name.endsWith('.deleted')),
        [],
      )
    })
  }
})
