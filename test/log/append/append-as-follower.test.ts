import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import { buildControlBatch } from '../../../protocol/records/record-builder.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import type { SimProcess } from '../../simulator/sim-machine.ts'
import { Seeded } from '../../support/seed.ts'
import { makeBatch, onEveryDisk, segmentNames, TestLog } from '../log-fixture.ts'

/** As a leader stamps it. */
function stamped(bytes: Buffer, baseOffset: number, epoch = 0): Buffer {
  batch.setBaseOffset(bytes, 0, baseOffset)
  batch.setPartitionLeaderEpoch(bytes, 0, epoch)
  return bytes
}

async function follow(test: TestLog, records: Buffer): Promise<void> {
  const result = test.log.appendAsFollower(records)
  assert.equal(result.errorCode, ErrorCode.NONE, result.errorMessage ?? '')
  if (result.baseOffset >= 0) assert.equal(result.lastOffset + 1, test.log.logEndOffset)
  await test.reached(test.log.logEndOffset)
}

onEveryDisk(
  'a follower takes batches as they come: several at once, with gaps, epochs and a torn end',
  async (world, path) => {
    const config = { segmentBytes: 2000, cleanupPolicy: { delete: false, compact: true } }
    const test = await TestLog.open(world, path, config)
    const first = [stamped(makeBatch(3), 0, 4), stamped(makeBatch(2), 10, 4), stamped(makeBatch(1), 12, 6)]
    const torn = stamped(makeBatch(1), 13, 6)
    await follow(test, Buffer.concat([...first, torn.subarray(0, torn.length - 1)]))
    assert.equal(test.log.logEndOffset, 13)
    assert.deepEqual(test.log.epochs.entries(), [
      { epoch: 4, startOffset: 0 },
      { epoch: 6, startOffset: 12 },
    ])
    assert.deepEqual(await test.readAll(), first)
    // In a gap the next batch is found.
    assert.deepEqual(
      (await test.read(5)).buffers,
      first.slice(1).length > 0 ? [Buffer.concat(first.slice(1))] : [],
    )
    // Far enough away for a segment of its own, whose offsets are 32 bits.
    const far = 3 * 2 ** 31
    await follow(
      test,
      Buffer.concat([stamped(makeBatch(1), far, 7), stamped(makeBatch(1, 3000), far + 1, 7)]),
    )
    await follow(test, Buffer.alloc(0))
    assert.equal(segmentNames(world, path).length, 3)
    await test.log.close(true)
    const again = await TestLog.open(world, path, config, { cleanShutdown: true })
    assert.equal(again.log.logEndOffset, far + 2)
    assert.equal((await again.readAll()).length, 5)
    // It may lead next.
    assert.equal(await again.append(makeBatch(1), 8), far + 2)
    await again.log.close(true)
  },
)

onEveryDisk('a follower takes nothing of what is damaged or does not come next', async (world, path) => {
  const test = await TestLog.open(world, path)
  await follow(test, stamped(makeBatch(5), 0))
  const good = stamped(makeBatch(1), 5)
  const flipped = stamped(makeBatch(1), 6)
  flipped[flipped.length - 1]! ^= 1
  const negative = stamped(makeBatch(1), 6)
  negative.writeInt32BE(-100, 8)
  const nonsense = Buffer.alloc(80, 7)
  nonsense.writeInt32BE(60, 8)
  const endless = makeBatch(1)
  endless.writeBigInt64BE(2n ** 63n - 1n, 0)
  for (const bad of [
    flipped,
    negative,
    stamped(makeBatch(1), 3),
    stamped(makeBatch(3), 5),
    nonsense,
    endless,
  ]) {
    const before = bad === flipped || bad === negative ? [good] : []
    if (batch.baseOffset(bad, 0) === 5) before.push(good)
    const result = test.log.appendAsFollower(Buffer.concat([...before, bad]))
    assert.equal(result.errorCode, ErrorCode.CORRUPT_MESSAGE)
    assert.equal(test.log.logEndOffset, 5)
  }
  await follow(test, good)
  await test.log.close(true)
})

/** Two logs that lead in turns. The one that follows copies, cuts itself where the other went on differently, and dies now and then. */
class Pair {
  readonly #sim: SimWorld
  readonly #random: Seeded
  readonly #producers = new Map<number, { sequence: number; open: boolean }>()
  #proc: SimProcess
  #leader!: TestLog
  #follower!: TestLog
  #epoch = 0
  #directories = ['/data/a-0', '/data/b-0']

  constructor(sim: SimWorld, seed: number) {
    this.#sim = sim
    this.#random = new Seeded(seed)
    this.#proc = sim.start()
  }

  async run(): Promise<void> {
    const { disk } = this.#proc.world
    disk.makeDirectory('/data')
    await new Promise((done) => disk.syncDirectory('/', done))
    this.#leader = await this.#open(0)
    this.#follower = await this.#open(1)
    this.#lead()
    for (let step = 0; step < 80; step++) {
      const what = this.#random.between(1, 20)
      if (what <= 9) await this.#produce()
      else if (what <= 16) await this.#fetch()
      else if (what === 17) await this.#fail()
      else if (what === 18) await this.#crash()
      else if (what === 19) await this.#follower.flush()
      else this.#leader.log.roll()
    }
    await this.#leader.reached(this.#leader.log.logEndOffset)
    while (this.#follower.log.logEndOffset < this.#leader.log.logEndOffset) await this.#fetch()
    await this.#compare()
  }

  #open(index: number): Promise<TestLog> {
    const more = { topicId: null, cleanShutdown: false }
    return TestLog.open(
      this.#proc.world,
      this.#directories[index]!,
      { segmentBytes: 900, flushMessages: 1 },
      more,
    )
  }

