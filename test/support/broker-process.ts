/**
 * The broker that a test talks to, as a process of its own: Samsa's command line, or Apache Kafka with
 * `SAMSA_TEST_PEER=kafka`. The same tests run against both; the second shows that the test is right.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { type KafkaBroker, kafkaJars, startKafkaBroker } from './apache-kafka.ts'
import { adopt, end, exitOf, freePort, repositoryRoot, waitUntilServing } from './processes.ts'

export interface ServerOptions {
  /** Keys of `server.properties`. */
  readonly properties?: Readonly<Record<string, string>>
  /** A data directory to start on; it is not removed at the end. Default: a fresh one. */
  readonly dataDir?: string
  /** The limit of open files (Samsa only). */
  readonly openFiles?: number
  /** `log.dirs`, when it is not `dataDir`, which then only says where the broker's output goes (Samsa only). */
  readonly logDirs?: readonly string[]
}

export interface ServerUnderTest extends AsyncDisposable {
  readonly name: 'samsa' | 'kafka'
  /** Stays the same over restarts. */
  readonly port: number
  /** `127.0.0.1:PORT` */
  readonly bootstrap: string
  readonly dataDir: string
  readonly pid: number
  /** Starts it again after `stop` or `kill`; resolves when clients can work. `kill` meanwhile makes it reject. */
  start(changed?: Pick<ServerOptions, 'openFiles'>): Promise<void>
  /** A clean stop by SIGTERM; afterwards the directory is marked as cleanly closed. */
  stop(): Promise<void>
  /** SIGKILL. */
  kill(): Promise<void>
  /** The exit code, once the process has ended by itself; null after a signal. */
  exited(): Promise<number | null>
  /** What the broker printed so far, for the message of a failure. */
  log(): Promise<string>
}

export const peerIsKafka: boolean = process.env['SAMSA_TEST_PEER'] === 'kafka'

/** Small enough that a broker's first group costs nothing, and no waiting for members that might come. */
const testProperties: Readonly<Record<string, string>> = {
  'group.initial.rebalance.delay.ms': '0',
  'offsets.topic.num.partitions': '4',
}

/** Starts the broker under test. Dispose it to kill the process and remove its directory. */
export function startServer(options: ServerOptions = {}): Promise<ServerUnderTest> {
  return peerIsKafka ? startPeer(options) : startSamsa(options)
}

/** Starts Samsa's command line from the compiled tree, whatever the peer of the tests is. */
export async function startSamsa(options: ServerOptions = {}): Promise<ServerUnderTest> {
  const place = await makePlace(options)
  const port = await freePort()
  let child = await spawnSamsa(port, place.dataDir, options)
  await whenServing(child, port, place.dataDir)
  return {
    name: 'samsa',
    port,
    bootstrap: `127.0.0.1:${port}`,
    dataDir: place.dataDir,
    get pid() {
      return child.pid ?? 0
    },
    start: async (changed) => {
      child = await spawnSamsa(port, place.dataDir, { ...options, ...changed })
      await whenServing(child, port, place.dataDir)
    },
    stop: async () => {
      const code = await end(child, 'SIGTERM')
      assert.equal(code, 0, `samsa ended with ${String(code)} on SIGTERM`)
      if (options.logDirs === undefined) assertCleanMarker(place.dataDir)
    },
    kill: async () => {
      await end(child, 'SIGKILL')
    },
    exited: () => exitOf(child),
    log: () => readFile(logFile(place.dataDir), 'utf8'),
    [Symbol.asyncDispose]: async () => {
      await end(child, 'SIGKILL')
      await place.remove()
    },
  }
}

/** Starts Apache Kafka, whatever the peer of the tests is. Throws when it is not on this machine. */
export async function startPeer(options: ServerOptions = {}): Promise<ServerUnderTest> {
  const jars = await kafkaJars()
  assert(jars !== null, 'Apache Kafka is not in the cache: set SAMSA_DOWNLOAD=1 to fetch it')
  const place = await makePlace(options)
  const port = await freePort()
  const properties = { ...testProperties, ...options.properties }
  const start = (): Promise<KafkaBroker> =>
    startKafkaBroker(jars, { port, dataDir: place.dataDir, properties })
  let broker = await start()
  return {
    name: 'kafka',
    port,
    bootstrap: `127.0.0.1:${port}`,
    dataDir: place.dataDir,
    get pid() {
      return broker.pid
    },
    start: async () => {
      broker = await start()
    },
    stop: async () => {
      await broker.stop()
      assertCleanMarker(place.dataDir)
    },
    kill: () => broker.kill(),
    exited: () => broker.exited(),
    log: () => readFile(logFile(place.dataDir), 'utf8'),
    [Symbol.asyncDispose]: async () => {
      await broker.kill()
      await place.remove()
    },
  }
}

function assertCleanMarker(dataDir: string): void {
  assert(existsSync(join(dataDir, '.kafka_cleanshutdown')), 'a clean stop leaves .kafka_cleanshutdown')
}

async function makePlace(options: ServerOptions): Promise<{ dataDir: string; remove: () => Promise<void> }> {
  if (options.dataDir !== undefined) {
    return { dataDir: options.dataDir, remove: () => Promise.resolve() }
  }
  const parent = await mkdtemp(join(tmpdir(), 'samsa-test-'))
  return {
    dataDir: join(parent, 'data'),
    remove: async () => {
      if (process.env['SAMSA_KEEP'] !== '1') await rm(parent, { recursive: true, force: true })
    },
  }
}

/** Beside the data, because everything inside the directory belongs to the broker. */
function logFile(dataDir: string): string {
  return `${dataDir}.log`
}

async function spawnSamsa(port: number, dataDir: string, options: ServerOptions): Promise<ChildProcess> {
  const main = process.env['SAMSA_CLI'] ?? join(repositoryRoot, 'dist/src/cli/samsa.cjs')
  const properties: Record<string, string> = {
    ...testProperties,
    ...options.properties,
    listeners: `PLAINTEXT://127.0.0.1:${port}`,
    'log.dirs': options.logDirs?.join(',') ?? dataDir,
  }
  const settings = Object.entries(properties).flatMap(([key, value]) => ['--set', `${key}=${value}`])
  const log = await open(logFile(dataDir), 'a')
  const limited = ['sh', '-c', `ulimit -n ${options.openFiles}; exec "$@"`, 'sh']
  const command = [...(options.openFiles === undefined ? [] : limited), process.execPath]
  const child = adopt(
    spawn(command[0]!, [...command.slice(1), '--enable-source-maps', main, 'start', ...settings], {
      stdio: ['ignore', log.fd, log.fd],
    }),
  )
  await log.close()
  return child
}

async function whenServing(child: ChildProcess, port: number, dataDir: string): Promise<void> {
  try {
    await waitUntilServing(port, {
      timeoutMs: 30_000,
      alive: () => child.exitCode === null && child.signalCode === null,
    })
  } catch (error) {
    await end(child, 'SIGKILL')
    const printed = await readFile(logFile(dataDir), 'utf8')
    throw new Error(`samsa did not start:\n${printed.slice(-4_000)}`, { cause: error })
  }
}
