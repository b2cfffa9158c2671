import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import { LeaderCore } from '../../../src/core/replication/leader.ts'
import type { IsrProposal } from '../../../src/core/replication/leader.ts'
import type { BrokerView, PartitionState } from '../../../src/core/replication/partition-state.ts'

const LAG_MS = 30_000

function stateOf(part: Partial<PartitionState> = {}): PartitionState {
  return {
    leader: 1,
    leaderEpoch: 5,
    leaderBrokerEpoch: 101,
    controllerEpoch: 1,
    partitionEpoch: 7,
    isr: [1, 2, 3],
    elr: [],
    lastKnownElr: [],
    leaderRecoveryState: 0,
    minIsr: 2,
    ...part,
  }
}

/** Broker 1 leads, and has written `endOffset`. Brokers have the epochs 101, 102, 103. */
class Led {
  readonly views = new Map<number, BrokerView>()
  readonly leader: LeaderCore
  nowMs = 1_000
  endOffset: number

  constructor(state: Partial<PartitionState> = {}, endOffset = 10, highWatermark = 0, replicas = [1, 2, 3]) {
    for (const id of [1, 2, 3])
      this.views.set(id, { id, epoch: 100 + id, fenced: false, shuttingDown: false })
    this.endOffset = endOffset
    this.leader = new LeaderCore({
      self: 1,
      state: stateOf(state),
      replicas,
      endOffset,
      highWatermark,
      lagTimeMaxMs: LAG_MS,
      broker: (id) => this.views.get(id),
      nowMs: this.nowMs,
    })
  }

  fetch(replica: number, offset = this.endOffset, epoch = 100 + replica): ErrorCode {
    return this.leader.followerFetched(replica, epoch, offset, 0, this.nowMs)
  }

  append(count = 10): void {
    this.endOffset += count
    this.leader.appended(this.endOffset)
  }

  commit(state: Partial<PartitionState>, replicas = [1, 2, 3]): void {
    const partitionEpoch = this.leader.committed.partitionEpoch + 1
    this.leader.stateCommitted({ ...this.leader.committed, partitionEpoch, ...state }, replicas, this.nowMs)
  }

  /** Time goes by, with a look at who lags. */
  passes(ms: number): void {
    this.nowMs += ms
    this.leader.tick(this.nowMs)
  }

  /** What it asks the controller for. */
  proposal(): IsrProposal | null {
    const { proposal } = this.leader.outbox
    this.leader.outbox.proposal = null
    return proposal
  }

  proposedIsr(): number[] | null {
    return this.proposal()?.isr.map(({ id }) => id) ?? null
  }

  get highWatermark(): number {
    return this.leader.highWatermark
  }
}

