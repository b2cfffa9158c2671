import { ErrorCode } from '../../../protocol/errors.ts'
import type { MetadataPollRequest } from '../../../protocol/messages/1000-metadata-poll.ts'
import { metadataPollRequest, metadataPollResponse } from '../../../protocol/messages/1000-metadata-poll.ts'
import type { BrokerConfig } from '../../core/config/broker-config.ts'
import type { Proposal, ReplicaReport } from '../../core/controller/controller-types.ts'
import type { SamsaError } from '../../core/samsa-error.ts'
import type { Address, MetadataStore, World } from '../../ports.ts'
import { LinkError } from '../../wire/link-error.ts'
import type { ConfigChange, ConfigResource } from '../changes/config-change.ts'
import { ProducerIds } from '../changes/producer-ids.ts'
import { Registration } from '../changes/registration.ts'
import { refusedInternal } from '../changes/topic-changes.ts'
import type { CreateTopicResult } from '../changes/topic-changes.ts'
import { topicWithDefaults } from '../changes/topic-plan.ts'
import type { NewTopic } from '../changes/topic-plan.ts'
import type { ClusterDuties, ElectionResult, PollAnswer, ProposalAnswers } from '../cluster-duties.ts'
import type { BrokerImage, TopicImage } from '../image/metadata-image.ts'
import type { MetadataListener } from '../image/metadata-state.ts'
import { ClosedError } from '../layout/lasting-store.ts'
import type { Outcome } from '../layout/outcome.ts'
import { isInternalTopic } from '../layout/topic-names.ts'
import type { Metadata } from '../metadata.ts'
import { Damage, decodeBroker, paths } from '../layout/znodes.ts'
import { ClusterChanges } from './cluster-changes.ts'
import { ClusterEvents, ElectionCounters } from './cluster-events.ts'
import { ClusterImage } from './cluster-image.ts'
import { ControllerDriver, NOT_CONTROLLER, STOPPING } from './controller-driver.ts'
import { ControllerElection } from './controller-election.ts'
import { ControllerLink } from './controller-link.ts'
import { ControllerSilence } from './controller-silence.ts'
import { ForwardedChanges } from './forwarded-changes.ts'
import { imbalanced } from './preferred-leaders.ts'
import { Membership } from './membership.ts'
import type { RegisteredSession } from './membership.ts'
import { ReplicaReports } from './replica-reports.ts'
import type { WantedChanges } from './wanted-changes.ts'

export interface ClusterOptions {
  /** The static configuration. */
  readonly config: BrokerConfig
  readonly openStore: () => Promise<MetadataStore>
  /** In the `meta.properties` of the log directories; null when they are new. */
  readonly clusterId: string | null
  /** Under which epoch this broker stopped cleanly; -1: it did not, or never ran. */
  readonly cleanShutdownEpoch: number
  readonly canCompress: (type: string) => boolean
  /** The broker has another epoch now. */
  readonly registeredAs: (brokerEpoch: number) => void
  /** The broker cannot have its place again, and must end. */
  readonly lost: (error: SamsaError) => void
}

type ClusterWorld = Pick<World, 'clock' | 'random' | 'logger' | 'network' | 'metrics'>

/** How long a broker asks its controller for news before it asks again. */
const POLL_MS = 500
/** The same, while it still carries out what it knows: others wait for that. */
const BUSY_POLL_MS = 50
/** How long a broker that stops waits for others to take over what it leads: what begins a container kills it after 10 seconds. */
const LEAVE_MS = 6_000
/** How long it may take to give its places in the metadata store back. */
const RETIRE_MS = 1_000
/** No cluster gets there by elections. A broker that says more would leave no epochs for the controllers to come. */
const BELIEVED_EPOCH = 2 ** 30
/** Between two attempts, while there is no controller. */
const LEAVE_AGAIN_MS = 50

const POLL = { request: metadataPollRequest, response: metadataPollResponse, version: 0 } as const

