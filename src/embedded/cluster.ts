import { setTimeout as sleep } from 'node:timers/promises'
import type { ErrorName } from '../../protocol/errors.ts'
import { parseBrokerConfig } from '../core/config/broker-config.ts'
import type { ConfigLayer } from '../core/config/broker-config.ts'
import {
  checkClusterOptions,
  checkNewClusterTopics,
  clusterDefaults,
  DEFAULT_BROKERS,
} from '../core/options/cluster-options.ts'
import type { ClusterOptions, NewClusterTopic } from '../core/options/cluster-options.ts'
import { shown } from '../core/options/rules.ts'
import { printable } from '../core/printable.ts'
import { SamsaError } from '../core/samsa-error.ts'
import type { TopicImage } from '../metadata/image/metadata-image.ts'
import type { RunningBroker } from '../server/start-broker.ts'
import { createLogger } from '../system/pino-logger.ts'
import { TemporaryDirectory } from '../system/temporary-directory.ts'
import type { ClusterMember } from './cluster-member.ts'
import { ClusterMembers } from './cluster-members.ts'
import type { Place } from './cluster-members.ts'
import { sweepOnce } from './sweep.ts'
import { tell } from './told-warnings.ts'
import { typed } from './typed-error.ts'

/** Nobody else has it: without a compiler a private constructor is one like any other. */
const OURS = Symbol('Cluster.start')

/** Longer than an election takes, wherever it stands still. */
const LEADER_MS = 30_000
/** Brokers hear of a topic within moments. */
const TOPIC_MS = 2_000
const LOOK_AGAIN_MS = 5

/**
 * Several brokers in this process, on real sockets and real files: one replicated cluster, whose brokers can be killed, cut
 * off and started again. Their ids are 1, 2, 3 and so on.
 *
 *     await using cluster = await Cluster.start({ brokers: 3 })
 *     const kafka = new Kafka({ brokers: cluster.brokers })
 *     await cluster.kill(await cluster.leaderOf('orders', 0))
 */
export class Cluster implements AsyncDisposable {
  readonly #members: ClusterMembers
  readonly #directory: TemporaryDirectory
  #stopping: Promise<void> | null = null

  private constructor(ours: typeof OURS, members: ClusterMembers, directory: TemporaryDirectory) {
    if (ours !== OURS)
      throw new SamsaError('SAMSA_CONFIG', 'new Cluster(): a cluster comes from await Cluster.start()')
    this.#members = members
    this.#directory = directory
  }

