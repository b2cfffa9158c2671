import { strict as assert } from 'node:assert'
import { defaultLogConfig } from '../../../src/log/log-config.ts'
import type { LogConfig } from '../../../src/log/log-config.ts'
import type { Log } from '../../../src/log/log.ts'
import { LogManager } from '../../../src/log/manager/log-manager.ts'
import { RecentSegments } from '../../../src/log/segment/segment-cache.ts'
import { lookAtLogs } from '../durability/log-files-look.ts'
import { LyingDisk } from '../durability/lying-disk.ts'
import type { Lie } from '../durability/lying-disk.ts'
import { countLines, Seen } from '../durability/seen.ts'
import { FaultDice } from '../fault-dice.ts'
import type { FaultKind } from '../fault-dice.ts'
import { SimRandom } from '../sim-random.ts'
import { SimWorld } from '../sim-world.ts'
import type { SimProcess } from '../sim-machine.ts'
import {
  endOpenTransactions,
  appendAsLeader,
  deleteRecords,
  follow,
  lookUp,
  read,
  reconfigure,
} from './life-clients.ts'
import type { Life } from './life-clients.ts'
import { LifePartition } from './life-partition.ts'
import type { KnownPartition, TopicRole } from './life-partition.ts'
import { LogLedger } from './log-ledger.ts'

/**
 * The logs of one broker live several lives, without a network between them and their clients: much happens in little
 * time, and what only replication and transactions will ask for (followers that truncate, markers) happens too.
 * Housekeeping runs as in the broker, all the time.
 *
 * What is promised is what the `LogLedger` of each partition of each topic id says. After every life all of it is held
 * against what the next start finds.
 */

export type FlushMode = 'durable' | 'batched' | 'os'
export type Fault = 'none' | 'emfile' | 'eio'

export interface LogLifeOptions {
  readonly mode: FlushMode
  readonly fault: Fault
  readonly lives: number
  readonly lie?: Lie
}

type End = 'kill' | 'power loss' | 'stop'

const CLUSTER = 'cluster-of-the-lives'
const NEVER_MS = 1e12
const TOPICS: readonly (readonly [topic: string, role: TopicRole, partitions: number])[] = [
  ['events', 'events', 2],
  ['keyed', 'keyed', 2],
  ['churned', 'churned', 1],
  ['followed', 'followed', 1],
]
const SIDE_FILE = /^\/data\/b\/.*(\.(index|timeindex|txnindex|snapshot)(\.|$)|checkpoint)/
const DIRECTORY = /^\/data\/b\//

export class LogLifeRun {
  readonly sim: SimWorld
  readonly seen = new Seen()
  readonly #options: LogLifeOptions
  readonly #random: SimRandom
  readonly #dice: FaultDice
  readonly #logDirs: readonly string[]
  /** What `flush.messages` is in all topics. */
  readonly #flushMessages: number
  readonly #base: LogConfig
  readonly #followedCompacts: boolean
  /** The metadata: by `topic-partition`. */
  readonly #known = new Map<string, KnownPartition>()
  readonly #failures: unknown[] = []
  #producerIds = 0
  #values = 0
  #when = 'life 0'
  #powerLost = false
  /** A sync failed: the page cache shows what is not on the device. */
  #pagesForgotten = false

