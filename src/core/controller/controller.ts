import { ErrorCode } from '../../../protocol/errors.ts'
import { isActive } from '../replication/partition-state.ts'
import type { Assignment, BrokerView, PartitionState } from '../replication/partition-state.ts'
import { checkProposal } from './alter-partition.ts'
import { ControlledBroker } from './controlled-broker.ts'
import { ControlledPartition } from './controlled-partition.ts'
import type { PartitionSurroundings } from './controlled-partition.ts'
import type {
  ClusterSnapshot,
  ControllerEffect,
  ImageRecord,
  LiveBroker,
  Proposal,
  ProposalAnswer,
  ReplicaReport,
  StoreOutcome,
  StoredTopic,
  TopicPlan,
  TopicRules,
} from './controller-types.ts'

export interface ControllerOptions {
  readonly controllerEpoch: number
  /** `eligible.leader.replicas.enable`. */
  readonly eligibleLeaderReplicas: boolean
}

interface ControlledTopic {
  readonly name: string
  readonly topicId: string
  rules: TopicRules
  readonly partitions: ControlledPartition[]
  /** The store has it, and brokers may know. */
  isMade: boolean
  /** Under way in its nodes. */
  writes: number
  /** It is to be removed, when nothing is under way in it: a topic of the same name may follow. */
  whenQuiet: (() => void) | null
}

/** Where an answer goes. The core keeps it and never calls it: answers leave as effects. */
type Reply<Answer> = (answer: Answer) => void

/**
 * What the active controller decides: which brokers serve, who leads and who is in sync, which topics there are. It is told
 * how things are (`registrations`, `applied`) or what is asked for, and leaves what is to be done in `effects`. It counts
 * on nothing that the store has not agreed to; what it decided and did not write is decided again, by it or by the next one.
 *
 * A broker that registers is accepted when no partition counts on what its last process had: none has it in its ISR, and
 * if it may have lost something none in its ELR (KIP-966). Only then is its epoch written, so that a controller that dies in
 * between begins anew. It is fenced until it has learned what was published up to then.
 */
export class ControllerCore implements PartitionSurroundings {
  readonly controllerEpoch: number
  readonly eligibleLeaderReplicas: boolean
  /** To be carried out in order, and taken out. */
  readonly effects: ControllerEffect[] = []
  readonly #brokers = new Map<number, ControlledBroker>()
  readonly #topics = new Map<string, ControlledTopic>()
  readonly #topicsByName = new Map<string, ControlledTopic>()
  /** By name: topics that are being made, those that are being removed, and those of which nothing can be read. */
  readonly #taken = new Set<string>()
  readonly #underWay = new Map<number, (outcome: StoreOutcome) => void>()
  #records: ImageRecord[] = []
  #sequence = 0
  #nextId = 1
  #resigned = false

  constructor(options: ControllerOptions) {
    this.controllerEpoch = options.controllerEpoch
    this.eligibleLeaderReplicas = options.eligibleLeaderReplicas
  }

  /** The news published last. */
  get sequence(): number {
    return this.#sequence
  }

  broker(id: number): BrokerView | undefined {
    return this.#brokers.get(id)?.view
  }

  isDoubtful(id: number, controllerEpoch: number): boolean {
    const broker = this.#brokers.get(id)
    if (broker === undefined) return false
    return (broker.isDoubtful && broker.phase === 'arriving') || controllerEpoch < broker.doubtEpoch
  }

  /** A process is registered that does not serve yet. */
  get isSomebodyComing(): boolean {
    return [...this.#brokers.values()].some(
      ({ phase }) => phase !== 'gone' && phase !== 'serving' && phase !== 'leaving',
    )
  }