/**
 * The metadata of a broker of a cluster. Its session with the ensemble makes it a member, and, when it holds the office, the
 * controller. What there is it learns from the controller alone, which it asks again and again for what is new; nobody reads
 * topics from the ensemble but a new controller. Without a controller it serves on with what it knows.
 */
export class ClusterMetadata implements Metadata, ClusterDuties {
  readonly nodeId: number
  readonly cluster = this
  readonly #world: ClusterWorld
  readonly #options: ClusterOptions
  /** Null until the broker joined. */
  #membership: Membership | null = null
  readonly #known: ClusterImage
  readonly #counters: ElectionCounters
  readonly #silence: ControllerSilence
  readonly #news: ControllerLink
  readonly #links: readonly ControllerLink[]
  readonly #producerIds: ProducerIds
  readonly #forwarded: ForwardedChanges
  readonly #reports: ReplicaReports
  #election: ControllerElection | null = null
  #driver: ControllerDriver | null = null
  #changes: ClusterChanges | null = null
  /** Since it was elected last, be it that it still began. */
  #isDeposed = false
  #controllerId = -1
  /** Of a controller that another broker knew. */
  #heardEpoch = -1
  #closed = false
  /** The controller has accepted this process: what is known then is what is opened. */
  #hasJoined = false
  #started = false
  #whenAccepted: (() => void)[] = []
  #whenServing: (() => void)[] = []
  #polling: Promise<void> = Promise.resolve()
  /** The last of those that said hello and are looked up. */
  #greeted: Promise<unknown> = Promise.resolve()
  #whyNoNews = 'it is not the controller any more'