describe('the high watermark', () => {
  test('is the end of what all members of the ISR have written', () => {
    const led = new Led()
    assert.equal(led.highWatermark, 0)
    led.fetch(2, 8)
    assert.equal(led.highWatermark, 0)
    led.fetch(3, 6)
    assert.equal(led.highWatermark, 6)
    assert.ok(led.leader.outbox.highWatermarkMoved)
    led.fetch(3, 10)
    assert.equal(led.highWatermark, 8)
    led.fetch(3, 4)
    assert.equal(led.highWatermark, 8)
  })

  test('does not follow who says to have what the leader has not', () => {
    const led = new Led()
    for (const replica of [2, 3]) led.fetch(replica, 1_000)
    assert.equal(led.highWatermark, 10)
    led.append()
    assert.equal(led.highWatermark, 10)
    assert.equal(led.leader.progress(2)?.endOffset, 10)
    for (const replica of [2, 3]) led.fetch(replica)
    assert.equal(led.highWatermark, 20)
  })

  test('of a leader that is alone follows its log', () => {
    const led = new Led({ isr: [1], minIsr: 1 }, 10, 3, [1])
    assert.equal(led.highWatermark, 10)
    led.append()
    assert.deepEqual([led.highWatermark, led.leader.outbox.highWatermarkMoved], [20, true])
    assert.equal(led.proposal(), null)
  })

  test('stands still while the committed ISR is too small, whoever may be about to join', () => {
    const led = new Led({ isr: [1], elr: [2] })
    assert.ok(led.leader.underMinIsr)
    led.append()
    led.fetch(3)
    assert.deepEqual(led.proposedIsr(), [1, 3])
    led.append()
    led.fetch(3)
    assert.equal(led.highWatermark, 0)
    led.commit({ isr: [1, 3], elr: [] })
    assert.equal(led.highWatermark, 30)
  })

  test('waits for who may have joined, and for who may not have left', () => {
    const joining = new Led({ isr: [1, 2] })
    joining.fetch(2)
    joining.fetch(3)
    assert.deepEqual([joining.proposedIsr(), joining.highWatermark], [[1, 2, 3], 10])
    joining.append()
    joining.fetch(2)
    assert.equal(joining.highWatermark, 10)
    joining.fetch(3)
    assert.equal(joining.highWatermark, 20)

    const leaving = new Led()
    leaving.fetch(2)
    leaving.fetch(3)
    leaving.append()
    leaving.passes(LAG_MS + 1)
    leaving.fetch(2)
    leaving.passes(0)
    const proposal = leaving.proposal()!
    assert.ok(!proposal.isr.some(({ id }) => id === 3))
    assert.equal(leaving.highWatermark, 10)
    for (const code of [ErrorCode.INVALID_UPDATE_VERSION, ErrorCode.FENCED_LEADER_EPOCH, ErrorCode.NONE])
      leaving.leader.proposalAnswered(proposal, code)
    assert.deepEqual([leaving.highWatermark, leaving.proposal()], [10, null])
    leaving.commit({ isr: proposal.isr.map(({ id }) => id) })
    assert.equal(leaving.highWatermark, proposal.isr.length > 1 ? 20 : 10)
  })

  test('waits for one outside the ISR that has caught up, so that it can join', () => {
    const led = new Led({ isr: [1, 2] }, 10, 10, [1, 2, 3, 4])
    led.views.set(4, { id: 4, epoch: 104, fenced: false, shuttingDown: false })
    led.fetch(4)
    assert.deepEqual(led.proposedIsr(), [1, 2, 4])
    // It has to wait for the answer about the other one.
    led.fetch(3)
    led.append()
    led.fetch(2)
    led.fetch(4)
    assert.equal(led.highWatermark, 10)
    led.fetch(3)
    assert.equal(led.highWatermark, 20)
    led.append()
    led.fetch(2)
    led.fetch(4)
    led.passes(LAG_MS)
    assert.equal(led.highWatermark, 20)
    led.passes(1)
    assert.equal(led.highWatermark, 30)
  })

  test('of a new leader is stale until it passes what was there at the election', () => {
    const led = new Led({}, 10, 8)
    assert.deepEqual([led.highWatermark, led.leader.epochStartOffset], [8, 10])
    led.append(0)
    led.fetch(2, 9)
    led.fetch(3, 9)
    assert.equal(led.highWatermark, 9)
  })

  test('in a new term waits until each member says again how far it is: another leader may have cut its log', () => {
    const led = new Led({ minIsr: 1 })
    led.fetch(2)
    led.fetch(3, 8)
    assert.equal(led.highWatermark, 8)
    // In the term between, of which this broker did not hear, the third one led, and the second one followed it.
    led.commit({ leaderEpoch: 7, isr: [1, 2] })
    assert.equal(led.highWatermark, 8)
    led.fetch(2, 8)
    assert.equal(led.highWatermark, 8)
    led.fetch(2)
    assert.equal(led.highWatermark, 10)
  })

  test('a hint beyond the log is none', () => {
    assert.equal(new Led({}, 10, 99).highWatermark, 10)
  })
})

