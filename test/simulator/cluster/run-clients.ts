import { OFFSETS_TOPIC } from '../../../src/metadata/layout/topic-names.ts'
import { strict as assert } from 'node:assert'
import { ErrorCode, errorName } from '../../../protocol/errors.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import { buildBatch } from '../../../protocol/records/record-builder.ts'
import { readValues } from '../durability/record-reading.ts'
import { ignoreNoAnswer, LATEST, mayTryAgain } from './cluster-client.ts'
import type { ClusterClient, Position } from './cluster-client.ts'
import { OffsetLedger } from './ledger.ts'
import type { Ledger } from './ledger.ts'
import type { SimCluster } from './sim-cluster.ts'

/** Clients of a run: they go on whatever happens, and what they see they tell the ledger. */

const WALL_CLOCK_MS = 1_800_000_000_000

export interface RunContext {
  readonly cluster: SimCluster
  readonly ledger: Ledger
  /** A promise was broken before the eyes of a client. */
  readonly failed: (error: unknown) => void
}

abstract class RunClient {
  protected readonly context: RunContext
  protected readonly client: ClusterClient
  protected stopping = false
  #done = Promise.resolve()

  constructor(context: RunContext) {
    this.context = context
    this.client = context.cluster.client()
  }

  begin(): void {
    this.#done = this.work().catch((error: unknown) => this.context.failed(error))
  }

  /** Begins nothing new, and resolves when it is through with all it has. */
  finish(): Promise<void> {
    this.stopping = true
    return this.#done
  }

  protected abstract work(): Promise<void>

  protected pause(mostMs: number): Promise<void> {
    const { cluster } = this.context
    return cluster.sleep(1 + cluster.sim.random.fraction() * mostMs)
  }
}

interface PendingBatch {
  readonly values: readonly string[]
  readonly baseSequence: number
  /** It was sent before, and nobody knows what came of it. */
  tries: number
}

export interface ProducerOptions {
  readonly name: string
  readonly topic: string
  readonly index: number
  readonly acks: number
  readonly idempotent: boolean
  /** Between rounds, at most. */
  readonly pauseMs: number
}

/**
 * Writes values that nobody else sends, a few batches at a time. An idempotent one sends again what was not acknowledged, in
 * order and under the same sequences, until it is; others send everything once, for they would not know whether that makes two.
 */
export class RunProducer extends RunClient {
  readonly #options: ProducerOptions
  readonly #partition: string
  #producer: { readonly producerId: number; readonly producerEpoch: number } | null = null
  #unanswered: PendingBatch[] = []
  #count = 0

  constructor(context: RunContext, options: ProducerOptions) {
    super(context)
    this.#options = options
    this.#partition = `${options.topic}-${options.index}`
  }

