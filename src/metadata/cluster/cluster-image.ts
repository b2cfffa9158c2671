import type { MetadataChange } from '../../../protocol/messages/1000-metadata-poll.ts'
import type { BrokerConfig } from '../../core/config/broker-config.ts'
import { readableOverrides, withStoredConfig } from '../../core/config/held-config.ts'
import { BrokenInvariant } from '../../core/broken-invariant.ts'
import { resolveTopicConfig, TOPIC_DEFAULT_KEYS } from '../../core/config/topic-config.ts'
import type { TopicConfig } from '../../core/config/topic-config.ts'
import { isNewer } from '../../core/replication/partition-state.ts'
import type { LogEnd } from '../../core/controller/controller-types.ts'
import type { Clock, Logger } from '../../ports.ts'
import type { PollAnswer } from '../cluster-duties.ts'
import { MetadataImage } from '../image/metadata-image.ts'
import type { PartitionImage, TopicImage } from '../image/metadata-image.ts'
import { NOBODY } from '../image/metadata-state.ts'
import type { MetadataListener } from '../image/metadata-state.ts'
import { isInternalTopic } from '../layout/topic-names.ts'
import { EVERY_BROKER } from './controller-load.ts'

type Values = ReadonlyMap<string, string>
type ToldPartition = MetadataChange['partitions'][number]

const NO_VALUES: Values = new Map()
/** What a disk takes longer for is waited for by nobody else. */
const SLOW_MS = 100

/** What the listener was told and has not carried out. */
interface Work {
  /** Of the change that it belongs to. */
  sequence: number
}

/**
 * What this broker knows of the cluster, as the controller told it, change by change. Each is carried out by the listener
 * before the next, but for what is on a slow disk: that comes in its order, and what is on others goes on. What is older than what is known, by the version of its node, is left out: a controller that was just
 * elected may have read it before the one before wrote.
 */
export class ClusterImage {
  readonly image = new MetadataImage()
  readonly #staticConfig: BrokerConfig
  readonly #logger: Logger
  readonly #clock: Clock
  readonly #works = new Set<Work>()
  readonly #configs = new Map<number, Values>()
  /** By topic: partitions of one that was half made when its controller died. Those before them come later. */
  readonly #early = new Map<string, readonly ToldPartition[]>()
  #damagedTopics: ReadonlySet<string> = new Set()
  listener: MetadataListener = NOBODY
  config: BrokerConfig
  /** Of the controller from which it has what it knows; -1: it knows nothing. */
  controllerEpoch = -1
  sequence = -1
  /** Of the change that is just applied. */
  #applying = -1
  #isLate: Promise<void> = Promise.resolve()

  constructor(config: BrokerConfig, { clock, logger }: { readonly clock: Clock; readonly logger: Logger }) {
    this.#staticConfig = config
    this.config = config
    this.#clock = clock
    this.#logger = logger
  }

