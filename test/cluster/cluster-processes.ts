/** A cluster as its owner has it: `samsa start` once for each broker, with a ZooKeeper of its own. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { adopt, end, exitOf, freePort, repositoryRoot } from '../support/processes.ts'
import { startEnsemble, startZooKeeper, type ZooKeeperServer } from '../support/zookeeper.ts'
import type { ClusterParts } from './parts.ts'
import { type Place, Wires } from './wires.ts'

export const SESSION_MS = 3_000

/** Short enough for a test, and longer than a busy machine keeps a broker waiting. */
const properties: Readonly<Record<string, string>> = {
  'zookeeper.session.timeout.ms': String(SESSION_MS),
  'zookeeper.connection.timeout.ms': '30000',
  'replica.lag.time.max.ms': '4000',
  'group.initial.rebalance.delay.ms': '0',
  'offsets.topic.num.partitions': '4',
  'default.replication.factor': '3',
  'min.insync.replicas': '2',
  'num.partitions': '6',
}

export interface ClusterOptions {
  /** Keys of `server.properties` for all. */
  readonly properties?: Readonly<Record<string, string>>
  readonly brokers?: number
  readonly zooKeepers?: 1 | 3
  /** Each broker is in a network namespace of its own, and `wires` can be cut. */
  readonly wires?: boolean
}

const here: Place = { host: '127.0.0.1', prefix: [] }

/** The process of one broker, over all its lives. */
export class BrokerProcess {
  readonly id: number
  readonly host: string
  readonly port: number
  readonly dataDir: string
  /** What this life said. */
  said = ''
  readonly #prefix: readonly string[]
  readonly #settings: Readonly<Record<string, string>>
  #child: ChildProcess | null = null
  #everything = ''
  #isFrozen = false

  constructor(
    id: number,
    port: number,
    dataDir: string,
    settings: Readonly<Record<string, string>>,
    place: Place = here,
  ) {
    this.id = id
    this.host = place.host
    this.port = port
    this.#prefix = place.prefix
    this.dataDir = dataDir
    this.#settings = {
      ...settings,
      'broker.id': String(id),
      listeners: `PLAINTEXT://${place.host}:${port}`,
      'log.dirs': dataDir,
    }
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  /** Neither dead nor stopped. */
  get isRunning(): boolean {
    return !this.#isFrozen && this.#isAlive
  }

  get #isAlive(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Of all its lives. */
  get everythingSaid(): string {
    return this.#everything
  }