  /** The brokers that are counted on. */
  serving(): readonly number[] {
    return [...this.#brokers.values()].filter(({ phase }) => phase === 'serving').map(({ id }) => id)
  }

  /** All there are, and those that are being made. */
  topics(): Iterable<{ readonly name: string; readonly topicId: string }> {
    return [...this.#topics.values()]
  }

  /** As it will be when all that is under way is done; undefined: there is no such topic. */
  assignmentsOf(topicId: string): readonly Assignment[] | undefined {
    return this.#topics.get(topicId)?.partitions.map(({ assignment }) => assignment)
  }

  partitions(): Iterable<ControlledPartition> {
    return [...this.#topics.values()].flatMap(({ partitions }) => partitions)
  }

  // -------------------------------------------------------------------------------------------------------- what is

  /** All that is stored, once, before anything else. Completes what the controller before left half done. */
  load({ topics, damagedTopics, accepted, live }: ClusterSnapshot): void {
    for (const { id, epoch, fenced, doubtEpoch, version } of accepted) {
      const broker = this.#known(id)
      broker.acceptedEpoch = epoch
      broker.doubtEpoch = doubtEpoch
      broker.version = version
      const process = live.find((each) => each.id === id && each.epoch === epoch)
      if (process === undefined) continue
      broker.live = process
      broker.phase = fenced ? 'catching up' : 'serving'
      // It has yet to learn all that this controller knows.
      broker.acceptedAt = 1
    }
    for (const topic of topics) this.#add(topic, true)
    for (const name of damagedTopics) this.#taken.add(name)
    for (const { view } of this.#brokers.values())
      if (view !== undefined) this.#records.push({ kind: 'broker', broker: view })
    for (const topic of this.#topics.values()) this.#tellOf(topic)
    for (const name of damagedTopics) this.#records.push({ kind: 'topic-damaged', name })
    this.#publish()
    this.registrations(live)
    for (const partition of this.partitions()) partition.look()
    this.#publish()
  }

  /** The processes that are registered now. */
  registrations(live: readonly LiveBroker[]): void {
    const changed = new Set<number>()
    for (const broker of this.#brokers.values()) {
      if (broker.live === null) continue
      const is = live.find(({ id }) => id === broker.id)
      if (is?.epoch === broker.live.epoch) continue
      broker.ends()
      this.#tellOfBroker(broker)
      changed.add(broker.id)
    }
    const arrived: ControlledBroker[] = []
    for (const process of live) {
      const broker = this.#known(process.id)
      if (broker.live !== null) continue
      broker.arrives(process)
      arrived.push(broker)
      changed.add(process.id)
    }
    // Once all is known: of several that went, who may have lost something must be the first to leave an ISR.
    this.#lookAt(changed)
    for (const broker of arrived) this.#waitFor(broker)
    this.#publish()
  }

  /** The broker knows what was published up to `sequence`. */
  applied(id: number, epoch: number, sequence: number): void {
    const broker = this.#brokers.get(id)
    if (broker === undefined || broker.phase !== 'catching up' || broker.acceptedEpoch !== epoch) return
    if (sequence < broker.acceptedAt) return
    broker.phase = 'unfencing'
    this.#writeAccepted(broker, broker.live!, false, () => {
      if (broker.phase !== 'unfencing') return
      broker.phase = 'serving'
      this.#tellOfBroker(broker)
      this.#lookAt(new Set([id]))
    })
  }

  /** Its process is registered, but cannot be reached or does nothing: it is fenced until it knows what is so then. */
  fellSilent(id: number): void {
    const broker = this.#brokers.get(id)
    if (broker?.phase !== 'serving') return
    broker.phase = 'catching up'
    broker.acceptedAt = this.#sequence + 1
    this.#tellOfBroker(broker)
    this.#lookAt(new Set([id]))
    this.#publish()
  }

  // -------------------------------------------------------------------------------------------------- what is asked

  /** AlterPartition: one answer for all of a leader's proposals, when each is stored or refused. */
  alterPartitions(
    sender: number,
    epoch: number,
    proposals: readonly Proposal[],
    reply: Reply<{ readonly errorCode: ErrorCode; readonly answers: readonly ProposalAnswer[] }>,
  ): void {
    if (this.#brokers.get(sender)?.view?.epoch !== epoch)
      return this.#reply(reply, { errorCode: ErrorCode.STALE_BROKER_EPOCH, answers: [] })
    const answers: ProposalAnswer[] = []
    let left = proposals.length
    const answered = (at: number, answer: ProposalAnswer): void => {
      answers[at] = answer
      if (--left === 0) this.#reply(reply, { errorCode: ErrorCode.NONE, answers })
    }
    if (left === 0) this.#reply(reply, { errorCode: ErrorCode.NONE, answers })
    for (const [at, proposal] of proposals.entries())
      this.#propose(sender, proposal, (answer) => answered(at, answer))
    this.#publish()
  }

  #propose(sender: number, proposal: Proposal, answered: (answer: ProposalAnswer) => void): void {
    const { topicId, index } = proposal
    const partition = this.#topics.get(topicId)?.partitions[index]
    const unknown = {
      topicId,
      index,
      errorCode: this.#topics.has(topicId)
        ? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        : ErrorCode.UNKNOWN_TOPIC_ID,
      state: null,
    }
    if (partition === undefined) return answered(unknown)
    let errorCode: ErrorCode = ErrorCode.NONE
    partition.ask({
      decide: (state) => {
        const context = { sender, assignment: partition.assignment, broker: (id: number) => this.broker(id) }
        const checked = checkProposal(state, proposal, context)
        errorCode = checked.errorCode
        if (errorCode !== ErrorCode.NONE || checked.isDone) return null
        return { kind: 'alter-isr', isr: proposal.isr.map(({ id }) => id), recovered: proposal.recovered }
      },
      settled: (state) =>
        answered(
          state === null
            ? unknown
            : { topicId, index, errorCode, state: errorCode === ErrorCode.NONE ? state : null },
        ),
    })
  }

  /** The broker wants to stop: answered when no partition counts on it any more. */
  controlledShutdown(id: number, epoch: number, reply: Reply<ErrorCode>): void {
    const broker = this.#brokers.get(id)
    if (broker?.view?.epoch !== epoch) return this.#reply(reply, ErrorCode.STALE_BROKER_EPOCH)
    // One question at a time: however often it asks, no more is kept of it.
    broker.whenLeft?.(ErrorCode.REQUEST_TIMED_OUT)
    broker.whenLeft = (errorCode) => this.#reply(reply, errorCode)
    if (broker.phase === 'serving') {
      broker.phase = 'leaving'
      this.#tellOfBroker(broker)
      this.#lookAt(new Set([id]))
    }
    this.#waitFor(broker)
    this.#publish()
  }

  /** Answered when it is stored. Checks no more than whether the name is free and somebody may lead: the plan is the caller's. */
  createTopic(plan: TopicPlan, reply: Reply<ErrorCode>): void {
    if (this.#taken.has(plan.name) || this.#topicsByName.has(plan.name))
      return this.#reply(reply, ErrorCode.TOPIC_ALREADY_EXISTS)
    if (!plan.assignments.every((assignment) => this.#mayLead(assignment)))
      return this.#reply(reply, ErrorCode.INVALID_REPLICA_ASSIGNMENT)
    this.#taken.add(plan.name)
    const topic = this.#add({ ...plan, states: [] }, false)
    const states = topic.partitions.map((partition) => partition.isBeingMade())
    const id = this.#begin((outcome) => {
      this.#taken.delete(plan.name)
      if (typeof outcome === 'string') {
        this.#forget(topic)
        return this.#reply(reply, ErrorCode.TOPIC_ALREADY_EXISTS)
      }
      topic.isMade = true
      this.#records.push({ kind: 'topic', name: topic.name, topicId: topic.topicId, rules: topic.rules })
      for (const partition of topic.partitions) partition.stored({ version: 0 })
      this.#reply(reply, ErrorCode.NONE)
    })
    this.effects.push({ kind: 'create-topic', id, plan, states })
  }

  /** More partitions for a topic; as `createTopic`. */
  growTopic(topicId: string, added: readonly Assignment[], reply: Reply<ErrorCode>): void {
    const topic = this.#topics.get(topicId)
    if (topic === undefined) return this.#reply(reply, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    if (this.#taken.has(topic.name)) return this.#reply(reply, ErrorCode.REASSIGNMENT_IN_PROGRESS)
    if (!added.every((assignment) => this.#mayLead(assignment)))
      return this.#reply(reply, ErrorCode.INVALID_REPLICA_ASSIGNMENT)
    this.#taken.add(topic.name)
    const from = topic.partitions.length
    const partitions = added.map((assignment, at) => this.#partitionOf(topic, from + at, assignment, null))
    const states = partitions.map((partition) => partition.isBeingMade())
    topic.partitions.push(...partitions)
    const assignments = topic.partitions.map(({ assignment }) => assignment)
    const id = this.#begin((outcome) => {
      this.#taken.delete(topic.name)
      if (typeof outcome === 'string') return this.#resign(`topic ${topic.name} is not what it was`)
      for (const partition of partitions) partition.stored({ version: 0 })
      this.#reply(reply, ErrorCode.NONE)
    })
    this.effects.push({ kind: 'grow-topic', id, name: topic.name, topicId, assignments, from, states })
  }

  /**
   * Elects a leader anew: the preferred one, or, where there is none and `unclean`, whoever lives. Answers KIP-460's codes.
   */
  elect(topicId: string, index: number, how: 'preferred' | 'unclean', reply: Reply<ErrorCode>): void {
    const partition = this.#topics.get(topicId)?.partitions[index]
    if (partition === undefined) return this.#reply(reply, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    let errorCode: ErrorCode = ErrorCode.NONE
    partition.ask({
      decide: (state) => {
        const { replicas } = partition.assignment
        const preferred = replicas[0]!
        const isNeeded = how === 'preferred' ? state.leader !== preferred : state.leader === -1
        if (!isNeeded) errorCode = ErrorCode.ELECTION_NOT_NEEDED
        if (!isNeeded) return null
        const active = replicas.filter((id) => isActive(this.broker(id)))
        const chosen = how === 'preferred' ? preferred : active[0]
        const isEligible = chosen !== undefined && active.includes(chosen)
        const isInSync = state.isr.includes(preferred)
        if (!isEligible || (how === 'preferred' && !isInSync)) {
          errorCode =
            how === 'preferred'
              ? ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE
              : ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE
          return null
        }
        return { kind: 'elect', how: how === 'preferred' ? 'preferred' : { unclean: chosen } }
      },
      settled: (state) =>
        this.#reply(reply, state === null ? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION : errorCode),
    })
    this.#publish()
  }

  /** What a broker found out about its replicas. Answered when nobody counts on the damaged ones any more. */
  replicasReported(
    sender: number,
    epoch: number,
    { damaged, logs }: ReplicaReport,
    reply: Reply<ErrorCode>,
  ): void {
    if (this.#brokers.get(sender)?.view?.epoch !== epoch)
      return this.#reply(reply, ErrorCode.STALE_BROKER_EPOCH)
    for (const { topicId, index, lastEpoch, endOffset } of logs)
      this.#topics.get(topicId)?.partitions[index]?.logFound(sender, { epoch, lastEpoch, endOffset })
    let left = 1
    const settled = (): void => {
      if (--left === 0) this.#reply(reply, ErrorCode.NONE)
    }
    for (const { topicId, index } of damaged) {
      const partition = this.#topics.get(topicId)?.partitions[index]
      if (partition === undefined) continue
      left += 1
      partition.ask({ decide: () => ({ kind: 'replica-damaged', broker: sender }), settled })
    }
    settled()
    this.#publish()
  }

  deleteTopic(topicId: string, reply: Reply<ErrorCode>): void {
    const topic = this.#topics.get(topicId)
    if (topic === undefined || this.#taken.has(topic.name))
      return this.#reply(reply, ErrorCode.UNKNOWN_TOPIC_ID)
    this.#taken.add(topic.name)
    for (const partition of topic.partitions) partition.leave()
    topic.whenQuiet = () => {
      const id = this.#begin(() => {
        this.#taken.delete(topic.name)
        this.#records.push({ kind: 'topic-gone', topicId })
        this.#forget(topic)
        this.#reply(reply, ErrorCode.NONE)
      })
      this.effects.push({ kind: 'delete-topic', id, name: topic.name, topicId })
    }
    if (topic.writes === 0) topic.whenQuiet()
    this.#publish()
  }

  /** The configuration of a topic says something else: its ELR is not what it was under the old rules. */
  rulesChanged(topicId: string, rules: TopicRules): void {
    const topic = this.#topics.get(topicId)
    if (topic === undefined) return
    topic.rules = rules
    for (const partition of topic.partitions) {
      partition.rules = rules
      partition.look()
    }
    if (topic.isMade) this.#records.push({ kind: 'topic', name: topic.name, topicId, rules })
    this.#publish()
  }

  /** Dynamic values of a broker (-1: of all) are stored. */
  configChanged(brokerId: number, values: ReadonlyMap<string, string>): void {
    this.#records.push({ kind: 'config', brokerId, values })
    this.#publish()
  }

  /** What became of a write. */
  stored(id: number, outcome: StoreOutcome): void {
    const settle = this.#underWay.get(id)
    if (settle === undefined || this.#resigned) return
    this.#underWay.delete(id)
    settle(outcome)
    this.#publish()
  }

  // ---------------------------------------------------------------------------------------------------- partitions

  write(partition: ControlledPartition, state: ControlledPartition['state']): void {
    const { topic: name, topicId, index, version } = partition
    const topic = this.#topics.get(topicId)!
    topic.writes += 1
    const id = this.#begin((outcome) => {
      topic.writes -= 1
      if (!partition.stored(outcome)) return this.#resign(`the state of ${name}-${index} is not what it was`)
      if (topic.writes === 0) topic.whenQuiet?.()
    })
    this.effects.push({ kind: 'write-state', id, topic: name, index, state, version })
  }

  changed(partition: ControlledPartition): void {
    const { topicId, index, assignment, state } = partition
    this.#records.push({ kind: 'partition', topicId, index, assignment, state })
    this.#lets(
      partition,
      assignment.replicas.filter((id) => partition.hasLet(id)),
    )
  }

  #add(stored: StoredTopic, isMade: boolean): ControlledTopic {
    const { name, topicId, rules } = stored
    const topic: ControlledTopic = {
      name,
      topicId,
      rules,
      partitions: [],
      isMade,
      writes: 0,
      whenQuiet: null,
    }
    for (const [index, assignment] of stored.assignments.entries())
      topic.partitions.push(this.#partitionOf(topic, index, assignment, stored.states[index] ?? null))
    this.#topics.set(topicId, topic)
    this.#topicsByName.set(name, topic)
    return topic
  }

  #partitionOf(
    { name, topicId, rules }: ControlledTopic,
    index: number,
    assignment: Assignment,
    state: PartitionState | null | 'damaged',
  ): ControlledPartition {
    return new ControlledPartition({ topic: name, topicId, index, assignment, rules, state }, this)
  }

  #mayLead({ replicas }: Assignment): boolean {
    return replicas.some((id) => isActive(this.broker(id)))
  }

  #forget(topic: ControlledTopic): void {
    this.#topics.delete(topic.topicId)
    this.#topicsByName.delete(topic.name)
    for (const partition of topic.partitions) {
      partition.leave()
      this.#lets(partition, partition.assignment.replicas)
    }
  }

