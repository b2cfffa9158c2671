import { ErrorCode } from '../../../protocol/errors.ts'
import type { MetadataPollRequest } from '../../../protocol/messages/1000-metadata-poll.ts'
import type { BrokerConfig } from '../../core/config/broker-config.ts'
import { ControllerCore } from '../../core/controller/controller.ts'
import type {
  ControllerEffect,
  LiveBroker,
  Proposal,
  ReplicaReport,
  StoreOutcome,
} from '../../core/controller/controller-types.ts'
import { messageOf } from '../../core/is-error.ts'
import type { MetadataStore, World } from '../../ports.ts'
import type { PollAnswer, ProposalAnswers } from '../cluster-duties.ts'
import { hasStoreCode } from '../layout/outcome.ts'
import {
  createIfMissing,
  createPartitionNodes,
  createTopicNodes,
  deleteIfThere,
  deleteTopicNodes,
} from '../layout/store-steps.ts'
import {
  Damage,
  decodeBroker,
  decodeControllerEpoch,
  encodeAccepted,
  encodePartitionState,
  encodeTopic,
  isBrokerId,
  paths,
} from '../layout/znodes.ts'
import type { RegisteredBroker } from '../layout/znodes.ts'
import { Audience } from './audience.ts'
import type { ClusterEvents } from './cluster-events.ts'
import { loadCluster, rulesOf } from './controller-load.ts'
import type { StoredCluster } from './controller-load.ts'
import { DamagedNodes } from './damaged-nodes.ts'
import { Publisher } from './publisher.ts'
import { TermStore } from './term-store.ts'

type Values = ReadonlyMap<string, string>

export interface DriverParts {
  readonly world: Pick<World, 'clock' | 'random' | 'logger'>
  /** Of the session in which this broker became controller, and of no other. */
  readonly store: MetadataStore
  readonly brokerId: number
  readonly sessionTimeoutMs: number
  readonly eligibleLeaderReplicas: boolean
  readonly events: ClusterEvents
  /** The configuration with dynamic values of all brokers. */
  readonly configUnder: (defaults: Values) => BrokerConfig
  /** The highest epoch of a controller that this broker ever heard of. */
  readonly heardEpoch: number
}

/** Why a broker resigns that stops. */
export const STOPPING = 'the broker stops'

/** How long a change is waited for to be carried out by all that serve, before its client is answered. */
const CARRIED_OUT_MS = 5_000
/** How long a topic waits for brokers that start. */
const ALL_SERVE_MS = 5_000
const LOOK_AGAIN_MS = 20

/**
 * The active controller: what the core decides, written to the store, published to the brokers and answered; what happens to
 * brokers, told to the core. It ends with its session, or when it finds that somebody else wrote.
 */
export class ControllerDriver {
  readonly controllerEpoch: number
  readonly publisher: Publisher
  /** Own settings of the topics, by id. */
  readonly overrides: Map<string, Values>
  /** Dynamic values by broker; -1: of all. */
  readonly configs: Map<number, Values>
  /** Refuses what comes after its term. */
  readonly store: MetadataStore
  readonly core: ControllerCore
  readonly damaged: DamagedNodes
  readonly #parts: DriverParts
  readonly #registered = new Map<number, RegisteredBroker>()
  readonly #audience: Audience
  readonly #ended: Promise<void>
  #end: () => void = () => undefined
  /** What is not answered yet: each says that this broker is not controller any more. */
  readonly #asking = new Set<() => void>()
  #isOver = false
  #isLoaded = false
  #draining = false
  #looking = false
  #lookAgain = false