  constructor(world: ClusterWorld, options: ClusterOptions) {
    this.#world = world
    this.#options = options
    this.nodeId = options.config['broker.id']
    this.#known = new ClusterImage(options.config, world)
    this.#counters = new ElectionCounters(world.metrics)
    this.#silence = new ControllerSilence(world.clock, world.logger)
    const parts = {
      world,
      clusterId: () => this.clusterId,
      brokerId: this.nodeId,
      brokerEpoch: () => this.brokerEpoch,
      addressOf: (id: number) => this.#registeredAddress(id),
      requestTimeoutMs: options.config['replica.socket.timeout.ms'],
    }
    // Answers come in the order of the requests, and a poll waits: what does not wait has a connection of its own.
    const [news, admin, isrs] = [
      new ControllerLink(parts),
      new ControllerLink(parts),
      new ControllerLink(parts),
    ]
    this.#news = news
    this.#links = [news, admin, isrs]
    this.#producerIds = new ProducerIds(() => this.#store(), this.nodeId)
    this.#forwarded = new ForwardedChanges(admin, isrs, () => this.config)
    this.#reports = new ReplicaReports(world.clock, (report) =>
      this.#controller.replicasReported(this.nodeId, this.brokerEpoch, report),
    )
  }

  /**
   * Registers the broker and learns what there is. `addresses`: by listener name; ports of 0 have become numbers. When this
   * resolves the controller has accepted this process: nobody counts on what an earlier one had in its logs. Rejects with
   * SAMSA_CONFIG or SAMSA_METADATA_STORE when it cannot be a member.
   */
  async join(addresses: ReadonlyMap<string, Address>): Promise<void> {
    const world = this.#world
    const { config, openStore, clusterId, cleanShutdownEpoch, lost } = this.#options
    const registration = new Registration(world, config, world.network.hostName)
    registration.listensOn(addresses)
    const parts = { world, config, registration, openStore, clusterId, cleanShutdownEpoch, lost }
    const membership = await Membership.join(parts)
    this.#membership = membership
    membership.listen({
      registered: (session) => this.#begin(session),
      ended: () => this.#end('its session with the metadata store is over'),
    })
    const accepted = new Promise<void>((resolve) => this.#whenAccepted.push(resolve))
    this.#polling = this.#poll()
    await accepted
  }

  /** What is known is carried out: from now on the listener hears of changes, and the controller that they were made. */
  start(listener: MetadataListener): void {
    this.#known.listener = listener
    this.#started = true
    this.#news.wake()
  }

  // --------------------------------------------------------------------------------------------------- what is known

  /** Empty until the broker joined. */
  get clusterId(): string {
    return this.#membership?.clusterId ?? ''
  }

  get brokerEpoch(): number {
    return this.#membership?.brokerEpoch ?? -1
  }

  get config(): BrokerConfig {
    return this.#known.config
  }

  get topics(): ReadonlyMap<string, TopicImage> {
    return this.#known.image.topics
  }

  get brokers(): ReadonlyMap<number, BrokerImage> {
    return this.#known.image.brokers
  }

  get controllerId(): number {
    return this.#controllerId
  }

  get partitionCount(): number {
    return this.#known.image.partitionCount
  }

  get clusterDefaults(): ReadonlyMap<string, string> {
    return this.#known.clusterDefaults
  }

  get brokerValues(): ReadonlyMap<string, string> {
    return this.#known.brokerValues
  }

  /** A topic of this name is there, and nobody can say what it is like. */
  isDamaged(topic: string): boolean {
    return this.#known.isDamaged(topic)
  }

  topicById(topicId: string): TopicImage | undefined {
    return this.#known.image.topicById(topicId)
  }

  // --------------------------------------------------------------------------------------------------------- changes

  get #wanted(): WantedChanges {
    return this.#changes ?? this.#forwarded
  }

  async createTopics(
    topics: readonly NewTopic[],
    validateOnly: boolean,
    forBroker = false,
  ): Promise<CreateTopicResult[]> {
    const isRefused = ({ name }: NewTopic): boolean => !forBroker && isInternalTopic(name)
    const results = new Map<NewTopic, CreateTopicResult>()
    for (const topic of topics)
      if (isRefused(topic)) results.set(topic, refusedInternal(topic.name, this.topics.has(topic.name)))
    const allowed = topics.filter((topic) => !isRefused(topic))
    const created = await this.#wanted.createTopics(allowed, validateOnly)
    for (const [at, topic] of allowed.entries()) results.set(topic, created[at]!)
    return topics.map((topic) => results.get(topic)!)
  }

  async autoCreateTopic(name: string): Promise<ErrorCode> {
    if (this.topics.has(name)) return ErrorCode.NONE
    const [created] = await this.createTopics([topicWithDefaults(name, this.config)], false, true)
    const { errorCode } = created!
    return errorCode === ErrorCode.TOPIC_ALREADY_EXISTS ? ErrorCode.NONE : errorCode
  }

  createPartitions(
    name: string,
    count: number,
    assignments: readonly (readonly number[])[] | null,
    validateOnly: boolean,
  ): Promise<Outcome> {
    return this.#wanted.createPartitions(name, count, assignments, validateOnly)
  }

  deleteTopic(name: string): Promise<Outcome> {
    return this.#wanted.deleteTopic(name)
  }

  incrementalAlterConfigs(
    resource: ConfigResource,
    changes: readonly ConfigChange[],
    validateOnly: boolean,
  ): Promise<Outcome> {
    return this.#wanted.alterConfigs(resource, changes, 'incremental', validateOnly)
  }

  replaceConfigs(
    resource: ConfigResource,
    values: readonly { readonly name: string; readonly value: string | null }[],
    validateOnly: boolean,
  ): Promise<Outcome> {
    const changes = values.map(({ name, value }) => ({ name, operation: 'set' as const, value }))
    return this.#wanted.alterConfigs(resource, changes, 'replace', validateOnly)
  }

  nextProducerId(): Promise<number> {
    return this.#producerIds.next()
  }

  // ---------------------------------------------------------------------------------------------------------- duties

  /** Here, or at the other end of a connection. */
  get #controller(): ControllerDriver | ForwardedChanges {
    return this.#driver ?? this.#forwarded
  }

  async proposeIsrs(proposals: readonly Proposal[]): Promise<readonly ErrorCode[]> {
    const none = (errorCode: ErrorCode) => proposals.map(() => errorCode)
    try {
      const { errorCode, answers } = await this.#controller.alterPartitions(
        this.nodeId,
        this.brokerEpoch,
        proposals,
      )
      return errorCode === ErrorCode.NONE ? answers.map((answer) => answer.errorCode) : none(errorCode)
    } catch (error) {
      if (!(error instanceof LinkError)) throw error
      return none(ErrorCode.NETWORK_EXCEPTION)
    }
  }

  reportDamaged(partitions: readonly { readonly topicId: string; readonly index: number }[]): void {
    this.#reports.damaged(partitions)
  }

  addressOf(brokerId: number): Address | null {
    const endpoints = this.brokers.get(brokerId)?.endpoints
    return endpoints === undefined ? null : this.#replicationAddress(endpoints)
  }

  async isRegistered(brokerId: number, brokerEpoch: number): Promise<boolean> {
    const known = this.brokers.get(brokerId)?.epoch ?? -1
    if (brokerEpoch <= known) return brokerEpoch === known
    // One that has just come is not known here yet. Anybody may ask: one after the other, or the store has nothing else to do.
    const looked = this.#greeted.then(async () => {
      const session = this.#membership?.session ?? null
      const node = await session?.store.get(paths.brokerId(brokerId)).catch(() => null)
      return node?.stat.createdTransaction === brokerEpoch
    })
    this.#greeted = looked
    return looked
  }

  isOwnEpoch(brokerEpoch: number): boolean {
    return this.#membership?.isOwnEpoch(brokerEpoch) === true
  }

  /** For what this broker waits that does not serve yet, in words. */
  get awaited(): string {
    if (this.#membership === null)
      return 'a session with the metadata store, or an earlier one of its own to end there'
    if (this.#controllerId === -1) return 'a controller to be elected'
    const what = this.#isAccepted() ? 'count on it, for which it must host what it is told to' : 'accept it'
    return `the controller, broker ${this.#controllerId}, to ${what}`
  }

  whenServing(): Promise<void> {
    if (this.#isServing()) return Promise.resolve()
    return new Promise((resolve) => this.#whenServing.push(resolve))
  }

  async leave(): Promise<void> {
    const { clock, logger } = this.#world
    if (this.config['controlled.shutdown.enable']) {
      const startedMs = clock.monotonicMs()
      const isLate = new Promise<false>((resolve) => clock.after(LEAVE_MS, () => resolve(false)))
      const left = await Promise.race([this.#untilLeft(startedMs + LEAVE_MS), isLate])
      const tookMs = Math.round(clock.monotonicMs() - startedMs)
      if (left) logger.info({ tookMs }, 'others lead what this broker led')
      else logger.warn({ tookMs }, 'nobody took over what this broker leads; it stops anyway')
    }
    // Whoever is elected can be reached, and this broker soon cannot. Nor may a new controller count on it again: that it wishes
    // to leave only the last one knew.
    this.#driver?.resign(STOPPING)
    const gone = Promise.all([this.#membership?.withdraw(), this.#election?.retire()])
    // Without ZooKeeper that may take forever, and the end of the session does it as well.
    const isLate = new Promise<void>((resolve) => clock.after(RETIRE_MS, resolve))
    await Promise.race([gone, isLate])
  }

  /** Asks whoever is controller, which may be another one each time, and may be this broker. */
  async #untilLeft(deadlineMs: number): Promise<boolean> {
    while (!this.#closed && this.#world.clock.monotonicMs() < deadlineMs) {
      const errorCode = await this.#controller.controlledShutdown(this.nodeId, this.brokerEpoch)
      if (errorCode === ErrorCode.NONE) return true
      await new Promise<void>((resolve) => this.#world.clock.after(LEAVE_AGAIN_MS, resolve))
    }
    return false
  }

  poll(request: MetadataPollRequest, answer: (response: PollAnswer) => void): () => void {
    const { controllerEpoch } = request
    const isBelieved = controllerEpoch <= Math.max(BELIEVED_EPOCH, this.#driver?.controllerEpoch ?? -1)
    // Its next term begins above it.
    if (isBelieved) this.#heardEpoch = Math.max(this.#heardEpoch, controllerEpoch)
    if (isBelieved && this.#driver !== null) return this.#driver.poll(request, answer)
    answer(NOT_CONTROLLER)
    return () => undefined
  }

  alterPartitions(
    sender: number,
    brokerEpoch: number,
    proposals: readonly Proposal[],
  ): Promise<ProposalAnswers> {
    if (this.#driver !== null) return this.#driver.alterPartitions(sender, brokerEpoch, proposals)
    return Promise.resolve({ errorCode: ErrorCode.NOT_CONTROLLER, answers: [] })
  }

  replicasReported(sender: number, brokerEpoch: number, report: ReplicaReport): Promise<ErrorCode> {
    if (this.#driver !== null) return this.#driver.replicasReported(sender, brokerEpoch, report)
    return Promise.resolve(ErrorCode.NOT_CONTROLLER)
  }

  controlledShutdown(brokerId: number, brokerEpoch: number): Promise<ErrorCode> {
    if (this.#driver !== null) return this.#driver.controlledShutdown(brokerId, brokerEpoch)
    return Promise.resolve(ErrorCode.NOT_CONTROLLER)
  }

  electLeaders(
    type: 'preferred' | 'unclean',
    partitions: readonly { readonly topic: string; readonly index: number }[] | null,
  ): Promise<readonly ElectionResult[] | ErrorCode> {
    return this.#wanted.electLeaders(type, partitions)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#end(STOPPING)
    this.#reports.close()
    for (const link of this.#links) link.close()
    await this.#membership?.close()
    await this.#polling
  }

  // --------------------------------------------------------------------------------------------------------- session

  /** Registered, for the first time or again. */
  #begin({ store, brokerEpoch }: RegisteredSession): void {
    this.#options.registeredAs(brokerEpoch)
    this.#election = new ControllerElection(store, this.#world, this.nodeId, {
      elected: () => this.#govern(store),
      deposed: () => {
        this.#isDeposed = true
        this.#driver?.resign('somebody else is controller')
      },
      controllerIs: (id) => this.#controllerIs(id),
    })
    // The controller knows this broker under another epoch now.
    for (const link of this.#links) link.drop()
  }

  #end(reason: string): void {
    this.#election?.close()
    this.#election = null
    this.#driver?.resign(reason)
  }

  #controllerIs(id: number): void {
    if (id !== this.#controllerId)
      this.#world.logger.info({ controller: id }, 'another broker is the controller')
    this.#controllerId = id
    for (const link of this.#links) link.follow(id)
  }

  async #govern(store: MetadataStore): Promise<void> {
    this.#isDeposed = false
    const driver = await ControllerDriver.begin({
      world: this.#world,
      store,
      brokerId: this.nodeId,
      sessionTimeoutMs: this.#options.config['zookeeper.session.timeout.ms'],
      events: new ClusterEvents(this.#world.clock, this.#world.logger, this.#counters),
      eligibleLeaderReplicas: this.#options.config['eligible.leader.replicas.enable'],
      configUnder: (defaults) => this.#known.configUnder(defaults),
      heardEpoch: Math.max(this.#heardEpoch, this.#known.controllerEpoch),
    })
    if (this.#closed) return driver.resign(STOPPING)
    if (this.#isDeposed) return driver.resign('somebody else is controller')
    // Its last answers and its end may have come together.
    if (this.#membership?.session?.store !== store) return driver.resign('its session is over')
    this.#driver = driver
    this.#controllerId = this.nodeId
    this.#changes = new ClusterChanges(driver, {
      world: this.#world,
      image: this.#known.image,
      config: () => this.config,
      canCompress: this.#options.canCompress,
    })
    for (const link of this.#links) link.follow(-1)
    this.#balanceLater(driver)
    await driver.ended
    this.#driver = null
    this.#changes = null
    if (this.#controllerId === this.nodeId) this.#controllerId = -1
    this.#news.wake()
  }

  /** Every so often, as long as this broker is controller. */
  #balanceLater(driver: ControllerDriver): void {
    const { config } = this.#options
    if (!config['auto.leader.rebalance.enable']) return
    this.#world.clock.after(config['leader.imbalance.check.interval.seconds'] * 1_000, () => {
      if (driver.isOver) return
      for (const { topic, index } of imbalanced(this.#known.image)) {
        const topicId = this.topics.get(topic)?.topicId ?? ''
        driver.act((core) => core.elect(topicId, index, 'preferred', () => {}))
      }
      this.#balanceLater(driver)
    })
  }

  #store(): MetadataStore {
    const session = this.#membership?.session ?? null
    if (session === null) throw new ClosedError()
    return session.store
  }

  async #registeredAddress(brokerId: number): Promise<Address | null> {
    const session = this.#membership?.session ?? null
    if (session === null) return null
    const path = paths.brokerId(brokerId)
    try {
      const node = await session.store.get(path)
      const broker = node === null ? null : decodeBroker(path, node.data)
      if (broker === null || broker instanceof Damage) return null
      return this.#replicationAddress(broker.endpoints)
    } catch {
      // The store cannot be asked: nobody knows now.
      return null
    }
  }

  #replicationAddress(endpoints: ReadonlyMap<string, Address>): Address | null {
    const { config } = this.#options
    const name = config['inter.broker.listener.name']?.toUpperCase() ?? config.endpoints[0]!.name
    return endpoints.get(name) ?? null
  }

  // ------------------------------------------------------------------------------------------------------------ news

  async #poll(): Promise<void> {
    while (!this.#closed) {
      const answer = await this.#askForNews()
      if (this.#closed) return
      const isOld = answer !== null && answer.controllerEpoch < this.#known.controllerEpoch
      if (isOld || answer?.errorCode !== ErrorCode.NONE) {
        const { controllerId, address } = this.#news
        this.#silence.goesOn(controllerId, address, this.#whyNoNews)
        await this.#news.rest()
        continue
      }
      this.#silence.ends()
      await this.#known.apply(answer)
      if (this.#started && answer.changes.length > 0) this.#reports.logsEnd(this.#known.awaitedLogs())
      this.#tellWhoWaits()
      // What would come until there is a listener, nobody would carry out; and who asks on, says that all is hosted.
      while (this.#hasJoined && !this.#started && !this.#closed) await this.#news.untilWoken()
    }
  }

  async #askForNews(): Promise<PollAnswer | null> {
    const { sequence, carriedOut } = this.#known
    const request: MetadataPollRequest = {
      brokerId: this.nodeId,
      brokerEpoch: this.brokerEpoch,
      controllerEpoch: this.#known.controllerEpoch,
      sequence,
      carriedOut,
      maxWaitMs: carriedOut < sequence ? BUSY_POLL_MS : POLL_MS,
    }
    const driver = this.#driver
    if (driver !== null) return new Promise((resolve) => driver.poll(request, resolve))
    try {
      const answer = await this.#news.ask(POLL, request, 0)
      return { ...answer, errorCode: answer.errorCode as ErrorCode }
    } catch (error) {
      if (!(error instanceof LinkError)) throw error
      this.#whyNoNews = error.message
      return null
    }
  }

  #isAccepted(): boolean {
    return this.brokers.get(this.nodeId)?.epoch === this.brokerEpoch
  }

  #isServing(): boolean {
    return this.#isAccepted() && this.brokers.get(this.nodeId)?.fenced === false
  }

  #tellWhoWaits(): void {
    if (this.#isAccepted()) {
      this.#hasJoined = true
      for (const resolve of this.#whenAccepted.splice(0)) resolve()
    }
    if (this.#isServing()) for (const resolve of this.#whenServing.splice(0)) resolve()
  }
}
