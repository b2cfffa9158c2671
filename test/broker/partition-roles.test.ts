import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import { Partition } from '../../src/broker/partition.ts'
import type { PartitionImage } from '../../src/metadata/image/metadata-image.ts'
import { FakeLog, Waiter } from './fake-log.ts'
import { FakeParts, imageOf, LAG_MS, SELF } from './led-partition.ts'

const THREE = { replicas: [1, 2, 3], isr: [1, 2, 3], minIsr: 2 } as const
const ALL = Buffer.alloc(100)

class Replicated {
  readonly log = new FakeLog()
  readonly parts = new FakeParts([1, 2, 3])
  readonly partition: Partition
  /** `tag: error code`, in the order they were settled. */
  readonly settled: string[] = []
  #epoch = 1

  constructor(changes: Partial<PartitionImage> = THREE, log: Partial<FakeLog> = {}) {
    Object.assign(this.log, log)
    this.partition = new Partition(this.parts, 't', 'an id', imageOf(changes), this.log.asLog)
  }

  /** Appends as the leader, and has it written. */
  append(endOffset: number): void {
    this.partition.append(ALL)
    this.log.logEndOffset = this.log.writtenEndOffset = endOffset
    this.partition.written(endOffset)
  }

  await(how: 'awaitAppended' | 'awaitWritten', endOffset: number): void {
    const waiter = {
      appendSettled: (tag: number, errorCode: number) => void this.settled.push(`${tag}: ${errorCode}`),
    }
    this.partition[how](endOffset, waiter, endOffset)
  }

  fetched(replica: number, fetchOffset: number, epoch = 100 * replica): ErrorCode {
    return this.partition.followerFetched(replica, epoch, fetchOffset, 3)
  }

  update(changes: Partial<PartitionImage>): void {
    const partitionEpoch = this.#epoch++
    this.partition.update({ ...this.partition.image, partitionEpoch, ...changes })
  }
}

test('who leads, follows or does neither is told by the metadata, and by whether the leadership is its own', () => {
  const roles: [Partial<PartitionImage>, string, number][] = [
    [{}, 'leader', ErrorCode.NONE],
    [{ leader: 2 }, 'follower', ErrorCode.NOT_LEADER_OR_FOLLOWER],
    [{ leader: -1 }, 'none', ErrorCode.NOT_LEADER_OR_FOLLOWER],
    // Of an earlier life, in which the log may have been longer.
    [{ leaderBrokerEpoch: 99 }, 'none', ErrorCode.NOT_LEADER_OR_FOLLOWER],
  ]
  for (const [changes, role, errorCode] of roles) {
    const { partition } = new Replicated({ ...THREE, ...changes })
    assert.deepEqual(
      [partition.role, partition.leaderError(-1), partition.leaderError(5)],
      [role, errorCode, errorCode],
    )
    assert.equal(partition.follower === null, role !== 'follower')
    assert.deepEqual(
      [partition.leaderError(4), partition.leaderError(6)],
      [ErrorCode.FENCED_LEADER_EPOCH, ErrorCode.UNKNOWN_LEADER_EPOCH],
    )
  }
})

test('acks=1 is for the log, acks=all for all in sync; consumers wait for the high watermark, followers for the log', () => {
  const of = new Replicated()
  for (const replica of [2, 3]) of.fetched(replica, 10)
  assert.equal(of.partition.highWatermark, 10)
  const [consumer, follower] = [new Waiter(), new Waiter()]
  of.partition.awaitRecords(consumer, false)
  of.partition.awaitRecords(follower, true)
  of.await('awaitAppended', 10)
  of.await('awaitAppended', 12)
  of.await('awaitWritten', 11)
  of.append(12)
  assert.deepEqual([of.settled, consumer.heard, follower.heard], [['10: 0', '11: 0'], [], [100]])
  of.fetched(2, 12)
  assert.deepEqual([of.partition.highWatermark, consumer.heard], [10, []])
  of.fetched(3, 11)
  assert.deepEqual([of.partition.highWatermark, consumer.heard], [11, [50]])
  of.fetched(3, 12)
  assert.deepEqual(
    [of.settled, consumer.heard],
    [
      ['10: 0', '11: 0', '12: 0'],
      [50, 50],
    ],
  )
})

