import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import { IsrProposer } from '../../src/broker/isr-proposer.ts'
import { Partition } from '../../src/broker/partition.ts'
import type { Partitions } from '../../src/broker/partitions.ts'
import type { Proposal } from '../../src/core/controller/controller-types.ts'
import type { Metadata } from '../../src/metadata/metadata.ts'
import type { PartitionImage } from '../../src/metadata/image/metadata-image.ts'
import { SimLogger } from '../simulator/sim-logger.ts'
import { SimMetrics } from '../simulator/sim-metrics.ts'
import { SimRandom } from '../simulator/sim-random.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { FakeLog } from './fake-log.ts'
import { FakeParts, imageOf, LAG_MS } from './led-partition.ts'

type Asked = {
  readonly proposals: readonly Proposal[]
  readonly answer: (codes: ErrorCode[] | Error) => void
}

/** Leaders of partitions with three replicas, of which the third is out of sync, and a controller that answers when told. */
class Leaders {
  readonly clock = new ManualClock()
  readonly logger = new SimLogger()
  readonly metrics = new SimMetrics()
  readonly parts = new FakeParts([1, 2, 3])
  readonly partitions: Partition[] = []
  readonly asked: Asked[] = []
  readonly proposer: IsrProposer

  constructor(isCluster = true) {
    const cluster = {
      proposeIsrs: (proposals: readonly Proposal[]) =>
        new Promise((resolve, reject) => {
          const answer = (codes: ErrorCode[] | Error): void =>
            codes instanceof Error ? reject(codes) : resolve(codes)
          this.asked.push({ proposals, answer })
        }),
      addressOf: () => ({ host: 'machine', port: 9092 }),
    }
    const metadata = {
      nodeId: 1,
      cluster: isCluster ? cluster : null,
      config: { 'replica.lag.time.max.ms': LAG_MS },
      brokers: this.parts.brokers,
    } as unknown as Metadata
    const { clock, logger, metrics } = this
    const all = { all: () => this.partitions } as unknown as Partitions
    this.proposer = new IsrProposer({ clock, logger, metrics, random: new SimRandom(7) }, metadata, all)
    this.parts.isrs = this.proposer
  }

  lead(index: number, changes: Partial<PartitionImage> = {}): Partition {
    const image = imageOf({ index, replicas: [1, 2, 3], isr: [1, 2], minIsr: 2, ...changes })
    const partition = new Partition(this.parts, 't', 'an id', image, new FakeLog().asLog)
    this.partitions.push(partition)
    this.proposer.watch(partition)
    return partition
  }

  /** The third one has everything: it may join. */
  catchUp(partition: Partition): void {
    for (const replica of [2, 3]) partition.followerFetched(replica, 100 * replica, 10, 3)
  }

  pass(durationMs: number): void {
    this.parts.nowMs += durationMs
    this.clock.advance(durationMs)
  }

  async answer(...codes: ErrorCode[]): Promise<void> {
    this.asked.at(-1)!.answer(codes)
    await settle()
  }

  count(name: string): number {
    return this.metrics.count(`kafka_server_replicamanager_${name}_total`)
  }
}

const settle = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await Promise.resolve()
}

test('all leaders of a turn ask at once, each for its own', async () => {
  const of = new Leaders()
  const [a, b] = [of.lead(0), of.lead(1)]
  of.catchUp(a)
  of.catchUp(b)
  assert.equal(of.asked.length, 0)
  of.clock.endTurn()
  assert.deepEqual(
    of.asked.map(({ proposals }) => proposals.map(({ index, isr }) => [index, isr.map(({ id }) => id)])),
    [
      [
        [0, [1, 2, 3]],
        [1, [1, 2, 3]],
      ],
    ],
  )
  await of.answer(ErrorCode.NONE, ErrorCode.NONE)
  of.catchUp(a)
  of.pass(LAG_MS / 4)
  assert.equal(of.asked.length, 1, 'what was accepted comes by the metadata')
})

test('what the controller did not say is asked again, later each time, until it does', async () => {
  const of = new Leaders()
  const partition = of.lead(0)
  of.catchUp(partition)
  of.clock.endTurn()
  const waits: number[] = []
  for (let round = 0; round < 8; round++) {
    const { length } = of.asked
    if (round === 0) {
      of.asked[0]!.answer(new Error('gone'))
      await settle()
    } else {
      await of.answer(ErrorCode.NOT_CONTROLLER)
    }
    let waitedMs = 0
    for (; of.asked.length === length; waitedMs++) of.pass(1)
    waits.push(waitedMs)
  }
  assert.ok(waits[0]! >= 25 && waits[0]! <= 51, `${waits[0]}`)
  for (const waitedMs of waits) assert.ok(waitedMs <= 1_001, `${waits.join()}`)
  assert.ok(waits.at(-1)! >= 500, `${waits.join()}`)
  assert.equal(of.count('failedisrupdates'), 8)
  await of.answer(ErrorCode.NONE)
  of.pass(2_000)
  assert.equal(of.asked.length, 9)
  assert.deepEqual(of.logger.messages('warn'), [
    'the controller could not be asked for in-sync sets; tried again',
  ])
})

