import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Partition } from '../../../src/broker/partition.ts'
import { FollowedPartition } from '../../../src/broker/following/replica-fetcher-partition.ts'
import type { FollowedOwner } from '../../../src/broker/following/replica-fetcher-partition.ts'
import { GatheredLines } from '../../../src/metadata/gathered-lines.ts'
import { SimLogger } from '../../simulator/sim-logger.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { FakeLog } from '../fake-log.ts'
import { FakeParts, imageOf } from '../led-partition.ts'

/** A log on a device that does not answer. */
class HangingLog extends FakeLog {
  goOn: () => void = () => undefined

  override async truncateTo(offset: number): Promise<void> {
    await new Promise<void>((resolve) => (this.goOn = resolve))
    await super.truncateTo(offset)
  }
}

function followed(): { readonly log: HangingLog; readonly follower: FollowedPartition } {
  const log = new HangingLog()
  const image = imageOf({ leader: 2, replicas: [1, 2], isr: [1, 2] })
  const partition = new Partition(new FakeParts([1, 2]), 't', 'an id', image, log.asLog)
  const clock = new ManualClock()
  const owner: FollowedOwner = {
    clock,
    lines: new GatheredLines(clock, new SimLogger()),
    leader: 2,
    backoffMs: 100,
    refuses: () => false,
    became: () => undefined,
    askForEnds: () => undefined,
    received: () => undefined,
  }
  const follower = new FollowedPartition(owner, partition, partition.follower!)
  partition.following = follower
  return { log, follower }
}

async function isQuiet(leaving: Promise<void>): Promise<boolean> {
  const later = new Promise<false>((resolve) => setImmediate(() => resolve(false)))
  return Promise.race([leaving.then(() => true), later])
}

test('who is to lead does not wait for a write that hangs, but for a cut: nobody knows where the log ends', async () => {
  const writing = followed()
  writing.log.logEndOffset = 12
  writing.follower.begin()
  const left = writing.follower.leave()
  assert.equal(await isQuiet(left), false)
  writing.follower.partition.stalled()
  assert.equal(await isQuiet(left), true)

  const { log, follower } = followed()
  follower.begin()
  assert.equal(follower.condition, 'ready')
  follower.told = follower.next(null)
  follower.answered({
    partitionIndex: 0,
    errorCode: 0,
    highWatermark: 5,
    lastStableOffset: 5,
    logStartOffset: 3,
    divergingEpoch: { epoch: 4, endOffset: 7 },
    currentLeader: { leaderId: -1, leaderEpoch: -1 },
    snapshotId: { endOffset: -1, epoch: -1 },
    abortedTransactions: null,
    preferredReadReplica: -1,
    records: null,
  })
  await isQuiet(Promise.resolve())
  const gone = follower.leave()
  follower.partition.stalled()
  assert.equal(await isQuiet(gone), false)
  log.goOn()
  assert.equal(await isQuiet(gone), true)
  assert.equal(log.logEndOffset, 7)
})
