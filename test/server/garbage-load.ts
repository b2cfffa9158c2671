/**
 * A broker in this process, and clients whose fetches wait for what another one produces. Prints how many bytes of
 * garbage a small collection left behind; run with `--expose-gc`.
 */
import assert from 'node:assert/strict'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import { fetchRequest, fetchResponse } from '../../protocol/messages/01-fetch.ts'
import { buildBatch } from '../../protocol/records/record-builder.ts'
import { Broker } from '../../src/index.ts'
import { RawClient } from '../support/raw-client.ts'

const produce = { request: produceRequest, response: produceResponse, version: 9 } as const
const fetch = { request: fetchRequest, response: fetchResponse, version: 12 } as const

/** More than a request may name and be looked at without steps. */
const PARTITIONS = 20
const FETCHERS = 4
const ROUNDS_BEFORE = 500
const ROUNDS = 1_500

class Fetcher {
  readonly #client: RawClient
  readonly #offsets = Array.from({ length: PARTITIONS }, () => 0)

  constructor(client: RawClient) {
    this.#client = client
  }

  /** Until there is something new. */
  async fetch(): Promise<void> {
    const partitions = this.#offsets.map((fetchOffset, partition) => ({
      partition,
      fetchOffset,
      partitionMaxBytes: 1 << 20,
    }))
    const { responses } = await this.#client.send(fetch, {
      maxWaitMs: 30_000,
      minBytes: 1,
      topics: [{ topic: 't', partitions }],
    })
    for (const { partitionIndex, errorCode, highWatermark } of responses[0]!.partitions) {
      assert.equal(errorCode, 0)
      this.#offsets[partitionIndex] = highWatermark
    }
  }

  close(): void {
    this.#client.close()
  }
}

async function round(producer: RawClient, fetchers: readonly Fetcher[], number: number): Promise<void> {
  const fetched = fetchers.map((fetcher) => fetcher.fetch())
  const records = buildBatch([{ key: null, value: Buffer.alloc(1_000, number), timestampMs: Date.now() }])
  const topicData = [{ name: 't', partitionData: [{ index: number % PARTITIONS, records }] }]
  const { responses } = await producer.send(produce, { acks: -1, timeoutMs: 30_000, topicData })
  assert.equal(responses[0]!.partitionResponses[0]!.errorCode, 0)
  await Promise.all(fetched)
}

/** Node.js offers it only when asked to. */
const { gc: collect } = globalThis as unknown as { gc: (options?: { type: 'minor' }) => void }

const broker = await Broker.start()
await broker.createTopics([{ name: 't', partitions: PARTITIONS }])
const producer = await RawClient.connect(broker.port)
const fetchers = await Promise.all(
  Array.from({ length: FETCHERS }, async () => new Fetcher(await RawClient.connect(broker.port))),
)
for (let number = 0; number < ROUNDS_BEFORE; number++) await round(producer, fetchers, number)
// All that lives now is old.
collect()
collect()
for (let number = 0; number < ROUNDS; number++) await round(producer, fetchers, number)
collect({ type: 'minor' })
const withGarbage = process.memoryUsage().heapUsed
collect()
console.log(JSON.stringify({ garbageBytes: withGarbage - process.memoryUsage().heapUsed }))
for (const client of [producer, ...fetchers]) client.close()
await broker.stop()
