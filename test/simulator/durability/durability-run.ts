import { strict as assert } from 'node:assert'
import { ErrorCode } from '../../../protocol/errors.ts'
import { offsetFetchRequest, offsetFetchResponse } from '../../../protocol/messages/09-offset-fetch.ts'
import { createTopicsRequest, createTopicsResponse } from '../../../protocol/messages/19-create-topics.ts'
import { parseBrokerConfig } from '../../../src/core/config/broker-config.ts'
import { startBroker } from '../../../src/server/start-broker.ts'
import type { RunningBroker } from '../../../src/server/start-broker.ts'
import { openEmbeddedStore } from '../../../src/system/store/embedded-store.ts'
import { Committer, Producer, Reader, ROLLING_TOPIC, TOPIC } from './durability-clients.ts'
import type { Attempt, ClientsRun } from './durability-clients.ts'
import { Trouble } from './durability-trouble.ts'
import type { Fault } from './durability-trouble.ts'
import { lookAtLogs } from './log-files-look.ts'
import { LateClock } from './late-clock.ts'
import { LyingDisk } from './lying-disk.ts'
import type { Lie } from './lying-disk.ts'
import { PartitionLedger } from './partition-ledger.ts'
import { readPartition } from './record-reading.ts'
import type { PartitionContent } from './record-reading.ts'
import { countLines, Seen } from './seen.ts'
import { SimClient } from '../sim-client.ts'
import { SimRandom } from '../sim-random.ts'
import { SimWorld } from '../sim-world.ts'
import type { SimProcess } from '../sim-machine.ts'

/**
 * A broker lives several lives in one world: clients write and read, the process is killed, loses power or stops,
 * starts again, and everything is read back and held against what was promised. One topic keeps everything, in the
 * other retention deletes all the time, so that files are used again.
 *
 * Promises:
 * - `durable` (flush.messages=1): what was acknowledged, or read by anybody, is there after whatever happened.
 * - `interval` (flush.ms): the same after a kill or a clean stop. A power loss takes at most what was acknowledged in
 *   the last `flush.ms`, and while the flush that was due then took.
 * - `os`: the same after a kill or a clean stop. After a power loss the log is what it was, cut short somewhere, but
 *   not below where it ended when the process started: what recovery found it made durable before serving it.
 * - Always: offsets are dense from the log's start, checksums hold, no value is there twice or anywhere but where
 *   somebody saw it first, none was never sent, topics that were created exist, committed group offsets never go back
 *   where the log would not, nothing counts as durable that is not even written, no slice of a file stays unreleased,
 *   and after a clean stop every segment ends where its last batch ends.
 * What a fault of the device (`Trouble`) adds to that is said there.
 */

export type FlushMode = 'durable' | 'interval' | 'os'

const PARTITIONS = 2
const PORT = 9092
/** Mostly small, so that much happens; now and then large enough for files to be sent without being read. */
const SIZES = [
  { segmentBytes: 4096, retentionBytes: 12_000, valueBytes: 1200 },
  { segmentBytes: 8192, retentionBytes: 12_000, valueBytes: 1200 },
  { segmentBytes: 16_384, retentionBytes: 12_000, valueBytes: 1200 },
  { segmentBytes: 131_072, retentionBytes: 150_000, valueBytes: 30_000 },
] as const
const FLUSH_MS = 10
/**
 * How long a flush may take that was due, and the one before it that was under way: some twenty operations of the
 * disk, which takes at most `FAST_DISK.maxDelayMs` for each.
 */
const FLUSH_TAKES_MS = 12
const FAST_DISK = { maxDelayMs: 0.3, slowChance: 0, slowReadChance: 0 }

export interface DurabilityOptions {
  readonly mode: FlushMode
  readonly lives: number
  readonly fault?: Fault
  readonly lie?: Lie
}

type End = 'kill' | 'power loss' | 'stop'

export class DurabilityRun implements ClientsRun {
  readonly sim: SimWorld
  readonly options: DurabilityOptions
  readonly attempts = new Map<string, Attempt>()
  readonly seen = new Seen()
  readonly ledgers: readonly PartitionLedger[]
  readonly #trouble: Trouble
  readonly #clients: readonly (Producer | Reader)[]
  readonly #committer: Committer
  readonly #sizes: (typeof SIZES)[number]
  #running: RunningBroker | null = null
  #clientFailure: { readonly error: unknown } | null = null
  /** When the last process that served clients died. */
  #endedMs = 0
  /** Since the logs were looked at. */
  #powerLost = false

