import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as batch from '../../../protocol/records/record-batch.ts'
import { buildControlBatch } from '../../../protocol/records/record-builder.ts'
import type { Log } from '../../../src/log/log.ts'
import type { LogManager } from '../../../src/log/manager/log-manager.ts'
import { seedsFromEnvironment } from '../../simulator/sim-random.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import type { SimProcess } from '../../simulator/sim-machine.ts'
import { batchOf, partitionOf, startManager } from '../manager/log-manager-fixture.ts'
import type { Entry, Partition } from '../manager/log-manager-fixture.ts'
import { compacted, quiet, readBatches, readCommitted, replay, scene } from './cleaner-fixture.ts'

const config = { ...compacted, minCleanableDirtyRatio: 0, deleteRetentionMs: 20_000 }

/** A producer with transactions on one partition. */
class Transactional {
  readonly #partition: Partition
  readonly #producer: { readonly producerId: number; readonly producerEpoch: number }
  #sequence = 0

  constructor(partition: Partition, producerId: number, sequence = 0) {
    this.#partition = partition
    this.#producer = { producerId, producerEpoch: 0 }
    this.#sequence = sequence
  }

  get sequence(): number {
    return this.#sequence
  }

  async put(entries: readonly Entry[], nowMs: number): Promise<number> {
    const baseSequence = this.#sequence
    this.#sequence += entries.length
    const options = { ...this.#producer, baseSequence, transactional: true }
    const offset = await this.#partition.append(batchOf(entries, nowMs, options))
    assert(offset >= 0)
    return offset
  }

  async end(type: 'ABORT' | 'COMMIT', nowMs: number): Promise<void> {
    assert((await this.#partition.append(buildControlBatch(type, 0, this.#producer, nowMs))) >= 0)
  }
}

async function filler(partition: Partition, name: string, count: number, nowMs: number): Promise<void> {
  for (let i = 0; i < count; i++) await partition.append(batchOf([[`${name}-${i}`, 'x'.repeat(300)]], nowMs))
}

function markersOf(batches: readonly Buffer[]): number[] {
  return batches.filter((bytes) => batch.isControl(bytes, 0)).map((bytes) => batch.baseOffset(bytes, 0))
}

test('a tombstone committed after an aborted transaction of its producer deletes, whatever was cleaned before', async () => {
  await scene(1, config, async ({ sim, manager, partition, now }) => {
    const producer = new Transactional(partition, 7)
    await partition.append(batchOf([['user-1', 'personal data']], now()))
    await producer.put([['user-1', 'aborted']], now())
    await producer.end('ABORT', now())
    await filler(partition, 'a', 6, now())
    await manager.clean()
    await producer.put([['user-1', null]], now())
    await producer.end('COMMIT', now())
    for (const name of ['b', 'c', 'd']) {
      await filler(partition, name, 6, now())
      await manager.clean()
      await sim.sleep(30_000)
    }
    const left = (await readCommitted(partition.log)).filter(([, key]) => key === 'user-1')
    assert.deepEqual(left, [])
  })
})

test('a marker goes some time after the last batch of its transaction, and with it what the index knows', async () => {
  await scene(2, config, async ({ sim, process, manager, partition, now }) => {
    const { log } = partition
    for (let i = 0; i < 6; i++) {
      const producer = new Transactional(partition, 100 + i)
      await producer.put([['k', `${i}`]], now())
      await producer.end(i % 2 === 0 ? 'ABORT' : 'COMMIT', now())
    }
    assert.equal(markersOf(await readBatches(log)).length, 6)
    assert.equal(log.abortedTransactions.count, 3)
    // Nobody remembers the producers: else their last batch stays, for its sequence.
    log.producers.expire(now() + 1, 0)
    await filler(partition, 'a', 6, now())
    await partition.append(batchOf([['k', 'last']], now()))
    await filler(partition, 'b', 6, now())
    await manager.clean()
    assert.equal(markersOf(await readBatches(log)).length, 6, 'there was a batch of each when the pass began')
    await filler(partition, 'c', 6, now())
    await manager.clean()
    assert.equal(markersOf(await readBatches(log)).length, 6, 'delete.retention.ms counts from now on')
    assert.equal(log.abortedTransactions.count, 0)
    assert.deepEqual(
      process.world.disk.list('/data/one/t-0').filter((name) => /^\d+\.txnindex$/.test(name)),
      [],
    )
    await sim.sleep(30_000)
    await filler(partition, 'd', 6, now())
    await manager.clean()
    assert.deepEqual(markersOf(await readBatches(log)), [])
    assert.equal(log.firstOpenTransactionOffset, -1)
    assert.equal(replay(await readCommitted(log)).get('k'), 'last')
  })
})

test('what a marker replaces is gone only once no power loss can take the marker back', async () => {
  const inPageCache = { ...config, flushMessages: Number.MAX_SAFE_INTEGER }
  for (const seed of seedsFromEnvironment(1, 60)) {
    await scene(seed, inPageCache, async ({ sim, process, manager, partition, now }) => {
      const producer = new Transactional(partition, 7)
      await partition.append(batchOf([['k', 'old']], now()))
      await producer.put([['k', 'new']], now())
      partition.log.roll()
      const ended = producer.end('COMMIT', now())
      // Or it is on its way still when the pass begins.
      if (seed % 2 === 0) await ended
      await manager.clean()
      await ended
      assert(!(await readCommitted(partition.log)).some(([, , value]) => value === 'old'), 'it was compacted')
      await sim.powerLoss(process)
      const again = await startManager(sim.start(), quiet, inPageCache)
      const live = await partitionOf(again, 't', 0, inPageCache)
      // Its coordinator knows of nothing either.
      if (live.log.firstOpenTransactionOffset >= 0)
        await new Transactional(live, 7, producer.sequence).end('ABORT', now())
      assert.notEqual(replay(await readCommitted(live.log)).get('k'), undefined)
    })
  }
})

test('the marker that alone knows the epoch of its producer stays', async () => {
  await scene(3, config, async ({ sim, manager, partition, now }) => {
    await partition.append(buildControlBatch('ABORT', 0, { producerId: 5, producerEpoch: 9 }, now()))
    for (const name of ['a', 'b', 'c', 'd']) {
      await filler(partition, name, 6, now())
      await manager.clean()
      await sim.sleep(30_000)
    }
    assert.deepEqual(markersOf(await readBatches(partition.log)), [0])
  })
})

/** All records that were written, and which of them count. */
class Model {
  readonly #records: { offset: number; entry: Entry; counts: boolean }[] = []
  readonly #open = new Map<Transactional, { counts: boolean }[]>()

  add(base: number, entries: readonly Entry[], transaction: Transactional | null): void {
    for (const [i, entry] of entries.entries()) {
      const record = { offset: base + i, entry, counts: transaction === null }
      this.#records.push(record)
      if (transaction === null) continue
      const open = this.#open.get(transaction) ?? []
      this.#open.set(transaction, open)
      open.push(record)
    }
  }

  get open(): Transactional[] {
    return [...this.#open.keys()]
  }

  end(transaction: Transactional, commit: boolean): void {
    for (const record of this.#open.get(transaction) ?? []) record.counts = commit
    this.#open.delete(transaction)
  }

  get state(): Map<string, string> {
    const counting = this.#records.filter(({ counts }) => counts)
    return replay(counting.map(({ offset, entry: [key, value] }) => [offset, key, value] as const))
  }
}

/** One log through a long life: transactions, compaction at any time, stops, crashes. */
class Life {
  readonly #sim: SimWorld
  readonly #model = new Model()
  #process!: SimProcess
  #manager!: LogManager
  #partition!: Partition
  #producers: Transactional[] = []

  constructor(sim: SimWorld) {
    this.#sim = sim
  }

  async start(): Promise<void> {
    this.#process = this.#sim.start()
    const maxMapBytes = this.#sim.random.chance(0.5) ? 800 : 1 << 20
    const cleaner = { ...quiet.cleaner, maxMapBytes }
    this.#manager = await startManager(this.#process, { cleaner }, config)
    this.#partition = await partitionOf(this.#manager, 't', 0, config)
  }

  async step(round: number): Promise<void> {
    const { random } = this.#sim
    const entries: Entry[] = Array.from({ length: 1 + random.below(3) }, () => [
      `key-${random.below(9)}`,
      random.chance(0.3) ? null : `${round}${'-'.repeat(random.below(80))}`,
    ])
    const what = random.below(100)
    if (what < 30) {
      this.#model.add(await this.#partition.append(batchOf(entries, this.#nowMs)), entries, null)
    } else if (what < 65) {
      const producer = random.pick(this.#producers)
      this.#model.add(await producer.put(entries, this.#nowMs), entries, producer)
    } else if (what < 82) {
      await this.#endOne()
    } else if (what < 92) {
      await this.#clean()
    } else if (what < 97) {
      await this.#sim.sleep(random.below(30_000))
    } else {
      await this.#restart()
    }
  }

  async check(): Promise<void> {
    for (const producer of this.#model.open) await this.#end(producer)
    const committed = await readCommitted(this.#log)
    const seen = replay(committed.filter(([, key]) => key?.startsWith('key-')))
    assert.deepEqual(seen, this.#model.state)
    assert.equal(this.#log.firstOpenTransactionOffset, -1)
  }

  /** Until nothing more can go. */
  async settle(): Promise<void> {
    for (let i = 0; i < 4; i++) {
      await filler(this.#partition, 'filler', 4, this.#nowMs)
      await this.#clean()
      await this.#sim.sleep(30_000)
    }
  }

  makeProducers(): void {
    const known = this.#producers.map(({ sequence }) => sequence)
    this.#producers = [1, 2, 3].map((id, i) => new Transactional(this.#partition, id, known[i] ?? 0))
  }

  get #log(): Log {
    return this.#partition.log
  }

  get #nowMs(): number {
    return this.#process.world.clock.nowMs()
  }

  async #clean(): Promise<void> {
    await this.#manager.clean()
    if (this.#sim.random.chance(0.3)) await this.#manager.clean()
  }

  async #endOne(): Promise<void> {
    const { open } = this.#model
    if (open.length > 0) await this.#end(this.#sim.random.pick(open))
  }

  async #end(producer: Transactional): Promise<void> {
    const commit = this.#sim.random.chance(0.5)
    await producer.end(commit ? 'COMMIT' : 'ABORT', this.#nowMs)
    this.#model.end(producer, commit)
  }

  async #restart(): Promise<void> {
    for (const producer of this.#model.open) await this.#end(producer)
    const cleaning = this.#sim.random.chance(0.5) ? this.#manager.clean() : null
    if (cleaning !== null) await this.#sim.sleep(this.#sim.random.fraction() * 60)
    const how = this.#sim.random.below(3)
    if (how === 0) await this.#manager.close(true)
    if (how === 1) await this.#sim.kill(this.#process)
    if (how === 2) await this.#sim.powerLoss(this.#process)
    await this.start()
    this.makeProducers()
    await this.check()
  }
}

test('through compactions, crashes and time: what was committed counts, what was aborted or deleted never comes back', async () => {
  for (const seed of seedsFromEnvironment(1, 40)) {
    const sim = new SimWorld(seed)
    await sim.run(async () => {
      const life = new Life(sim)
      await life.start()
      life.makeProducers()
      for (let round = 0; round < 150; round++) await life.step(round)
      await life.check()
      await life.settle()
      await life.check()
    })
  }
})