  constructor(seed: number, options: LogLifeOptions) {
    this.#options = options
    this.#random = new SimRandom(seed ^ 0x11fe)
    const random = this.#random
    const { mode, lie } = options
    this.sim = new SimWorld(seed, {
      disk: { durableWrites: 'either', slowReadChance: random.pick([0.01, 0.1]), slowSyncMs: 100 },
      journalledNames: mode !== 'durable',
      ...(lie === undefined
        ? {}
        : { wrapDisk: (disk, scheduler) => new LyingDisk(disk, scheduler, this.sim.image, lie) }),
    })
    this.#dice = new FaultDice(seed)
    this.sim.faults.dice = this.#dice
    this.#logDirs = options.fault === 'eio' || random.chance(0.3) ? ['/data/a', '/data/b'] : ['/data/a']
    this.#flushMessages =
      mode === 'durable' ? 1 : mode === 'os' ? Number.MAX_SAFE_INTEGER : random.pick([2, 3, 7])
    this.#base = {
      ...defaultLogConfig,
      segmentBytes: random.pick([800, 2000, 5000]),
      indexIntervalBytes: random.pick([100, 400, 4096]),
      flushMessages: this.#flushMessages,
      fileDeleteDelayMs: random.pick([0, 4, 30]),
      minCleanableDirtyRatio: 0.01,
      deleteRetentionMs: random.pick([30, 150, 100_000]),
      maxCompactionLagMs: random.pick([40, Number.MAX_SAFE_INTEGER]),
    }
    this.#followedCompacts = random.chance(0.5)
    // Whoever set up the machine made them.
    this.#logDirs.forEach((path) => this.sim.image.makeDurableDirectory(path))
    for (const [topic, role, partitions] of TOPICS)
      for (let index = 0; index < partitions; index++) this.#createInMetadata(topic, role, index)
  }

  /** Rejects with an assertion when a promise was broken. */
  async run(): Promise<void> {
    await this.sim.run(
      async () => {
        for (let life = 0; life < this.#options.lives; life++) await this.#live(life)
        const { process, manager } = await this.#start(`life ${this.#options.lives}`)
        await manager.close(true)
        this.#checkStopped(process)
      },
      { withinMs: 600_000 },
    )
  }

  // ------------------------------------------------------------------------------------------------------------- metadata

  #createInMetadata(topic: string, role: TopicRole, partition: number): KnownPartition {
    const name = `${topic}-${partition}`
    const topicId = this.#random.bytes(16).toString('base64url')
    const config = { ...this.#base, ...configOf(role, this.#followedCompacts) }
    const messages = this.#flushMessages >= Number.MAX_SAFE_INTEGER ? Infinity : this.#flushMessages - 1
    const ledger = new LogLedger(`${name} (${topicId})`, config, { messages })
    const highWatermark = role === 'followed' ? 0 : Infinity
    const known = { topic, partition, topicId, role, ledger, config, highWatermark, leaderEpoch: 0 }
    this.#known.set(name, known)
    return known
  }

  // ---------------------------------------------------------------------------------------------------------------- lives

  async #start(
    when: string,
  ): Promise<{ process: SimProcess; manager: LogManager; partitions: LifePartition[] }> {
    this.#when = when
    const process = this.sim.start()
    lookAtLogs(this.sim.image, this.seen)
    const started = await this.#open(process).catch((error: unknown) =>
      assert.fail(`${when}: the logs do not open: ${String(error)}`),
    )
    await this.#settle(process, started)
    return { process, ...started }
  }

  async #open(process: SimProcess): Promise<{ manager: LogManager; partitions: LifePartition[] }> {
    const random = this.#random
    const manager = await LogManager.open(process.world, {
      logDirs: this.#logDirs,
      nodeId: 1,
      recoveryThreadsPerDirectory: 1,
      retentionCheckIntervalMs: NEVER_MS,
      checkpointIntervalMs: NEVER_MS,
      cleaner: { enabled: true, backoffMs: NEVER_MS, maxMapBytes: random.pick([300, 1 << 20]) },
      minFreeBytes: 0,
      segmentCache: new RecentSegments(random.pick([1, 2, 4])),
      onAllDirectoriesFailed: (error) => this.#failures.push(error),
    })
    await manager.load(manager.clusterId ?? CLUSTER, 5, (topic, partition, topicId) => {
      const known = this.#known.get(`${topic}-${partition}`)
      return known === undefined || (topicId !== null && topicId !== known.topicId) ? 'deleted' : known.config
    })
    const partitions: LifePartition[] = []
    for (const known of this.#known.values())
      partitions.push(await this.#openPartition(manager, known, false))
    return { manager, partitions }
  }

  async #openPartition(manager: LogManager, known: KnownPartition, isNew: boolean): Promise<LifePartition> {
    const { topic, partition, topicId, config } = known
    const log = await manager.getOrCreate(topic, partition, topicId, config, isNew)
    // A file whose name the power took: the directory itself is the right one, or the ledger will tell.
    if (log.topicId !== null)
      assert.equal(log.topicId, topicId, `${this.#when}: ${known.ledger.name} got the log of another topic`)
    const live = new LifePartition(known, log)
    manager.listen(log, live)
    return live
  }

  /** Nobody has written yet: everything is read and held against the ledgers. */
  async #settle(
    process: SimProcess,
    { manager, partitions }: { manager: LogManager; partitions: readonly LifePartition[] },
  ): Promise<void> {
    for (const { log, known } of partitions) {
      const bytes = await readAll(log, this.#when)
      const { logStartOffset, writtenEndOffset } = log
      const nowMs = process.clock.nowMs()
      this.seen.lost += known.ledger.settle(logStartOffset, writtenEndOffset, bytes, nowMs, this.#when)
      if (known.role === 'followed') known.ledger.checkEpochs(log.epochs, this.#when)
      known.highWatermark = Math.min(
        known.highWatermark,
        known.role === 'followed' ? writtenEndOffset : Infinity,
      )
    }
    const excused = !this.#powerLost
      ? /^$/
      : this.#options.mode === 'durable'
        ? /CORRUPTION|damaged batch|UNCLEAN/
        : /CORRUPTION|damaged batch|UNCLEAN|RECORDS ARE MISSING/
    const errors = process.logger.messages('error').filter((message) => !excused.test(message))
    assert.deepEqual(errors, [], `${this.#when}: errors in the log`)
    assert(this.#powerLost || manager.uncleanCount === 0, `${this.#when}: unclean logs`)
    this.#powerLost = false
    this.#pagesForgotten = false
  }

  async #live(life: number): Promise<void> {
    const random = this.#random
    if (random.chance(0.2)) await this.#dieWhileStarting()
    const { process, manager, partitions } = await this.#start(`life ${life}`)
    const sleep = (delayMs: number): Promise<void> =>
      new Promise((resolve) => this.sim.scheduler.schedule(delayMs, 'life', process, resolve))
    const state = { stopping: false, troubled: false }
    const context: Life = {
      manager,
      seen: this.seen,
      sleep,
      when: this.#when,
      nowMs: () => process.clock.nowMs(),
      newProducerId: () => ++this.#producerIds,
      nextValue: () => ++this.#values,
      get stopping() {
        return state.stopping
      },
      get troubled() {
        return state.troubled
      },
    }
    const faulty = this.#options.fault !== 'none' && (life === this.#options.lives - 1 || random.chance(0.5))
    const tasks = new Set<Promise<void>>()
    const begin = (run: () => Promise<void>): void => {
      const task = run()
        .catch((error: unknown) => void this.#failures.push(error))
        .finally(() => tasks.delete(task))
      tasks.add(task)
    }
    for (const partition of partitions) this.#beginClients(context, partition, begin)
    const churned = partitions.find(({ known }) => known.role === 'churned')
    if (churned !== undefined) begin(() => this.#churn(context, churned, begin))
    this.#keepHouse(context, partitions, begin)
    if (faulty) begin(() => this.#makeTrouble(context, state, random.fork()))
    await this.sim.sleep(random.fraction() * random.pick([60, 120, 250]))
    await this.#end(process, manager, state, tasks)
  }

  async #end(
    process: SimProcess,
    manager: LogManager,
    state: { stopping: boolean; troubled: boolean },
    tasks: ReadonlySet<Promise<void>>,
  ): Promise<void> {
    const end = this.#random.pick<End>(['kill', 'kill', 'power loss', 'power loss', 'stop'])
    this.seen.count(`end: ${end}`)
    this.#throwFailures()
    state.stopping = true
    if (end === 'stop') {
      while (tasks.size > 0) await Promise.all(tasks)
      this.#dice.rollFor([])
      await manager.close(true)
      this.#throwFailures()
      this.#checkStopped(process)
    }
    if (end === 'kill') await this.sim.kill(process)
    else await this.sim.powerLoss(process)
    this.#dice.rollFor([])
    this.#look(process)
    const directoryDied = process.logger.messages('error').some((message) => /is offline/.test(message))
    assert(
      this.#options.fault === 'eio' || !directoryDied,
      `${this.#when}: a log directory died without an error of the device: ${JSON.stringify(process.logger.lines.filter(({ level }) => level === 'error'))}`,
    )
    // Half-done work ends with the process; nothing of it may throw.
    await this.sim.sleep(1)
    this.#throwFailures()
    for (const { ledger } of this.#known.values()) ledger.processEnded()
    if (end === 'power loss' || directoryDied || this.#pagesForgotten) this.#lowerExpectations()
  }

  async #dieWhileStarting(): Promise<void> {
    const process = this.sim.start()
    const failed: unknown[] = []
    this.#open(process).catch((error: unknown) => process.alive && failed.push(error))
    await this.sim.sleep(this.#random.fraction() * 30)
    assert.deepEqual(failed, [], 'the logs do not open')
    this.seen.count('died while starting')
    if (this.#random.chance(0.4)) return this.sim.kill(process)
    await this.sim.powerLoss(process)
    this.#lowerExpectations()
  }

  #lowerExpectations(): void {
    this.#powerLost = true
    for (const { ledger } of this.#known.values()) ledger.powerLost()
  }

  // -------------------------------------------------------------------------------------------------------------- clients

  #beginClients(life: Life, partition: LifePartition, begin: (run: () => Promise<void>) => void): void {
    const fork = (): SimRandom => this.#random.fork()
    const { role } = partition.known
    begin(async () => {
      await endOpenTransactions(life, partition)
      await (role === 'followed' ? follow : appendAsLeader)(life, partition, fork())
    })
    begin(() => read(life, partition, fork()))
    begin(() => read(life, partition, fork()))
    begin(() => lookUp(life, partition, fork()))
    if (role === 'events') begin(() => deleteRecords(life, partition, fork()))
    if (role === 'events' || role === 'keyed') begin(() => reconfigure(life, partition, fork()))
  }

  /** The topic is deleted under its readers and writers, and made again under the same name. */
  async #churn(life: Life, first: LifePartition, begin: (run: () => Promise<void>) => void): Promise<void> {
    const random = this.#random.fork()
    let live = first
    while (!life.stopping) {
      await life.sleep(3 + random.fraction() * 25)
      if (life.stopping) return
      const { topic, partition, role } = live.known
      this.#known.delete(`${topic}-${partition}`)
      live.remove()
      await life.manager.delete(topic, partition)
      this.seen.count('topic deleted')
      if (random.chance(0.3)) await life.sleep(random.fraction() * 10)
      const known = this.#createInMetadata(topic, role, partition)
      live = await this.#openPartition(life.manager, known, true)
      this.#beginClients(life, live, begin)
    }
  }

  // ---------------------------------------------------------------------------------------------------- house and trouble

  #keepHouse(
    life: Life,
    partitions: readonly LifePartition[],
    begin: (run: () => Promise<void>) => void,
  ): void {
    const again = (leastMs: number, run: (random: SimRandom) => Promise<void>): void => {
      const random = this.#random.fork()
      begin(async () => {
        while (!life.stopping) {
          await life.sleep(leastMs * (1 + random.fraction()))
          if (!life.stopping) await run(random)
        }
      })
    }
    again(4, () => life.manager.applyRetention())
    again(8, () => life.manager.clean())
    again(10, async () => void (await life.manager.checkpointLogStartOffsets()))
    again(10, async (random) => {
      const { log } = random.pick(partitions)
      // As if it had been idle for long.
      await log.trimReserved(this.sim.scheduler.nowMs + random.pick([0, 1e7]))
      if (random.chance(0.2)) log.dropSpare()
      if (random.chance(0.3)) log.flush(() => {})
    })
  }

  async #makeTrouble(life: Life, state: { troubled: boolean }, random: SimRandom): Promise<void> {
    const kinds = kindsOf(this.#options.fault, random)
    while (!life.stopping) {
      await life.sleep(random.fraction() * 30)
      if (life.stopping) return
      state.troubled = true
      this.#dice.rollFor(kinds)
      await life.sleep(random.fraction() * 20)
      this.#dice.rollFor([])
      // What waits for a descriptor is tried again a tenth of a second later.
      await life.sleep(150)
      state.troubled = this.#options.fault === 'eio'
    }
  }

  // ------------------------------------------------------------------------------------------------------------- checking

  #throwFailures(): void {
    if (this.#failures.length > 0) throw this.#failures[0]
  }

  #checkStopped(process: SimProcess): void {
    assert.equal(process.disk.slices.size, 0, 'slices of files were not released')
    if (this.#options.fault === 'none') lookAtLogs(this.sim.image, this.seen, true)
  }

  #look(process: SimProcess): void {
    countLines(this.seen, process.logger.lines)
    for (const label of process.disk.dyingOperations) this.seen.count(`died with ${label} under way`)
    for (const [name, hits] of this.#dice.hits) this.seen.count(name, hits)
    if ((this.#dice.hits.get('EIO: sync') ?? 0) > 0) this.#pagesForgotten = true
    this.#dice.hits.clear()
  }
}

function configOf(role: TopicRole, followedCompacts: boolean): Partial<LogConfig> {
  if (role === 'keyed' || (role === 'followed' && followedCompacts))
    return { cleanupPolicy: { compact: true, delete: false } }
  return role === 'events'
    ? { retentionBytes: 3000, retentionMs: 200 }
    : { retentionBytes: -1, retentionMs: -1 }
}

/** The kinds of fault that one life meets: one of them, or all that EMFILE can hit. */
function kindsOf(fault: Fault, random: SimRandom): readonly FaultKind[] {
  if (fault === 'emfile') {
    const chance = random.pick([0.05, 0.3, 1])
    return [{ name: 'EMFILE: open', operation: 'open', code: 'EMFILE', chance }]
  }
  const operations = [
    'open',
    'read',
    'write',
    'reserve',
    'sync',
    'truncate',
    'rename',
    'remove',
    'syncDirectory',
  ] as const
  const code = 'EIO'
  const kinds: FaultKind[] = operations.map((operation) => ({
    name: `EIO: ${operation}`,
    operation,
    code,
    path: DIRECTORY,
    chance: 0.05,
  }))
  for (const operation of ['open', 'write', 'sync', 'rename'] as const)
    kinds.push({ name: `EIO: ${operation} of a side file`, operation, code, path: SIDE_FILE, chance: 0.1 })
  return [random.pick(kinds)]
}

async function readAll(log: Log, when: string): Promise<Buffer> {
  const parts: Buffer[] = []
  for (let next = log.logStartOffset; next < log.writtenEndOffset;) {
    const at = next
    const result = await new Promise<{ errorCode: number; buffers: Buffer[]; nextOffset: number }>(
      (resolve) => log.read(at, 4000, log.writtenEndOffset, true, resolve),
    )
    assert.equal(result.errorCode, 0, `${when}: ${log.directory} cannot be read at ${at}`)
    if (result.buffers.length === 0) break
    parts.push(...result.buffers)
    next = result.nextOffset
  }
  return Buffer.concat(parts)
}