  /** Does not wait until it serves. */
  launch(changed: Readonly<Record<string, string>> = {}): void {
    const settings = { ...this.#settings, ...changed }
    const args = Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`])
    const main = join(repositoryRoot, 'dist/src/cli/samsa.cjs')
    const [command, ...rest] = [...this.#prefix, process.execPath, '--enable-source-maps', main, 'start']
    const child = adopt(spawn(command!, [...rest, ...args], { stdio: ['ignore', 'pipe', 'pipe'] }))
    this.said = ''
    const hear = (chunk: Buffer): void => {
      this.said += chunk.toString()
      this.#everything += chunk.toString()
    }
    child.stdout?.on('data', hear)
    child.stderr?.on('data', hear)
    this.#child = child
  }

  /** Resolves when it serves clients. */
  async start(changed: Readonly<Record<string, string>> = {}): Promise<void> {
    this.launch(changed)
    await this.says('] started')
  }

  async says(text: string | RegExp, timeoutMs = 60_000): Promise<void> {
    const until = performance.now() + timeoutMs
    while (typeof text === 'string' ? !this.said.includes(text) : !text.test(this.said)) {
      const last = (): string => `\n${this.said.slice(-4_000)}`
      assert.ok(this.#isAlive, `broker ${this.id} ended without saying ${String(text)}:${last()}`)
      assert.ok(performance.now() < until, `broker ${this.id} does not say ${String(text)}:${last()}`)
      await sleep(5)
    }
  }

  /** SIGKILL. The process that holds its session sees it, and ends the session. */
  async kill(): Promise<void> {
    await end(this.#child!, 'SIGKILL')
  }

  /** SIGKILL for it and for what holds its session: ZooKeeper has to notice by itself, as when a machine is gone. */
  async vanish(): Promise<void> {
    const holder = this.sessionHolder
    if (holder !== null) process.kill(holder, 'SIGSTOP')
    await end(this.#child!, 'SIGKILL')
    if (holder !== null) process.kill(holder, 'SIGKILL')
  }

  /** SIGTERM; milliseconds until it ended. */
  async stop(): Promise<number> {
    const startedMs = performance.now()
    const code = await end(this.#child!, 'SIGTERM')
    assert.equal(code, 0, `broker ${this.id} ended with ${String(code)}:\n${this.said.slice(-4_000)}`)
    return performance.now() - startedMs
  }

  /** SIGSTOP: it neither answers nor closes anything. */
  freeze(): void {
    this.#isFrozen = true
    this.#child!.kill('SIGSTOP')
  }

  thaw(): void {
    this.#isFrozen = false
    this.#child!.kill('SIGCONT')
  }

  exited(): Promise<number | null> {
    return exitOf(this.#child!)
  }

  async dispose(): Promise<void> {
    if (this.#child !== null) await end(this.#child, 'SIGKILL')
  }

  /** The process id of what holds its session with ZooKeeper; null between two sessions. */
  get sessionHolder(): number | null {
    const children = readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, 'utf8').trim().split(' ')
    const isHolder = (pid: string): boolean =>
      readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('zookeeper-sidecar')
    const found = children.find((pid) => pid !== '' && isHolder(pid))
    return found === undefined ? null : Number(found)
  }
}

export class ClusterProcesses implements AsyncDisposable {
  readonly brokers: readonly BrokerProcess[]
  readonly zooKeepers: readonly ZooKeeperServer[]
  readonly wires: Wires | null
  readonly #directory: string
  readonly #settings: Readonly<Record<string, string>>

  private constructor(
    brokers: readonly BrokerProcess[],
    zooKeepers: readonly ZooKeeperServer[],
    wires: Wires | null,
    directory: string,
    settings: Readonly<Record<string, string>>,
  ) {
    this.wires = wires
    this.brokers = brokers
    this.zooKeepers = zooKeepers
    this.#directory = directory
    this.#settings = settings
  }

  /** Resolves when all brokers serve. */
  static async start(
    parts: Pick<ClusterParts, 'jars' | 'client'>,
    options: ClusterOptions = {},
  ): Promise<ClusterProcesses> {
    const count = options.brokers ?? 3
    const wires = options.wires === true ? await Wires.create(count) : null
    const directory = await mkdtemp(join(tmpdir(), 'samsa-cluster-'))
    const zooKeepers =
      options.zooKeepers === 3
        ? await startEnsemble(parts.jars)
        : [await startZooKeeper(parts.jars, wires?.zooKeeper)]
    const common = {
      ...properties,
      ...options.properties,
      'samsa.zookeeper.module': parts.client,
      'zookeeper.connect': zooKeepers.map(({ address }) => address).join(','),
    }
    const ids = Array.from({ length: count }, (_, at) => at + 1)
    const brokers = await Promise.all(
      ids.map(async (id, at) => {
        const dataDir = join(directory, `data-${id}`)
        return new BrokerProcess(id, await freePort(), dataDir, common, wires?.brokers[at])
      }),
    )
    const cluster = new ClusterProcesses(brokers, zooKeepers, wires, directory, common)
    try {
      await Promise.all(brokers.map((broker) => broker.start()))
    } catch (error) {
      await cluster[Symbol.asyncDispose]()
      throw error
    }
    return cluster
  }

  get bootstrap(): readonly string[] {
    return this.brokers.map(({ host, port }) => `${host}:${port}`)
  }

  broker(id: number): BrokerProcess {
    const found = this.brokers.find((broker) => broker.id === id)
    assert.ok(found !== undefined, `there is no broker ${id}`)
    return found
  }

  /** One more broker, which nobody has started, and whoever asked for it ends it. */
  async another(id: number, dataDir: string): Promise<BrokerProcess> {
    return new BrokerProcess(id, await freePort(), dataDir, this.#settings)
  }

  /** What all brokers said, in a directory that stays: where it is. */
  async keepWhatWasSaid(): Promise<string> {
    const kept = await mkdtemp(join(tmpdir(), 'samsa-cluster-said-'))
    for (const { id, everythingSaid } of this.brokers)
      await writeFile(join(kept, `broker-${id}.log`), everythingSaid)
    return kept
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.brokers.map((broker) => broker.dispose()))
    await Promise.all(this.zooKeepers.map((server) => server[Symbol.asyncDispose]()))
    await this.wires?.[Symbol.asyncDispose]()
    if (process.env['SAMSA_KEEP'] !== '1') await rm(this.#directory, { recursive: true, force: true })
  }
}
