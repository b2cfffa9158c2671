import { strict as assert } from 'node:assert'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import { offsetCommitRequest, offsetCommitResponse } from '../../protocol/messages/08-offset-commit.ts'
import {
  findCoordinatorRequest,
  findCoordinatorResponse,
} from '../../protocol/messages/10-find-coordinator.ts'
import { initProducerIdRequest, initProducerIdResponse } from '../../protocol/messages/22-init-producer-id.ts'
import { buildBatch } from '../../protocol/records/record-builder.ts'
import type { SimClient } from './sim-client.ts'
import type { SimWorld } from './sim-world.ts'

export const TOPIC = 'orders'

/** Where a value is, by topic partition. */
export type Place = readonly [partition: number, offset: number]

export interface Attempt {
  /** Where the broker said it put the value; null while it has not. */
  acknowledged: Place | null
}

/** What the clients need of the run they are part of. */
export interface ClientsRun {
  readonly sim: SimWorld
  /** Every value ever sent. */
  readonly attempts: Map<string, Attempt>
  readonly seen: { duplicates: number; commits: number }
  connect(): SimClient | null
  acknowledged(value: string, partition: number, offset: number): void
  /** Committed offsets by partition, -1 for none. */
  committedOffsets(client: SimClient, groupId: string): Promise<number[]>
}

const COORDINATOR_LOAD_IN_PROGRESS = 14
const COORDINATOR_NOT_AVAILABLE = 15
const OUT_OF_ORDER_SEQUENCE_NUMBER = 45

interface ProducerOptions {
  readonly partition: number
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
export class Producer {
  readonly #run: ClientsRun
  readonly #name: string
  readonly #options: ProducerOptions
  #producer: { producerId: number; producerEpoch: number } | null = null
  #nextSequence = 0
  #unanswered: PendingBatch[] = []
  #count = 0
  #stopping = false
  #done: Promise<void> = Promise.resolve()

  constructor(run: ClientsRun, name: string, options: ProducerOptions) {
    this.#run = run
    this.#name = name
    this.#options = options
  }

  begin(): void {
    this.#stopping = false
    this.#done = untilBrokerEnds(
      this.#run,
      () => this.#stopping,
      (client) => this.#work(client),
    )
  }

  /** Sends nothing new and waits for the answers. */
  async finish(): Promise<void> {
    this.#stopping = true
    await this.#done
  }

  brokerDied(): void {
    this.#stopping = true
  }

  async #work(client: SimClient): Promise<void> {
    const { sim } = this.#run
    if (this.#options.idempotent && this.#producer === null) await this.#initialise(client)
    const inFlight = new Set<Promise<void>>()
    for (const batch of this.#unanswered) {
      batch.retried = true
      inFlight.add(this.#send(client, batch))
    }
    await Promise.all(inFlight)
    while (!this.#stopping) {
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
    const { random, scheduler } = this.#run.sim
    const values = Array.from({ length: 1 + random.below(3) }, () => {
      const value = `${this.#name}-${this.#count++}-${'x'.repeat(random.below(200))}`
      this.#run.attempts.set(value, { acknowledged: null })
      return value
    })
    const timestampMs = 1_800_000_000_000 + Math.floor(scheduler.nowMs)
    const batch = { values, baseSequence: this.#nextSequence, timestampMs, retried: false }
    this.#nextSequence += values.length
    this.#unanswered.push(batch)
    return batch
  }

  async #send(client: SimClient, batch: PendingBatch): Promise<void> {
    const { partition, acks, idempotent } = this.#options
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
        topicData: [{ name: TOPIC, partitionData: [{ index: partition, records }] }],
      },
    )
    const answer = responses[0]?.partitionResponses[0]
    assert(answer !== undefined)
    if (answer.errorCode === OUT_OF_ORDER_SEQUENCE_NUMBER && idempotent) return this.#startOver(client, batch)
    assert.equal(answer.errorCode, 0, `produce of ${this.#name}`)
    this.#forget(batch)
    if (batch.retried) this.#run.seen.duplicates += 1
    for (const [index, value] of values.entries())
      this.#run.acknowledged(value, partition, answer.baseOffset + index)
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

/** Works on one connection after the other: a reset is no reason to stop. */
async function untilBrokerEnds(
  run: ClientsRun,
  stopping: () => boolean,
  work: (client: SimClient) => Promise<void>,
): Promise<void> {
  while (!stopping()) {
    const client = run.connect()
    if (client === null) return
    try {
      await work(client)
    } catch (error) {
      // The connection is gone. Everything else is a bug.
      if (!client.closed) throw error
    }
  }
}

/** Commits offsets that only grow, for a group without members. */
export class Committer {
  readonly #run: ClientsRun
  readonly #groupId = 'readers'
  #next = 1
  #acknowledged = -1
  #safeAtStart = -1
  #stopping = false
  #done: Promise<void> = Promise.resolve()

  constructor(run: ClientsRun) {
    this.#run = run
  }

  begin(): void {
    this.#stopping = false
    this.#done = untilBrokerEnds(
      this.#run,
      () => this.#stopping,
      (client) => this.#work(client),
    )
  }

  async finish(): Promise<void> {
    this.#stopping = true
    await this.#done
  }

  brokerDied(): void {
    this.#stopping = true
  }

  lowerExpectations(): void {
    this.#acknowledged = this.#safeAtStart
  }

  async check(client: SimClient, when: string): Promise<void> {
    const [committed = -1] = await this.#run.committedOffsets(client, this.#groupId)
    assert(
      committed >= this.#acknowledged,
      `${when}: offset ${committed} committed, not ${this.#acknowledged}`,
    )
    assert(committed < this.#next, `${when}: offset ${committed} was never committed`)
    this.#acknowledged = committed
    this.#safeAtStart = committed
  }

  async #work(client: SimClient): Promise<void> {
    const { sim } = this.#run
    await this.#findCoordinator(client)
    while (!this.#stopping) {
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
        this.#run.seen.commits += 1
      } else {
        assert.equal(errorCode, COORDINATOR_LOAD_IN_PROGRESS)
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
      if (answer.errorCode === 0) return
      assert.equal(answer.errorCode, COORDINATOR_NOT_AVAILABLE)
      await this.#run.sim.sleep(5)
    }
  }
}
