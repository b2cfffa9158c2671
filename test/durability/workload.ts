/** Producers that remember what the broker promised, and readers that look at every byte. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { fetchRequest, fetchResponse } from '../../protocol/messages/01-fetch.ts'
import { initProducerIdRequest, initProducerIdResponse } from '../../protocol/messages/22-init-producer-id.ts'
import { listOffsetsRequest, listOffsetsResponse } from '../../protocol/messages/02-list-offsets.ts'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import { ErrorCode, errorName } from '../../protocol/errors.ts'
import {
  BATCH_OVERHEAD,
  baseOffset,
  batchProblem,
  batchSizeBytes,
  lastOffset,
  LOG_OVERHEAD,
  recordCount,
} from '../../protocol/records/record-batch.ts'
import { RecordReader } from '../../protocol/records/record-reader.ts'
import { buildBatch } from '../../protocol/records/record-builder.ts'
import { RawClient } from '../support/raw-client.ts'
import type { Seeded } from '../support/seed.ts'
import type { Contents } from './contents.ts'

const produceCall = { request: produceRequest, response: produceResponse, version: 7 }
const fetchCall = { request: fetchRequest, response: fetchResponse, version: 11 }
const listOffsetsCall = { request: listOffsetsRequest, response: listOffsetsResponse, version: 1 }
const initProducerIdCall = { request: initProducerIdRequest, response: initProducerIdResponse, version: 1 }

const IN_FLIGHT = 5
/** Batches have 1 KiB to 64 KiB, roughly. */
const LEAST_BATCH_BYTES = 1 << 10
const BATCH_DOUBLINGS = 6
const EARLIEST = -2
const READ_BYTES = 1 << 20
/** A broker that serves may still need a moment until every partition has its leader. */
const LEADER_TIMEOUT_MS = 30_000

const noLeaderYet: ReadonlySet<number> = new Set([
  ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ErrorCode.LEADER_NOT_AVAILABLE,
  ErrorCode.NOT_LEADER_OR_FOLLOWER,
])

export interface ProducerOptions {
  readonly topic: string
  readonly partition: number
  /** Whose values these are; one producer per stream. */
  readonly stream: number
  readonly contents: Contents
  readonly random: Seeded
  readonly acks: 1 | -1
  readonly idempotent: boolean
  /** Default: as fast as it goes. */
  readonly bytesPerSecond?: number
}

/** A batch that was acknowledged: `count` records from `baseOffset` with the counters from `first`. */
export interface AckedBatch {
  readonly baseOffset: number
  readonly first: number
  readonly count: number
  /** Monotonic milliseconds at which the answer was here. */
  readonly atMs: number
}

interface Batch {
  readonly first: number
  readonly values: readonly Buffer[]
  readonly sequence: number
}

/** One producer for one partition. It lives on while brokers die: an idempotent one sends again what is unanswered. */
export class Producer {
  readonly options: ProducerOptions
  /** Since `forget`, in the order of the answers. */
  acked: AckedBatch[] = []
  /** Counters below were sent. */
  nextCounter = 0
  sentBytes = 0
  /** Error codes that answers carried. After one of them a run sends nothing new. */
  errors: number[] = []
  /** The same in words. */
  complaints: string[] = []
  #producerId = -1
  #sequence = 0
  #unanswered: Batch[] = []

  constructor(options: ProducerOptions) {
    this.options = options
  }

  get producerId(): number {
    return this.#producerId
  }

  /** Batches that were sent and not acknowledged. */
  get unanswered(): number {
    return this.#unanswered.length
  }

