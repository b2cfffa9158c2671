import { strict as assert } from 'node:assert'
import { fetchRequest, fetchResponse } from '../../protocol/messages/01-fetch.ts'
import { offsetFetchRequest, offsetFetchResponse } from '../../protocol/messages/09-offset-fetch.ts'
import { createTopicsRequest, createTopicsResponse } from '../../protocol/messages/19-create-topics.ts'
import * as batch from '../../protocol/records/record-batch.ts'
import { RecordReader } from '../../protocol/records/record-reader.ts'
import { parseBrokerConfig } from '../../src/core/config/broker-config.ts'
import { startBroker } from '../../src/server/start-broker.ts'
import type { RunningBroker } from '../../src/server/start-broker.ts'
import { openEmbeddedStore } from '../../src/system/embedded-store.ts'
import { Committer, Producer, TOPIC } from './durability-clients.ts'
import type { Attempt, ClientsRun } from './durability-clients.ts'
import { LyingDisk } from './lying-disk.ts'
import type { Lie } from './lying-disk.ts'
import { SimClient } from './sim-client.ts'
import { SimWorld } from './sim-world.ts'
import type { SimProcess } from './sim-world.ts'

/**
 * A broker lives several lives in one world: clients write, the process is killed, loses power or stops, starts
 * again, and everything is read back and held against what was promised.
 *
 * Promises:
 * - `durable` (flush.messages=1): what was acknowledged, or read by anybody, is there after whatever happened.
 * - `os`: the same after a kill or a clean stop. After a power loss the log is what it was, cut short somewhere, but
 *   not below where it ended when the process started: what recovery found it made durable before serving it.
 * - Always: offsets are dense, checksums hold, no value is there twice, none was never sent, a value that is there is
 *   where it was, topics that were created exist, committed group offsets never go back where the log would not.
 */

export type FlushMode = 'durable' | 'os'

const PARTITIONS = 2
const PORT = 9092

export interface DurabilityOptions {
  readonly mode: FlushMode
  readonly lives: number
  readonly lie?: Lie
}

type End = 'kill' | 'power loss' | 'stop'

export class DurabilityRun implements ClientsRun {
  readonly sim: SimWorld
  readonly options: DurabilityOptions
  readonly attempts = new Map<string, Attempt>()
  /** What each partition is known to hold, by offset. */
  readonly #known = Array.from({ length: PARTITIONS }, () => new Map<number, string>())
  /** Below this a partition must not lose anything; `safeAtStart` even in a power loss under `os`. */
  readonly #floor = Array.from({ length: PARTITIONS }, () => 0)
  readonly #safeAtStart = Array.from({ length: PARTITIONS }, () => 0)
  readonly #producers: Producer[]
  readonly #committer: Committer
  /** What came about, for a look at what a test really tested. */
  readonly seen = { acknowledged: 0, lost: 0, duplicates: 0, commits: 0, ends: [] as End[] }