test('what followers fetch meanwhile is no reason to ask earlier', async () => {
  const of = new Leaders()
  const partition = of.lead(0)
  of.catchUp(partition)
  of.clock.endTurn()
  for (let turn = 0; turn < 5; turn++) {
    await of.answer(ErrorCode.NOT_CONTROLLER)
    of.catchUp(partition)
    partition.written(10)
    of.clock.endTurn()
  }
  assert.equal(of.asked.length, 1)
  of.pass(51)
  assert.equal(of.asked.length, 2)
})

test('what is agreed on meanwhile is not asked for any more', async () => {
  const of = new Leaders()
  const partition = of.lead(0)
  of.catchUp(partition)
  of.clock.endTurn()
  await of.answer(ErrorCode.NOT_CONTROLLER)
  partition.update({ ...partition.image, isr: [1, 2, 3], partitionEpoch: 1 })
  of.pass(2_000)
  assert.equal(of.asked.length, 1)
})

test('who lags is seen after a while, as long as some partition has several replicas', async () => {
  const of = new Leaders()
  of.lead(0, { replicas: [1], isr: [1], minIsr: 1 })
  assert.equal(of.clock.timerCount, 0)
  const partition = of.lead(1, { isr: [1, 2, 3] })
  of.lead(2).followerFetched(2, 200, 10, 3)
  assert.equal(of.clock.timerCount, 1)
  of.catchUp(partition)
  partition.written(12)
  partition.followerFetched(2, 200, 12, 3)
  of.pass(LAG_MS / 2)
  of.clock.endTurn()
  assert.equal(of.asked.length, 0)
  of.pass(LAG_MS)
  assert.deepEqual(
    of.asked.map(({ proposals }) => proposals.map(({ index, isr }) => [index, isr.map(({ id }) => id)])),
    [[[1, [1, 2]]]],
  )
  for (const each of of.partitions) each.removed()
  of.pass(2 * LAG_MS)
  assert.equal(of.clock.timerCount, 0)
  of.lead(3)
  assert.equal(of.clock.timerCount, 1)
  of.proposer.close()
  assert.equal(of.clock.timerCount, 0)
  of.lead(4)
  assert.equal(of.clock.timerCount, 0)
})

test('where one broker is all there is nobody is asked, and no timer runs', () => {
  const of = new Leaders(false)
  of.catchUp(of.lead(0))
  of.clock.endTurn()
  assert.deepEqual([of.asked.length, of.clock.timerCount], [0, 0])
})

test('each change is told, with the reason of those that left', () => {
  const of = new Leaders()
  const partition = of.lead(0, { isr: [1, 2, 3] })
  of.catchUp(partition)
  let partitionEpoch = 0
  const change = (isr: number[], changes: Partial<PartitionImage> = {}): void =>
    partition.update({ ...partition.image, isr, partitionEpoch: ++partitionEpoch, ...changes })
  change([1, 2])
  change([1, 2, 3])
  of.parts.brokers.set(3, { id: 3, epoch: 300, fenced: false, shuttingDown: true })
  change([1, 2])
  of.parts.brokers.set(2, { id: 2, epoch: 200, fenced: true, shuttingDown: false })
  change([1], { elr: [2] })
  change([1, 2])
  of.parts.brokers.delete(2)
  change([1])
  assert.deepEqual([of.count('isrshrinks'), of.count('isrexpands')], [4, 2])
  of.clock.advance(1_000)
  const told = of.logger.lines.filter(({ level }) => level === 'info').map(({ fields }) => fields)
  assert.deepEqual(
    told.map(({ broker, because, count }) => [broker, because, count]),
    [
      [3, 'it lags', 1],
      [3, undefined, 1],
      [3, 'it is shutting down', 1],
      [2, 'it is fenced', 1],
      [2, undefined, 1],
      [2, 'it is not registered', 1],
    ],
  )
  assert.deepEqual(told[3]!['partitions'], ['t-0: in sync 1, eligible 2, 10 of 10'])
})

test('of a follower that never came it is told where it should have come to', () => {
  const of = new Leaders()
  const partition = of.lead(0, { isr: [1, 2, 3] })
  partition.update({ ...partition.image, isr: [1, 2], partitionEpoch: 1 })
  of.clock.advance(1_000)
  assert.match(
    String(of.logger.lines.at(-1)?.fields['because']),
    /never fetched.*machine:9092.*advertised\.listeners/,
  )
})
