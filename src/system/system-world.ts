import type { BrokerConfig } from '../core/config/broker-config.ts'
import type { LogLevel } from '../core/options/log-level.ts'
import type { Logger, Metrics, World } from '../ports.ts'
import { checkDirectories } from './disk/data-directories.ts'
import { descriptorLimit } from './disk/descriptor-limit.ts'
import { DescriptorPool } from './disk/descriptor-pool.ts'
import { chooseEngine } from './disk/disk-engine.ts'
import type { EngineChoice, EngineOptions } from './disk/disk-engine.ts'
import { NetSockets } from './network/net-sockets.ts'
import { createLogger } from './pino-logger.ts'
import { PromMetrics } from './figures/prom-metrics.ts'
import { SystemClock } from './system-clock.ts'
import { SystemDisk } from './disk/system-disk.ts'
import { codecThread } from './codec-thread.ts'
import { loadNativeAddon } from './native-addon.ts'
import { SystemCodecs } from './system-codecs.ts'
import { SystemRandom } from './system-random.ts'
import { Turn } from './turn.ts'

export interface SystemWorldOptions {
  /** For JSON lines on standard output. Default: silent. */
  readonly logLevel?: LogLevel
  /** In place of one made from `logLevel`. */
  readonly logger?: Logger
  /** Default: figures of a registry of their own. */
  readonly metrics?: Metrics
}

let descriptorsOfProcess: DescriptorPool | null = null

export interface StartedWorld {
  readonly world: World
  readonly engine: EngineChoice
  /** When nothing in it is used any more. */
  readonly close: () => void
}

/** What the configuration of a broker says about the way to the device. */
export function engineOptionsOf(config: BrokerConfig): Omit<EngineOptions, 'logger'> {
  return {
    mode: config['samsa.io'],
    directories: config['log.dirs'],
    stagingBytes: config['samsa.staging.bytes'],
  }
}

/**
 * The real World: one turn of the event loop shared by its clock, its disk and its network, with the best way to the
 * device that there is. Rejects when it is not the one that was asked for.
 */
export async function startSystemWorld(
  options: SystemWorldOptions,
  engineOptions: Omit<EngineOptions, 'logger'>,
): Promise<StartedWorld> {
  const turn = new Turn()
  const logger = options.logger ?? (await createLogger({ level: options.logLevel ?? 'silent' }))
  const unusable = await checkDirectories(engineOptions.directories)
  const directories = engineOptions.directories.filter((directory) => !unusable.has(directory))
  const engine = await chooseEngine(turn, { ...engineOptions, directories, logger })
  const { addon, ring } = engine
  // One for all brokers of a process, as the limit is.
  descriptorsOfProcess ??= new DescriptorPool(descriptorLimit(), logger)
  const descriptors = descriptorsOfProcess
  const thread = codecThread(logger, loadNativeAddon().file)
  const world: World = {
    clock: new SystemClock(turn),
    random: new SystemRandom(),
    network: new NetSockets(turn, descriptors),
    disk: new SystemDisk(turn, { addon, ring, descriptors, directories, unusable }),
    codecs: new SystemCodecs({ addon, thread }),
    logger,
    metrics: options.metrics ?? new PromMetrics(),
  }
  const close = (): void => {
    thread?.close()
    ring?.close()
  }
  return { world, engine, close }
}
