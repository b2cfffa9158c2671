import os from 'node:os'
import process from 'node:process'
import { ClusterMembers } from '../embedded/cluster-members.ts'
import type { Place } from '../embedded/cluster-members.ts'
import type { Logger } from '../ports.ts'
import { clientAddresses } from '../server/client-addresses.ts'
import { startBroker } from '../server/start-broker.ts'
import { keptAlive } from '../system/kept-alive.ts'
import { metadataStores } from '../system/metadata-stores.ts'
import { standardSink } from '../system/line-sink.ts'
import { createLogger } from '../system/pino-logger.ts'
import { engineOptionsOf, startSystemWorld } from '../system/system-world.ts'
import { removeLeftovers, TemporaryDirectory } from '../system/temporary-directory.ts'
import { keepCompiledCode } from './compiled-code.ts'
import { CommandProcesses } from './command-processes.ts'
import type { CommandEnd } from './command-processes.ts'
import { reportFailure } from './failure.ts'
import { loadMemberConfig, loadTemporaryConfig } from './load-config.ts'
import type { StartOptions } from './start.ts'
import { onStopSignals } from './stop-signals.ts'
import type { StopSignal } from './stop-signals.ts'
import { tellWarnings } from './tell-warnings.ts'

export interface RunOptions extends StartOptions {
  /** How many; default: one, which is no cluster. */
  readonly brokers?: number
}

/** What the command runs against. */
interface Started {
  /** `host:port` of each listener of each broker. */
  readonly addresses: readonly string[]
  /** Rejects when it can no longer serve. */
  readonly failed: Promise<never>
  stop(): Promise<unknown>
}

/**
 * `samsa --run "npm test"`: a broker, or several, for as long as the command runs. The command finds it by KAFKA_BROKERS and
 * KAFKA_BOOTSTRAP_SERVERS; its exit code, or the signal that ended it, becomes ours.
 */
export async function runCommand(command: string, options: RunOptions): Promise<void> {
  const run = new Run()
  const started = await startQuietly(options, run.directory)
  const sweeping = removeLeftovers()
  keepCompiledCode()
  const end = await run.execute(command, started)
  await keptAlive(started.stop())
  await sweeping
  run.close()
  leaveAs(end)
}

/** The command with the signals that come meanwhile, from before the broker starts. */
class Run {
  readonly directory: TemporaryDirectory
  #processes: CommandProcesses | null = null
  #asked: StopSignal | null = null

  constructor() {
    onStopSignals({
      first: (signal) => {
        this.#asked = signal
        this.#processes?.askToEnd(signal)
      },
      // It kills what still runs on its way.
      again: (signal) => process.exit(128 + os.constants.signals[signal]),
      // The terminal sends it to the command itself, which decides what Ctrl-C means.
      ignored: (signal) => signal === 'SIGINT' && this.#processes?.hearsTerminal === true,
    })
    this.directory = new TemporaryDirectory()
    process.on('exit', () => {
      this.#processes?.kill()
      this.close()
    })
  }

  close(): void {
    this.directory.removeNow()
    this.#processes?.close()
  }

  async execute(command: string, started: Started): Promise<CommandEnd> {
    if (this.#asked !== null) return { code: null, signal: this.#asked }
    const brokers = started.addresses.join(',')
    const environment = { KAFKA_BROKERS: brokers, KAFKA_BOOTSTRAP_SERVERS: brokers }
    const processes = CommandProcesses.start(command, environment, this.directory.path)
    this.#processes = processes
    const failed = started.failed.catch((error: unknown): CommandEnd => {
      reportFailure(error)
      processes.askToEnd('SIGTERM')
      return { code: 1, signal: null }
    })
    const end = await Promise.race([processes.end, failed])
    await processes.endRemains(this.#asked)
    return end
  }
}

/** Standard output belongs to the command: the broker's warnings go to standard error. */
async function startQuietly(options: RunOptions, directory: TemporaryDirectory): Promise<Started> {
  const level = options.logLevel ?? 'warn'
  const { brokers = 1 } = options
  const logger = await createLogger({
    level,
    format: options.logFormat ?? (process.stderr.isTTY ? 'human' : 'json'),
    colour: process.stderr.isTTY && process.env['NO_COLOR'] === undefined,
    destination: standardSink(2),
  })
  if (brokers > 1) return startSeveral(options, brokers, directory, logger)
  const { config, warnings } = loadTemporaryConfig(options, process.env, directory.dataDir)
  tellWarnings(warnings, logger, level)
  const { world, engine } = await startSystemWorld({ logger }, engineOptionsOf(config))
  logger.info({ io: engine.io }, engine.description)
  const running = await keptAlive(startBroker(world, config, metadataStores(world, config)))
  return {
    addresses: clientAddresses(running.addresses),
    failed: running.failed,
    stop: () => running.stop(),
  }
}

async function startSeveral(
  options: RunOptions,
  brokers: number,
  directory: TemporaryDirectory,
  logger: Logger,
): Promise<Started> {
  const load = (place: Place) => loadMemberConfig(options, process.env, { ...place, brokers })
  const { warnings } = load({ id: 1, port: 0, dataDir: directory.dataDir })
  tellWarnings(warnings, logger, options.logLevel ?? 'warn')
  const configOf = (place: Place) => load(place).config
  const members = await ClusterMembers.start({ brokers, directory: directory.path, logger, configOf })
  return {
    addresses: members.addresses,
    failed: Promise.race(members.reachable.map(({ failed }) => failed)),
    stop: () => members.end(),
  }
}

function leaveAs({ code, signal }: CommandEnd): void {
  if (signal === null) process.exit(code ?? 1)
  // Without our listeners the signal does to us what it did to the command.
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
}