  #lead(): void {
    this.#epoch++
    this.#leader.log.epochs.assign(this.#epoch, this.#leader.log.logEndOffset)
  }

  async #produce(): Promise<void> {
    const producerId = this.#random.between(0, 4)
    if (producerId === 0) {
      await this.#leader.append(makeBatch(this.#random.between(1, 3), 40), this.#epoch)
      return
    }
    const producer = this.#producers.get(producerId) ?? { sequence: 0, open: false }
    this.#producers.set(producerId, producer)
    const transactional = producerId > 2
    const ends = producer.open && this.#random.between(0, 2) === 0
    if (ends) {
      const type = this.#random.between(0, 1) === 0 ? 'ABORT' : 'COMMIT'
      const marker = buildControlBatch(type, 0, { producerId, producerEpoch: 0 }, 1)
      await this.#leader.append(marker, this.#epoch)
      producer.open = false
      return
    }
    const baseSequence = producer.sequence
    const bytes = makeBatch(2, 30, { producerId, producerEpoch: 0, baseSequence, transactional })
    const { errorCode } = this.#leader.log.append(bytes, this.#epoch)
    // What another leader had of it may have been cut: the producer goes on where this one says.
    if (errorCode !== ErrorCode.NONE) {
      this.#resume()
      return
    }
    producer.sequence += 2
    producer.open ||= transactional
  }

  /** One Fetch of the follower. */
  async #fetch(): Promise<void> {
    const offset = this.#follower.log.logEndOffset
    const { buffers } = await this.#leader.read(offset, this.#random.between(100, 2000))
    const records = Buffer.concat(buffers)
    const torn = this.#random.between(0, 3) === 0 ? this.#random.between(0, 60) : 0
    if (records.length > torn) await follow(this.#follower, records.subarray(0, records.length - torn))
  }

  /** The follower leads, and what led before has to find back to it. */
  async #fail(): Promise<void> {
    ;[this.#leader, this.#follower] = [this.#follower, this.#leader]
    this.#directories.reverse()
    this.#lead()
    this.#resume()
    await this.#leader.append(makeBatch(1, 20), this.#epoch)
    await this.#truncate()
  }

  /** KIP-279: by pairs of epoch and end offset, until both logs agree on the latest epoch of the follower. */
  async #truncate(): Promise<void> {
    const { log } = this.#follower
    for (let round = 0; ; round++) {
      assert.ok(round <= this.#epoch, 'it never ends')
      const own = log.epochs.latestEpoch
      const end = this.#leader.log.epochs.endOffsetFor(own, this.#leader.log.logEndOffset)
      const ownEnd = log.epochs.endOffsetFor(end.epoch, log.logEndOffset)
      const target = Math.min(end.endOffset, ownEnd.endOffset)
      if (end.epoch === own && target >= log.logEndOffset) return
      if (own < 0) return
      await log.truncateTo(target)
      if (end.epoch === own) return
    }
  }

  async #crash(): Promise<void> {
    const ends = [this.#leader.log.writtenEndOffset, this.#follower.log.writtenEndOffset]
    if (this.#random.between(0, 1) === 0) await this.#sim.kill(this.#proc)
    else await this.#sim.powerLoss(this.#proc)
    this.#proc = this.#sim.start()
    this.#leader = await this.#open(0)
    this.#follower = await this.#open(1)
    assert.ok(this.#leader.log.logEndOffset >= ends[0]!)
    assert.ok(this.#follower.log.logEndOffset >= ends[1]!)
    for (const { log } of [this.#leader, this.#follower]) assert.deepEqual(log.recovery?.problems ?? [], [])
    this.#resume()
    this.#lead()
    await this.#leader.append(makeBatch(1, 20), this.#epoch)
    await this.#truncate()
  }

  #resume(): void {
    this.#producers.clear()
    for (const view of this.#leader.log.producers.describe())
      this.#producers.set(view.producerId, {
        sequence: view.lastSequence + 1,
        open: view.currentTxnStartOffset >= 0,
      })
  }

  async #compare(): Promise<void> {
    const [leader, follower] = [this.#leader, this.#follower]
    assert.deepEqual(await follower.readAll(), await leader.readAll())
    assert.deepEqual(
      follower.log.epochs.entries().map(({ startOffset }) => startOffset),
      leader.log.epochs
        .entries()
        .filter(({ startOffset }) => startOffset < leader.log.logEndOffset)
        .map(({ startOffset }) => startOffset),
    )
    const known = ({ log }: TestLog): unknown[] =>
      log.producers
        .describe()
        .map(({ producerId, lastSequence, currentTxnStartOffset }) => [
          producerId,
          lastSequence,
          currentTxnStartOffset,
        ])
        .toSorted((left, right) => left[0]! - right[0]!)
    assert.deepEqual(known(follower), known(leader))
    assert.deepEqual(
      follower.log.abortedTransactions.within(0, Infinity),
      leader.log.abortedTransactions.within(0, Infinity),
    )
  }
}

test('whoever leads, the log of the follower becomes the same', async () => {
  for (let seed = 1; seed <= 100; seed++) {
    const sim = new SimWorld(seed)
    try {
      await sim.run(() => new Pair(sim, seed).run())
    } catch (error) {
      assert.fail(`seed ${seed}: ${(error as Error).stack}`)
    }
  }
})
