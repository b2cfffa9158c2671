/** Clients that ask for much and take nothing, or next to nothing, under the default configuration. */
import assert from 'node:assert/strict'
import net from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ErrorCode } from '../../protocol/errors.ts'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import { fetchRequest, fetchResponse } from '../../protocol/messages/01-fetch.ts'
import { metadataRequest } from '../../protocol/messages/03-metadata.ts'
import { createTopicsRequest, createTopicsResponse } from '../../protocol/messages/19-create-topics.ts'
import { buildBatch } from '../../protocol/records/record-builder.ts'
import { RawClient } from '../support/raw-client.ts'
import { Attacker, requestFrame } from './attacker.ts'
import { startTarget, within } from './target.ts'
import type { Target } from './target.ts'

const MIB = 1024 * 1024
const ATTACKERS = 40
const LONG_TOPICS = 300
const CLOSED = 'client does not read its answers'

const produce = { request: produceRequest, response: produceResponse, version: 9 } as const
const fetch = { request: fetchRequest, response: fetchResponse, version: 12 } as const
const createTopics = { request: createTopicsRequest, response: createTopicsResponse, version: 7 } as const

const fetchBody = {
  maxWaitMs: 0,
  minBytes: 1,
  topics: [{ topic: 'large', partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 8 * MIB }] }],
}
const requests = {
  Fetch: requestFrame(fetchRequest, 12, fetchBody),
  Metadata: requestFrame(metadataRequest, 12, { topics: null }),
}

let target: Target

before(async () => {
  target = await startTarget()
  const client = await RawClient.connect(target.port)
  const names = ['large', ...Array.from({ length: LONG_TOPICS }, (_, i) => `${i}-`.padEnd(240, 'x'))]
  const topics = names.map((name) => ({
    name,
    numPartitions: 1,
    replicationFactor: 1,
    assignments: [],
    configs: [],
  }))
  const created = await within(client.send(createTopics, { topics, timeoutMs: 20_000 }))
  assert.ok(created.topics.every(({ errorCode }) => errorCode === ErrorCode.NONE))
  const value = Buffer.alloc(900_000, 1)
  const records = buildBatch([{ key: null, value, timestampMs: 1_700_000_000_000 }])
  for (let i = 0; i < 8; i++) {
    const topicData = [{ name: 'large', partitionData: [{ index: 0, records }] }]
    const { responses } = await within(client.send(produce, { acks: 1, timeoutMs: 5_000, topicData }))
    assert.equal(responses[0]!.partitionResponses[0]!.errorCode, ErrorCode.NONE)
  }
  client.close()
})

after(() => target[Symbol.asyncDispose]())

/** Somebody who asks for the same and reads it. */
async function readerGoesOn(times: number): Promise<void> {
  const reader = await RawClient.connect(target.port)
  for (let i = 0; i < times; i++) {
    const { responses } = await within(reader.send(fetch, fetchBody))
    assert.ok((responses[0]!.partitions[0]!.records?.length ?? 0) > 900_000)
  }
  reader.close()
}

/** Takes a byte every now and then, so that nobody can say it takes nothing. */
class Sipper {
  readonly #socket: net.Socket
  readonly #timer: NodeJS.Timeout
  bytes = 0

  constructor(port: number, requests: Buffer) {
    const onread = { buffer: Buffer.alloc(1), callback: () => (this.bytes++, false) }
    this.#socket = net.connect({ port, host: '127.0.0.1', onread })
    this.#socket.on('error', () => {})
    this.#socket.write(requests)
    this.#timer = setInterval(() => this.#socket.resume(), 100)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#socket.destroy()
  }
}

const linesOf = async (text: string): Promise<number> => (await target.log()).split(text).length - 1

for (const [api, frame] of Object.entries(requests)) {
  test(`${api} answers that nobody reads`, async () => {
    await target.survives(async () => {
      const attackers = await Promise.all(
        Array.from({ length: ATTACKERS }, () => Attacker.connect(target.port)),
      )
      const many = Buffer.concat(Array.from({ length: 1_000 }, () => frame))
      for (const attacker of attackers) {
        attacker.stopReading()
        attacker.write(many)
      }
      const sippers = Array.from({ length: ATTACKERS }, () => new Sipper(target.port, many))
      await readerGoesOn(50)
      // Others wait for that memory, so it does not take the minute that a slow client otherwise has.
      const before = await linesOf(CLOSED)
      const startedMs = performance.now()
      while ((await linesOf(CLOSED)) === before) {
        await sleep(100)
        assert.ok(performance.now() - startedMs < 40_000, 'nobody was disconnected')
      }
      await readerGoesOn(50)
      assert.ok(sippers.every(({ bytes }) => bytes > 0))
      for (const sipper of sippers) sipper.stop()
      for (const attacker of attackers) attacker.destroy()
    })
  })
}