describe('who joins the ISR', () => {
  test('names its incarnation, and that of the others', () => {
    const led = new Led({ isr: [1, 2] })
    led.fetch(3)
    assert.deepEqual(led.proposal(), {
      isr: [
        { id: 1, epoch: 101 },
        { id: 2, epoch: -1 },
        { id: 3, epoch: 103 },
      ],
      leaderEpoch: 5,
      partitionEpoch: 7,
      recovered: false,
    })
  })

  test('is none that is behind the high watermark, or behind the start of the term', () => {
    const led = new Led({ isr: [1, 2] }, 10, 8)
    led.fetch(3, 8)
    assert.equal(led.proposal(), null)
    led.fetch(3, 9)
    assert.equal(led.proposal(), null)
    led.fetch(3, 10)
    assert.deepEqual(led.proposedIsr(), [1, 2, 3])
  })

  test('is none that is fenced, shuts down, is unknown, or is another incarnation than the one that is registered', () => {
    for (const view of [{ fenced: true }, { shuttingDown: true }, { epoch: -1 }, { epoch: 102 }]) {
      const led = new Led({ isr: [1, 2] })
      led.views.set(3, { ...led.views.get(3)!, ...view })
      assert.equal(led.fetch(3), ErrorCode.NONE)
      assert.equal(led.proposal(), null)
      led.views.set(3, { id: 3, epoch: 103, fenced: false, shuttingDown: false })
      led.leader.brokersChanged(led.nowMs)
      assert.deepEqual(led.proposedIsr(), [1, 2, 3])
    }
  })

  test('a fetch of an older incarnation, or of one that has no replica, is refused', () => {
    const led = new Led({ isr: [1, 2] })
    assert.equal(led.fetch(3, 10, 102), ErrorCode.STALE_BROKER_EPOCH)
    assert.equal(led.fetch(4), ErrorCode.UNKNOWN_LEADER_EPOCH)
    assert.equal(led.leader.progress(4), undefined)
    assert.equal(led.proposal(), null)
  })

  test('one that was taken away and came again says anew where it is', () => {
    const led = new Led({ isr: [1, 2] }, 0)
    led.fetch(2)
    led.fetch(3)
    led.proposal()
    led.commit({ isr: [1, 2] }, [1, 2])
    assert.equal(led.leader.progress(3), undefined)
    led.commit({ isr: [1, 2] }, [1, 2, 3])
    assert.equal(led.proposal(), null)
    led.fetch(3)
    assert.deepEqual(led.proposedIsr(), [1, 2, 3])
  })

  test('in a new term nobody joins by a fetch of the last one', () => {
    const led = new Led({ isr: [1, 2] })
    led.fetch(3)
    led.proposal()
    led.commit({ isr: [1, 2], leaderEpoch: 6 })
    assert.equal(led.proposal(), null)
    led.fetch(3)
    assert.deepEqual(led.proposedIsr(), [1, 2, 3])
  })

  test('below min ISR has all that is there, for the high watermark that stands still is soon reached', () => {
    const led = new Led({ isr: [1], elr: [2], minIsr: 2 }, 10, 10)
    led.append(100)
    led.fetch(3, 50)
    led.fetch(3, 60)
    assert.equal(led.proposal(), null)
    led.append(100)
    led.fetch(3, 110)
    assert.deepEqual(led.proposedIsr(), [1, 3])
  })

  test('below the minimum one that left for its lag says something new before it joins', () => {
    const led = new Led()
    for (const replica of [2, 3]) led.fetch(replica)
    led.append()
    led.passes(LAG_MS + 1)
    assert.deepEqual(led.proposedIsr(), [1])
    led.commit({ isr: [1], elr: [2, 3] })
    // Once they had all, and the high watermark has stood still since.
    assert.equal(led.proposal(), null)
    led.passes(LAG_MS)
    led.append()
    led.fetch(2, 10)
    assert.equal(led.proposal(), null)
    led.fetch(2, 20)
    assert.equal(led.proposal(), null)
    led.fetch(2, 30)
    assert.deepEqual(led.proposedIsr(), [1, 2])
  })

  test('below the minimum who has fallen silent does not, whatever its last fetch said', () => {
    const led = new Led({ isr: [1, 2] })
    led.fetch(2)
    led.append()
    led.passes(LAG_MS + 1)
    assert.deepEqual(led.proposedIsr(), [1])
    led.commit({ isr: [1], elr: [2] })
    assert.equal(led.proposal(), null)
    led.passes(LAG_MS)
    assert.equal(led.proposal(), null)
    led.fetch(2)
    assert.deepEqual(led.proposedIsr(), [1, 2])
  })

  test('who left for its lag keeps pace for a while first; who was only fenced does not', () => {
    const led = new Led({ minIsr: 1 })
    led.fetch(2)
    led.fetch(3)
    led.append()
    led.fetch(2)
    led.passes(LAG_MS + 1)
    led.fetch(2)
    assert.deepEqual(led.proposedIsr(), [1, 2])
    led.commit({ isr: [1, 2] })
    led.fetch(3)
    assert.equal(led.proposal(), null)
    led.passes(LAG_MS / 2 - 1)
    led.append()
    led.fetch(2)
    led.fetch(3, 20)
    led.fetch(3)
    assert.equal(led.proposal(), null)
    led.passes(1)
    assert.deepEqual(led.proposedIsr(), [1, 2, 3])

    led.commit({ isr: [1, 2, 3] })
    led.commit({ isr: [1, 2] })
    assert.deepEqual(led.proposedIsr(), [1, 2, 3])
  })
})

