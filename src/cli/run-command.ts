import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { startBroker } from '../server/start-broker.ts'
import type { RunningBroker } from '../server/start-broker.ts'
import { openEmbeddedStore } from '../system/store/embedded-store.ts'
import { standardSink } from '../system/line-sink.ts'
import { createLogger } from '../system/pino-logger.ts'
import { engineOptionsOf, startSystemWorld } from '../system/system-world.ts'
import { loadConfig } from './load-config.ts'
import type { StartOptions } from './start.ts'

interface ChildEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/**
 * `samsa --run "npm test"`: a broker for as long as the command runs. The command finds it by KAFKA_BROKERS and
 * KAFKA_BOOTSTRAP_SERVERS; its exit code, or the signal that ended it, becomes ours.
 */
export async function runCommand(command: string, options: StartOptions): Promise<void> {
  const temporaryDir = fs.mkdtempSync(path.join(os.tmpdir(), 'samsa-run-'))
  // Whatever happens to us, the directory goes.
  process.on('exit', () => fs.rmSync(temporaryDir, { recursive: true, force: true }))
  const running = await startQuietly(options, temporaryDir)
  const end = await runToEnd(command, bootstrapServers(running))
  await running.stop()
  fs.rmSync(temporaryDir, { recursive: true, force: true })
  leaveAs(end)
}

/** Standard output belongs to the command: the broker's warnings go to standard error. */
async function startQuietly(options: StartOptions, temporaryDir: string): Promise<RunningBroker> {
  const { config, warnings } = loadConfig(options, process.env, 'embedded', path.join(temporaryDir, 'data'))
  const logger = createLogger({
    level: options.logLevel ?? 'warn',
    format: options.logFormat ?? (process.stderr.isTTY ? 'human' : 'json'),
    colour: process.stderr.isTTY && process.env['NO_COLOR'] === undefined,
    destination: standardSink(2),
  })
  for (const warning of warnings) logger.warn({}, warning)
  const { world, engine } = await startSystemWorld({ logger }, engineOptionsOf(config))
  logger.info({ io: engine.io }, engine.description)
  return startBroker(world, config, (directory) => openEmbeddedStore(world, directory))
}

/** Addresses to connect to: a listener on every interface is reached by the loopback. */
function bootstrapServers(running: RunningBroker): string {
  return [...running.addresses.values()]
    .map(({ host, port }) => {
      if (host === '' || host === '0.0.0.0' || host === '::') return `127.0.0.1:${port}`
      return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
    })
    .join(',')
}

function runToEnd(command: string, brokers: string): Promise<ChildEnd> {
  const child = spawn(command, {
    shell: true,
    stdio: 'inherit',
    env: { ...process.env, KAFKA_BROKERS: brokers, KAFKA_BOOTSTRAP_SERVERS: brokers },
  })
  passSignalsOn(child)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
}

/**
 * The command decides when it is over. Ctrl-C on a terminal reaches it without us, as it is in the same group of
 * processes; other signals come to us alone.
 */
function passSignalsOn(child: ChildProcess): void {
  process.on('SIGINT', () => {
    if (!process.stdin.isTTY) child.kill('SIGINT')
  })
  process.on('SIGTERM', () => child.kill('SIGTERM'))
  process.on('SIGHUP', () => child.kill('SIGHUP'))
}

function leaveAs({ code, signal }: ChildEnd): void {
  if (signal === null) process.exit(code ?? 1)
  // Without our listeners the signal does to us what it did to the command.
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
}