  /** Up to this change all is carried out. */
  get carriedOut(): number {
    let carriedOut = this.sequence
    for (const { sequence } of this.#works) carriedOut = Math.min(carriedOut, sequence - 1)
    return carriedOut
  }

  get clusterDefaults(): Values {
    return this.#configs.get(EVERY_BROKER) ?? NO_VALUES
  }

  get brokerValues(): Values {
    return this.#configs.get(this.#staticConfig['broker.id']) ?? NO_VALUES
  }

  /** There is a topic of this name, of which nothing can be read: what is here of it stays. */
  isDamaged(topic: string): boolean {
    return this.#damagedTopics.has(topic)
  }

  /**
   * How far logs here go of partitions that nobody leads, because nobody is certain to have everything: whoever has the
   * longest of those that had it once is to lead.
   */
  awaitedLogs(): LogEnd[] {
    const self = this.#staticConfig['broker.id']
    const logs: LogEnd[] = []
    for (const { topicId, partitions } of this.image.topics.values())
      for (const { topic, index, leader, isr, elr, lastKnownElr } of partitions) {
        if (leader !== -1 || isr.length + elr.length > 0 || !lastKnownElr.includes(self)) continue
        const end = this.listener.logEnd(topic, index)
        if (end !== null) logs.push({ topicId, index, ...end })
      }
    return logs
  }

  async apply({ controllerEpoch, full, changes }: PollAnswer): Promise<void> {
    for (const change of changes) {
      this.#applying = Number(change.sequence)
      // Of another controller, whose numbers say nothing here.
      if (full) for (const work of this.#works) work.sequence = this.#applying
      let isLate!: () => void
      this.#isLate = new Promise((resolve) => (isLate = resolve))
      const timer = this.#clock.after(SLOW_MS, isLate)
      await this.#apply(change, full)
      timer.cancel()
      this.controllerEpoch = controllerEpoch
      this.sequence = this.#applying
    }
  }

  async #apply(change: MetadataChange, full: boolean): Promise<void> {
    if (full) this.#damagedTopics = new Set(change.damagedTopics)
    const gone = full ? this.#missing(change) : change.topicsGone
    await Promise.all(gone.map((topicId) => this.#topicGone(topicId)))
    this.#brokers(change, full)
    await this.#reconfigure(change, full)
    const partitions = byTopic(change.partitions)
    const topics = change.topics.map(({ topicId, name, overrides }) => {
      const told = partitions.get(topicId) ?? []
      partitions.delete(topicId)
      return this.#topic(topicId, name, new Map(overrides.map(({ name, value }) => [name, value])), told)
    })
    for (const [topicId, told] of partitions) topics.push(this.#partitions(topicId, told))
    if (full) topics.push(...change.damagedTopics.map((name) => this.#withdraw(name)))
    await Promise.all(topics)
  }

  /**
   * What a disk refuses concerns the partitions on it: the cluster goes on, and so does what this broker knows of it. And what
   * it takes long for.
   */
  #carriedOut(topic: string, doing: Promise<void> | void): Promise<void> {
    const work: Work = { sequence: this.#applying }
    this.#works.add(work)
    const done = (async (): Promise<void> => {
      try {
        await doing
      } catch (error) {
        if (error instanceof BrokenInvariant) throw error
        this.#logger.error({ topic, error }, 'what the controller decided could not be carried out here')
      }
      this.#works.delete(work)
    })()
    // Nothing may go on from what is broken, be it that nobody waits for it any more.
    void done.then(() => undefined)
    return Promise.race([done, this.#isLate])
  }

  #missing({ topics }: MetadataChange): string[] {
    const there = new Set(topics.map(({ topicId }) => topicId))
    return [...this.image.topics.values()]
      .filter(({ topicId, name }) => !there.has(topicId) && !this.isDamaged(name))
      .map(({ topicId }) => topicId)
  }

  async #topicGone(topicId: string): Promise<void> {
    this.#early.delete(topicId)
    const topic = this.image.topicById(topicId)
    if (topic === undefined) return
    this.image.remove(topic.name)
    await this.#carriedOut(topic.name, this.listener.onTopicDeleted(topic))
  }

  #brokers({ brokers }: MetadataChange, full: boolean): void {
    const known = this.image.brokers
    if (full) {
      const there = new Set(brokers.map(({ id }) => id))
      for (const id of known.keys()) if (!there.has(id)) known.delete(id)
    }
    for (const { id, fenced, shuttingDown, rack, ...told } of brokers) {
      const endpoints = new Map(told.endpoints.map(({ name, host, port }) => [name, { host, port }]))
      // Whoever came back is known to be somewhere; of one that is away a new controller cannot say where it was.
      const where = endpoints.size === 0 ? (known.get(id)?.endpoints ?? endpoints) : endpoints
      known.set(id, { id, epoch: Number(told.epoch), fenced, shuttingDown, rack, endpoints: where })
    }
    if (brokers.length > 0 || full) this.listener.onBrokersChanged()
  }

  async #reconfigure({ configs }: MetadataChange, full: boolean): Promise<void> {
    const defaults = this.clusterDefaults
    if (full) this.#configs.clear()
    for (const { brokerId, values } of configs)
      this.#configs.set(brokerId, new Map(values.map(({ name, value }) => [name, value])))
    if (configs.length === 0 && !(full && defaults.size > 0)) return
    const before = this.config
    this.config = this.#configUnder(this.clusterDefaults)
    const reachesTopics = [...TOPIC_DEFAULT_KEYS].some(
      (key) => before.settings.get(key)?.[0]?.text !== this.config.settings.get(key)?.[0]?.text,
    )
    if (!reachesTopics) return
    for (const topic of this.image.reconfigure(this.config))
      await this.#carriedOut(topic.name, this.listener.onTopicConfigChanged(topic))
  }

  #configUnder(defaults: Values): BrokerConfig {
    const { config, warnings } = withStoredConfig(this.#staticConfig, defaults, this.brokerValues)
    for (const warning of warnings) this.#logger.warn({}, warning)
    return config
  }

  /** As a controller: of topics, of which brokers' own values say nothing. */
  configUnder(defaults: Values): BrokerConfig {
    return withStoredConfig(this.#staticConfig, defaults, NO_VALUES).config
  }

  #topicConfig(topic: string, overrides: Values): TopicConfig {
    const { overrides: usable, unused } = readableOverrides(overrides)
    if (unused.length > 0)
      this.#logger.warn({ topic, keys: unused }, 'a stored topic configuration is not used in part')
    return resolveTopicConfig(usable, this.config)
  }

  async #topic(
    topicId: string,
    name: string,
    overrides: Values,
    partitions: readonly ToldPartition[],
  ): Promise<void> {
    const known = this.image.topicById(topicId)
    if (known !== undefined) {
      if (!isSame(known.config.overrides, overrides)) {
        const topic = { ...known, config: this.#topicConfig(name, overrides) }
        this.image.put(topic)
        await this.#carriedOut(name, this.listener.onTopicConfigChanged(topic))
      }
      return this.#partitions(topicId, partitions)
    }
    // A topic of the same name that was deleted while this broker was told nothing.
    const before = this.image.topics.get(name)
    if (before !== undefined) await this.#topicGone(before.topicId)
    const told = sorted(partitions)
    const whole = told.filter(({ index }, at) => index === at)
    this.#early.set(topicId, told.slice(whole.length))
    const topic: TopicImage = {
      name,
      topicId,
      internal: isInternalTopic(name),
      partitions: whole.map((each) => imageOf(name, each)),
      config: this.#topicConfig(name, overrides),
    }
    await this.#carriedOut(name, this.listener.onTopicCreated(topic))
    this.image.put(topic)
  }

  /** Nobody leads any partition of it. */
  async #withdraw(name: string): Promise<void> {
    const topic = this.image.topics.get(name)
    if (topic === undefined) return
    const changed = topic.partitions.filter(({ partitionEpoch }) => partitionEpoch !== -1).map(withdrawn)
    const partitions = topic.partitions.map(withdrawn)
    const next = { ...topic, partitions }
    await this.#carriedOut(name, this.listener.onPartitionsChanged(next, changed))
    this.image.put(next)
  }

  async #partitions(topicId: string, told: readonly ToldPartition[]): Promise<void> {
    const topic = this.image.topicById(topicId)
    if (topic === undefined) return
    const partitions = [...topic.partitions]
    const changed: PartitionImage[] = []
    const added: PartitionImage[] = []
    const early = this.#early.get(topicId) ?? []
    const left: ToldPartition[] = []
    for (const each of sorted([...early, ...told])) {
      if (each.index > partitions.length) {
        left.push(each)
        continue
      }
      const before = partitions[each.index]
      const isKnown = each.damaged ? before?.partitionEpoch === -1 : before && !isNewer(each, before)
      if (isKnown === true) continue
      const partition = before !== undefined && each.damaged ? withdrawn(before) : imageOf(topic.name, each)
      partitions[each.index] = partition
      ;(before === undefined ? added : changed).push(partition)
    }
    this.#early.set(topicId, left)
    if (changed.length + added.length === 0) return
    const next = { ...topic, partitions }
    const { name } = next
    if (added.length > 0) await this.#carriedOut(name, this.listener.onPartitionsAdded(next, added))
    if (changed.length > 0) await this.#carriedOut(name, this.listener.onPartitionsChanged(next, changed))
    this.image.put(next)
  }
}

/** Nobody leads it any more, in whatever epoch; what somebody makes of it is newer. */
function withdrawn(partition: PartitionImage): PartitionImage {
  const nobody = { leader: -1, leaderBrokerEpoch: -1, isr: [], elr: [], lastKnownElr: [] }
  return { ...partition, ...nobody, partitionEpoch: -1 }
}

function byTopic(partitions: readonly ToldPartition[]): Map<string, ToldPartition[]> {
  const topics = new Map<string, ToldPartition[]>()
  for (const partition of partitions) {
    const ofTopic = topics.get(partition.topicId)
    if (ofTopic === undefined) topics.set(partition.topicId, [partition])
    else ofTopic.push(partition)
  }
  return topics
}

function sorted(partitions: readonly ToldPartition[]): ToldPartition[] {
  return partitions.toSorted((left, right) => left.index - right.index)
}

function imageOf(topic: string, told: ToldPartition): PartitionImage {
  const { topicId: _, damaged: __, leaderBrokerEpoch, leaderRecoveryState, ...rest } = told
  return {
    topic,
    ...rest,
    leaderBrokerEpoch: Number(leaderBrokerEpoch),
    leaderRecoveryState: leaderRecoveryState === 1 ? 1 : 0,
  }
}

function isSame(left: Values, right: Values): boolean {
  return left.size === right.size && [...left].every(([key, value]) => right.get(key) === value)
}