test('a committed shrink acknowledges what the high watermark reaches; one below the minimum refuses the rest', () => {
  const of = new Replicated()
  for (const replica of [2, 3]) of.fetched(replica, 10)
  of.append(12)
  for (const endOffset of [11, 12]) of.await('awaitAppended', endOffset)
  of.fetched(2, 11)
  assert.deepEqual([of.settled, of.partition.acksAllError], [[], ErrorCode.NONE])
  of.parts.brokers.set(3, { id: 3, epoch: 300, fenced: true, shuttingDown: false })
  of.update({ isr: [1, 2] })
  assert.deepEqual(of.settled, ['11: 0'])
  of.update({ isr: [1], elr: [2] })
  assert.deepEqual(of.settled, ['11: 0', `12: ${ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND}`])
  assert.equal(of.partition.acksAllError, ErrorCode.NOT_ENOUGH_REPLICAS)
  // What comes without acks=all is written, and nobody sees it.
  of.await('awaitWritten', 13)
  of.append(13)
  assert.deepEqual([of.settled.at(-1), of.partition.highWatermark], ['13: 0', 11])
  assert.deepEqual(
    of.parts.said.filter((line) => line.startsWith('isr')),
    ['isr 1,2,3 -> 1,2', 'isr 1,2 -> 1'],
  )
})

test('who loses the leadership tells all who wait, and follows', () => {
  const of = new Replicated()
  const waiters = [new Waiter(), new Waiter()]
  of.partition.awaitRecords(waiters[0]!, false)
  of.partition.awaitRecords(waiters[1]!, true)
  of.await('awaitAppended', 12)
  of.await('awaitWritten', 11)
  of.update({ leader: 2, leaderEpoch: 6 })
  const { NOT_LEADER_OR_FOLLOWER } = ErrorCode
  assert.deepEqual(of.settled.sort(), [`11: ${NOT_LEADER_OR_FOLLOWER}`, `12: ${NOT_LEADER_OR_FOLLOWER}`])
  assert.deepEqual(
    waiters.map(({ heard }) => heard),
    [['changed'], ['changed']],
  )
  assert.equal(of.partition.append(ALL).errorCode, NOT_LEADER_OR_FOLLOWER)
  assert.equal(of.fetched(2, 10), NOT_LEADER_OR_FOLLOWER)
  of.await('awaitAppended', 13)
  assert.equal(of.settled.at(-1), `13: ${NOT_LEADER_OR_FOLLOWER}`)
  assert.deepEqual([of.partition.role, of.partition.leaderId, of.partition.leaderEpoch], ['follower', 2, 6])
})

test('a leader that was just elected has a high watermark that may be stale, and an epoch that begins at its end', () => {
  const of = new Replicated({ ...THREE, leader: 2 }, { checkpointedHighWatermark: 7 })
  assert.deepEqual([of.partition.highWatermark, of.partition.highWatermarkMayBeStale], [7, false])
  of.update({ leader: SELF, leaderEpoch: 6 })
  assert.deepEqual([of.partition.highWatermark, of.partition.highWatermarkMayBeStale], [7, true])
  assert.deepEqual(of.log.epochs.entries(), [{ epoch: 6, startOffset: 10 }])
  for (const replica of [2, 3]) of.fetched(replica, 10)
  assert.deepEqual([of.partition.highWatermark, of.partition.highWatermarkMayBeStale], [10, false])
  const waiters = [new Waiter(), new Waiter()]
  of.partition.awaitRecords(waiters[0]!, false)
  of.partition.awaitRecords(waiters[1]!, true)
  // Elected again without a follower's word, it keeps what it knows.
  of.append(11)
  of.update({ leaderEpoch: 7 })
  assert.deepEqual(of.log.epochs.entries().at(-1), { epoch: 7, startOffset: 11 })
  assert.deepEqual([of.partition.highWatermark, of.partition.highWatermarkMayBeStale], [10, true])
  assert.deepEqual(
    waiters.map(({ heard }) => heard.at(-1)),
    ['changed', 'changed'],
  )
})

test('the checkpoint may promise more than there is, or what was deleted', () => {
  const highWatermark = (changes: Partial<FakeLog>): number =>
    new Replicated({ ...THREE, leader: 2 }, changes).partition.highWatermark
  assert.equal(highWatermark({ checkpointedHighWatermark: 20 }), 10)
  assert.equal(highWatermark({ checkpointedHighWatermark: 1 }), 3)
  assert.equal(new Replicated({}, { checkpointedHighWatermark: 7 }).partition.highWatermark, 10)
})