describe('who leaves the ISR', () => {
  test('has not had all there is for the time of the lag; one that has all never lags', () => {
    const led = new Led({ minIsr: 1 })
    led.fetch(2)
    led.fetch(3)
    led.passes(10 * LAG_MS)
    assert.equal(led.proposal(), null)
    led.append()
    led.fetch(2)
    led.passes(0)
    assert.deepEqual(led.proposedIsr(), [1, 2])
  })

  test('not one that always reaches where the log ended at its last fetch', () => {
    const led = new Led({ minIsr: 1 })
    led.fetch(2)
    led.fetch(3)
    for (let i = 0; i < 10; i++) {
      led.append()
      led.fetch(2)
      led.fetch(3, led.endOffset - 10)
      led.passes(LAG_MS / 2)
      assert.equal(led.proposal(), null)
    }
  })

  test('at the start of a term each has the time', () => {
    const led = new Led({ minIsr: 1 })
    led.passes(LAG_MS)
    assert.equal(led.proposal(), null)
    led.passes(1)
    assert.deepEqual(led.proposedIsr(), [1])
  })

  test('below min ISR the caller hears of it once it is certain', () => {
    const led = new Led()
    led.passes(LAG_MS + 1)
    assert.deepEqual([led.proposedIsr(), led.leader.outbox.fellBelowMinIsr], [[1], false])
    led.commit({ isr: [1], elr: [2, 3] })
    assert.ok(led.leader.outbox.fellBelowMinIsr)
    led.leader.outbox.fellBelowMinIsr = false
    led.commit({ isr: [1], elr: [2] })
    assert.ok(!led.leader.outbox.fellBelowMinIsr)
  })
})

describe('proposals', () => {
  test('one at a time; refused ones are taken back, unclear ones asked again, late answers mean nothing', () => {
    const led = new Led({ isr: [1, 2] })
    led.fetch(2)
    led.fetch(3)
    const proposal = led.proposal()!
    led.fetch(3)
    led.passes(10 * LAG_MS)
    assert.equal(led.proposal(), null)
    led.leader.proposalAnswered({ ...proposal }, ErrorCode.INELIGIBLE_REPLICA)
    assert.ok(led.leader.maximalIsr.has(3))
    for (const code of [
      ErrorCode.REQUEST_TIMED_OUT,
      ErrorCode.NOT_CONTROLLER,
      ErrorCode.UNKNOWN_SERVER_ERROR,
    ]) {
      led.leader.proposalAnswered(proposal, code)
      assert.equal(led.proposal(), proposal)
    }
    led.views.set(3, { id: 3, epoch: 103, fenced: true, shuttingDown: false })
    led.leader.proposalAnswered(proposal, ErrorCode.INELIGIBLE_REPLICA)
    assert.deepEqual([...led.leader.maximalIsr], [1, 2])
    led.leader.proposalAnswered(proposal, ErrorCode.REQUEST_TIMED_OUT)
    assert.equal(led.proposal(), null)
  })

  test('who was refused is asked for again after a moment, or when brokers are not what they were', () => {
    const led = new Led({ isr: [1, 2] })
    led.fetch(2)
    led.fetch(3)
    const refuse = (): void => {
      const proposal = led.proposal()
      assert.ok(proposal)
      led.leader.proposalAnswered(proposal, ErrorCode.INELIGIBLE_REPLICA)
    }
    refuse()
    // Each fetch would ask otherwise.
    for (let i = 0; i < 4; i++) {
      led.fetch(3)
      assert.equal(led.proposal(), null)
      led.passes(100)
    }
    led.passes(100)
    led.fetch(3)
    refuse()
    led.leader.brokersChanged(led.nowMs)
    refuse()
  })

  test('what was answered and never came is asked for again', () => {
    const led = new Led({ isr: [1, 2] })
    led.fetch(2)
    led.fetch(3)
    const proposal = led.proposal()!
    for (const code of [ErrorCode.NONE, ErrorCode.INVALID_REQUEST, ErrorCode.INVALID_UPDATE_VERSION]) {
      led.leader.proposalAnswered(proposal, code)
      led.passes(LAG_MS - 1)
      assert.equal(led.proposal(), null)
      led.passes(1)
      assert.equal(led.proposal(), proposal)
    }
  })

  test('an older agreement changes nothing, a newer one ends what was proposed', () => {
    const led = new Led({ isr: [1, 2] })
    led.fetch(3)
    led.proposal()
    led.leader.stateCommitted(stateOf({ isr: [1] }), [1, 2, 3], led.nowMs)
    assert.ok(led.leader.maximalIsr.has(3))
    led.views.get(3)
    led.views.set(3, { id: 3, epoch: 104, fenced: false, shuttingDown: false })
    led.commit({ isr: [1, 2] })
    assert.deepEqual([[...led.leader.maximalIsr], led.proposal()], [[1, 2], null])
  })

  test('after an unclean election it says first that it recovered, and nobody joins before', () => {
    const led = new Led({ isr: [1], leaderRecoveryState: 1, minIsr: 1 })
    const proposal = led.proposal()!
    assert.deepEqual([proposal.isr, proposal.recovered], [[{ id: 1, epoch: 101 }], true])
    led.fetch(3)
    assert.equal(led.proposal(), null)
    led.commit({ leaderRecoveryState: 0 })
    assert.deepEqual(led.proposedIsr(), [1, 3])
  })
})
