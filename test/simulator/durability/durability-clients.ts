import { strict as assert } from 'node:assert'
import { ErrorCode } from '../../../protocol/errors.ts'
import { produceRequest, produceResponse } from '../../../protocol/messages/00-produce.ts'
import { offsetCommitRequest, offsetCommitResponse } from '../../../protocol/messages/08-offset-commit.ts'
import {
  findCoordinatorRequest,
  findCoordinatorResponse,
} from '../../../protocol/messages/10-find-coordinator.ts'
import {
  initProducerIdRequest,
  initProducerIdResponse,
} from '../../../protocol/messages/22-init-producer-id.ts'
import { buildBatch } from '../../../protocol/records/record-builder.ts'
import { fetchOnce, readValues } from './record-reading.ts'
import type { Seen } from './seen.ts'
import type { SimClient } from '../sim-client.ts'
import type { SimWorld } from '../sim-world.ts'

/** Keeps everything. */
export const TOPIC = 'orders'
/** Retention deletes its old segments all the time. */
export const ROLLING_TOPIC = 'rolling'

export interface Attempt {
  /** Where somebody saw the value first; null while nobody has. */
  place: string | null
}

/** What the clients need of the run they are part of. */
export interface ClientsRun {
  readonly sim: SimWorld
  /** Every value ever sent. */
  readonly attempts: Map<string, Attempt>
  readonly seen: Seen
  connect(): SimClient | null
  /** The broker answered that the value is there, or a consumer read it. */
  promised(value: string, topic: string, partition: number, offset: number): void
  /** Where to read: from the start of the log to its end, as far as they are known. */
  bounds(topic: string, partition: number): { start: number; end: number }
  /** A promise was broken before the eyes of a client. */
  clientFailed(error: unknown): void
  /** The device put a write somewhere else, and nobody has looked yet. */
  readonly mayReadDamage: boolean
  /** Is this an answer that a broker in such trouble may give? */
  tolerates(errorCode: number): boolean
  /** Committed offset of partition 0, -1 for none. */
  committedOffset(client: SimClient, groupId: string): Promise<number>
}

/** Works as long as a broker lives, on one connection after the other: a reset is no reason to stop. */
abstract class RunClient {
  protected readonly run: ClientsRun
  protected stopping = false
  #done: Promise<void> = Promise.resolve()

  constructor(run: ClientsRun) {
    this.run = run
  }

  begin(): void {
    this.stopping = false
    this.#done = this.#untilBrokerEnds()
  }

  /** Sends nothing new and waits for the answers. */
  async finish(): Promise<void> {
    this.stopping = true
    await this.#done
  }

  brokerDied(): void {
    this.stopping = true
  }

  /** Returns once it is `stopping`, and rejects when the connection is gone. */
  protected abstract work(client: SimClient): Promise<void>

  async #untilBrokerEnds(): Promise<void> {
    while (!this.stopping) {
      const client = this.run.connect()
      if (client === null) return
      try {
        await this.work(client)
      } catch (error) {
        // The connection is gone. Everything else is a bug.
        if (client.closed) continue
        this.run.clientFailed(error)
        return
      }
    }
  }
}

interface ProducerOptions {
  readonly topic: string
  readonly partition: number
  /** Of one value, at most. */
  readonly valueBytes: number
  readonly idempotent: boolean
  readonly acks: number
}

interface PendingBatch {
  readonly values: readonly string[]
  readonly baseSequence: number
  readonly timestampMs: number
  /** Sent before, and the answer never came. */
  retried: boolean
}

/**
 * Writes values that are sent by nobody else, a few batches at a time. An idempotent one sends again what was not
 * answered, with the same sequence; a plain one never does, for it would not know whether that makes two.
 */
export class Producer extends RunClient {
  readonly #name: string
  readonly #options: ProducerOptions
  #producer: { producerId: number; producerEpoch: number } | null = null
  #nextSequence = 0
  #unanswered: PendingBatch[] = []
  #count = 0

  constructor(run: ClientsRun, name: string, options: ProducerOptions) {
    super(run)
    this.#name = name
    this.#options = options
  }