  constructor(seed: number, options: DurabilityOptions) {
    this.options = options
    const { lie, mode } = options
    // A stream of its own: what the run is like does not depend on what happens in it.
    const random = new SimRandom(seed ^ 0x5eed)
    this.#sizes = random.pick(SIZES)
    this.sim = new SimWorld(seed, {
      disk: {
        durableWrites: 'either',
        ...(mode === 'interval'
          ? FAST_DISK
          : {
              slowSyncMs: random.pick([100, 3000]),
              slowReadChance: random.pick([0.01, 0.01, 0.4]),
            }),
      },
      network: { windowBytes: random.pick([1000, 64 * 1024]) },
      // What nobody flushed has the order that the file system's journal gives it. Who flushes asks nothing of it.
      journalledNames: mode !== 'durable',
      ...(lie === undefined
        ? {}
        : { wrapDisk: (disk, scheduler) => new LyingDisk(disk, scheduler, this.sim.image, lie) }),
      ...(lie === 'timers-late' ? { wrapClock: (clock) => new LateClock(clock, FLUSH_MS) } : {}),
    })
    this.#trouble = new Trouble(this.sim, this.seen, options.fault ?? 'none')
    this.ledgers = [TOPIC, ROLLING_TOPIC].flatMap((topic) =>
      Array.from(
        { length: PARTITIONS },
        (_, index) => new PartitionLedger(topic, index, topic === TOPIC ? null : this.#sizes.retentionBytes),
      ),
    )
    const orders = { topic: TOPIC, valueBytes: 200 }
    const rolling = { topic: ROLLING_TOPIC, valueBytes: this.#sizes.valueBytes }
    this.#clients = [
      new Producer(this, 'plain', { ...orders, partition: 0, idempotent: false, acks: 1 }),
      new Producer(this, 'all', { ...orders, partition: 1, idempotent: false, acks: -1 }),
      new Producer(this, 'idem', { ...orders, partition: 0, idempotent: true, acks: -1 }),
      new Producer(this, 'once', { ...orders, partition: 1, idempotent: true, acks: -1 }),
      new Producer(this, 'roll', { ...rolling, partition: 0, idempotent: false, acks: 1 }),
      new Producer(this, 'ring', { ...rolling, partition: 1, idempotent: true, acks: -1 }),
      ...this.ledgers.map(({ topic, partition }) => new Reader(this, topic, partition)),
    ]
    this.#committer = new Committer(this)
  }

  /** Rejects with an assertion when a promise was broken. */
  async run(): Promise<void> {
    await this.sim.run(
      async () => {
        for (let life = 0; life < this.options.lives; life++) await this.#live(life)
        await this.#trouble.damage()
        const process = await this.#start()
        await this.#check(process, `life ${this.options.lives}`)
        await this.#running?.stop()
        this.#checkStopped(process)
      },
      { withinMs: 600_000 },
    )
  }

  // ------------------------------------------------------------------------------------------------- for the clients

  connect(): SimClient | null {
    return SimClient.connect(this.sim, PORT)
  }

  promised(value: string, topic: string, partition: number, offset: number): void {
    // A whole batch may have landed where one of another partition belongs; see `Trouble`.
    const place = `${topic}-${partition} at ${offset}`
    if (this.mayReadDamage && (this.attempts.get(value)?.place ?? place) !== place) return
    this.#place(value, place)
    this.#ledger(topic, partition).promise(offset, value, this.sim.scheduler.nowMs)
  }

  bounds(topic: string, partition: number): { start: number; end: number } {
    const { logStartOffset, floor } = this.#ledger(topic, partition)
    return { start: Math.min(logStartOffset, floor), end: floor }
  }

  clientFailed(error: unknown): void {
    this.#clientFailure ??= { error }
  }

  get mayReadDamage(): boolean {
    return this.#trouble.mayReadDamage
  }

  tolerates(errorCode: number): boolean {
    return this.#trouble.tolerates(errorCode)
  }

  async committedOffset(client: SimClient, groupId: string): Promise<number> {
    const call = { request: offsetFetchRequest, response: offsetFetchResponse, version: 5 } as const
    for (;;) {
      const answer = await client.send(call, { groupId, topics: [{ name: TOPIC, partitionIndexes: [0] }] })
      // There is no topic of offsets yet.
      if (answer.errorCode === ErrorCode.NOT_COORDINATOR) return -1
      if (answer.errorCode !== ErrorCode.COORDINATOR_LOAD_IN_PROGRESS) {
        assert.equal(answer.errorCode, 0)
        return Number(answer.topics[0]?.partitions[0]?.committedOffset ?? -1)
      }
      await this.sim.sleep(5)
    }
  }

  // ------------------------------------------------------------------------------------------------------------ lives

  async #live(life: number): Promise<void> {
    const { random } = this.sim
    if (random.chance(0.3)) await this.#dieWhileStarting()
    const process = await this.#start()
    if (life === 0) await this.#createTopics()
    await this.#check(process, `life ${life}`)
    const clients = [...this.#clients, this.#committer]
    await this.#trouble.begin(process, life === this.options.lives - 1)
    for (const client of clients) client.begin()
    this.sim.fabric.resetChance = random.pick([0, 0, 0.005])
    await this.sim.sleep(random.fraction() * random.pick([40, 40, 40, 120]))
    this.sim.fabric.resetChance = 0
    const end =
      this.#trouble.forcedEnd ?? random.pick<End>(['kill', 'kill', 'power loss', 'power loss', 'stop'])
    this.seen.count(`end: ${end}`)
    if (end === 'stop' || this.#trouble.mustAnswer)
      await Promise.all(clients.map((client) => client.finish()))
    if (end === 'stop') {
      await this.#running?.stop()
      this.#checkStopped(process)
      // A stopped broker has nothing left to lose.
      await this.sim.powerLoss(process)
    } else if (end === 'kill') await this.sim.kill(process)
    else await this.sim.powerLoss(process)
    for (const client of clients) client.brokerDied()
    this.#throwClientFailure()
    this.#trouble.ended(process)
    this.#look(process)
    this.#endedMs = this.sim.scheduler.nowMs
    // Answers that were on their way arrive or not, before anybody looks.
    await this.sim.sleep(20)
    this.#throwClientFailure()
    const { flushesFailed, pagesForgotten } = this.#trouble
    if (pagesForgotten) this.seen.count(`a sync failed, then: ${end}`)
    if (end === 'power loss' || (end === 'stop' && flushesFailed) || pagesForgotten) this.#lowerExpectations()
  }

  #throwClientFailure(): void {
    const failure = this.#clientFailure as { readonly error: unknown } | null
    if (failure !== null) throw failure.error
  }

  /** A start that does not come to its end, recovery included. */
  async #dieWhileStarting(): Promise<void> {
    const process = this.sim.start()
    const failed: unknown[] = []
    this.#startIn(process).catch((error: unknown) => process.alive && failed.push(error))
    await this.sim.sleep(this.sim.random.fraction() * 40)
    assert.deepEqual(failed, [], 'the broker does not start')
    this.seen.count('died while starting')
    if (this.sim.random.chance(0.4)) return this.sim.kill(process)
    await this.sim.powerLoss(process)
    this.#lowerExpectations()
  }