  /** Resolves when all brokers take clients. Rejects with a SamsaError that says what to change. */
  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    checkClusterOptions(options)
    const { brokers = DEFAULT_BROKERS, profile = 'embedded', logLevel = 'silent' } = options
    const directory = new TemporaryDirectory()
    try {
      const logger = await createLogger({ level: logLevel })
      const parse = (place: Place) => parseBrokerConfig(layersOf(options, brokers, place), profile, false)
      tell(parse({ id: 1, port: 0, dataDir: directory.dataDir }).warnings, logger, logLevel)
      const members = await ClusterMembers.start({
        brokers,
        directory: directory.path,
        logger,
        configOf: (place) => parse(place).config,
      })
      sweepOnce()
      return new Cluster(OURS, members, directory)
    } catch (error) {
      await directory.remove()
      throw typed(error)
    }
  }

  /** `host:port` of every broker, be it there or not, as kafkajs wants it. */
  get brokers(): string[] {
    return this.#members.addresses
  }

  /** The same as one string, as librdkafka and the Java client want it. */
  get bootstrapServers(): string {
    return this.brokers.join(',')
  }

  /**
   * Creates topics that are ready for clients when this resolves, at every broker that is there. Rejects with SAMSA_CONFIG
   * when something about them cannot be, before any is created, and with SAMSA_REFUSED when the cluster refuses some: the
   * others are there then.
   */
  async createTopics(topics: readonly NewClusterTopic[]): Promise<void> {
    await this.#whileRunning(async () => {
      checkNewClusterTopics(topics)
      await this.#anyBroker().createTopics(topics)
      for (const { name } of topics) await this.#known(name)
    })
  }

  /** Deletes every topic but the internal ones: a clean slate between tests. */
  async deleteAllTopics(): Promise<void> {
    await this.#whileRunning(async () => {
      await this.#anyBroker().deleteAllTopics()
      const isGone = ({ broker }: RunningBroker): boolean =>
        [...broker.metadata.topics.values()].every(({ internal }) => internal)
      await this.#until(LEADER_MS, () => this.#members.reachable.every(isGone))
    })
  }

  /** The id of the broker that leads a partition, among those that can be reached. Waits for one up to 30 seconds. */
  async leaderOf(topic: string, partition: number): Promise<number> {
    let found = -1
    await this.#whileRunning(async () => {
      const name = `${printable(topic)}-${printable(String(partition))}`
      if (!(await this.#until(TOPIC_MS, () => this.#hasPartition(topic, partition))))
        throw refused(`${name}: no broker knows this partition`, 'UNKNOWN_TOPIC_OR_PARTITION')
      const led = await this.#until(LEADER_MS, () => {
        found = this.#leaderNow(topic, partition)
        return found !== -1
      })
      if (!led)
        throw refused(`${name}: nobody leads it, after ${LEADER_MS / 1_000} s`, 'LEADER_NOT_AVAILABLE')
    })
    return found
  }

  /** As `kill -9` ends a process: its connections are gone, and so is its place in the cluster. Its data stays. */
  async kill(broker: number): Promise<void> {
    await this.#change(broker, (member) => member.kill())
  }

  /** As SIGTERM ends a process: others lead what it led, then its connections are drained and its logs closed. */
  async stopBroker(broker: number): Promise<void> {
    await this.#change(broker, (member) => member.stop())
  }

  /** Starts a broker again, on its port and with its data; one that runs is stopped first. Resolves when it takes clients. */
  async restart(broker: number): Promise<void> {
    await this.#change(broker, async (member) => {
      if (member.isCutOff)
        throw refused(`broker ${broker} is cut off, and would wait for ever: call heal(${broker}) first`)
      await member.stop()
      await member.start()
    })
  }

  /** Pulls a broker's cable: nobody reaches it, it reaches nobody, and its session with the metadata store is over. */
  async isolate(broker: number): Promise<void> {
    await this.#change(broker, (member) => member.isolate())
  }

  /** Gives an isolated broker its network back; it finds its place by itself. */
  async heal(broker: number): Promise<void> {
    await this.#change(broker, (member) => member.heal())
  }

  /** Ends all brokers and removes their data. May be called again. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #stop(): Promise<void> {
    try {
      await this.#members.end()
    } catch (error) {
      throw typed(error)
    } finally {
      await this.#directory.remove()
    }
  }

  async #change(broker: number, change: (member: ClusterMember) => Promise<void>): Promise<void> {
    await this.#whileRunning(async () => {
      const { all } = this.#members
      const member = all.find(({ id }) => id === broker)
      if (member === undefined) {
        const ids = all.map(({ id }) => id).join(', ')
        throw new SamsaError(
          'SAMSA_CONFIG',
          `broker: there is none with id ${shown(broker)}; there are ${ids}`,
        )
      }
      await change(member)
    })
  }

  /** What comes after a stop, or into one, has one answer, however far it came. */
  async #whileRunning(work: () => Promise<void>): Promise<void> {
    if (this.#stopping !== null) throw new SamsaError('SAMSA_STOPPED', 'the cluster was stopped')
    try {
      await work()
    } catch (error) {
      throw this.#isStopping
        ? new SamsaError('SAMSA_STOPPED', 'the cluster was stopped meanwhile', error)
        : typed(error)
    }
  }

  get #isStopping(): boolean {
    return this.#stopping !== null
  }

  #anyBroker(): RunningBroker {
    const [first] = this.#members.reachable
    if (first === undefined) throw refused('no broker can be reached: each is stopped or cut off')
    return first
  }

  #hasPartition(topic: string, index: number): boolean {
    return this.#members.reachable.some(({ broker }) => broker.metadata.topics.get(topic)?.partitions[index])
  }

  /** -1 for none. What one believes who is cut off does not count. */
  #leaderNow(topic: string, index: number): number {
    const leads = ({ reachable }: ClusterMember): boolean =>
      typeof reachable?.broker.partitions.leaderOf(topic, index) === 'object'
    return this.#members.all.find(leads)?.id ?? -1
  }

  /** Every broker has heard of it, and who should lead it does. */
  async #known(topic: string): Promise<void> {
    const isLed = ({ partitions }: TopicImage): boolean =>
      partitions.every(({ index }) => this.#leaderNow(topic, index) !== -1)
    const knows = ({ broker }: RunningBroker): boolean => {
      const found = broker.metadata.topics.get(topic)
      return found !== undefined && isLed(found)
    }
    if (!(await this.#until(LEADER_MS, () => this.#members.reachable.every(knows))))
      throw refused(
        `${printable(topic)}: created, but not led after ${LEADER_MS / 1_000} s`,
        'LEADER_NOT_AVAILABLE',
      )
  }

  /** Whether it came about in time. */
  async #until(upToMs: number, isSo: () => boolean): Promise<boolean> {
    const deadlineMs = performance.now() + upToMs
    while (!isSo()) {
      if (this.#isStopping) throw new Error('stopped')
      if (performance.now() > deadlineMs) return false
      await sleep(LOOK_AGAIN_MS)
    }
    return true
  }
}

function refused(message: string, kafkaError?: ErrorName): SamsaError {
  return new SamsaError('SAMSA_REFUSED', message, undefined, kafkaError)
}

/** The weakest first. */
function layersOf(options: ClusterOptions, brokers: number, { id, port, dataDir }: Place): ConfigLayer[] {
  const { host = '127.0.0.1', config = {} } = options
  const layer = (origin: string, values: ReadonlyMap<string, string>): ConfigLayer => ({
    source: 'STATIC_BROKER_CONFIG',
    origin,
    values,
  })
  const place = new Map([
    ['broker.id', String(id)],
    ['listeners', `PLAINTEXT://${host.includes(':') ? `[${host}]` : host}:${port}`],
    ['log.dirs', dataDir],
  ])
  return [
    layer('default', clusterDefaults(brokers)),
    layer('Cluster.start', new Map(Object.entries(config).map(([key, value]) => [key, String(value)]))),
    layer('default', place),
  ]
}
