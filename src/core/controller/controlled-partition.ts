import { bornWith, changePartition } from './partition-change.ts'
import type { ChangeContext, PartitionEvent } from './partition-change.ts'
import { isActive } from '../replication/partition-state.ts'
import type { Assignment, BrokerView, PartitionState } from '../replication/partition-state.ts'
import type { StoreOutcome, TopicRules } from './controller-types.ts'

/** What a partition must know of the cluster. */
export interface PartitionSurroundings {
  readonly controllerEpoch: number
  readonly eligibleLeaderReplicas: boolean
  broker(id: number): BrokerView | undefined
  /**
   * Its logs may lack what they had when a controller of this epoch wrote: it is neither in sync nor eligible, until a leader
   * says so again.
   */
  isDoubtful(id: number, controllerEpoch: number): boolean
  /** The store is to hold this, if it holds what the partition was loaded with or wrote last. */
  write(partition: ControlledPartition, state: PartitionState): void
  /** The store holds another state now. */
  changed(partition: ControlledPartition): void
}

export interface FoundLog {
  /** Of the broker that found it. */
  readonly epoch: number
  readonly lastEpoch: number
  readonly endOffset: number
}

/** Something that was asked for. */
export interface AskedChange {
  /** Called when its turn has come. Null: nothing is to be done after all. */
  decide(state: PartitionState): PartitionEvent | null
  /** Called once: what it came to is stored, or nothing was to be done; null when the partition is gone. */
  settled(state: PartitionState | null): void
}

/**
 * A partition under its controller. One change is written after the other, each from what the store agreed to. Whatever
 * happens to brokers is not kept as events: when its turn comes a partition looks at the brokers as they are.
 */
export class ControlledPartition {
  readonly topic: string
  readonly topicId: string
  readonly index: number
  readonly assignment: Assignment
  rules: TopicRules
  readonly #around: PartitionSurroundings
  #state: PartitionState
  /** Of the node in the store; -1: there is none yet. */
  #version: number
  #writing: { readonly state: PartitionState; readonly asked: AskedChange | null } | null = null
  #asked: AskedChange[] = []
  /** By broker, while nobody leads. */
  readonly #logs = new Map<number, FoundLog>()
  /** What the store has of it makes no sense: it is left as it is, until somebody repairs it and a new term begins. */
  readonly isDamaged: boolean
  #isLeaving = false

  constructor(
    parts: {
      readonly topic: string
      readonly topicId: string
      readonly index: number
      readonly assignment: Assignment
      readonly rules: TopicRules
      /** Null: of a topic that was half made. */
      readonly state: PartitionState | null | 'damaged'
    },
    around: PartitionSurroundings,
  ) {
    this.topic = parts.topic
    this.topicId = parts.topicId
    this.index = parts.index
    this.assignment = parts.assignment
    this.rules = parts.rules
    this.#around = around
    const { state } = parts
    this.isDamaged = state === 'damaged'
    const stored = state === 'damaged' ? null : state
    const { minInsyncReplicas } = parts.rules
    const minIsr = stored?.minIsr ?? this.#limited(minInsyncReplicas ?? Infinity)
    this.#state = stored ?? bornWith(minIsr, 0, this.#context(this.#seen))
    this.#version = stored?.partitionEpoch ?? -1
  }

  /** Its topic is being made, with this as its state: `stored` tells when it is. */
  isBeingMade(): PartitionState {
    this.#writing = { state: this.#state, asked: null }
    return this.#state
  }

  /** What the store holds; of one that was half made, what it is to hold. */
  get state(): PartitionState {
    return this.#state
  }

  get version(): number {
    return this.#version
  }