  protected async work(client: SimClient): Promise<void> {
    const { sim } = this.run
    if (this.#options.idempotent && this.#producer === null) await this.#initialise(client)
    const inFlight = new Set<Promise<void>>()
    for (const batch of this.#unanswered) {
      batch.retried = true
      inFlight.add(this.#send(client, batch))
    }
    await Promise.all(inFlight)
    while (!this.stopping) {
      await Promise.all(
        Array.from({ length: 1 + sim.random.below(3) }, () => this.#send(client, this.#nextBatch())),
      )
      if (sim.random.chance(0.3)) await sim.sleep(sim.random.fraction() * 10)
    }
    client.close()
  }

  async #initialise(client: SimClient): Promise<void> {
    const answer = await client.send(
      { request: initProducerIdRequest, response: initProducerIdResponse, version: 4 },
      { transactionalId: null, transactionTimeoutMs: 60_000 },
    )
    assert.equal(answer.errorCode, 0)
    const { producerId, producerEpoch } = answer
    this.#producer = { producerId, producerEpoch }
    this.#nextSequence = 0
    this.#unanswered = []
  }

  #nextBatch(): PendingBatch {
    const { random, scheduler } = this.run.sim
    const values = Array.from({ length: 1 + random.below(3) }, () => {
      const value = `${this.#name}-${this.#count++}-${'x'.repeat(random.below(this.#options.valueBytes))}`
      this.run.attempts.set(value, { place: null })
      return value
    })
    const timestampMs = 1_800_000_000_000 + Math.floor(scheduler.nowMs)
    const batch = { values, baseSequence: this.#nextSequence, timestampMs, retried: false }
    this.#nextSequence += values.length
    this.#unanswered.push(batch)
    return batch
  }

  async #send(client: SimClient, batch: PendingBatch): Promise<void> {
    const { topic, partition, acks, idempotent } = this.#options
    const { values, baseSequence, timestampMs } = batch
    if (!idempotent) this.#forget(batch)
    const records = buildBatch(
      values.map((value) => ({ key: null, value: Buffer.from(value), timestampMs })),
      this.#producer === null ? {} : { ...this.#producer, baseSequence },
    )
    const { responses } = await client.send(
      { request: produceRequest, response: produceResponse, version: 9 },
      {
        acks,
        timeoutMs: 30_000,
        topicData: [{ name: topic, partitionData: [{ index: partition, records }] }],
      },
    )
    const answer = responses[0]?.partitionResponses[0]
    assert(answer !== undefined)
    if (answer.errorCode === ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER && idempotent)
      return this.#startOver(client, batch)
    if (this.run.tolerates(answer.errorCode)) {
      // Whether it was written nobody knows.
      await this.run.sim.sleep(3)
      return
    }
    assert.equal(answer.errorCode, 0, `produce of ${this.#name}`)
    this.#forget(batch)
    this.run.seen.acknowledged += values.length
    if (batch.retried && this.run.attempts.get(values[0] ?? '')?.place !== null)
      this.run.seen.count('duplicate answered')
    for (const [index, value] of values.entries())
      this.run.promised(value, topic, partition, answer.baseOffset + index)
  }

  /**
   * The broker no longer knows this producer's last batches: under `os` a power loss took them, or more batches came
   * after than it remembers. Like a real producer, it gives up what is not answered and starts anew.
   */
  async #startOver(client: SimClient, batch: PendingBatch): Promise<void> {
    if (!this.#unanswered.includes(batch)) return
    this.#unanswered = []
    await this.#initialise(client)
  }

  #forget(batch: PendingBatch): void {
    this.#unanswered = this.#unanswered.filter((other) => other !== batch)
  }
}

/** Reads here and there, now and then slowly, and checks every byte it gets. */
export class Reader extends RunClient {
  readonly #topic: string
  readonly #partition: number

  constructor(run: ClientsRun, topic: string, partition: number) {
    super(run)
    this.#topic = topic
    this.#partition = partition
  }

