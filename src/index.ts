/// <reference lib="esnext.disposable" preserve="true" />
/** The programmatic broker: the one the command line starts, in a test file. */
import path from 'node:path'
import { parseBrokerConfig } from './core/config/broker-config.ts'
import type { ConfigLayer } from './core/config/broker-config.ts'
import { splitList } from './core/config/definition.ts'
import { checkBrokerOptions, checkNewTopics } from './core/options/broker-options.ts'
import type { BrokerOptions, NewTopic } from './core/options/broker-options.ts'
import { printable } from './core/printable.ts'
import { SamsaError } from './core/samsa-error.ts'
import { sweepOnce } from './embedded/sweep.ts'
import { tell } from './embedded/told-warnings.ts'
import { typed } from './embedded/typed-error.ts'
import { clientAddresses } from './server/client-addresses.ts'
import { startBroker } from './server/start-broker.ts'
import type { RunningBroker } from './server/start-broker.ts'
import { keptAlive } from './system/kept-alive.ts'
import { metadataStores } from './system/metadata-stores.ts'
import { noMetrics } from './system/figures/no-metrics.ts'
import { engineOptionsOf, startSystemWorld } from './system/system-world.ts'
import { TemporaryDirectory } from './system/temporary-directory.ts'

export { SamsaError }
export { Cluster } from './embedded/cluster.ts'
export type { ErrorName } from '../protocol/errors.ts'
export type { ConfigProfile } from './core/options/config-profile.ts'
export type { BrokerOptions, ConfigEntries, NewTopic } from './core/options/broker-options.ts'
export type { ClusterOptions, NewClusterTopic } from './core/options/cluster-options.ts'
export type { LogLevel } from './core/options/log-level.ts'
export type { SamsaErrorCode } from './core/samsa-error.ts'

/** One directory, and no other: `log.dirs` is a list, whose elements begin and end without blanks. */
function resolveDataDir(given: string): string {
  const resolved = path.resolve(given)
  const [only, ...others] = splitList(resolved)
  if (given !== '' && only === resolved && others.length === 0) return resolved
  throw new SamsaError(
    'SAMSA_CONFIG',
    `dataDir: cannot use '${printable(given)}': it must be the path of one directory, without commas or blanks around it`,
  )
}

/** The key that the caller set, and once what the causes say again. */
function inWordsOfOptions(error: unknown): unknown {
  if (!(error instanceof SamsaError) || !error.message.startsWith('log.dirs: ')) return error
  return new SamsaError(error.code, error.message.replace('log.dirs', 'dataDir'))
}

/** What `Broker.start` says about where the broker lives, and `config` about everything else. */
function layerOf(options: BrokerOptions, temporaryDir: TemporaryDirectory | null): ConfigLayer {
  const { host = '127.0.0.1', port = 0, config = {} } = options
  const values = new Map<string, string>([
    ['listeners', `PLAINTEXT://${host.includes(':') ? `[${host}]` : host}:${port}`],
  ])
  if (options.dataDir !== undefined) values.set('log.dirs', resolveDataDir(options.dataDir))
  if (temporaryDir !== null) values.set('log.dirs', temporaryDir.dataDir)
  for (const [key, value] of Object.entries(config)) values.set(key, String(value))
  return { source: 'STATIC_BROKER_CONFIG', origin: 'Broker.start', values }
}

/** Nobody else has it: without a compiler a private constructor is one like any other. */
const OURS = Symbol('Broker.start')

/**
 * A broker in this process, on real sockets and real files.
 *
 *     await using broker = await Broker.start()
 *     const kafka = new Kafka({ brokers: broker.brokers })
 */
export class Broker implements AsyncDisposable {
  readonly #running: RunningBroker
  readonly #closeWorld: () => void
  readonly #temporaryDir: TemporaryDirectory | null
  readonly dataDir: string
  #stopping: Promise<void> | null = null

  private constructor(
    ours: typeof OURS,
    running: RunningBroker,
    closeWorld: () => void,
    dataDir: string,
    temporaryDir: TemporaryDirectory | null,
  ) {
    if (ours !== OURS)
      throw new SamsaError('SAMSA_CONFIG', 'new Broker(): a broker comes from await Broker.start()')
    this.#running = running
    this.#closeWorld = closeWorld
    this.dataDir = dataDir
    this.#temporaryDir = temporaryDir
  }

  /** Resolves when clients can connect. Rejects with a SamsaError that says what to change. */
  static async start(options: BrokerOptions = {}): Promise<Broker> {
    checkBrokerOptions(options)
    const { dataDir, config: keys = {}, profile = 'embedded', logLevel = 'silent' } = options
    const isTemporary = dataDir === undefined && !('log.dirs' in keys) && !('log.dir' in keys)
    const temporaryDir = isTemporary ? new TemporaryDirectory() : null
    try {
      const { config, warnings } = parseBrokerConfig([layerOf(options, temporaryDir)], profile)
      const { world, close } = await startSystemWorld(
        { logLevel, metrics: noMetrics },
        engineOptionsOf(config),
      )
      tell(warnings, world.logger, logLevel)
      try {
        const running = await keptAlive(startBroker(world, config, metadataStores(world, config)))
        if (temporaryDir !== null) sweepOnce()
        return new Broker(OURS, running, close, path.resolve(config['log.dirs'][0]!), temporaryDir)
      } catch (error) {
        close()
        throw error
      }
    } catch (error) {
      await temporaryDir?.remove()
      throw dataDir === undefined ? typed(error) : inWordsOfOptions(typed(error))
    }
  }

  /** `host:port` of each listener, as kafkajs wants it. */
  get brokers(): string[] {
    return clientAddresses(this.#running.addresses)
  }

  /** The same as one string, as librdkafka and the Java client want it. */
  get bootstrapServers(): string {
    return this.brokers.join(',')
  }

  get port(): number {
    return [...this.#running.addresses.values()][0]!.port
  }

  /**
   * Creates topics that are ready for clients when this resolves. Rejects with SAMSA_CONFIG when something about them
   * cannot be, before any is created, and with SAMSA_REFUSED when the broker refuses some: the others are there then.
   */
  async createTopics(topics: readonly NewTopic[]): Promise<void> {
    await this.#whileRunning(() => {
      checkNewTopics(topics)
      return this.#running.createTopics(topics)
    })
  }

  /** Deletes every topic but the internal ones: a clean slate between tests. */
  async deleteAllTopics(): Promise<void> {
    await this.#whileRunning(() => this.#running.deleteAllTopics())
  }

  /** What comes after a stop, or into one, has one answer, however far it came. */
  async #whileRunning(work: () => Promise<void>): Promise<void> {
    if (this.#stopping !== null) throw new SamsaError('SAMSA_STOPPED', 'the broker was stopped')
    try {
      await work()
    } catch (error) {
      throw this.#stopping === null
        ? error
        : new SamsaError('SAMSA_STOPPED', 'the broker was stopped meanwhile', error)
    }
  }

  /** Ends connections, makes everything durable and, for a temporary data directory, removes it. May be called again. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    try {
      await keptAlive(this.#running.stop())
    } catch (error) {
      throw typed(error)
    } finally {
      this.#closeWorld()
      await this.#temporaryDir?.remove()
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}
