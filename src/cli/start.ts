import { isIPv4 } from 'node:net'
import os from 'node:os'
import process from 'node:process'
import type { BrokerConfig } from '../core/config/broker-config.ts'
import { isError } from '../core/is-error.ts'
import type { LogLevel } from '../core/options/log-level.ts'
import type { Logger } from '../ports.ts'
import { formatAddress } from '../server/client-addresses.ts'
import { startBroker } from '../server/start-broker.ts'
import type { RunningBroker } from '../server/start-broker.ts'
import type { EngineChoice } from '../system/disk/disk-engine.ts'
import { keptAlive } from '../system/kept-alive.ts'
import { metadataStores } from '../system/metadata-stores.ts'
import { standardSink } from '../system/line-sink.ts'
import { giveBackFreedMemory, memoryOrNull } from '../system/freed-memory.ts'
import { limitHeapGrowth } from '../system/heap-growth.ts'
import { loadNativeAddon } from '../system/native-addon.ts'
import { createLogger } from '../system/pino-logger.ts'
import type { LogFormat } from '../system/pino-logger.ts'
import { PromMetrics } from '../system/figures/prom-metrics.ts'
import { engineOptionsOf, startSystemWorld } from '../system/system-world.ts'
import { startAdmin } from './admin.ts'
import { keepCompiledCode } from './compiled-code.ts'
import { durabilityOf } from './durability.ts'
import { explain, reportFailure } from './failure.ts'
import { loadConfig } from './load-config.ts'
import type { ConfigOptions } from './load-config.ts'
import { onStopSignals } from './stop-signals.ts'
import { tellWarnings } from './tell-warnings.ts'

export interface StartOptions extends ConfigOptions {
  readonly logLevel?: LogLevel
  readonly logFormat?: LogFormat
}

/** `samsa start`: runs a broker until a signal ends it. Throws what keeps it from starting. */
export async function start(options: StartOptions): Promise<void> {
  const { config, warnings } = loadConfig(options, process.env)
  const level = options.logLevel ?? 'info'
  const logger = await createLogger({
    level,
    format: options.logFormat ?? (process.stdout.isTTY ? 'human' : 'json'),
    colour: process.stdout.isTTY && process.env['NO_COLOR'] === undefined,
  })
  endOnCrash(logger)
  tellWarnings(warnings, logger, level)
  const metrics = new PromMetrics(true)
  metrics.scrapedCounter(
    'samsa_log_dropped_lines_total',
    'Lines of the log that nobody read in time.',
    () => [{ value: standardSink(1).droppedLines }],
  )
  const { world, engine } = await startSystemWorld({ logger, metrics }, engineOptionsOf(config))
  const stopping = new Promise<NodeJS.Signals>((resolve) => {
    onStopSignals({
      first: resolve,
      again: (signal) => {
        logger.warn({ signal }, 'second signal: ending at once, the next start will check the logs')
        process.exit(128 + os.constants.signals[signal])
      },
    })
  })
  // Whoever runs Kafka sends it for a thread dump, which the process survives.
  process.on('SIGQUIT', () => logger.info({ memory: memoryOrNull() }, 'SIGQUIT: running on'))
  giveBackFreedMemory(loadNativeAddon().addon)
  const admin = await startAdmin(config, metrics)
  const starting = keptAlive(startBroker(world, config, metadataStores(world, config)))
  // What it waits for, others of its cluster, may never come.
  if (config.zookeeper !== null) endUnlessStarted(starting, stopping, logger)
  const running = await starting
  admin?.started(running)
  announce(logger, config, engine, running)
  limitHeapGrowth()
  keepCompiledCode()
  const exitCode = await Promise.race([stopping, running.failed]).then(
    (signal) => {
      logger.info({ signal }, 'stopping: no new connections, finishing requests, writing the clean marker')
      return 0
    },
    (error: unknown) => {
      logger.error({ err: error }, 'stopping: the broker cannot serve any more')
      return 1
    },
  )
  admin?.stopping()
  const isClean = await keptAlive(running.stop())
  await admin?.close()
  logger.info({}, `[KafkaServer id=${config['broker.id']}] stopped`)
  // Whatever might still be open (a logger's stream, a keep-alive connection) is of no use to anybody now.
  process.exit(isClean ? exitCode : 1)
}

function endUnlessStarted(
  starting: Promise<RunningBroker>,
  stopping: Promise<NodeJS.Signals>,
  logger: Logger,
): void {
  let isOver = false
  const over = (): void => {
    isOver = true
  }
  starting.then(over, over)
  void stopping.then((signal) => {
    if (isOver) return
    logger.warn({ signal }, 'ending before it served, the next start will check the logs')
    process.exit(128 + os.constants.signals[signal])
  })
}

function announce(logger: Logger, config: BrokerConfig, engine: EngineChoice, running: RunningBroker): void {
  const { mode, promise } = durabilityOf(config)
  const listeners = [...running.addresses].map(([name, address]) => `${name}://${formatAddress(address)}`)
  for (const { name, host } of config.endpoints) {
    if (!isLoopback(host)) {
      logger.warn(
        { listener: name },
        'anybody who reaches this address can read and write: no encryption, no passwords',
      )
    }
  }
  if (config.adminEndpoint !== null && !isLoopback(config.adminEndpoint.host)) {
    logger.warn(
      { listener: 'samsa.admin.listener' },
      'anybody who reaches this address can read figures and the names of topics: no encryption, no passwords',
    )
  }
  logger.info({ io: engine.io }, engine.description)
  logger.info({ flush: mode }, promise)
  logger.info({ listeners: listeners.join(','), data: config['log.dirs'].join(',') }, 'serving')
  // The text is what log waiters look for.
  logger.info({ ms: Math.round(performance.now()) }, `[KafkaServer id=${config['broker.id']}] started`)
}

/** A broken invariant: what is in memory cannot be trusted any more, what is in the log can. */
function endOnCrash(logger: Logger): void {
  process.on('uncaughtException', (error, origin) => {
    logger.error({ err: error, origin }, `ending after an unexpected error: ${firstLine(explain(error))}`)
    if (isError(error)) reportFailure(error)
    process.exit(70)
  })
}

/** The fields have the stack. */
function firstLine(text: string): string {
  return text.split('\n', 1)[0]!
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))
}
