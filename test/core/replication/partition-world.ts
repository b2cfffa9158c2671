import assert from 'node:assert/strict'
import { ErrorCode } from '../../../protocol/errors.ts'
import { checkProposal } from '../../../src/core/controller/alter-partition.ts'
import { changePartition } from '../../../src/core/controller/partition-change.ts'
import type { ChangeContext, PartitionEvent } from '../../../src/core/controller/partition-change.ts'
import { EpochCache } from '../../../src/core/replication/epoch-cache.ts'
import { FollowerCore } from '../../../src/core/replication/follower.ts'
import type { FetchAnswer, FollowerRequest, LogView } from '../../../src/core/replication/follower.ts'
import { LeaderCore } from '../../../src/core/replication/leader.ts'
import type { IsrProposal } from '../../../src/core/replication/leader.ts'
import { isActive } from '../../../src/core/replication/partition-state.ts'
import type { Assignment, BrokerView, PartitionState } from '../../../src/core/replication/partition-state.ts'
import { SimRandom } from '../../simulator/sim-random.ts'

/** One partition, three brokers and a controller: all that decides is the real thing; time, network and disks are dice. */

const BROKERS = [1, 2, 3] as const
const LAG_MS = 100
const ASSIGNMENT: Assignment = { replicas: BROKERS, adding: [], removing: [] }

interface Written {
  /** Of its producer: unique. */
  readonly id: number
  readonly epoch: number
}

class ModelLog implements LogView {
  records: Written[] = []
  readonly logStartOffset = 0
  writtenEndOffset = 0
  /** What a power loss leaves at least. */
  durableEnd = 0
  epochs = new EpochCache()

  get logEndOffset(): number {
    return this.records.length
  }

  get latestEpoch(): number {
    return this.epochs.latestEpoch
  }

  endOffsetFor(epoch: number): { epoch: number; endOffset: number } {
    return this.epochs.endOffsetFor(epoch, this.logEndOffset)
  }

  append(records: readonly Written[]): void {
    for (const record of records) {
      this.epochs.found(record.epoch, this.records.length)
      this.records.push(record)
    }
  }

  cutTo(end: number): void {
    this.records.length = Math.min(end, this.records.length)
    this.epochs.truncateFromEnd(this.records.length)
    this.writtenEndOffset = Math.min(this.writtenEndOffset, this.records.length)
    this.durableEnd = Math.min(this.durableEnd, this.records.length)
  }
}

interface ModelBroker {
  readonly id: number
  readonly log: ModelLog
  alive: boolean
  /** Of its process: grows with each registration. */
  epoch: number
  /** Its last stop, or its disk, left doubt. */
  unclean: boolean
  /** What it knows of the cluster. */
  image: { readonly state: PartitionState; readonly views: ReadonlyMap<number, BrokerView> } | null
  leader: LeaderCore | null
  follower: FollowerCore | null
  highWatermark: number
}

interface Message {
  readonly what: string
  readonly deliver: () => void
  /** Who sent it waits for an answer, and hears in the end that none came. */
  readonly lost: () => void
}