  protected async work(client: SimClient): Promise<void> {
    const { sim, seen } = this.run
    const { random } = sim
    while (!this.stopping) {
      const { start, end } = this.run.bounds(this.#topic, this.#partition)
      const offset = random.chance(0.3) ? start : start + random.below(end - start + 1)
      const fetching = fetchOnce(
        client,
        this.#topic,
        this.#partition,
        offset,
        random.pick([1, 500, 5000, 200_000]),
      )
      // It may fail before anybody waits for it.
      fetching.catch(() => {})
      if (random.chance(0.3)) {
        client.pause()
        await sim.sleep(random.fraction() * 30)
        client.resume()
      }
      const { errorCode, records } = await fetching
      if (errorCode === ErrorCode.OFFSET_OUT_OF_RANGE) seen.count('read below the start')
      else if (!this.run.tolerates(errorCode))
        assert.equal(errorCode, 0, `fetch of ${this.#topic} at ${offset}`)
      const problem = readValues(records, offset, (value, at) =>
        this.run.promised(value, this.#topic, this.#partition, at),
      )
      if (!this.run.mayReadDamage)
        assert.equal(problem, null, `${this.#topic}-${this.#partition} read at ${offset}`)
      if (records.length > 0) seen.count('read')
      await sim.sleep(random.fraction() * 6)
    }
    client.close()
  }
}

/** Commits offsets that only grow, for a group without members. */
export class Committer extends RunClient {
  readonly #groupId = 'readers'
  #next = 1
  #acknowledged = -1
  #safeAtStart = -1
  /** When which commit was acknowledged, since the process started. */
  #promises: { readonly timeMs: number; readonly offset: number }[] = []

  /** The power went: only what recovery once made durable is sure, and what was acknowledged by `timeMs`. */
  lower(timeMs: number): void {
    this.#promises = this.#promises.filter((promise) => promise.timeMs <= timeMs)
    this.#acknowledged = this.#promises.at(-1)?.offset ?? this.#safeAtStart
  }

  async check(client: SimClient, when: string): Promise<void> {
    const committed = await this.run.committedOffset(client, this.#groupId)
    assert(
      committed >= this.#acknowledged,
      `${when}: offset ${committed} committed, not ${this.#acknowledged}`,
    )
    assert(committed < this.#next, `${when}: offset ${committed} was never committed`)
    this.#acknowledged = committed
    this.#safeAtStart = committed
    this.#promises = []
  }

  protected async work(client: SimClient): Promise<void> {
    const { sim } = this.run
    await this.#findCoordinator(client)
    while (!this.stopping) {
      const committedOffset = this.#next++
      const partitions = [
        {
          partitionIndex: 0,
          committedOffset,
          committedLeaderEpoch: -1,
          committedMetadata: `at ${committedOffset}`,
        },
      ]
      const { topics } = await client.send(
        { request: offsetCommitRequest, response: offsetCommitResponse, version: 7 },
        {
          groupId: this.#groupId,
          generationIdOrMemberEpoch: -1,
          memberId: '',
          topics: [{ name: TOPIC, partitions }],
        },
      )
      const errorCode = topics[0]?.partitions[0]?.errorCode
      if (errorCode === 0) {
        this.#acknowledged = Math.max(this.#acknowledged, committedOffset)
        this.#promises.push({ timeMs: sim.scheduler.nowMs, offset: this.#acknowledged })
        this.run.seen.commits += 1
      } else if (!this.run.tolerates(errorCode ?? -1)) {
        assert.equal(errorCode, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
      }
      await sim.sleep(sim.random.fraction() * 15)
    }
    client.close()
  }

  /** Makes the broker create the topic of offsets when there is none. */
  async #findCoordinator(client: SimClient): Promise<void> {
    for (;;) {
      const answer = await client.send(
        { request: findCoordinatorRequest, response: findCoordinatorResponse, version: 2 },
        { key: this.#groupId, keyType: 0 },
      )
      if (answer.errorCode === 0 || this.stopping) return
      if (!this.run.tolerates(answer.errorCode))
        assert.equal(answer.errorCode, ErrorCode.COORDINATOR_NOT_AVAILABLE)
      await this.run.sim.sleep(5)
    }
  }
}
