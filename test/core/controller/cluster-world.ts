import assert from 'node:assert/strict'
import { ErrorCode, errorName } from '../../../protocol/errors.ts'
import { ControllerCore } from '../../../src/core/controller/controller.ts'
import type {
  AcceptedBroker,
  ControllerEffect,
  ImageRecord,
  LiveBroker,
  Proposal,
  StoreOutcome,
  TopicPlan,
  TopicRules,
} from '../../../src/core/controller/controller-types.ts'
import { isActive } from '../../../src/core/replication/partition-state.ts'
import type { Assignment, BrokerView, PartitionState } from '../../../src/core/replication/partition-state.ts'
import { SimRandom } from '../../simulator/sim-random.ts'

/**
 * A cluster whose controller is the real core. The store, the brokers and what their logs hold are models; which of them
 * fails, who is told what and when, and who is controller are dice.
 */

const BROKERS = [1, 2, 3, 4] as const
/** To who wants a topic made. */
const MAY_BE_ANSWERED: readonly number[] = [
  ErrorCode.NONE,
  ErrorCode.TOPIC_ALREADY_EXISTS,
  ErrorCode.INVALID_REPLICA_ASSIGNMENT,
]

interface StoredPartition {
  state: PartitionState
}

interface StoredTopic {
  readonly plan: TopicPlan
  rules: TopicRules
  readonly states: (StoredPartition | null)[]
}

/** What a broker has of a partition. */
interface Replica {
  /** How many of the committed writes. */
  length: number
  /** The epoch under which it follows or leads. */
  leaderEpoch: number
  /** The last one as its leader. */
  asked: Proposal | null
}

interface ModelBroker {
  readonly id: number
  isAlive: boolean
  /** Null: it has no session. */
  session: LiveBroker | null
  /** Epochs of this process, and of the one that stopped cleanly before it. */
  lineage: number[]
  /** It knows that it was accepted, so a kill leaves doubt. */
  wasAccepted: boolean
  image: Image
  readonly replicas: Map<string, Replica>
}

class Image {
  readonly controllerEpoch: number
  sequence = 0
  readonly brokers = new Map<number, BrokerView>()
  readonly partitions = new Map<string, { readonly assignment: Assignment; readonly state: PartitionState }>()

  constructor(controllerEpoch: number) {
    this.controllerEpoch = controllerEpoch
  }

  apply(records: readonly ImageRecord[]): void {
    for (const record of records) {
      if (record.kind === 'broker') this.brokers.set(record.broker.id, record.broker)
      else if (record.kind === 'partition') {
        const key = keyOf(record.topicId, record.index)
        const before = this.partitions.get(key)?.state
        assert.ok(before === undefined || before.partitionEpoch < record.state.partitionEpoch, 'old news')
        this.partitions.set(key, { assignment: record.assignment, state: record.state })
      } else if (record.kind === 'topic-gone')
        for (const key of this.partitions.keys())
          if (key.startsWith(`${record.topicId}/`)) this.partitions.delete(key)
    }
  }
}

/** A controller, with what it wants from the store and was not yet told. */
interface Term {
  readonly core: ControllerCore
  readonly wanted: ControllerEffect[]
  readonly outcomes: { readonly id: number; readonly outcome: StoreOutcome }[]
  readonly published: (readonly ImageRecord[])[]
  hasResigned: boolean
}

function keyOf(topicId: string, index: number): string {
  return `${topicId}/${index}`
}

export class ClusterWorld {
  readonly story: string[] = []
  elections = 0
  accepted = 0
  readonly #random: SimRandom
  readonly #eligibleLeaderReplicas: boolean
  /** So much rarer is trouble. */
  readonly #calm: number
  readonly #topics = new Map<string, StoredTopic>()
  readonly #registrations = new Map<number, { broker: AcceptedBroker; version: number }>()
  readonly #brokers: ModelBroker[]
  /** How many writes of a partition were acknowledged. */
  readonly #acknowledged = new Map<string, number>()
  #term: Term
  #controllerEpoch = 0
  #nextEpoch = 100
  #nextTopic = 0
  #open = 0
  #isHealing = false