  #lookAt(brokers: ReadonlySet<number>): void {
    if (brokers.size === 0) return
    for (const partition of this.partitions())
      if (partition.assignment.replicas.some((id) => brokers.has(id))) partition.look()
  }

  // ------------------------------------------------------------------------------------------------------- brokers

  #known(id: number): ControlledBroker {
    let broker = this.#brokers.get(id)
    if (broker === undefined) this.#brokers.set(id, (broker = new ControlledBroker(id)))
    return broker
  }

  #arrives(broker: ControlledBroker, process: LiveBroker): void {
    broker.arrives(process)
    this.#lookAt(new Set([broker.id]))
    this.#waitFor(broker)
  }

  /** It waits until no partition counts on it any more. */
  #waitFor(broker: ControlledBroker): void {
    broker.countedOnBy.clear()
    for (const partition of this.partitions())
      if (partition.assignment.replicas.includes(broker.id) && !partition.hasLet(broker.id))
        broker.countedOnBy.add(partition)
    this.#progress(broker)
  }

  #lets(partition: ControlledPartition, ids: readonly number[]): void {
    for (const id of ids) {
      const broker = this.#brokers.get(id)
      if (broker?.countedOnBy.delete(partition) === true) this.#progress(broker)
    }
  }

  /** Whether what it waits for is so. */
  #progress(broker: ControlledBroker): void {
    if (broker.countedOnBy.size > 0) return
    broker.whenLeft?.(ErrorCode.NONE)
    broker.whenLeft = null
    if (broker.phase === 'arriving' && !broker.isWriting) this.#accept(broker)
  }

  #accept(broker: ControlledBroker): void {
    const { live } = broker
    if (live === null) return
    broker.phase = 'accepting'
    if (broker.isDoubtful) broker.doubtEpoch = this.controllerEpoch
    this.#writeAccepted(broker, live, true, () => {
      broker.acceptedEpoch = live.epoch
      if (broker.live === live) {
        broker.phase = 'catching up'
        broker.isDoubtful = false
        broker.acceptedAt = this.#sequence + 1
      } else if (broker.live !== null) this.#arrives(broker, broker.live)
      this.#tellOfBroker(broker)
    })
  }

  #writeAccepted(broker: ControlledBroker, live: LiveBroker, fenced: boolean, done: () => void): void {
    const { id, version } = broker
    broker.isWriting = true
    const write = this.#begin((outcome) => {
      if (typeof outcome === 'string')
        return this.#resign(`the registration of broker ${id} is not what it was`)
      broker.isWriting = false
      broker.version = outcome.version
      done()
      this.#progress(broker)
    })
    const accepted = { id, epoch: live.epoch, fenced, doubtEpoch: broker.doubtEpoch }
    this.effects.push({ kind: 'write-accepted', id: write, broker: accepted, version })
  }

  // ------------------------------------------------------------------------------------------------------- effects

  #begin(settle: (outcome: StoreOutcome) => void): number {
    const id = this.#nextId++
    this.#underWay.set(id, settle)
    return id
  }

  #tellOfBroker({ view }: ControlledBroker): void {
    if (view !== undefined) this.#records.push({ kind: 'broker', broker: view })
  }

  #tellOf({ name, topicId, rules, partitions }: ControlledTopic): void {
    this.#records.push({ kind: 'topic', name, topicId, rules })
    for (const { index, assignment, state, version, isDamaged } of partitions)
      if (isDamaged) this.#records.push({ kind: 'partition-damaged', topicId, index, assignment })
      else if (version !== -1) this.#records.push({ kind: 'partition', topicId, index, assignment, state })
  }

  #publish(): void {
    if (this.#records.length === 0 || this.#resigned) return
    this.#sequence += 1
    this.effects.push({ kind: 'publish', sequence: this.#sequence, records: this.#records })
    this.#records = []
  }

  /** After what was published before it: who is answered finds what it was answered. */
  #reply<Answer>(reply: Reply<Answer>, answer: Answer): void {
    this.#publish()
    this.effects.push({ kind: 'reply', send: () => reply(answer) })
  }

  #resign(reason: string): void {
    if (this.#resigned) return
    this.#resigned = true
    this.effects.push({ kind: 'resign', reason })
  }
}