  private constructor(
    parts: DriverParts,
    controllerEpoch: number,
    { overrides, configs }: StoredCluster,
    damaged: DamagedNodes,
  ) {
    this.#parts = parts
    this.damaged = damaged
    this.store = new TermStore(parts.store, () => this.#isOver)
    this.controllerEpoch = controllerEpoch
    this.overrides = new Map(overrides)
    this.configs = new Map(configs)
    const { eligibleLeaderReplicas } = parts
    this.core = new ControllerCore({ controllerEpoch, eligibleLeaderReplicas })
    this.publisher = new Publisher(parts.world.clock, controllerEpoch, {
      broker: (id) => this.#registered.get(id),
      overrides: (topicId) => this.overrides.get(topicId) ?? new Map<string, string>(),
    })
    this.#ended = new Promise((resolve) => (this.#end = resolve))
    this.#audience = new Audience({
      clock: parts.world.clock,
      timeoutMs: parts.sessionTimeoutMs,
      expected: () => this.core.serving().filter((id) => id !== parts.brokerId),
      lost: (id) => {
        parts.world.logger.warn({ broker: id }, 'a broker does not ask for news: it is fenced until it does')
        this.act((core) => core.fellSilent(id))
      },
      deserted: () => this.resign('no other broker asks it for news'),
    })
  }

  /** Begins an epoch and reads what there is. Rejects when the store does: somebody else is controller, or will be. */
  static async begin(parts: DriverParts): Promise<ControllerDriver> {
    const { store, world, configUnder, heardEpoch } = parts
    const startedMs = world.clock.monotonicMs()
    const damaged = new DamagedNodes(world.logger)
    const controllerEpoch = await nextEpoch(store, heardEpoch, damaged)
    const stored = await loadCluster({ store, random: world.random, damaged }, configUnder)
    const driver = new ControllerDriver(parts, controllerEpoch, stored, damaged)
    const live = await driver.#readRegistered()
    for (const [brokerId, values] of stored.configs) driver.core.configChanged(brokerId, values)
    driver.act((core) => core.load({ ...stored, live }))
    driver.#isLoaded = true
    damaged.watch(driver.store, (path) => driver.resign(`${path} was damaged, and is another one now`))
    const tookMs = Math.round(world.clock.monotonicMs() - startedMs)
    const { topics } = stored
    const fields = { controllerEpoch, topics: topics.length, brokers: live.length, tookMs }
    world.logger.info(fields, 'this broker is the controller of the cluster')
    return driver
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** Resolves when this broker is not controller any more. */
  get ended(): Promise<void> {
    return this.#ended
  }

  /** Tells the core something, and carries out what it makes of it. */
  act(tell: (core: ControllerCore) => void): void {
    if (this.#isOver) return
    tell(this.core)
    this.#drain()
  }

  /** `otherwise`: the answer when this broker is no controller by then. */
  #ask<Answer>(
    tell: (core: ControllerCore, reply: (answer: Answer) => void) => void,
    otherwise: Answer,
  ): Promise<Answer> {
    if (this.#isOver) return Promise.resolve(otherwise)
    return new Promise((resolve) => {
      const giveUp = (): void => resolve(otherwise)
      this.#asking.add(giveUp)
      this.act((core) =>
        tell(core, (answer) => {
          this.#asking.delete(giveUp)
          resolve(answer)
        }),
      )
    })
  }

  /** As `act`, of what is answered: NOT_CONTROLLER when this broker is none by then. */
  askForCode(
    tell: (core: ControllerCore, reply: (errorCode: ErrorCode) => void) => void,
  ): Promise<ErrorCode> {
    return this.#ask(tell, ErrorCode.NOT_CONTROLLER)
  }

  /** Resolves when nobody is about to serve who does not yet, and that is known; not for ever. False: nobody was. */
  async untilAllServe(): Promise<boolean> {
    const { clock } = this.#parts.world
    if (this.#isOver || !this.core.isSomebodyComing) return false
    const deadlineMs = clock.monotonicMs() + ALL_SERVE_MS
    while (!this.#isOver && this.core.isSomebodyComing && clock.monotonicMs() < deadlineMs)
      await new Promise<void>((resolve) => clock.after(LOOK_AGAIN_MS, resolve))
    await this.carriedOut()
    return true
  }

  /** Resolves when all that serve know of what was published, so that any of them says the same; not for ever. */
  async carriedOut(): Promise<void> {
    if (!this.#isOver) await this.publisher.carriedOut(CARRIED_OUT_MS)
  }

  /** `name`'s configuration, or the brokers' (null), is another one: so may be what it means for who leads. */
  rulesChanged(name: string | null, config: BrokerConfig): void {
    for (const topic of this.core.topics()) {
      if (name !== null && topic.name !== name) continue
      const overrides = this.overrides.get(topic.topicId) ?? new Map<string, string>()
      const rules = rulesOf(topic.name, overrides, config, this.damaged)
      this.act((core) => core.rulesChanged(topic.topicId, rules))
    }
  }

  poll(request: MetadataPollRequest, answer: (response: PollAnswer) => void): () => void {
    if (this.#isOver) {
      answer(NOT_CONTROLLER)
      return () => undefined
    }
    const { brokerId, brokerEpoch, carriedOut } = request
    this.#audience.heard(brokerId)
    if (request.controllerEpoch > this.controllerEpoch) {
      this.resign(`broker ${brokerId} knows a controller of epoch ${request.controllerEpoch}`)
      answer(NOT_CONTROLLER)
      return () => undefined
    }
    if (request.controllerEpoch === this.controllerEpoch)
      this.act((core) => core.applied(brokerId, brokerEpoch, carriedOut))
    return this.publisher.poll(request, answer)
  }

  alterPartitions(
    sender: number,
    brokerEpoch: number,
    proposals: readonly Proposal[],
  ): Promise<ProposalAnswers> {
    const none: ProposalAnswers = { errorCode: ErrorCode.NOT_CONTROLLER, answers: [] }
    return this.#ask((core, reply) => core.alterPartitions(sender, brokerEpoch, proposals, reply), none)
  }

  async controlledShutdown(brokerId: number, brokerEpoch: number): Promise<ErrorCode> {
    const errorCode = await this.askForCode((core, reply) =>
      core.controlledShutdown(brokerId, brokerEpoch, reply),
    )
    await this.carriedOut()
    return errorCode
  }

  replicasReported(sender: number, brokerEpoch: number, report: ReplicaReport): Promise<ErrorCode> {
    return this.askForCode((core, reply) => core.replicasReported(sender, brokerEpoch, report, reply))
  }

  /** Nothing is decided or answered any more. */
  resign(reason: string): void {
    if (this.#isOver) return
    this.#isOver = true
    const { controllerEpoch } = this
    const { logger } = this.#parts.world
    const fields = { controllerEpoch, reason }
    if (reason === STOPPING) logger.info(fields, 'this broker leaves the office of the controller')
    else logger.warn(fields, 'this broker is not the controller any more')
    this.#audience.close()
    this.publisher.close()
    for (const giveUp of this.#asking) giveUp()
    this.#asking.clear()
    this.#end()
  }

  // ------------------------------------------------------------------------------------------------------ brokers

  async #readRegistered(): Promise<LiveBroker[]> {
    const names = (await this.store.children(paths.brokerIds, () => void this.#look())) ?? []
    const read = names
      .filter((name) => isBrokerId(Number(name)))
      .map(async (name) => {
        const path = paths.brokerId(Number(name))
        const node = await this.store.get(path)
        if (node === null) return null
        const decoded = decodeBroker(path, node.data)
        if (decoded instanceof Damage) this.damaged.found('broker', decoded, node.stat)
        const broker = decoded instanceof Damage ? UNREADABLE : decoded
        this.#registered.set(Number(name), broker)
        return { id: Number(name), epoch: node.stat.createdTransaction, lineage: broker.lineage }
      })
    return (await Promise.all(read)).filter((broker) => broker !== null)
  }

  /** Looks who is registered, as often as somebody comes or goes. */
  async #look(): Promise<void> {
    this.#lookAgain = true
    if (this.#looking || this.#isOver) return
    this.#looking = true
    try {
      while (this.#lookAgain && !this.#isOver) {
        this.#lookAgain = false
        const live = await this.#readRegistered()
        this.act((core) => core.registrations(live))
      }
    } catch (error) {
      this.resign(`the metadata store: ${messageOf(error)}`)
    } finally {
      this.#looking = false
    }
  }

  // ------------------------------------------------------------------------------------------------------ effects

  #drain(): void {
    if (this.#draining) return
    this.#draining = true
    // What an effect leads to at once comes behind those that are there.
    for (let effect = this.core.effects.shift(); effect !== undefined; effect = this.core.effects.shift())
      if (!this.#isOver) this.#carryOut(effect)
    this.#draining = false
  }

  #carryOut(effect: ControllerEffect): void {
    switch (effect.kind) {
      case 'publish':
        this.#parts.events.published(effect.records, this.#isLoaded)
        return this.publisher.publish(effect.sequence, effect.records)
      case 'reply':
        return effect.send()
      case 'resign':
        return this.resign(effect.reason)
      default:
        this.#write(effect).then(
          (outcome) => this.act((core) => core.stored(effect.id, outcome)),
          // Nobody knows whether it was written: the next controller reads what there is.
          (error: unknown) => this.resign(`the metadata store: ${messageOf(error)}`),
        )
    }
  }

  async #write(
    effect: Exclude<ControllerEffect, { kind: 'publish' | 'reply' | 'resign' }>,
  ): Promise<StoreOutcome> {
    const { store } = this
    switch (effect.kind) {
      case 'write-state': {
        const { topic, index, state, version } = effect
        if (version === -1) return this.#makeState(topic, index, encodePartitionState(state))
        return this.#set(paths.partitionState(topic, index), encodePartitionState(state), version)
      }
      case 'write-accepted': {
        const path = paths.registration(effect.broker.id)
        const data = encodeAccepted(effect.broker)
        return effect.version === -1 ? this.#create(path, data) : this.#set(path, data, effect.version)
      }
      case 'create-topic': {
        const { plan, states } = effect
        const overrides = this.overrides.get(plan.topicId) ?? new Map<string, string>()
        const assignment = plan.assignments.map(({ replicas }) => replicas)
        try {
          await createTopicNodes(store, { ...plan, overrides }, new Map(states.entries()), assignment)
        } catch (error) {
          if (hasStoreCode(error, 'NODE_EXISTS')) return 'changed'
          throw error
        }
        return { version: 0 }
      }
      case 'grow-topic': {
        const { name, topicId, assignments, from, states } = effect
        const node = await store.get(paths.topic(name))
        if (node === null) return 'changed'
        const added = new Map(states.map((state, at) => [from + at, state]))
        const data = encodeTopic(
          topicId,
          assignments.map(({ replicas }) => replicas),
        )
        const written = this.#set(paths.topic(name), data, node.stat.version)
        const [outcome] = await Promise.all([written, createPartitionNodes(store, name, added)])
        return outcome
      }
      case 'delete-topic': {
        const { name, topicId } = effect
        this.damaged.forgetTopic(name)
        await createIfMissing(store, paths.deleteTopic(name))
        await deleteTopicNodes(store, name)
        await deleteIfThere(store, paths.deleteTopic(name))
        this.overrides.delete(topicId)
        return { version: 0 }
      }
    }
  }

  async #makeState(topic: string, index: number, data: Buffer): Promise<StoreOutcome> {
    const made = Promise.all([
      createIfMissing(this.store, paths.partitions(topic)),
      createIfMissing(this.store, paths.partition(topic, index)),
    ])
    const [outcome] = await Promise.all([this.#create(paths.partitionState(topic, index), data), made])
    return outcome
  }

  async #create(path: string, data: Buffer): Promise<StoreOutcome> {
    try {
      await this.store.create(path, data)
      return { version: 0 }
    } catch (error) {
      if (hasStoreCode(error, 'NODE_EXISTS') || hasStoreCode(error, 'NO_NODE')) return 'changed'
      throw error
    }
  }

  async #set(path: string, data: Buffer, version: number): Promise<StoreOutcome> {
    try {
      return { version: (await this.store.set(path, data, version)).version }
    } catch (error) {
      if (hasStoreCode(error, 'BAD_VERSION') || hasStoreCode(error, 'NO_NODE')) return 'changed'
      throw error
    }
  }
}

export const NOT_CONTROLLER: PollAnswer = {
  errorCode: ErrorCode.NOT_CONTROLLER,
  controllerEpoch: -1,
  full: false,
  changes: [],
}

/** Of a broker that is there, and of which nobody can say more. */
const UNREADABLE: RegisteredBroker = { endpoints: new Map(), rack: null, lineage: [] }

/** Brokers believe no controller before the last one: whatever became of the node, it goes on from there. */
async function nextEpoch(store: MetadataStore, heardEpoch: number, damaged: DamagedNodes): Promise<number> {
  const path = paths.controllerEpoch
  const node = await store.get(path)
  const stored = node === null ? 0 : decodeControllerEpoch(node.data)
  const last = stored instanceof Damage ? 0 : stored
  if (stored instanceof Damage) damaged.found('epoch', stored, null)
  else if (last < heardEpoch)
    damaged.found('epoch', new Damage(path, `it is ${last}, and was ${heardEpoch}`), null)
  const epoch = Math.max(last, heardEpoch) + 1
  const data = Buffer.from(String(epoch))
  if (node === null) await store.create(paths.controllerEpoch, data)
  else await store.set(paths.controllerEpoch, data, node.stat.version)
  return epoch
}