  constructor(seed: number, options: DurabilityOptions) {
    this.options = options
    const lie = options.lie
    this.sim = new SimWorld(seed, {
      // What nobody flushed has the order that the file system's journal gives it. Who flushes asks nothing of it.
      journalledNames: options.mode === 'os',
      ...(lie === undefined ? {} : { wrapDisk: (disk, scheduler) => new LyingDisk(disk, scheduler, lie) }),
    })
    this.#producers = [
      new Producer(this, 'plain', { partition: 0, idempotent: false, acks: 1 }),
      new Producer(this, 'all', { partition: 1, idempotent: false, acks: -1 }),
      new Producer(this, 'idem', { partition: 0, idempotent: true, acks: -1 }),
      new Producer(this, 'once', { partition: 1, idempotent: true, acks: -1 }),
    ]
    this.#committer = new Committer(this)
  }

  /** Rejects with an assertion when a promise was broken. */
  async run(): Promise<void> {
    await this.sim.run(
      async () => {
        for (let life = 0; life < this.options.lives; life++) await this.#live(life)
        const { process } = await this.#start()
        await this.#check(process, this.options.lives)
      },
      { withinMs: 600_000 },
    )
  }

  connect(): SimClient | null {
    return SimClient.connect(this.sim, PORT)
  }

  acknowledged(value: string, partition: number, offset: number): void {
    const known = this.#known[partition]?.get(offset)
    assert(known === undefined || known === value, `offset ${offset} was given to '${known}' and '${value}'`)
    const attempt = this.attempts.get(value)
    assert(attempt !== undefined)
    attempt.acknowledged = [partition, offset]
    this.#known[partition]?.set(offset, value)
    this.#floor[partition] = Math.max(this.#floor[partition] ?? 0, offset + 1)
    this.seen.acknowledged += 1
  }

  async #live(life: number): Promise<void> {
    const { random } = this.sim
    if (random.chance(0.3)) await this.#dieWhileStarting()
    const { process, running } = await this.#start()
    if (life === 0) await this.#createTopic()
    await this.#check(process, life)
    const clients = [...this.#producers, this.#committer]
    for (const client of clients) client.begin()
    this.sim.fabric.resetChance = random.pick([0, 0, 0.005])
    await this.sim.sleep(random.fraction() * 40)
    this.sim.fabric.resetChance = 0
    const end = random.pick<End>(['kill', 'kill', 'power loss', 'power loss', 'power loss', 'stop'])
    this.seen.ends.push(end)
    if (end === 'stop') {
      await Promise.all(clients.map((client) => client.finish()))
      await running.stop()
      // A stopped broker has nothing left to lose.
      await this.sim.powerLoss(process)
      return
    }
    if (end === 'kill') await this.sim.kill(process)
    else await this.sim.powerLoss(process)
    for (const client of clients) client.brokerDied()
    // Answers that were on their way arrive or not, before anybody looks.
    await this.sim.sleep(20)
    if (end === 'power loss' && this.options.mode === 'os') this.#lowerExpectations()
  }

  /** A start that does not come to its end, recovery included. */
  async #dieWhileStarting(): Promise<void> {
    const process = this.sim.start()
    const failed: unknown[] = []
    this.#startIn(process).catch((error: unknown) => process.alive && failed.push(error))
    await this.sim.sleep(this.sim.random.fraction() * 40)
    assert.deepEqual(failed, [])
    if (this.sim.random.chance(0.4)) return this.sim.kill(process)
    await this.sim.powerLoss(process)
    if (this.options.mode === 'os') this.#lowerExpectations()
  }

  async #start(): Promise<{ process: SimProcess; running: RunningBroker }> {
    const process = this.sim.start()
    return { process, running: await this.#startIn(process) }
  }

  #startIn(process: SimProcess): Promise<RunningBroker> {
    const values = new Map([
      ['listeners', `PLAINTEXT://127.0.0.1:${PORT}`],
      ['log.dirs', '/data/logs'],
      ['log.segment.bytes', '4096'],
      ['offsets.topic.num.partitions', '2'],
      ['log.flush.offset.checkpoint.interval.ms', '200'],
    ])
    if (this.options.mode === 'durable') values.set('log.flush.interval.messages', '1')
    const { config } = parseBrokerConfig([{ source: 'STATIC_BROKER_CONFIG', origin: 'test', values }])
    return startBroker(process.world, config, (path) => openEmbeddedStore(process.world, path))
  }

  async #createTopic(): Promise<void> {
    const client = this.connect()
    assert(client !== null)
    const topic = {
      name: TOPIC,
      numPartitions: PARTITIONS,
      replicationFactor: 1,
      assignments: [],
      configs: [],
    }
    const { topics } = await client.send(
      { request: createTopicsRequest, response: createTopicsResponse, version: 5 },
      { topics: [topic], timeoutMs: 10_000 },
    )
    assert.equal(topics[0]?.errorCode, 0)
    client.close()
  }

  /** The power went under `os`: only what recovery once made durable is sure. */
  #lowerExpectations(): void {
    for (let partition = 0; partition < PARTITIONS; partition++)
      this.#floor[partition] = this.#safeAtStart[partition] ?? 0
    this.#committer.lowerExpectations()
  }

  async #check(process: SimProcess, life: number): Promise<void> {
    const client = this.connect()
    assert(client !== null, 'nobody listens')
    const found = new Set<string>()
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const values = await this.#readPartition(client, partition)
      const known = this.#known[partition] as Map<number, string>
      const floor = this.#floor[partition] as number
      assert(
        values.length >= floor,
        `life ${life}: partition ${partition} ends at ${values.length}, not ${floor}`,
      )
      for (const [offset, value] of known)
        if (offset < values.length)
          assert.equal(values[offset], value, `life ${life}: partition ${partition}, offset ${offset}`)
      for (const value of values) {
        assert(this.attempts.has(value), `life ${life}: '${value}' was never sent`)
        assert(!found.has(value), `life ${life}: '${value}' is there twice`)
        found.add(value)
      }
      this.seen.lost += [...known.keys()].filter((offset) => offset >= values.length).length
      known.clear()
      for (const [offset, value] of values.entries()) known.set(offset, value)
      this.#floor[partition] = values.length
      this.#safeAtStart[partition] = values.length
    }
    await this.#committer.check(client, `life ${life}`)
    client.close()
    // A power loss may take the first batch of a write and spare the second, which looks like damage in the middle.
    const errors = process.logger
      .messages('error')
      .filter((message) => !/CORRUPTION|damaged batch/.test(message))
    assert.deepEqual(errors, [], `life ${life}: errors in the log`)
  }

  /** All values of a partition by offset, from 0. */
  async #readPartition(client: SimClient, partition: number): Promise<string[]> {
    const values: string[] = []
    for (;;) {
      const fetched = {
        partition,
        fetchOffset: values.length,
        partitionMaxBytes: 1 << 20,
        currentLeaderEpoch: -1,
        logStartOffset: -1,
      }
      const body = {
        replicaId: -1,
        maxWaitMs: 0,
        minBytes: 0,
        maxBytes: 1 << 24,
        topics: [{ topic: TOPIC, partitions: [fetched] }],
        forgottenTopicsData: [],
      }
      const { responses } = await client.send(
        { request: fetchRequest, response: fetchResponse, version: 11 },
        body,
      )
      const answer = responses[0]?.partitions[0]
      assert(answer !== undefined)
      assert.equal(answer.errorCode, 0, `fetch of partition ${partition} at ${values.length}`)
      assert.equal(answer.logStartOffset, 0)
      const before = values.length
      addValues(answer.records ?? Buffer.alloc(0), values)
      if (values.length >= answer.highWatermark) return values
      assert(values.length > before, `partition ${partition} gives nothing at ${values.length}`)
    }
  }

  async committedOffsets(client: SimClient, groupId: string): Promise<number[]> {
    const topics = [{ name: TOPIC, partitionIndexes: [...this.#known.keys()] }]
    for (;;) {
      const answer = await client.send(
        { request: offsetFetchRequest, response: offsetFetchResponse, version: 5 },
        { groupId, topics },
      )
      // COORDINATOR_LOAD_IN_PROGRESS
      if (answer.errorCode !== 14) {
        assert.equal(answer.errorCode, 0)
        const partitions = answer.topics[0]?.partitions ?? []
        return this.#known.map(
          (_, index) =>
            partitions.find(({ partitionIndex }) => partitionIndex === index)?.committedOffset ?? -1,
        )
      }
      await this.sim.sleep(5)
    }
  }
}

function addValues(bytes: Buffer, values: string[]): void {
  for (let at = 0; at < bytes.length; at += batch.batchSizeBytes(bytes, at)) {
    assert.equal(batch.batchProblem(bytes, at, bytes.length), null)
    const base = batch.baseOffset(bytes, at)
    const reader = new RecordReader(
      bytes,
      batch.recordCount(bytes, at),
      at + batch.BATCH_OVERHEAD,
      at + batch.batchSizeBytes(bytes, at),
    )
    while (reader.next()) {
      const offset = base + reader.offsetDelta
      // The first batch may begin before the offset that was asked for.
      if (offset < values.length) continue
      assert.equal(offset, values.length, 'offsets are not dense')
      values.push(reader.value()?.toString() ?? '')
    }
    assert.equal(reader.problem, null)
  }
}