test('a follower appends, advances, is cut and begins anew; the high watermark stays within its log', async () => {
  const of = new Replicated({ ...THREE, leader: 2 })
  const { partition, log } = of
  assert.equal(partition.appendFetched(Buffer.alloc(5)).errorCode, ErrorCode.NONE)
  assert.deepEqual([partition.logView.logEndOffset, partition.logView.writtenEndOffset], [15, 10])
  partition.advanceAsFollower(14, 2)
  assert.equal(partition.highWatermark, 10, 'only what is written counts')
  log.writtenEndOffset = 15
  partition.advanceAsFollower(14, 5)
  assert.deepEqual([partition.highWatermark, log.deletedBefore], [14, [5]])
  await partition.truncate(12)
  assert.deepEqual([partition.highWatermark, log.cuts], [12, ['to 12']])
  await partition.startOver(40)
  assert.deepEqual(
    [partition.highWatermark, partition.logView.logStartOffset, log.cuts.at(-1)],
    [40, 40, 'fully, to 40'],
  )
  const letGo = await partition.holdAppends()
  assert.equal(partition.appendFetched(Buffer.alloc(5)).errorCode, ErrorCode.NOT_LEADER_OR_FOLLOWER)
  letGo()
  log.throws = new Error('out of step')
  assert.throws(() => partition.appendFetched(ALL), { name: 'BrokenInvariant' })
  of.update({ leader: -1, leaderEpoch: 6 })
  assert.equal(partition.appendFetched(ALL).errorCode, ErrorCode.NOT_LEADER_OR_FOLLOWER)
  partition.advanceAsFollower(50, 0)
  assert.equal(partition.highWatermark, 40)
})

test('who is no replica, or is another incarnation, says nothing', () => {
  const of = new Replicated()
  assert.equal(of.fetched(4, 10), ErrorCode.UNKNOWN_LEADER_EPOCH)
  assert.equal(of.fetched(2, 10, 199), ErrorCode.STALE_BROKER_EPOCH)
  assert.deepEqual([of.partition.endOffsetOf(2), of.partition.fullyReplicatedOffset], [-1, -1])
  assert.equal(of.fetched(2, 10), ErrorCode.NONE)
  assert.equal(of.fetched(3, 8), ErrorCode.NONE)
  assert.deepEqual([of.partition.endOffsetOf(2), of.partition.fullyReplicatedOffset], [10, 8])
})

test('another in-sync set is asked for once, and again after an answer that says nothing', () => {
  const of = new Replicated({ ...THREE, isr: [1, 2] })
  of.fetched(2, 10)
  assert.equal(of.partition.takeProposal(), null)
  of.fetched(3, 10)
  assert.deepEqual(of.parts.said, ['wanted t-0'])
  const { wanted, proposal } = of.partition.takeProposal()!
  assert.deepEqual(
    [proposal.topicId, proposal.index, proposal.isr.map(({ id, epoch }) => [id, epoch])],
    [
      'an id',
      0,
      [
        [1, 100],
        [2, 200],
        [3, 300],
      ],
    ],
  )
  assert.equal(of.partition.takeProposal(), null)
  assert.equal(of.partition.proposalAnswered(wanted, ErrorCode.REQUEST_TIMED_OUT), true)
  assert.equal(of.partition.takeProposal()?.wanted, wanted)
  assert.equal(of.partition.proposalAnswered(wanted, ErrorCode.NONE), false)
  of.update({ isr: [1, 2, 3] })
  assert.equal(of.parts.said.at(-1), 'isr 1,2 -> 1,2,3')
  assert.equal(of.partition.proposalAnswered(wanted, ErrorCode.REQUEST_TIMED_OUT), false)
  of.update({ leader: 2, leaderEpoch: 6 })
  assert.equal(of.partition.proposalAnswered(wanted, ErrorCode.REQUEST_TIMED_OUT), false)
  assert.equal(of.partition.takeProposal(), null)
})

test('a follower that lags is to leave; of a leader that cannot be read nobody can have all', () => {
  for (const failed of [false, true]) {
    const of = new Replicated()
    for (const replica of [2, 3]) of.fetched(replica, 10)
    of.append(12)
    of.fetched(2, 12)
    of.log.failed = failed
    of.parts.nowMs += LAG_MS + 1
    of.partition.tick(of.parts.nowMs)
    const isr = of.partition.takeProposal()?.proposal.isr.map(({ id }) => id)
    assert.deepEqual(isr, failed ? undefined : [1, 2])
  }
})

test('a broker that is fenced is not waited for to come back, once the metadata says so', () => {
  const of = new Replicated({ ...THREE, isr: [1, 2] })
  of.fetched(2, 10)
  of.parts.brokers.set(3, { id: 3, epoch: 300, fenced: true, shuttingDown: false })
  of.fetched(3, 10)
  assert.deepEqual(of.parts.said, [])
  of.parts.brokers.set(3, { id: 3, epoch: 300, fenced: false, shuttingDown: false })
  of.partition.brokersChanged(of.parts.nowMs)
  assert.deepEqual(of.parts.said, ['wanted t-0'])
})

test('a log that fails is told to those who may count on it', () => {
  const of = new Replicated()
  of.log.failed = true
  of.partition.failed()
  assert.deepEqual(of.parts.said, ['damaged t-0'])
})
