/** The programmatic broker: the one the command line starts, in a test file. */
import path from 'node:path'
import { parseBrokerConfig } from './core/config/broker-config.ts'
import type { ConfigProfile } from './core/config/broker-config.ts'
import { splitList } from './core/config/definition.ts'
import { printable } from './core/printable.ts'
import { SamsaError } from './core/samsa-error.ts'
import { startBroker } from './server/start-broker.ts'
import type { RunningBroker } from './server/start-broker.ts'
import { keptAlive } from './system/kept-alive.ts'
import { openEmbeddedStore } from './system/store/embedded-store.ts'
import { noMetrics } from './system/figures/no-metrics.ts'
import type { LogLevel } from './system/pino-logger.ts'
import { engineOptionsOf, startSystemWorld } from './system/system-world.ts'
import { removeLeftovers, TemporaryDirectory } from './system/temporary-directory.ts'

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

/** For callers without a compiler. */
function refuseUnknownWords({ profile = 'embedded', logLevel = 'silent' }: BrokerOptions): void {
  refuseOther('profile', profile, ['embedded', 'server'] satisfies readonly ConfigProfile[])
  refuseOther('logLevel', logLevel, [
    'debug',
    'info',
    'warn',
    'error',
    'silent',
  ] satisfies readonly LogLevel[])
}

function refuseOther(option: string, given: string, allowed: readonly string[]): void {
  if (!allowed.includes(given))
    throw new SamsaError(
      'SAMSA_CONFIG',
      `${option}: must be one of ${allowed.join(', ')}, not '${printable(String(given))}'`,
    )
}

let swept = false

/** What test processes that were killed left behind goes beside the work of this one. */
function sweepOnce(): void {
  if (!swept) void removeLeftovers()
  swept = true
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
  readonly #temporaryDir: TemporaryDirectory | null
  readonly dataDir: string
  #stopping: Promise<void> | null = null

  private constructor(
    running: RunningBroker,
    closeWorld: () => void,
    dataDir: string,
    temporaryDir: TemporaryDirectory | null,
  ) {
    this.#running = running
    this.#closeWorld = closeWorld
    this.dataDir = dataDir
    this.#temporaryDir = temporaryDir
  }

  /** Resolves when clients can connect. Rejects with a SamsaError that says what to change. */
  static async start(options: BrokerOptions = {}): Promise<Broker> {
    refuseUnknownWords(options)
    const temporaryDir = options.dataDir === undefined ? new TemporaryDirectory() : null
    const dataDir = options.dataDir === undefined ? temporaryDir!.dataDir : resolveDataDir(options.dataDir)
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
        const running = await keptAlive(
          startBroker(world, config, (directory) => openEmbeddedStore(world, directory)),
        )
        if (temporaryDir !== null) sweepOnce()
        // `config` may name others.
        const [firstDir = dataDir] = config['log.dirs']
        return new Broker(running, close, path.resolve(firstDir), temporaryDir)
      } catch (error) {
        close()
        throw error
      }
    } catch (error) {
      await temporaryDir?.remove()
      throw temporaryDir === null ? inWordsOfOptions(error) : error
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
    this.#checkRunning()
    await this.#running.createTopics(topics)
  }

  /** Deletes every topic but the internal ones: a clean slate between tests. */
  async deleteAllTopics(): Promise<void> {
    this.#checkRunning()
    await this.#running.deleteAllTopics()
  }

  #checkRunning(): void {
    if (this.#stopping !== null) throw new SamsaError('SAMSA_STOPPED', 'the broker was stopped')
  }

  /** Ends connections, makes everything durable and, for a temporary data directory, removes it. May be called again. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    await keptAlive(this.#running.stop())
    this.#closeWorld()
    await this.#temporaryDir?.remove()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}