export class PartitionWorld {
  state: PartitionState
  readonly acknowledged = new Map<number, { readonly offset: number; readonly leaderEpoch: number }>()
  readonly story: string[] = []
  readonly #random: SimRandom
  /** So much rarer is trouble. */
  readonly #calm: number
  readonly #brokers: readonly ModelBroker[]
  /** The controller's. */
  readonly #views = new Map<number, BrokerView>()
  readonly #messages: Message[] = []
  readonly #waiting: {
    readonly id: number
    readonly offset: number
    readonly broker: ModelBroker
    readonly core: LeaderCore
  }[] = []
  /** By leader epoch. */
  readonly #highWatermarks = new Map<number, number>()
  /** What readers have seen at an offset. */
  readonly #seen: number[] = []
  #nowMs = 0
  #nextId = 1
  #nextEpoch = 100

  constructor(seed: number) {
    this.#random = new SimRandom(seed)
    this.#calm = 1 + this.#random.below(8)
    this.#brokers = BROKERS.map((id) => ({
      id,
      log: new ModelLog(),
      alive: true,
      epoch: this.#nextEpoch++,
      unclean: false,
      image: null,
      leader: null,
      follower: null,
      highWatermark: 0,
    }))
    for (const { id, epoch } of this.#brokers)
      this.#views.set(id, { id, epoch, fenced: false, shuttingDown: false })
    this.state = {
      leader: 1,
      leaderEpoch: 0,
      leaderBrokerEpoch: this.#views.get(1)!.epoch,
      controllerEpoch: 1,
      partitionEpoch: 0,
      isr: BROKERS,
      elr: [],
      lastKnownElr: [],
      leaderRecoveryState: 0,
      minIsr: 1 + this.#random.below(3),
    }
    this.#publish()
  }

  step(): void {
    this.#nowMs += this.#random.below(20)
    const broker = this.#brokers[this.#random.below(BROKERS.length)]!
    const dice = this.#random.below(100)
    if (dice < 50) for (let i = this.#random.below(4); i >= 0; i--) this.#deliverOne()
    else if (dice < 65) this.#produce(broker)
    else if (dice < 85) this.#fetch(broker)
    else if (dice < 90) broker.leader?.tick(this.#nowMs)
    else if (dice < 94) broker.log.durableEnd = broker.log.writtenEndOffset
    else if (this.#random.below(this.#calm) === 0) this.#trouble(broker)
    for (const each of this.#brokers) this.#drain(each)
    this.#check()
  }

  /** No more trouble: all that may lead again does, and all that was acknowledged is on every replica in the end. */
  heal(): void {
    for (let round = 0; round < 400; round++) {
      this.#nowMs += 20
      for (const broker of this.#brokers) {
        if (!isActive(this.#views.get(broker.id)) || !broker.alive) this.#comeBack(broker)
        else this.#fetch(broker)
        if (round % 3 === 0) broker.leader?.tick(this.#nowMs)
      }
      // News that were lost are told again.
      this.#publish()
      for (let i = 0; i < 40; i++) this.#deliverOne()
      for (const broker of this.#brokers) this.#drain(broker)
      this.#check()
    }
    const { leader, isr, elr } = this.state
    if (leader === -1) {
      assert.deepEqual([isr, elr], [[], []], 'somebody may lead, and nobody does')
      return
    }
    assert.equal(isr.length, BROKERS.length, `not all came back: ${isr.join()}`)
    const led = this.#brokers[leader - 1]!
    for (const { log } of this.#brokers) assert.deepEqual(log.records, led.log.records)
    assert.equal(led.leader?.highWatermark, led.log.logEndOffset)
  }

  #trouble(broker: ModelBroker): void {
    const dice = this.#random.below(10)
    if (dice < 2) this.#loseSession(broker)
    else if (dice < 6) this.#comeBack(broker)
    else if (dice < 8) this.#kill(broker)
    else this.#stop(broker)
  }

  // ------------------------------------------------------------------------------------------------------ controller

  #change(event: PartitionEvent): void {
    const context: ChangeContext = {
      assignment: ASSIGNMENT,
      broker: (id) => this.#views.get(id),
      eligibleLeaderReplicas: true,
      uncleanElection: false,
      controllerEpoch: 1,
    }
    const after = changePartition(this.state, event, context)
    if (after !== null) this.#tell(JSON.stringify(after))
    if (after !== null) this.#forgive(event, this.state, after)
    this.state = after ?? this.state
    this.#publish()
  }

  /** The last one that was eligible leads although it may lack something: what it lost is lost, and was said to be. */
  #forgive(event: PartitionEvent, before: PartitionState, { leader, leaderEpoch }: PartitionState): void {
    if (leader === -1 || leaderEpoch === before.leaderEpoch) return
    const isDoubtful = event.kind === 'fenced' && event.unclean && event.broker === leader
    if ([...before.isr, ...before.elr].includes(leader) && !isDoubtful) return
    const { log } = this.#brokers.find(({ id }) => id === leader)!
    for (const [id, { offset }] of this.acknowledged)
      if (log.records[offset]?.id !== id) this.acknowledged.delete(id)
    const other = this.#seen.findIndex((id, offset) => log.records[offset]?.id !== id)
    if (other !== -1) this.#seen.length = other
  }

  #publish(): void {
    const { state } = this
    const views = new Map(this.#views)
    for (const broker of this.#brokers)
      this.#send(`news to ${broker.id}`, () => this.#learn(broker, state, views))
  }

  #loseSession(broker: ModelBroker): void {
    const view = this.#views.get(broker.id)!
    if (view.fenced) return
    this.#tell(`${broker.id} loses its session`)
    this.#views.set(broker.id, { ...view, fenced: true })
    this.#change({ kind: 'fenced', broker: broker.id, unclean: false })
  }

  /** A process that is gone starts again; one that only lost its session registers anew. */
  #comeBack(broker: ModelBroker): void {
    this.#loseSession(broker)
    const { id, alive, unclean } = broker
    broker.epoch = this.#nextEpoch++
    this.#tell(`${id} is back, ${unclean ? 'unclean' : 'clean'}`)
    this.#views.set(id, { id, epoch: broker.epoch, fenced: true, shuttingDown: false })
    this.#change({ kind: 'fenced', broker: id, unclean })
    if (!alive) {
      broker.alive = true
      broker.image = null
    }
    broker.unclean = false
    this.#views.set(id, { ...this.#views.get(id)!, fenced: false })
    this.#change({ kind: 'unfenced', broker: id })
  }

  #kill(broker: ModelBroker): void {
    if (!broker.alive) return
    const { log } = broker
    const left = log.durableEnd + this.#random.below(log.logEndOffset - log.durableEnd + 1)
    this.#tell(`${broker.id} dies, with ${left} of ${log.logEndOffset}`)
    log.cutTo(left)
    log.writtenEndOffset = log.durableEnd = log.logEndOffset
    this.#ends(broker, true)
  }

  #stop(broker: ModelBroker): void {
    const view = this.#views.get(broker.id)!
    if (!broker.alive || view.fenced) return
    this.#tell(`${broker.id} stops`)
    this.#views.set(broker.id, { ...view, shuttingDown: true })
    this.#change({ kind: 'shutting-down', broker: broker.id })
    broker.log.writtenEndOffset = broker.log.durableEnd = broker.log.logEndOffset
    this.#ends(broker, false)
    this.#loseSession(broker)
  }

  #ends(broker: ModelBroker, unclean: boolean): void {
    broker.alive = false
    broker.unclean ||= unclean
    broker.leader = broker.follower = null
  }

  #propose(broker: ModelBroker, core: LeaderCore, proposal: IsrProposal): void {
    const noAnswer = (): void => core.proposalAnswered(proposal, ErrorCode.REQUEST_TIMED_OUT)
    const deliver = (): void => {
      const context = {
        sender: broker.id,
        assignment: ASSIGNMENT,
        broker: (id: number) => this.#views.get(id),
      }
      const isCurrent = this.#views.get(broker.id)!.epoch === broker.epoch
      const { errorCode, isDone } = isCurrent
        ? checkProposal(this.state, proposal, context)
        : { errorCode: ErrorCode.STALE_BROKER_EPOCH, isDone: false }
      if (errorCode === ErrorCode.NONE && !isDone)
        this.#change({
          kind: 'alter-isr',
          isr: proposal.isr.map(({ id }) => id),
          recovered: proposal.recovered,
        })
      const { state } = this
      const answered = (): void => {
        if (errorCode === ErrorCode.NONE && state.leaderEpoch === core.committed.leaderEpoch)
          core.stateCommitted(state, BROKERS, this.#nowMs)
        core.proposalAnswered(proposal, errorCode)
      }
      this.#send(`answer ${errorCode} to ${broker.id}`, answered, noAnswer)
    }
    this.#send(`${broker.id} proposes ${JSON.stringify(proposal)}`, deliver, noAnswer)
  }

  // ---------------------------------------------------------------------------------------------------------- brokers

  #learn(broker: ModelBroker, state: PartitionState, views: ReadonlyMap<number, BrokerView>): void {
    const { image } = broker
    if (!broker.alive || (image !== null && image.state.partitionEpoch > state.partitionEpoch)) return
    broker.image = { state, views }
    const isLeader = state.leader === broker.id && state.leaderBrokerEpoch === broker.epoch
    if (!isLeader) this.#follow(broker, state)
    else if (broker.leader === null) this.#lead(broker, state)
    else {
      if (state.leaderEpoch > broker.leader.committed.leaderEpoch)
        broker.log.epochs.assign(state.leaderEpoch, broker.log.logEndOffset)
      broker.leader.stateCommitted(state, BROKERS, this.#nowMs)
    }
    broker.leader?.brokersChanged(this.#nowMs)
  }

  #lead(broker: ModelBroker, state: PartitionState): void {
    const { log } = broker
    for (const [id, { offset, leaderEpoch }] of this.acknowledged)
      if (leaderEpoch < state.leaderEpoch)
        assert.equal(log.records[offset]?.id, id, `${broker.id} leads without record ${id} at ${offset}`)
    broker.follower = null
    log.epochs.assign(state.leaderEpoch, log.logEndOffset)
    log.writtenEndOffset = log.logEndOffset
    broker.leader = new LeaderCore({
      self: broker.id,
      state,
      replicas: BROKERS,
      endOffset: log.writtenEndOffset,
      highWatermark: broker.highWatermark,
      lagTimeMaxMs: LAG_MS,
      broker: (id) => broker.image?.views.get(id),
      nowMs: this.#nowMs,
    })
  }

  #follow(broker: ModelBroker, { leader, leaderEpoch }: PartitionState): void {
    // It leads on until somebody else does: what it commits meanwhile must be right.
    if (leader === -1) return
    if (broker.follower?.leaderEpoch === leaderEpoch) return
    broker.leader = null
    broker.follower = new FollowerCore({ leaderEpoch, highWatermark: broker.highWatermark })
  }

  #produce(broker: ModelBroker): void {
    const { leader, log, alive } = broker
    if (!alive || leader === null || leader.underMinIsr) return
    const id = this.#nextId++
    const offset = log.logEndOffset
    log.append([{ id, epoch: leader.committed.leaderEpoch }])
    log.writtenEndOffset = log.logEndOffset
    this.#tell(`${broker.id} appends ${id} at ${offset}`)
    leader.appended(log.writtenEndOffset)
    this.#waiting.push({ id, offset, broker, core: leader })
  }

  #fetch(broker: ModelBroker): void {
    const { follower, log, image, epoch, alive } = broker
    const target = image?.state.leader ?? -1
    if (!alive || follower === null || target === -1 || target === broker.id) return
    const asked = follower.request(log)
    if (asked === null) return
    this.#send(`${broker.id} fetches ${JSON.stringify(asked)} of ${target}`, () => {
      const answer = this.#answer(this.#brokers[target - 1]!, broker.id, epoch, asked)
      if (answer !== null)
        this.#send(`answer to the fetch of ${broker.id}`, () =>
          this.#fetched(broker, follower, asked, ...answer),
        )
    })
  }

  #answer(
    leading: ModelBroker,
    replica: number,
    epoch: number,
    asked: FollowerRequest,
  ): [FetchAnswer, readonly Written[]] | null {
    const { leader, log } = leading
    if (!leading.alive || leader === null) return null
    const refused = (errorCode: number): [FetchAnswer, readonly Written[]] => [
      { errorCode, highWatermark: -1, logStartOffset: -1, divergingEpoch: null, hasRecords: false },
      [],
    ]
    const { leaderEpoch } = leader.committed
    if (asked.currentLeaderEpoch < leaderEpoch) return refused(ErrorCode.FENCED_LEADER_EPOCH)
    if (asked.currentLeaderEpoch > leaderEpoch) return refused(ErrorCode.UNKNOWN_LEADER_EPOCH)
    const ok = { errorCode: ErrorCode.NONE, highWatermark: leader.highWatermark, logStartOffset: 0 }
    if (asked.lastFetchedEpoch >= 0) {
      const end = log.endOffsetFor(asked.lastFetchedEpoch)
      if (end.epoch < asked.lastFetchedEpoch || end.endOffset < asked.fetchOffset)
        return [{ ...ok, divergingEpoch: end, hasRecords: false }, []]
    }
    if (asked.fetchOffset > log.logEndOffset) return refused(ErrorCode.OFFSET_OUT_OF_RANGE)
    const errorCode = leader.followerFetched(replica, epoch, asked.fetchOffset, 0, this.#nowMs)
    if (errorCode !== ErrorCode.NONE) return refused(errorCode)
    const records = log.records.slice(asked.fetchOffset, asked.fetchOffset + 1 + this.#random.below(5))
    return [
      { ...ok, highWatermark: leader.highWatermark, divergingEpoch: null, hasRecords: records.length > 0 },
      records,
    ]
  }

  #fetched(
    broker: ModelBroker,
    core: FollowerCore,
    asked: FollowerRequest,
    answer: FetchAnswer,
    records: readonly Written[],
  ): void {
    const { log } = broker
    if (!broker.alive || broker.follower !== core) return
    const step = core.answered(log, asked, answer)
    if (step.kind === 'truncate') {
      this.#tell(`${broker.id} cuts at ${step.endOffset} of ${log.logEndOffset}`)
      log.cutTo(step.endOffset)
      core.truncated(log)
    } else if (step.kind === 'append' || step.kind === 'advance') {
      log.append(records)
      log.writtenEndOffset = log.logEndOffset
      core.written(log, answer.highWatermark, answer.logStartOffset)
    }
    broker.highWatermark = core.highWatermark
  }

  // ---------------------------------------------------------------------------------------------------------- driving

  #send(what: string, deliver: () => void, lost: () => void = () => {}): void {
    this.#messages.push({ what, deliver, lost })
  }

  /** Any of those under way: nothing keeps an order. */
  #deliverOne(): void {
    const at = this.#random.chance(0.5) ? 0 : this.#random.below(this.#messages.length)
    const [message] = this.#messages.splice(at, 1)
    if (message === undefined) return
    const isLost = this.#random.chance(0.05)
    this.#tell(isLost ? `lost: ${message.what}` : message.what)
    if (isLost) message.lost()
    else message.deliver()
  }

  /** What its core wants done. */
  #drain(broker: ModelBroker): void {
    const { leader } = broker
    if (leader === null) return
    const { proposal } = leader.outbox
    leader.outbox.proposal = null
    leader.outbox.highWatermarkMoved = false
    leader.outbox.fellBelowMinIsr = false
    if (proposal !== null) this.#propose(broker, leader, proposal)
    broker.highWatermark = leader.highWatermark
    for (const [i, waiting] of [...this.#waiting.entries()].toReversed()) {
      if (waiting.core !== leader || leader.highWatermark <= waiting.offset) continue
      this.#waiting.splice(i, 1)
      this.acknowledged.set(waiting.id, { offset: waiting.offset, leaderEpoch: leader.committed.leaderEpoch })
      this.#tell(`${broker.id} acknowledges ${waiting.id}`)
    }
  }

  #check(): void {
    for (const { leader, log, id } of this.#brokers) {
      if (leader === null) continue
      const { highWatermark, epochStartOffset } = leader
      const { leaderEpoch } = leader.committed
      assert.ok(
        highWatermark >= (this.#highWatermarks.get(leaderEpoch) ?? 0),
        `${id}: the high watermark goes back`,
      )
      this.#highWatermarks.set(leaderEpoch, highWatermark)
      if (highWatermark < epochStartOffset) continue
      for (let offset = this.#seen.length; offset < highWatermark; offset++)
        this.#seen.push(log.records[offset]!.id)
      for (let offset = Math.max(0, highWatermark - 3); offset < highWatermark; offset++)
        assert.equal(
          log.records[offset]!.id,
          this.#seen[offset],
          `${id}: readers see another record at ${offset}`,
        )
    }
    const { leader, isr, minIsr } = this.state
    const current = this.#brokers.find(
      ({ leader: core }) => core?.committed.leaderEpoch === this.state.leaderEpoch,
    )
    if (leader === -1 || current?.leader === null || current === undefined || isr.length < minIsr) return
    for (const id of isr)
      if (current.leader.committed.isr.length >= minIsr)
        assert.ok(current.leader.maximalIsr.has(id), `${current.id} does not wait for ${id} of the ISR`)
  }

  #tell(what: string): void {
    this.story.push(`${this.#nowMs} ${what}`)
  }
}