  get #minIsr(): number {
    return this.#limited(this.rules.minInsyncReplicas ?? this.#state.minIsr)
  }

  #limited(minIsr: number): number {
    return Math.min(minIsr, this.assignment.replicas.length)
  }

  /** Nothing hinders the broker from coming back: it is not in sync, and not eligible when it is doubtful. */
  hasLet(broker: number): boolean {
    if (this.isDamaged) return true
    if (this.#version === -1 || this.#writing !== null) return false
    const { isr, elr, leader } = this.#state
    if (leader === broker || (this.#isDoubtful(broker) && elr.includes(broker))) return false
    return !isr.includes(broker) || (!this.#around.eligibleLeaderReplicas && isr.length === 1)
  }

  /** To be called whenever brokers, or the rules of its topic, are not what they were. */
  look(): void {
    if (this.isDamaged || this.#isLeaving || this.#writing !== null) return
    if (this.#version === -1) return this.#write(this.#state, null)
    const now = this.#asItShouldBe()
    if (now !== this.#state) return this.#write(now, null)
    while (this.#asked.length > 0) {
      const asked = this.#asked.shift()!
      const event = asked.decide(this.#state)
      const after = event === null ? null : changePartition(this.#state, event, this.#context(this.#seen))
      if (after !== null) return this.#write(after, asked)
      asked.settled(this.#state)
    }
  }

  /** How far the log of a replica goes that nobody leads. */
  logFound(broker: number, log: FoundLog): void {
    if (this.#state.leader !== -1) return
    this.#logs.set(broker, log)
    this.look()
  }

  ask(change: AskedChange): void {
    if (this.isDamaged || this.#isLeaving) return change.settled(null)
    this.#asked.push(change)
    this.look()
  }

  /** The outcome of the write under way; false when somebody else wrote. */
  stored(outcome: StoreOutcome): boolean {
    const writing = this.#writing
    if (writing === null) return true
    this.#writing = null
    if (outcome === 'changed') return false
    this.#version = outcome.version
    this.#state = { ...writing.state, partitionEpoch: outcome.version }
    if (this.#state.leader !== -1) this.#logs.clear()
    this.#around.changed(this)
    writing.asked?.settled(this.#state)
    this.look()
    return true
  }

  /** Its topic is to be deleted: nothing of it changes any more. Until it is, the store holds it as it is. */
  leave(): void {
    this.#isLeaving = true
    for (const asked of this.#asked.splice(0)) asked.settled(null)
  }

  #write(state: PartitionState, asked: AskedChange | null): void {
    this.#writing = { state, asked }
    this.#around.write(this, state)
  }

  readonly #isDoubtful = (id: number): boolean => this.#around.isDoubtful(id, this.#state.controllerEpoch)

  readonly #seen = (id: number): BrokerView | undefined => this.#around.broker(id)

  #context(broker: ChangeContext['broker']): ChangeContext {
    return {
      assignment: this.assignment,
      broker,
      eligibleLeaderReplicas: this.#around.eligibleLeaderReplicas,
      uncleanElection: this.rules.uncleanElection,
      controllerEpoch: this.#around.controllerEpoch,
    }
  }

  /**
   * The state after all that brokers have been through. Of several that are gone one goes after the other, and each time the
   * others still seem to be there: who left last holds most. So who may have lost something goes first, or it would be kept
   * as one in sync while one that has all is forgotten.
   */
  #asItShouldBe(): PartitionState {
    const before = this.#state
    let state = before
    const leaving = this.#leaving(before)
    for (let at = 0; at < leaving.length; at++) {
      const later = leaving.slice(at + 1)
      const broker = (id: number): BrokerView | undefined =>
        later.includes(id) ? stillThere(id, before) : this.#seen(id)
      const left = leaving[at]!
      const event = { kind: 'fenced', broker: left, unclean: this.#isDoubtful(left) } as const
      state = changePartition(state, event, this.#context(broker)) ?? state
    }
    // Who came back may lead a partition that has no leader, or one whose leader is another process now.
    const elected = { kind: 'elect', how: 'clean' } as const
    state = changePartition(state, elected, this.#context(this.#seen)) ?? state
    const longest = this.#longest(state)
    if (longest !== null) {
      const recovered = { kind: 'elect', how: { unclean: longest } } as const
      state = changePartition(state, recovered, this.#context(this.#seen)) ?? state
    }
    if (state.minIsr === this.#minIsr) return state
    const minIsr = { kind: 'min-isr', minIsr: this.#minIsr } as const
    return changePartition(state, minIsr, this.#context(this.#seen)) ?? state
  }

  /**
   * Nobody is certain to have everything, and all who had it once are back and have said how far their logs go: whoever has
   * the longest has all that any of them has (KIP-966, the balanced strategy). Null: nobody, or somebody is missing.
   */
  #longest({ leader, isr, elr, lastKnownElr }: PartitionState): number | null {
    if (leader !== -1 || isr.length + elr.length > 0) return null
    let best: { readonly id: number; readonly log: FoundLog } | null = null
    // Of equal ones the first of the assignment, so that not one broker leads everything.
    for (const id of this.assignment.replicas) {
      if (!lastKnownElr.includes(id)) continue
      const view = this.#seen(id)
      const log = this.#logs.get(id)
      if (!isActive(view) || log?.epoch !== view.epoch) return null
      const isLonger =
        best === null ||
        log.lastEpoch > best.log.lastEpoch ||
        (log.lastEpoch === best.log.lastEpoch && log.endOffset > best.log.endOffset)
      if (isLonger) best = { id, log }
    }
    return best?.id ?? null
  }

  /** In the order of the assignment, the doubtful ones first. */
  #leaving({ isr, elr, leader }: PartitionState): number[] {
    const leaving = this.assignment.replicas.filter((id) => {
      if (this.#isDoubtful(id) && (isr.includes(id) || elr.includes(id))) return true
      if (!isr.includes(id) || isActive(this.#seen(id))) return false
      return this.#around.eligibleLeaderReplicas || isr.length > 1 || leader === id
    })
    return [...leaving.filter(this.#isDoubtful), ...leaving.filter((id) => !this.#isDoubtful(id))]
  }
}

/** As it was before it went. */
function stillThere(id: number, { leader, leaderBrokerEpoch }: PartitionState): BrokerView {
  return { id, epoch: id === leader ? leaderBrokerEpoch : 0, fenced: false, shuttingDown: false }
}