  async #start(): Promise<SimProcess> {
    const process = this.sim.start()
    lookAtLogs(this.sim.image, this.seen)
    this.#running = await this.#startIn(process).catch((error: unknown) =>
      assert.fail(`the broker does not start: ${String(error)}`),
    )
    return process
  }

  #startIn(process: SimProcess): Promise<RunningBroker> {
    const values = new Map([
      ['listeners', `PLAINTEXT://127.0.0.1:${PORT}`],
      ['log.dirs', this.#trouble.logDirs.join()],
      ['internal.segment.bytes', String(this.#sizes.segmentBytes)],
      ['offsets.topic.num.partitions', '2'],
      ['log.flush.offset.checkpoint.interval.ms', '20'],
      ['log.retention.check.interval.ms', '5'],
      ['log.segment.delete.delay.ms', '4'],
      ['samsa.min.free.bytes', String(this.#trouble.minFreeBytes)],
    ])
    const { mode } = this.options
    if (mode === 'durable') values.set('log.flush.interval.messages', '1')
    if (mode === 'interval') values.set('log.flush.interval.ms', String(FLUSH_MS))
    const { config } = parseBrokerConfig([{ source: 'STATIC_BROKER_CONFIG', origin: 'test', values }])
    return startBroker(process.world, config, (path) => openEmbeddedStore(process.world, path))
  }

  async #createTopics(): Promise<void> {
    const client = this.connect()
    assert(client !== null)
    const common = { numPartitions: PARTITIONS, replicationFactor: 1, assignments: [] }
    const configs = [{ name: 'retention.bytes', value: String(this.#sizes.retentionBytes) }]
    const { topics } = await client.send(
      { request: createTopicsRequest, response: createTopicsResponse, version: 5 },
      {
        topics: [
          { ...common, name: TOPIC, configs: [] },
          { ...common, name: ROLLING_TOPIC, configs },
        ],
        timeoutMs: 10_000,
      },
    )
    for (const topic of topics) assert.equal(topic.errorCode, 0, topic.name)
    client.close()
  }

  /**
   * The power went (or a failed sync lost as much), and the flush mode does not cover everything. Since the last process
   * died nobody flushed.
   */
  #lowerExpectations(): void {
    const { mode } = this.options
    this.#powerLost = true
    if (mode === 'durable') return
    const sureMs =
      mode === 'os' || this.#trouble.flushesFailed ? -1 : this.#endedMs - FLUSH_MS - FLUSH_TAKES_MS
    for (const ledger of this.ledgers) ledger.lower(sureMs)
    this.#committer.lower(sureMs)
  }

  // --------------------------------------------------------------------------------------------------------- checking

  async #check(process: SimProcess, when: string): Promise<void> {
    const client = this.connect()
    assert(client !== null, `${when}: nobody listens`)
    for (const ledger of this.ledgers) {
      const content = await readPartition(client, ledger.topic, ledger.partition)
      if (this.#trouble.isDamaged(ledger.name)) this.#checkDamaged(ledger, content, process, when)
      else this.#checkPartition(ledger, content, when)
    }
    if (!this.#trouble.isDamaged('__consumer_offsets')) await this.#committer.check(client, when)
    client.close()
    this.#checkLogs(when)
    // A power loss may take the first batch of a write and spare the second, which looks like damage in the middle.
    // And where nothing was flushed, a checkpoint may know more than the log.
    const excused = !this.#powerLost
      ? /^$/
      : this.options.mode === 'durable'
        ? /CORRUPTION|damaged batch|UNCLEAN/
        : /CORRUPTION|damaged batch|UNCLEAN|RECORDS ARE MISSING/
    this.#powerLost = false
    const errors = process.logger.messages('error').filter((message) => !excused.test(message))
    if (!this.#trouble.anyDamage) assert.deepEqual(errors, [], `${when}: errors in the log`)
  }

  #checkPartition(ledger: PartitionLedger, content: PartitionContent, when: string): void {
    const { logStartOffset, values, problem } = content
    assert.equal(problem, null, `${when}: ${ledger.name} cannot be read`)
    for (const [index, value] of values.entries())
      this.#place(value, `${ledger.name} at ${logStartOffset + index}`)
    assert.equal(new Set(values).size, values.length, `${when}: ${ledger.name} has a value twice`)
    const lost = ledger.settle(logStartOffset, values, when)
    this.seen.lost += lost.length
    // Sent again, it may get another place.
    for (const value of lost) this.attempts.set(value, { place: null })
  }

  /** Damage is never served as if it were none: what is read is right, and what is not read was reported. */
  #checkDamaged(ledger: PartitionLedger, content: PartitionContent, process: SimProcess, when: string): void {
    const { logStartOffset, values, problem } = content
    for (const [index, value] of values.entries()) {
      const offset = logStartOffset + index
      const known = ledger.known.get(offset) ?? value
      const attempt = this.attempts.get(value)
      assert(attempt !== undefined, `${when}: '${value}' was never sent`)
      if (this.#trouble.isFromElsewhere(ledger.name, attempt.place)) continue
      assert.equal(value, known, `${when}: ${ledger.name}, damaged, offset ${offset}`)
    }
    this.#trouble.verdict(ledger, logStartOffset + values.length, problem, process.logger.lines, when)
  }

  /** Somebody sees the value there. */
  #place(value: string, place: string): void {
    const attempt = this.attempts.get(value)
    assert(attempt !== undefined, `'${value}', ${place}, was never sent`)
    // A value that was lost may come again elsewhere, sent a second time; one that was never lost may not.
    assert(
      attempt.place === null || attempt.place === place,
      `'${value}' is ${place}, and was ${attempt.place}`,
    )
    attempt.place = place
  }

  #checkLogs(when: string): void {
    for (const log of this.#running?.broker.logs.logs() ?? [])
      assert(
        log.durableEndOffset <= log.logEndOffset && log.recoveryPoint <= log.durableEndOffset,
        `${when}: ${log.directory}: ${log.recoveryPoint}, ${log.durableEndOffset}, ${log.logEndOffset}`,
      )
  }

  /** After a clean stop. */
  #checkStopped(process: SimProcess): void {
    assert.equal(process.disk.slices.size, 0, 'slices of files were not released')
    if (this.#trouble.anyDamage || this.#trouble.active) return
    lookAtLogs(this.sim.image, this.seen, true)
  }

  #look(process: SimProcess): void {
    countLines(this.seen, process.logger.lines)
    for (const [operation, situation] of [
      ['recycle', 'recycled segment used'],
      ['slice', 'slice sent'],
      ['reserve', 'reserved'],
    ] as const)
      this.seen.count(situation, process.disk.counts[operation] ?? 0)
    for (const label of process.disk.dyingOperations) this.seen.count(`died with ${label} under way`)
  }

  #ledger(topic: string, partition: number): PartitionLedger {
    const ledger = this.ledgers.find((other) => other.topic === topic && other.partition === partition)
    assert(ledger !== undefined)
    return ledger
  }
}
