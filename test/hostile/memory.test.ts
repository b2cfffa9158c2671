/**
 * Many connections that send what takes the most memory, to a broker as users have it: how much it grows by is bounded,
 * and once they are gone it gives the memory back.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { produceRequest } from '../../protocol/messages/00-produce.ts'
import { fetchRequest } from '../../protocol/messages/01-fetch.ts'
import { metadataRequest } from '../../protocol/messages/03-metadata.ts'
import { createTopicsRequest, createTopicsResponse } from '../../protocol/messages/19-create-topics.ts'
import { buildBatch } from '../../protocol/records/record-builder.ts'
import { RawClient } from '../support/raw-client.ts'
import { Attacker, requestFrame } from './attacker.ts'
import { residentBytes, startWatchedTarget, within } from './target.ts'
import type { WatchedTarget } from './target.ts'

const MIB = 1024 * 1024
/** What is left of the growth when all is given back: idle pools (48 MiB), compiled code, memory between what is in use. */
const MAX_LEFT_BYTES = 96 * MIB
const BACK_WITHIN_MS = 60_000

let target: WatchedTarget
let startedWith: number

before(async () => {
  target = await startWatchedTarget()
  const client = await RawClient.connect(target.port)
  const topic = { name: 't', numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }
  const createTopics = { request: createTopicsRequest, response: createTopicsResponse, version: 7 } as const
  await within(client.send(createTopics, { topics: [topic], timeoutMs: 5_000 }))
  client.close()
  startedWith = residentBytes(target.server.pid)
})

after(() => target[Symbol.asyncDispose]())

/** All at once, `times` each; waits until every connection has an answer to each, or for as long as that may take. */
async function flood(connections: number, frames: readonly Buffer[], times: number): Promise<void> {
  const attackers = await Promise.all(
    Array.from({ length: connections }, () => Attacker.connect(target.port)),
  )
  try {
    const answers = attackers.map((attacker) => attacker.oneAnswer())
    await Promise.all(
      attackers.map(async (attacker, index) => {
        for (let time = 0; time < times; time++) await attacker.flush(frames[index % frames.length]!)
      }),
    )
    await Promise.race([Promise.allSettled(answers), sleep(7_000)])
  } finally {
    for (const attacker of attackers) attacker.destroy()
  }
}

test('very many partitions in one Produce, from 40 connections', async () => {
  const partitionData = Array.from({ length: 100_000 }, (_, index) => ({ index, records: Buffer.alloc(1) }))
  const topicData = [{ name: 't', partitionData }]
  const frame = requestFrame(produceRequest, 9, {
    transactionalId: null,
    acks: 1,
    timeoutMs: 1_000,
    topicData,
  })
  await target.survives(() => flood(40, [frame], 1))
})

test('very many partitions and topics in Fetch and Metadata, from 40 connections', async () => {
  const partitions = Array.from({ length: 100_000 }, (_, partition) => ({
    partition,
    fetchOffset: 0,
    partitionMaxBytes: 1,
  }))
  const topics = Array.from({ length: 60_000 }, (_, index) => ({ name: `n${index}` }))
  const frames = [
    requestFrame(fetchRequest, 12, { maxWaitMs: 0, minBytes: 0, topics: [{ topic: 't', partitions }] }),
    requestFrame(metadataRequest, 12, { topics, allowAutoTopicCreation: false }),
  ]
  await target.survives(() => flood(40, frames, 1))
})

test('the memory is given back within a minute, also that of batches of 900 KB from 100 connections', async () => {
  const records = buildBatch([{ key: null, value: Buffer.alloc(900_000, 1), timestampMs: Date.now() }])
  const topicData = [{ name: 't', partitionData: [{ index: 0, records }] }]
  const frame = requestFrame(produceRequest, 9, {
    transactionalId: null,
    acks: 1,
    timeoutMs: 5_000,
    topicData,
  })
  await flood(100, [frame], 4)
  const sinceMs = performance.now()
  const excessBytes = (): number => residentBytes(target.server.pid) - startedWith - MAX_LEFT_BYTES
  while (excessBytes() > 0 && performance.now() - sinceMs < BACK_WITHIN_MS) await sleep(250)
  assert.ok(excessBytes() <= 0, `${Math.round(excessBytes() / MIB)} MiB more than may be left`)
})
