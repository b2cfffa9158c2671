/**
 * Clients that leave in whatever state a connection can be in, all at once and again and again: nothing of them is left.
 * What is counted comes back to nothing after each round, and memory does not grow with the number of rounds.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import { fetchRequest } from '../../protocol/messages/01-fetch.ts'
import { metadataRequest } from '../../protocol/messages/03-metadata.ts'
import { joinGroupRequest } from '../../protocol/messages/11-join-group.ts'
import { saslHandshakeRequest } from '../../protocol/messages/17-sasl-handshake.ts'
import { createTopicsRequest, createTopicsResponse } from '../../protocol/messages/19-create-topics.ts'
import { buildBatch } from '../../protocol/records/record-builder.ts'
import { freePort } from '../support/processes.ts'
import { RawClient } from '../support/raw-client.ts'
import { Attacker, requestFrame } from './attacker.ts'
import { residentBytes, startTarget, within } from './target.ts'
import type { Target } from './target.ts'

const MIB = 1024 * 1024
const ROUNDS = 8
/** The first rounds fill pools and compile code. */
const FIRST_ROUNDS = 3
/** Between two rounds, for the garbage of one that was not collected yet. */
const MAX_DRIFT_BYTES = 64 * MIB
const CLIENTS_OF_EACH = 8

const createTopics = { request: createTopicsRequest, response: createTopicsResponse, version: 7 } as const
const produceApi = { request: produceRequest, response: produceResponse, version: 9 } as const

function produceBody(valueBytes: number) {
  const records = buildBatch([
    { key: null, value: Buffer.alloc(valueBytes, 1), timestampMs: 1_700_000_000_000 },
  ])
  const topicData = [{ name: 't', partitionData: [{ index: 0, records }] }]
  return { transactionalId: null, acks: 1, timeoutMs: 5_000, topicData }
}

const produce = (valueBytes: number): Buffer => requestFrame(produceRequest, 9, produceBody(valueBytes))

function fetch(maxWaitMs: number, fetchOffset: number): Buffer {
  const partitions = [{ partition: 0, fetchOffset, partitionMaxBytes: 8 * MIB }]
  return requestFrame(fetchRequest, 12, { maxWaitMs, minBytes: 1, topics: [{ topic: 't', partitions }] })
}

const large = produce(900_000)
const topics = Array.from({ length: 1_500 }, (_, index) => ({ name: `n${index}-${'x'.repeat(20)}` }))
const many = requestFrame(metadataRequest, 12, { topics, allowAutoTopicCreation: false })
const times = (count: number, frame: Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, () => frame))

/** What a client has sent when it leaves. */
const states: Readonly<Record<string, { readonly bytes: Buffer; readonly reads?: false }>> = {
  'a part of a size': { bytes: large.subarray(0, 3) },
  'a part of a header': { bytes: large.subarray(0, 7) },
  'half of a small produce': { bytes: produce(20_000).subarray(0, 10_000) },
  'half of a large produce': { bytes: large.subarray(0, 450_000) },
  'half of another request': { bytes: many.subarray(0, many.length / 2) },
  'many large produces, which wait for memory and for the disk': { bytes: times(2, large) },
  'requests of many elements, which wait for each other': { bytes: times(2, many) },
  'answers that it does not read': { bytes: times(40, fetch(0, 0)), reads: false },
  'a fetch that waits, and requests behind it': {
    bytes: Buffer.concat([fetch(60_000, 1_000_000_000), times(20, produce(500))]),
  },
  'a join that waits': {
    bytes: requestFrame(joinGroupRequest, 3, {
      groupId: 'g',
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 10_000,
      memberId: '',
      protocolType: 'consumer',
      protocols: [{ name: 'range', metadata: Buffer.alloc(60_000) }],
    }),
  },
  'a login that has begun': { bytes: requestFrame(saslHandshakeRequest, 1, { mechanism: 'PLAIN' }) },
}

let target: Target
let adminPort: number
let startedWith: number

before(async () => {
  adminPort = await freePort()
  target = await startTarget({ 'samsa.admin.listener': `127.0.0.1:${adminPort}` })
  const client = await RawClient.connect(target.port)
  const topic = { name: 't', numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }
  await within(client.send(createTopics, { topics: [topic], timeoutMs: 5_000 }))
  await within(client.send(produceApi, produceBody(900_000)))
  client.close()
  startedWith = residentBytes(target.server.pid)
})

after(() => target[Symbol.asyncDispose]())

/** What the broker counts of clients. */
async function counted(): Promise<Readonly<Record<string, number>>> {
  const text = await (await globalThis.fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()
  const names = [
    'kafka_server_socketservermetrics_connection_count',
    'kafka_network_memorypoolused',
    'samsa_server_unread_answer_bytes',
  ]
  return Object.fromEntries(
    names.map((name) => [name, Number(new RegExp(`^${name}(?:{.*})? (\\S+)$`, 'm').exec(text)?.[1])]),
  )
}

async function nothingLeft(): Promise<void> {
  const sinceMs = performance.now()
  for (;;) {
    const figures = await counted()
    if (Object.values(figures).every((value) => value === 0)) return
    if (performance.now() - sinceMs > 60_000) assert.fail(`something is left: ${JSON.stringify(figures)}`)
    await sleep(50)
  }
}

async function round(): Promise<void> {
  const all = Object.values(states).flatMap((state) =>
    Array.from({ length: CLIENTS_OF_EACH }, async () => {
      const attacker = await Attacker.connect(target.port)
      if (state.reads === false) attacker.stopReading()
      attacker.write(state.bytes)
      return attacker
    }),
  )
  const attackers = await Promise.all(all)
  await sleep(100)
  for (const attacker of attackers) attacker.destroy()
}

test('whatever a client has sent when it leaves, nothing of it is left, and memory does not add up', async () => {
  let peak = 0
  const watch = setInterval(() => (peak = Math.max(peak, residentBytes(target.server.pid))), 20)
  const after: number[] = []
  try {
    for (let i = 0; i < ROUNDS; i++) {
      await round()
      await nothingLeft()
      after.push(residentBytes(target.server.pid))
    }
  } finally {
    clearInterval(watch)
  }
  const inMib = after.map((bytes) => Math.round((bytes - startedWith) / MIB)).join(', ')
  assert.ok(peak - startedWith <= 256 * MIB, `grew by ${Math.round((peak - startedWith) / MIB)} MiB`)
  const settled = Math.max(...after.slice(0, FIRST_ROUNDS))
  assert.ok(after.at(-1)! <= settled + MAX_DRIFT_BYTES, `growth after each round in MiB: ${inMib}`)
})
