/** The programmatic broker: the one the command line starts, in a test file. */
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { parseBrokerConfig } from './core/config/broker-config.ts'
import type { ConfigProfile } from './core/config/broker-config.ts'
import { SamsaError } from './core/samsa-error.ts'
import { startBroker } from './server/start-broker.ts'
import type { RunningBroker } from './server/start-broker.ts'
import { openEmbeddedStore } from './system/store/embedded-store.ts'
import { noMetrics } from './system/figures/no-metrics.ts'
import type { LogLevel } from './system/pino-logger.ts'
import { engineOptionsOf, startSystemWorld } from './system/system-world.ts'

export { SamsaError }
export type { SamsaErrorCode } from './core/samsa-error.ts'

export interface BrokerOptions {
  /** Default: a free one. */
  readonly port?: number
  /** Default: 127.0.0.1. */
  readonly host?: string
  /** Where the data lives. Default: a temporary directory that is removed when the broker stops. */
  readonly dataDir?: string
  /** Any key of server.properties. */
  readonly config?: Readonly<Record<string, string | number | boolean>>
  /** `embedded` (default) forms groups without Kafka's initial delay; `server` has Kafka's defaults. */
  readonly profile?: ConfigProfile
  /** Default: silent. */
  readonly logLevel?: LogLevel
}

export interface NewTopic {
  readonly name: string
  /** Default: num.partitions. */
  readonly partitions?: number
  readonly config?: Readonly<Record<string, string>>
}

/**
 * A broker in this process, on real sockets and real files.
 *
 *     await using broker = await Broker.start()
 *     const kafka = new Kafka({ brokers: broker.brokers })
 */
export class Broker implements AsyncDisposable {
  readonly #running: RunningBroker
  readonly #closeWorld: () => void
  readonly #temporaryDir: string | null
  readonly dataDir: string
  #stopping: Promise<void> | null = null

  private constructor(
    running: RunningBroker,
    closeWorld: () => void,
    dataDir: string,
    temporaryDir: string | null,
  ) {
    this.#running = running
    this.#closeWorld = closeWorld
    this.dataDir = dataDir
    this.#temporaryDir = temporaryDir
  }

  /** Resolves when clients can connect. Rejects with a SamsaError that says what to change. */
  static async start(options: BrokerOptions = {}): Promise<Broker> {
    const temporaryDir =
      options.dataDir === undefined ? await mkdtemp(path.join(os.tmpdir(), 'samsa-')) : null
    const dataDir = path.resolve(options.dataDir ?? temporaryDir!)
    try {
      const values = new Map<string, string>([
        ['listeners', `PLAINTEXT://${options.host ?? '127.0.0.1'}:${options.port ?? 0}`],
        ['log.dirs', dataDir],
      ])
      for (const [key, value] of Object.entries(options.config ?? {})) values.set(key, String(value))
      const { config } = parseBrokerConfig(
        [{ source: 'STATIC_BROKER_CONFIG', origin: 'Broker.start', values }],
        options.profile ?? 'embedded',
      )
      const { world, close } = await startSystemWorld(
        { logLevel: options.logLevel ?? 'silent', metrics: noMetrics },
        engineOptionsOf(config),
      )
      try {
        const running = await startBroker(world, config, (directory) => openEmbeddedStore(world, directory))
        return new Broker(running, close, dataDir, temporaryDir)
      } catch (error) {
        close()
        throw error
      }
    } catch (error) {
      if (temporaryDir !== null) await rm(temporaryDir, { recursive: true, force: true })
      throw error
    }
  }

  /** `host:port` of each listener, as kafkajs wants it. */
  get brokers(): string[] {
    return [...this.#running.addresses.values()].map(({ host, port }) => `${host}:${port}`)
  }

  /** The same as one string, as librdkafka and the Java client want it. */
  get bootstrapServers(): string {
    return this.brokers.join(',')
  }

  get port(): number {
    return [...this.#running.addresses.values()][0]!.port
  }

  /** Creates topics that are ready for clients when this resolves. Rejects with the Kafka error's name. */
  async createTopics(topics: readonly NewTopic[]): Promise<void> {
    await this.#running.createTopics(topics)
  }

  /** Deletes every topic but the internal ones: a clean slate between tests. */
  async deleteAllTopics(): Promise<void> {
    await this.#running.deleteAllTopics()
  }

  /** Ends connections, makes everything durable and, for a temporary data directory, removes it. May be called again. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    await this.#running.stop()
    this.#closeWorld()
    if (this.#temporaryDir !== null) await rm(this.#temporaryDir, { recursive: true, force: true })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}