  constructor(seed: number) {
    this.#random = new SimRandom(seed)
    this.#eligibleLeaderReplicas = !this.#random.chance(0.2)
    this.#calm = 1 + this.#random.below(12)
    this.#brokers = BROKERS.map((id) => ({
      id,
      isAlive: true,
      session: null,
      lineage: [],
      wasAccepted: false,
      image: new Image(0),
      replicas: new Map(),
    }))
    for (const broker of this.#brokers) this.#register(broker)
    this.#term = this.#elect()
  }

  step(): void {
    if (this.#term.hasResigned) this.#term = this.#elect()
    const dice = this.#random.below(100)
    const broker = this.#any(this.#brokers)
    if (dice < 30) this.#storeOne()
    else if (dice < 45) this.#tellOne()
    else if (dice < 60) this.#poll(broker)
    else if (dice < 78) this.#work(broker)
    else if (dice < 82) this.#change()
    else if (dice < 90) this.#look()
    else if (this.#random.below(this.#calm) > 0) return
    else if (dice < 99) this.#trouble(broker)
    else this.#term = this.#elect()
    this.#drain()
  }

  /** No more trouble: what can serve does in the end, and nobody waits for an answer. */
  heal(): void {
    this.#isHealing = true
    for (const broker of this.#brokers) {
      // Who asked to stop does so.
      if (broker.isAlive && this.#term.core.broker(broker.id)?.shuttingDown === true) this.#stop(broker)
      if (!broker.isAlive) this.#start(broker)
      if (broker.session === null) this.#register(broker)
    }
    if (this.#term.hasResigned) this.#term = this.#elect()
    for (let round = 0; round < 60; round++) {
      this.#look()
      for (let i = 0; i < 60; i++) {
        this.#storeOne()
        this.#tellOne()
        this.#drain()
      }
      for (const broker of this.#brokers) {
        this.#poll(broker)
        this.#drain()
        for (const key of broker.image.partitions.keys()) {
          this.#follow(broker, key)
          if (this.#random.chance(0.5)) this.#propose(broker, key, 'expand')
        }
        this.#drain()
      }
    }
    assert.equal(this.#term.hasResigned, false, 'nobody else wrote')
    assert.equal(this.#open, 0, 'somebody still waits for an answer')
    for (const { id } of this.#brokers) assert.ok(isActive(this.#term.core.broker(id)), `broker ${id} serves`)
    for (const [key, { state, assignment }] of this.#stored()) {
      const { leader, isr, elr } = state
      if (leader === -1) assert.deepEqual([isr, elr], [[], []], `${key}: somebody may lead, and nobody does`)
      else assert.equal(isr.length, assignment.replicas.length, `${key}: not all came back`)
    }
  }

  // ------------------------------------------------------------------------------------------------- the controller

  /** What the one before wanted of the store happens now or never. */
  #elect(): Term {
    const before = this.#term as Term | undefined
    for (let left = this.#random.below((before?.wanted.length ?? 0) + 1); left > 0; left--) this.#storeOne()
    this.#open = 0
    const core = new ControllerCore({
      controllerEpoch: ++this.#controllerEpoch,
      eligibleLeaderReplicas: this.#eligibleLeaderReplicas,
    })
    const topics = [...this.#topics.values()].map(({ plan, rules, states }) => ({
      ...plan,
      rules,
      states: states.map((stored) => stored?.state ?? null),
    }))
    const accepted = [...this.#registrations.values()].map(({ broker, version }) => ({ ...broker, version }))
    const term = { core, wanted: [], outcomes: [], published: [], hasResigned: false }
    this.#tell(`controller ${this.#controllerEpoch}`)
    core.load({ topics, damagedTopics: [], accepted, live: this.#live() })
    this.#term = term
    this.#drain()
    return term
  }

  #live(): LiveBroker[] {
    return this.#brokers.flatMap(({ session }) => session ?? [])
  }

  #look(): void {
    this.#term.core.registrations(this.#live())
  }

  #drain(): void {
    const { core, wanted, published, hasResigned } = this.#term
    for (const effect of core.effects.splice(0)) {
      if (hasResigned) continue
      if (effect.kind === 'publish') {
        assert.equal(effect.sequence, published.push(effect.records))
      } else if (effect.kind === 'reply') effect.send()
      else if (effect.kind === 'resign') this.#term.hasResigned = true
      else wanted.push(effect)
    }
    if (this.#term.hasResigned) wanted.splice(0)
  }

  /** The store does one thing: those on one node in their order, others in any. */
  #storeOne(): void {
    const { wanted, outcomes } = this.#term
    if (wanted.length === 0) return
    const [effect] = wanted.splice(this.#random.below(wanted.length), 1)
    const outcome = this.#carryOut(effect!)
    if (this.#term.hasResigned) wanted.splice(0)
    else outcomes.push({ id: (effect as { id: number }).id, outcome })
  }

  #tellOne(): void {
    const { outcomes, core } = this.#term
    if (outcomes.length === 0) return
    const [{ id, outcome }] = outcomes.splice(this.#random.below(outcomes.length), 1) as [
      (typeof outcomes)[0],
    ]
    core.stored(id, outcome)
  }

  #carryOut(effect: ControllerEffect): StoreOutcome {
    switch (effect.kind) {
      case 'write-state': {
        const topic = this.#topics.get(effect.topic)
        if (topic === undefined) return 'changed'
        const stored = topic.states[effect.index] ?? null
        if ((stored?.state.partitionEpoch ?? -1) !== effect.version) return 'changed'
        const version = effect.version + 1
        const state = { ...effect.state, partitionEpoch: version }
        this.#check(
          keyOf(topic.plan.topicId, effect.index),
          topic,
          effect.index,
          stored?.state ?? null,
          state,
        )
        topic.states[effect.index] = { state }
        return { version }
      }
      case 'write-accepted': {
        const before = this.#registrations.get(effect.broker.id)
        if ((before?.version ?? -1) !== effect.version) return 'changed'
        const version = effect.version + 1
        if (before?.broker.epoch !== effect.broker.epoch)
          this.#checkAcceptance(effect.broker, before?.broker.epoch)
        this.#registrations.set(effect.broker.id, { broker: effect.broker, version })
        return { version }
      }
      case 'create-topic': {
        const { plan, states } = effect
        if (this.#topics.has(plan.name)) return 'changed'
        // A controller that dies may leave the later ones out.
        const made =
          this.#isHealing || this.#random.chance(0.9) ? states.length : this.#random.below(states.length + 1)
        this.#topics.set(plan.name, {
          plan,
          rules: plan.rules,
          states: states.map((state, index) => (index < made ? { state } : null)),
        })
        // Of which it never learns.
        if (made < states.length) this.#term.hasResigned = true
        return { version: 0 }
      }
      case 'delete-topic':
        this.#topics.delete(effect.name)
        return { version: 0 }
      default:
        throw new Error(effect.kind)
    }
  }

  #stored(): [key: string, { state: PartitionState; assignment: Assignment }][] {
    return [...this.#topics.values()].flatMap(({ plan, states }) =>
      states.flatMap((stored, index) =>
        stored === null
          ? []
          : [
              [keyOf(plan.topicId, index), { state: stored.state, assignment: plan.assignments[index]! }] as [
                string,
                { state: PartitionState; assignment: Assignment },
              ],
            ],
      ),
    )
  }

  // ------------------------------------------------------------------------------------------------- what must hold

  #check(
    key: string,
    topic: StoredTopic,
    index: number,
    before: PartitionState | null,
    after: PartitionState,
  ): void {
    this.#tell(`${key} ${JSON.stringify(after)}`)
    const { replicas } = topic.plan.assignments[index]!
    assert.ok(
      [...after.isr, ...after.elr].every((id) => replicas.includes(id)),
      'a member without the partition',
    )
    if (before !== null) {
      assert.ok(after.leaderEpoch >= before.leaderEpoch, 'the leader epoch goes back')
      if (after.leader !== before.leader || after.leaderBrokerEpoch !== before.leaderBrokerEpoch)
        assert.ok(
          after.leaderEpoch > before.leaderEpoch,
          `two leaders in one epoch: ${JSON.stringify([before, after])}`,
        )
    }
    if (after.leader === -1 || topic.rules.uncleanElection || after.leaderRecoveryState === 1) return
    // Without an ELR the last one in sync leads again, whatever it has.
    if (!this.#eligibleLeaderReplicas) return
    if (after.leader === before?.leader && after.leaderEpoch === before.leaderEpoch) return
    const leader = this.#brokers[after.leader - 1]!
    // A process that died since leads nothing, and its successor is another incarnation.
    if (!leader.isAlive || leader.session?.epoch !== after.leaderBrokerEpoch) return
    assert.ok(leader.wasAccepted, `${key}: ${after.leader} leads, and does not know that it may`)
    this.elections += 1
    const length = leader.replicas.get(key)?.length ?? 0
    const acknowledged = this.#acknowledged.get(key) ?? 0
    assert.ok(length >= acknowledged, `${key}: ${after.leader} leads with ${length} of ${acknowledged}`)
  }

  /** Whoever is accepted is counted on by nobody. */
  #checkAcceptance({ id, epoch }: AcceptedBroker, epochBefore: number | undefined): void {
    const { session } = this.#brokers[id - 1]!
    const isDoubtful =
      session?.epoch === epoch && epochBefore !== undefined && !session.lineage.includes(epochBefore)
    this.accepted += 1
    this.#tell(`accepted ${id} as ${epoch}`)
    for (const [key, { state }] of this.#stored()) {
      const isLast = !this.#eligibleLeaderReplicas && state.isr.length === 1
      assert.ok(isLast || !state.isr.includes(id), `${key}: ${id} is in sync, and is another process`)
      assert.notEqual(state.leader, id, `${key}: ${id} leads, and is another process`)
      const mayLack = isDoubtful && (this.#acknowledged.get(key) ?? 0) > 0
      assert.ok(!mayLack || !state.elr.includes(id), `${key}: ${id} is eligible, and may lack what it had`)
    }
  }

  // ---------------------------------------------------------------------------------------------------- the brokers

  #register(broker: ModelBroker): void {
    const epoch = this.#nextEpoch++
    broker.session = { id: broker.id, epoch, lineage: broker.lineage }
    broker.lineage = [...broker.lineage, epoch]
    broker.wasAccepted = false
    this.#tell(`${broker.id} registers as ${epoch}`)
  }

  #start(broker: ModelBroker): void {
    broker.isAlive = true
    broker.image = new Image(0)
    for (const replica of broker.replicas.values()) replica.asked = null
    if (broker.session === null || this.#random.chance(0.5)) this.#register(broker)
    // The session of its last process has not ended.
    else broker.session = null
  }

  #trouble(broker: ModelBroker): void {
    const dice = this.#random.below(10)
    if (!broker.isAlive) this.#start(broker)
    else if (dice < 3) this.#kill(broker)
    else if (dice < 5) this.#stop(broker)
    else if (dice < 7) this.#shutDown(broker)
    else if (dice < 9) {
      this.#tell(`${broker.id} loses its session`)
      broker.session = null
      if (this.#random.chance(0.6)) this.#register(broker)
    } else if (broker.session === null) this.#register(broker)
    else {
      this.#tell(`${broker.id} is not heard`)
      this.#term.core.fellSilent(broker.id)
    }
  }

  /** What its logs held at the end may be gone. */
  #kill(broker: ModelBroker): void {
    this.#tell(`${broker.id} is killed`)
    broker.isAlive = false
    if (this.#random.chance(0.5)) broker.session = null
    // One that was never accepted has written nothing, and its marks of a clean stop are there still.
    if (!broker.wasAccepted) {
      broker.lineage = broker.lineage.slice(0, -1)
      return
    }
    broker.lineage = []
    for (const replica of broker.replicas.values())
      if (this.#random.chance(0.5)) replica.length = this.#random.below(replica.length + 1)
  }

  #stop(broker: ModelBroker): void {
    this.#tell(`${broker.id} stops`)
    broker.isAlive = false
    broker.session = null
    broker.lineage = broker.lineage.slice(-1)
  }

  #shutDown({ id, session }: ModelBroker): void {
    if (session === null) return
    this.#asks((answered) => this.#term.core.controlledShutdown(id, session.epoch, answered))
  }

  /** Learns what is published; a controller's news all belong to its own term. */
  #poll(broker: ModelBroker): void {
    const { core, published } = this.#term
    if (!broker.isAlive || broker.session === null) return
    if (broker.image.controllerEpoch !== core.controllerEpoch) broker.image = new Image(core.controllerEpoch)
    const { image } = broker
    const until = image.sequence + this.#random.below(published.length - image.sequence + 1)
    while (image.sequence < until) image.apply(published[image.sequence++]!)
    const view = image.brokers.get(broker.id)
    if (view?.epoch === broker.session.epoch) broker.wasAccepted = true
    core.applied(broker.id, broker.session.epoch, image.sequence)
  }

  #work(broker: ModelBroker): void {
    if (!broker.isAlive || broker.image.partitions.size === 0) return
    const key = this.#any([...broker.image.partitions.keys()])
    const dice = this.#random.below(10)
    if (dice < 4) this.#produce(broker, key)
    else if (dice < 7) this.#follow(broker, key)
    else this.#propose(broker, key, this.#random.chance(0.5) ? 'expand' : 'shrink')
  }

  /** The term in which a broker has a partition, as far as it knows. */
  #role(broker: ModelBroker, key: string): PartitionState | null {
    const state = broker.image.partitions.get(key)?.state
    const replica = this.#replica(broker, key)
    if (state === undefined || state.leaderEpoch < replica.leaderEpoch) return null
    replica.leaderEpoch = state.leaderEpoch
    return state
  }

  #leads(broker: ModelBroker, { leader, leaderBrokerEpoch }: PartitionState): boolean {
    return leader === broker.id && leaderBrokerEpoch === broker.session?.epoch
  }

  #replica(broker: ModelBroker, key: string): Replica {
    const replica = broker.replicas.get(key) ?? { length: 0, leaderEpoch: -1, asked: null }
    broker.replicas.set(key, replica)
    return replica
  }

  /** One record, which all in sync take in the leader's term: acknowledged. */
  #produce(broker: ModelBroker, key: string): void {
    const state = this.#role(broker, key)
    if (state === null || !this.#leads(broker, state) || state.isr.length < state.minIsr) return
    const { asked } = this.#replica(broker, key)
    const isAsked = asked?.partitionEpoch === state.partitionEpoch
    const maximalIsr = new Set([...state.isr, ...(isAsked ? asked.isr.map(({ id }) => id) : [])])
    const members = [...maximalIsr].map((id) => this.#brokers[id - 1]!)
    const inTerm = members.every(
      (member) => member.isAlive && this.#role(member, key)?.leaderEpoch === state.leaderEpoch,
    )
    if (!inTerm) return
    const length = this.#replica(broker, key).length + 1
    for (const member of members) this.#replica(member, key).length = length
    this.#acknowledged.set(key, Math.max(length, this.#acknowledged.get(key) ?? 0))
  }

  #follow(broker: ModelBroker, key: string): void {
    const state = this.#role(broker, key)
    const leader = this.#brokers[(state?.leader ?? 0) - 1]
    if (state === null || leader === undefined || leader === broker || !leader.isAlive) return
    const led = this.#role(leader, key)
    if (led === null || led.leaderEpoch !== state.leaderEpoch || !this.#leads(leader, led)) return
    this.#replica(broker, key).length = this.#replica(leader, key).length
  }

  #propose(broker: ModelBroker, key: string, how: 'expand' | 'shrink'): void {
    const state = this.#role(broker, key)
    const epoch = broker.session?.epoch
    if (state === null || epoch === undefined || !this.#leads(broker, state)) return
    const assignment = broker.image.partitions.get(key)!.assignment
    const others = assignment.replicas.filter((id) => id !== broker.id)
    const isRecovering = state.leaderRecoveryState === 1
    const isr =
      how === 'expand' && !isRecovering
        ? [...state.isr, ...others.filter((id) => !state.isr.includes(id) && this.#hasAll(broker, id, key))]
        : state.isr.filter((id) => id === broker.id || this.#random.chance(0.5))
    const [topicId, index] = key.split('/') as [string, string]
    const proposal = {
      topicId,
      index: Number(index),
      isr: isr.map((id) => ({ id, epoch: this.#brokers[id - 1]!.session?.epoch ?? -1 })),
      leaderEpoch: state.leaderEpoch,
      partitionEpoch: state.partitionEpoch,
      recovered: isRecovering,
    }
    // Until it knows what became of one it does not ask for another.
    const replica = this.#replica(broker, key)
    if (replica.asked?.partitionEpoch !== state.partitionEpoch) replica.asked = proposal
    const { asked } = replica
    this.#asks((answered) =>
      this.#term.core.alterPartitions(broker.id, epoch, [asked], ({ answers }) => {
        // Answers that say that it never was so and never will be, or that nothing had to be changed.
        const [answer] = answers
        const isOver =
          answer?.errorCode === ErrorCode.INELIGIBLE_REPLICA ||
          answer?.state?.partitionEpoch === asked.partitionEpoch
        if (isOver && replica.asked === asked) replica.asked = null
        answered()
      }),
    )
  }

  #hasAll(leader: ModelBroker, id: number, key: string): boolean {
    const follower = this.#brokers[id - 1]!
    return follower.isAlive && this.#replica(follower, key).length >= this.#replica(leader, key).length
  }

  /** An answer is due in this term, unless it ends before. */
  #asks(ask: (answered: () => void) => void): void {
    const term = this.#term
    this.#open += 1
    let isAnswered = false
    ask(() => {
      assert.equal(isAnswered, false, 'answered twice')
      isAnswered = true
      if (term === this.#term) this.#open -= 1
    })
  }

  // ------------------------------------------------------------------------------------------------------ the topics

  #change(): void {
    const topic = this.#topics.size === 0 ? null : this.#any([...this.#topics.values()])
    const dice = this.#random.below(10)
    const { core } = this.#term
    if (topic === null || (dice < 5 && this.#topics.size < 4)) this.#create()
    else if (dice < 7) this.#asks((answered) => core.deleteTopic(topic.plan.topicId, answered))
    else {
      topic.rules = { ...topic.rules, minInsyncReplicas: 1 + this.#random.below(3) }
      core.rulesChanged(topic.plan.topicId, topic.rules)
    }
  }

  #create(): void {
    const number = this.#nextTopic++
    const assignments = Array.from({ length: 1 + this.#random.below(3) }, () => {
      const isThere = (id: number): number => (isActive(this.#term.core.broker(id)) ? 0 : 2)
      const order = BROKERS.map((id) => ({ id, dice: isThere(id) + this.#random.below(4) }))
        .sort((a, b) => a.dice - b.dice)
        .map(({ id }) => id)
      return { replicas: order.slice(0, 1 + this.#random.below(3)), adding: [], removing: [] }
    })
    const rules = { minInsyncReplicas: 1 + this.#random.below(3), uncleanElection: this.#random.chance(0.1) }
    const plan = { name: `t${number % 5}`, topicId: `id${number}`, assignments, rules }
    this.#asks((answered) =>
      this.#term.core.createTopic(plan, (errorCode) => {
        assert.ok(MAY_BE_ANSWERED.includes(errorCode), errorName(errorCode))
        answered()
      }),
    )
  }

  #any<T>(from: readonly T[]): T {
    return from[this.#random.below(from.length)]!
  }

  #tell(line: string): void {
    this.story.push(line)
  }
}