  protected async work(): Promise<void> {
    const { topic, index, idempotent, pauseMs } = this.#options
    const { random } = this.context.cluster.sim
    if (idempotent) this.#producer = await this.client.initProducer()
    while (!this.stopping || this.#unanswered.length > 0) {
      if (!this.stopping)
        for (let more = 1 + random.below(3); this.#unanswered.length < 4 && more > 0; more--) this.#next()
      const leader = this.client.leaderOf(topic, index) ?? (await this.client.findLeader(topic, index))
      if (leader === null) {
        await this.pause(100)
        continue
      }
      const pending = [...this.#unanswered]
      const errorCodes = await Promise.all(pending.map((each) => this.#send(leader.id, each)))
      this.#checkSequences(errorCodes)
      if (!idempotent) this.#unanswered = []
      if (errorCodes.every((errorCode) => errorCode === 0)) await this.pause(pauseMs)
      else {
        await this.pause(100)
        await this.client.findLeader(topic, index)
      }
    }
  }

  #next(): void {
    const { random } = this.context.cluster.sim
    const { name, idempotent } = this.#options
    const baseSequence = this.#count
    const values = Array.from({ length: 1 + random.below(3) }, () => {
      const number = this.#count++
      const value = `${name}/${number}/${'x'.repeat(random.below(60))}`
      this.context.ledger.sent(value, { partition: this.#partition, producer: name, number, idempotent })
      return value
    })
    this.#unanswered.push({ values, baseSequence, tries: 0 })
  }

  /** Only behind one that is not there may a sequence be out of order. */
  #checkSequences(errorCodes: readonly number[]): void {
    const firstFailed = errorCodes.findIndex((errorCode) => errorCode !== 0)
    assert.notEqual(
      errorCodes[firstFailed],
      ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
      `${this.#options.name}: what was acknowledged before is not there any more`,
    )
  }

  /** The error code; -1: no answer. */
  async #send(leader: number, pending: PendingBatch): Promise<number> {
    const { ledger, cluster } = this.context
    const { topic, index, acks } = this.#options
    const timestampMs = WALL_CLOCK_MS + Math.floor(cluster.sim.scheduler.nowMs)
    const { values, baseSequence } = pending
    const records = buildBatch(
      values.map((value) => ({ key: Buffer.from('key'), value: Buffer.from(value), timestampMs })),
      this.#producer === null ? {} : { ...this.#producer, baseSequence },
    )
    pending.tries += 1
    const answer = await this.client.produce(leader, topic, index, records, acks).catch(ignoreNoAnswer)
    if (answer === null) return -1
    const { errorCode, baseOffset } = answer
    if (errorCode === ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER) return errorCode
    if (errorCode !== 0 && errorCode !== ErrorCode.DUPLICATE_SEQUENCE_NUMBER) {
      assert(mayTryAgain(errorCode), `produce of ${this.#options.name}: ${errorName(errorCode)}`)
      return errorCode
    }
    this.#unanswered = this.#unanswered.filter((other) => other !== pending)
    if (acks === -1)
      for (const [at, value] of values.entries())
        ledger.acknowledgedByAll(this.#partition, baseOffset === -1 ? -1 : baseOffset + at, value)
    return 0
  }
}

export interface ConsumerOptions {
  readonly partitions: readonly { readonly topic: string; readonly index: number }[]
  readonly pauseMs: number
}

/** Reads partitions from their beginning on, from leader to leader, and what it reads it checks. */
export class RunConsumer extends RunClient {
  readonly #positions: Position[]
  readonly #pauseMs: number

  constructor(context: RunContext, { partitions, pauseMs }: ConsumerOptions) {
    super(context)
    this.#pauseMs = pauseMs
    this.#positions = partitions.map((each) => ({ ...each, offset: 0, lastEpoch: -1, leaderEpoch: -1 }))
  }

  /** Has it read all that is known to be committed? */
  get isThrough(): boolean {
    const { ledger } = this.context
    return this.#positions.every(
      ({ topic, index, offset }) => offset >= ledger.committedEnd(`${topic}-${index}`),
    )
  }

  protected async work(): Promise<void> {
    const { random } = this.context.cluster.sim
    while (!this.stopping) {
      const byLeader = new Map<number, number[]>()
      let isLost = false
      for (const [at, { topic, index }] of this.#positions.entries()) {
        const leader = this.client.leaderOf(topic, index)
        if (leader === null) isLost = true
        else byLeader.set(leader.id, [...(byLeader.get(leader.id) ?? []), at])
      }
      const well = await Promise.all([...byLeader].map(([leader, which]) => this.#fetch(leader, which)))
      if (isLost || well.includes(false)) await this.client.metadata(this.#topics()).catch(ignoreNoAnswer)
      if (random.chance(0.1)) await this.#checkLatest()
      await this.pause(this.#pauseMs)
    }
  }

  #topics(): string[] {
    return [...new Set(this.#positions.map(({ topic }) => topic))]
  }

  async #fetch(leader: number, which: readonly number[]): Promise<boolean> {
    const positions = which.map((at) => {
      const position = this.#positions[at]!
      return { ...position, leaderEpoch: this.client.leaderOf(position.topic, position.index)?.epoch ?? -1 }
    })
    const maxBytes = this.context.cluster.sim.random.pick([200, 2_000, 1 << 20])
    const answers = await this.client.fetch(leader, positions, { maxBytes }).catch(ignoreNoAnswer)
    if (answers === null) return false
    let isWell = true
    for (const [i, { position, fetched }] of answers.entries()) {
      const name = `${position.topic}-${position.index}`
      const { errorCode, divergingEpoch, records } = fetched
      if (errorCode !== 0) {
        assert(mayTryAgain(errorCode), `fetch of ${name} at ${position.offset}: ${errorName(errorCode)}`)
        isWell = false
        continue
      }
      assert.equal(
        divergingEpoch.endOffset,
        -1,
        `S3: ${name} parts at ${divergingEpoch.endOffset} from what was read up to ${position.offset}`,
      )
      this.#read(which[i]!, position, records ?? Buffer.alloc(0))
    }
    return isWell
  }

  #read(at: number, position: Position, records: Buffer): void {
    const { topic, index } = position
    let { offset, lastEpoch } = position
    const problem = readValues(records, offset, (value, valueOffset) => {
      this.context.ledger.consumed(`${topic}-${index}`, valueOffset, value)
      offset = valueOffset + 1
    })
    assert.equal(problem, null, `${topic}-${index} read at ${position.offset}`)
    for (let start = 0; start < records.length; start += batch.batchSizeBytes(records, start))
      lastEpoch = batch.partitionLeaderEpoch(records, start)
    this.#positions[at] = { ...position, offset, lastEpoch }
  }

  /** No leader says that the partition ends before what was committed already. */
  async #checkLatest(): Promise<void> {
    const { cluster, ledger } = this.context
    const { topic, index } = cluster.sim.random.pick(this.#positions)
    const leader = this.client.leaderOf(topic, index)
    if (leader === null) return
    // One that was a leader once, and has not heard of the next, may say anything that was.
    const state = await cluster.state(topic, index)
    if (state?.leader !== leader.id || state.leader_epoch !== leader.epoch) return
    const before = ledger.committedEnd(`${topic}-${index}`)
    const answer = await this.client
      .listOffset(leader.id, topic, index, LATEST, leader.epoch)
      .catch(ignoreNoAnswer)
    if (answer === null) return
    if (answer.errorCode === 0)
      assert(
        answer.offset >= before,
        `S3: ${topic}-${index} ends at ${answer.offset}, says ${leader.id} in epoch ${leader.epoch}, and ${before} were committed`,
      )
    else assert(mayTryAgain(answer.errorCode), `latest of ${topic}-${index}: ${errorName(answer.errorCode)}`)
  }
}

/** Commits offsets that only grow, and looks whether they do. */
export class RunCommitter extends RunClient {
  readonly offsets = new OffsetLedger()
  readonly #groupId: string
  readonly #topic: string
  readonly #pauseMs: number

  constructor(
    context: RunContext,
    options: { readonly groupId: string; readonly topic: string; readonly pauseMs: number },
  ) {
    super(context)
    this.#groupId = options.groupId
    this.#topic = options.topic
    this.#pauseMs = options.pauseMs
  }

  protected async work(): Promise<void> {
    let coordinator: number | null = null
    const { random } = this.context.cluster.sim
    while (!this.stopping) {
      coordinator ??= await this.client.findCoordinator(this.#groupId).catch(ignoreNoAnswer)
      if (coordinator === null) {
        await this.pause(200)
        continue
      }
      const isWell = random.chance(0.3) ? await this.#look(coordinator) : await this.#commit(coordinator)
      if (!isWell) coordinator = null
      await this.pause(isWell ? this.#pauseMs : 100)
    }
  }

  async #commit(coordinator: number): Promise<boolean> {
    const offset = this.offsets.next
    this.offsets.asked(offset)
    const errorCode = await this.client
      .commitOffset(coordinator, this.#groupId, this.#topic, 0, offset)
      .catch(ignoreNoAnswer)
    if (errorCode !== 0) this.offsets.unanswered(offset)
    if (errorCode === null) return false
    assert(errorCode === 0 || mayTryAgain(errorCode), `commit: ${errorName(errorCode)}`)
    if (errorCode === 0) this.offsets.acknowledged(offset)
    return errorCode === 0
  }

  /** What is committed in the end. False: nobody could say. */
  async lookAgain(): Promise<boolean> {
    const coordinator = await this.client.findCoordinator(this.#groupId).catch(ignoreNoAnswer)
    return coordinator !== null && (await this.#look(coordinator))
  }

  /** False: this one could not say. */
  async #look(coordinator: number): Promise<boolean> {
    const atLeast = this.offsets.acknowledgedOffset
    const answer = await this.client
      .committedOffset(coordinator, this.#groupId, this.#topic, 0)
      .catch(ignoreNoAnswer)
    if (answer === null) return false
    const { errorCode, offset } = answer
    assert(errorCode === 0 || mayTryAgain(errorCode), `committed offset: ${errorName(errorCode)}`)
    if (errorCode !== 0) return false
    // One that was cut off and does not know of its successor says what it knows, as in Kafka; what it takes nobody confirms.
    if (offset < atLeast && (await this.context.cluster.isBehind(coordinator, OFFSETS_TOPIC))) return false
    this.offsets.found(offset, atLeast)
    return true
  }
}