  /** No later run sends a counter below. */
  get resendFrom(): number {
    return (this.options.idempotent ? this.#unanswered[0]?.first : undefined) ?? this.nextCounter
  }

  /** What was acknowledged is checked and done with. */
  forget(): void {
    this.acked = []
    this.errors = []
    this.complaints = []
  }

  /** Under a new producer id: after a broker that may have forgotten what it answered. */
  renew(): void {
    this.#producerId = -1
    this.#sequence = 0
    this.#unanswered = []
  }

  /** Produces until the connection dies, an error is answered or `stop` says so; at most five requests are unanswered. */
  async run(port: number, stop: () => boolean): Promise<void> {
    const client = await connect(port)
    if (client === null) return
    try {
      if (this.options.idempotent && this.#producerId === -1 && !(await this.#initialise(client))) return
      // What is unanswered may be written or not: only a producer with sequences may send it again.
      const again = this.options.idempotent ? this.#unanswered : []
      this.#unanswered = [...again]
      const underWay = new Set<Promise<void>>()
      const launch = (batch: Batch): void => {
        const sending = this.#send(client, batch).finally(() => underWay.delete(sending))
        underWay.add(sending)
      }
      for (const batch of again) launch(batch)
      const startedMs = performance.now()
      const startedBytes = this.sentBytes
      while (!stop() && !client.closed && this.errors.length === 0) {
        if (underWay.size >= IN_FLIGHT) await Promise.race(underWay)
        else if (this.#isAhead(startedMs, startedBytes)) await sleep(2)
        else launch(this.#next())
      }
      await Promise.all(underWay)
    } finally {
      client.close()
    }
  }

  #isAhead(startedMs: number, startedBytes: number): boolean {
    const { bytesPerSecond } = this.options
    if (bytesPerSecond === undefined) return false
    return this.sentBytes - startedBytes > ((performance.now() - startedMs) / 1_000) * bytesPerSecond
  }

  #complaint({ first, values, sequence }: Batch, errorCode: number): string {
    const { topic, partition, acks } = this.options
    const whose =
      this.#producerId < 0 ? 'no producer id' : `producer ${this.#producerId} from sequence ${sequence}`
    const records = `records ${first} to ${first + values.length - 1}`
    const ackedTo = this.acked.at(-1)
    const after = ackedTo === undefined ? 'nothing' : `record ${ackedTo.first + ackedTo.count - 1}`
    return `Produce (acks=${acks}) of ${records} to ${topic}-${partition}, ${whose}, after ${after} was acknowledged: ${errorName(errorCode)}`
  }

  async #initialise(client: RawClient): Promise<boolean> {
    const until = performance.now() + LEADER_TIMEOUT_MS
    while (performance.now() < until) {
      const asked = client.send(initProducerIdCall, { transactionalId: null, transactionTimeoutMs: 0 })
      const answer = await unlessClosed(client, asked)
      if (answer === null) return false
      if (answer.errorCode === 0) {
        this.#producerId = answer.producerId
        return true
      }
      await sleep(20)
    }
    throw new Error('no producer id was given')
  }

  #next(): Batch {
    const { stream, contents, random } = this.options
    // Small and large batches as often: what is drawn is the power of two.
    const wanted = LEAST_BATCH_BYTES * 2 ** (BATCH_DOUBLINGS * (random.uint32() / 2 ** 32))
    const first = this.nextCounter
    const values: Buffer[] = []
    for (let bytes = 0; bytes < wanted;) {
      const value = contents.value(stream, this.nextCounter++)
      values.push(value)
      bytes += value.length
    }
    const batch = { first, values, sequence: this.#sequence }
    this.#sequence += values.length
    this.#unanswered.push(batch)
    return batch
  }

  async #send(client: RawClient, batch: Batch): Promise<void> {
    const identity = this.options.idempotent
      ? { producerId: this.#producerId, producerEpoch: 0, baseSequence: batch.sequence }
      : {}
    const timestampMs = Date.now()
    const records = buildBatch(
      batch.values.map((value) => ({ key: null, value, timestampMs })),
      identity,
    )
    this.sentBytes += records.length
    const { topic, partition, acks } = this.options
    const asked = client.send(produceCall, {
      transactionalId: null,
      acks,
      timeoutMs: 30_000,
      topicData: [{ name: topic, partitionData: [{ index: partition, records }] }],
    })
    const answer = await unlessClosed(client, asked)
    if (answer === null) return
    const result = answer.responses[0]!.partitionResponses[0]!
    if (result.errorCode !== 0) {
      this.errors.push(result.errorCode)
      this.complaints.push(this.#complaint(batch, result.errorCode))
      return
    }
    const { first } = batch
    this.acked.push({
      baseOffset: result.baseOffset,
      first,
      count: batch.values.length,
      atMs: performance.now(),
    })
    this.#unanswered = this.#unanswered.filter((other) => other !== batch)
  }
}

/** Null when nobody listens (any more). */
async function connect(port: number): Promise<RawClient | null> {
  try {
    return await RawClient.connect(port)
  } catch (error) {
    if (
      error instanceof Error &&
      'code' in error &&
      ['ECONNREFUSED', 'ECONNRESET'].includes(String(error.code))
    )
      return null
    throw error
  }
}

/** Null when the connection closed before the answer came. */
async function unlessClosed<T>(client: RawClient, answer: Promise<T>): Promise<T | null> {
  try {
    return await answer
  } catch (error) {
    if (client.closed) return null
    throw error
  }
}

/** What a partition holds: the counter of each record, from `startOffset` on. */
export interface FoundLog {
  readonly startOffset: number
  readonly counters: readonly number[]
  /** Of all batches. */
  readonly sizeBytes: number
}

export function endOffset(found: FoundLog): number {
  return found.startOffset + found.counters.length
}

/** A log that cannot be read to its end, with what could be. */
export class BrokenLog extends Error {
  readonly found: FoundLog

  constructor(found: FoundLog, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.found = found
  }
}

/**
 * Reads a whole partition. Throws BrokenLog when an offset is missing, a checksum or a byte of a value is wrong, or less can
 * be read than the high watermark says. The log may lose its first segments meanwhile.
 */
export async function readPartition(
  port: number,
  of: Pick<ProducerOptions, 'topic' | 'partition' | 'stream' | 'contents'>,
): Promise<FoundLog> {
  const client = await RawClient.connect(port)
  try {
    for (let attempt = 0; attempt < 50; attempt++) {
      const found = await readFrom(client, of, await startOffsetOf(client, of.topic, of.partition))
      if (found !== null) return found
    }
    throw new Error(`${of.topic}-${of.partition}: the log start moves faster than it can be read`)
  } finally {
    client.close()
  }
}

async function startOffsetOf(client: RawClient, topic: string, partitionIndex: number): Promise<number> {
  const until = performance.now() + LEADER_TIMEOUT_MS
  for (;;) {
    const answer = await client.send(listOffsetsCall, {
      replicaId: -1,
      topics: [{ name: topic, partitions: [{ partitionIndex, timestamp: EARLIEST }] }],
    })
    const { errorCode, offset } = answer.topics[0]!.partitions[0]!
    if (errorCode === 0) return offset
    if (!noLeaderYet.has(errorCode) || performance.now() > until)
      throw new Error(`ListOffsets of ${topic}-${partitionIndex} answered ${errorName(errorCode)}`)
    await sleep(20)
  }
}

/** Null when the log begins later by now. */
async function readFrom(
  client: RawClient,
  of: Pick<ProducerOptions, 'topic' | 'partition' | 'stream' | 'contents'>,
  startOffset: number,
): Promise<FoundLog | null> {
  const counters: number[] = []
  let sizeBytes = 0
  for (;;) {
    const found = { startOffset, counters, sizeBytes }
    const answer = await fetch(client, of.topic, of.partition, endOffset(found))
    if (answer.errorCode === ErrorCode.OFFSET_OUT_OF_RANGE) return null
    try {
      assert.equal(answer.errorCode, 0, `Fetch answered ${errorName(answer.errorCode)}`)
      const { records, highWatermark } = answer
      if (records === null || records.length === 0) {
        assert.equal(endOffset(found), highWatermark, 'the high watermark is the end of what can be read')
        return found
      }
      sizeBytes += takeBatches(records, of, startOffset, counters)
    } catch (error) {
      throw new BrokenLog(found, error)
    }
  }
}

/** Appends the counters of all whole batches; their bytes. */
function takeBatches(
  records: Buffer,
  of: Pick<ProducerOptions, 'stream' | 'contents'>,
  startOffset: number,
  counters: number[],
): number {
  let at = 0
  while (at < records.length) {
    // An answer may end anywhere in a batch, except in its first.
    if (at > 0 && (at + LOG_OVERHEAD > records.length || at + batchSizeBytes(records, at) > records.length))
      return at
    const next = startOffset + counters.length
    assert.equal(batchProblem(records, at, records.length), null, `the batch at offset ${next}`)
    const end = at + batchSizeBytes(records, at)
    assert.equal(baseOffset(records, at), next, 'offsets are dense')
    const reader = new RecordReader(records, recordCount(records, at), at + BATCH_OVERHEAD, end)
    while (reader.next()) {
      const counter = of.contents.counterOf(of.stream, reader.value() ?? Buffer.alloc(0))
      assert.ok(counter >= 0, `nobody sent the record at offset ${startOffset + counters.length}`)
      counters.push(counter)
    }
    assert.equal(lastOffset(records, at), startOffset + counters.length - 1, `the batch at offset ${next}`)
    at = end
  }
  return at
}

async function fetch(client: RawClient, topic: string, partition: number, fetchOffset: number) {
  const answer = await client.send(fetchCall, {
    replicaId: -1,
    maxWaitMs: 0,
    minBytes: 1,
    maxBytes: READ_BYTES,
    isolationLevel: 0,
    sessionId: 0,
    sessionEpoch: -1,
    topics: [{ topic, partitions: [{ partition, fetchOffset, partitionMaxBytes: READ_BYTES }] }],
    forgottenTopicsData: [],
    rackId: '',
  })
  return answer.responses[0]!.partitions[0]!
}
