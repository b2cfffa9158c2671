/**
 * Producers that remember what the broker promised, and a check of what is there: every acked record at its
 * offset, offsets without gaps, and with idempotence every record once.
 */
import assert from 'node:assert/strict'
import { createTopicsRequest, createTopicsResponse } from '../../protocol/messages/19-create-topics.ts'
import { fetchRequest, fetchResponse } from '../../protocol/messages/01-fetch.ts'
import { initProducerIdRequest, initProducerIdResponse } from '../../protocol/messages/22-init-producer-id.ts'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import {
  BATCH_OVERHEAD,
  baseOffset,
  batchSizeBytes,
  lastOffset,
  recordCount,
} from '../../protocol/records/record-batch.ts'
import { RecordReader } from '../../protocol/records/record-reader.ts'
import { buildBatch } from '../../protocol/records/record-builder.ts'
import { RawClient } from '../support/raw-client.ts'

const produceCall = { request: produceRequest, response: produceResponse, version: 7 }
const fetchCall = { request: fetchRequest, response: fetchResponse, version: 11 }
const createTopicsCall = { request: createTopicsRequest, response: createTopicsResponse, version: 4 }
const initProducerIdCall = { request: initProducerIdRequest, response: initProducerIdResponse, version: 1 }

const IN_FLIGHT = 5

interface Batch {
  readonly values: readonly string[]
  readonly sequence: number
}

export async function createTopic(port: number, name: string, numPartitions: number): Promise<void> {
  const client = await RawClient.connect(port)
  const { topics } = await client.send(createTopicsCall, {
    topics: [{ name, numPartitions, replicationFactor: 1, assignments: [], configs: [] }],
    timeoutMs: 10_000,
  })
  assert.equal(topics[0]?.errorCode, 0)
  client.close()
}

/** One producer for one partition. It lives on while brokers die: unanswered batches are sent again, in order. */
export class Producer {
  readonly acked = new Map<number, string>()
  readonly #topic: string
  readonly #partition: number
  readonly #acks: number
  readonly #idempotent: boolean
  #producerId = -1
  #sequence = 0
  #counter = 0
  #unanswered: Batch[] = []
  #client: RawClient | null = null

  constructor(topic: string, partition: number, acks: number, idempotent: boolean) {
    this.#topic = topic
    this.#partition = partition
    this.#acks = acks
    this.#idempotent = idempotent
  }

  /** Produces until the connection dies or `stop` says so; never more than five requests are unanswered. */
  async run(port: number, stop: () => boolean): Promise<void> {
    try {
      const client = await RawClient.connect(port)
      this.#client = client
      if (this.#idempotent && this.#producerId === -1) await this.#initialise(client)
      // What is unanswered may be written or not: only a producer with sequences may send it again.
      const again = this.#idempotent ? this.#unanswered : []
      this.#unanswered = [...again]
      const underWay = new Set<Promise<void>>()
      const launch = (batch: Batch): void => {
        const sending = this.#send(client, batch).finally(() => underWay.delete(sending))
        underWay.add(sending)
      }
      for (const batch of again) launch(batch)
      while (!stop() && !client.closed) {
        if (underWay.size < IN_FLIGHT) {
          const batch = this.#next()
          this.#unanswered.push(batch)
          launch(batch)
        } else {
          await Promise.race(underWay)
        }
      }
      await Promise.all(underWay)
      client.close()
    } catch (error) {
      if (!(error instanceof Error) || error.message !== 'connection closed') {
        if (!isConnectError(error)) throw error
      }
    }
  }

  disconnect(): void {
    this.#client?.close()
  }

  async #initialise(client: RawClient): Promise<void> {
    const answer = await client.send(initProducerIdCall, { transactionalId: null, transactionTimeoutMs: 0 })
    assert.equal(answer.errorCode, 0)
    this.#producerId = answer.producerId
  }

  #next(): Batch {
    const count = 1 + (this.#counter % 7)
    const values = Array.from({ length: count }, () => `${this.#partition}/${this.#counter++}`)
    const batch = { values, sequence: this.#sequence }
    this.#sequence += count
    return batch
  }

  async #send(client: RawClient, batch: Batch): Promise<void> {
    const identity = this.#idempotent
      ? { producerId: this.#producerId, producerEpoch: 0, baseSequence: batch.sequence }
      : {}
    const records = buildBatch(
      batch.values.map((value) => ({ key: null, value: Buffer.from(value), timestampMs: Date.now() })),
      identity,
    )
    const answer = await client.send(produceCall, {
      transactionalId: null,
      acks: this.#acks,
      timeoutMs: 10_000,
      topicData: [{ name: this.#topic, partitionData: [{ index: this.#partition, records }] }],
    })
    const result = answer.responses[0]!.partitionResponses[0]!
    assert.equal(result.errorCode, 0, `produce failed with ${result.errorCode}`)
    batch.values.forEach((value, i) => this.acked.set(result.baseOffset + i, value))
    this.#unanswered = this.#unanswered.filter((other) => other !== batch)
  }
}

function isConnectError(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    (error.code === 'ECONNREFUSED' || error.code === 'ECONNRESET')
  )
}

/** Every record of a partition by offset; asserts that offsets have no gaps. */
export async function readPartition(port: number, topic: string, partition: number): Promise<string[]> {
  const client = await RawClient.connect(port)
  const values: string[] = []
  for (;;) {
    const answer = await client.send(fetchCall, {
      replicaId: -1,
      maxWaitMs: 0,
      minBytes: 1,
      maxBytes: 10_000_000,
      isolationLevel: 0,
      sessionId: 0,
      sessionEpoch: -1,
      topics: [
        { topic, partitions: [{ partition, fetchOffset: values.length, partitionMaxBytes: 10_000_000 }] },
      ],
      forgottenTopicsData: [],
      rackId: '',
    })
    const { errorCode, records, highWatermark } = answer.responses[0]!.partitions[0]!
    assert.equal(errorCode, 0)
    if (records === null || records.length === 0) {
      assert.equal(values.length, highWatermark, 'everything below the high watermark can be read')
      client.close()
      return values
    }
    for (let at = 0; at < records.length; at += batchSizeBytes(records, at)) {
      assert.equal(baseOffset(records, at), values.length, 'offsets are dense')
      const end = at + batchSizeBytes(records, at)
      const reader = new RecordReader(records, recordCount(records, at), at + BATCH_OVERHEAD, end)
      while (reader.next()) values.push(reader.value()!.toString())
      assert.equal(lastOffset(records, at), values.length - 1)
    }
  }
}

export function check(acked: ReadonlyMap<number, string>, found: readonly string[], unique: boolean): void {
  for (const [offset, value] of acked)
    assert.equal(found[offset], value, `the acked record at offset ${offset}`)
  if (unique) assert.equal(new Set(found).size, found.length, 'no record is there twice')
}
