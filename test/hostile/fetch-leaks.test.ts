/** Clients that leave in the middle of large answers: the files they were sent from are closed when they are deleted. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import { fetchRequest, fetchResponse } from '../../protocol/messages/01-fetch.ts'
import * as batch from '../../protocol/records/record-batch.ts'
import { buildBatch } from '../../protocol/records/record-builder.ts'
import { Broker } from '../../src/index.ts'
import { RawClient } from '../support/raw-client.ts'
import { Seeded } from '../support/seed.ts'
import { Attacker, requestFrame } from './attacker.ts'
import { within } from './target.ts'

const MIB = 1024 * 1024
const BATCHES = 160
const VALUE_BYTES = 100_000
const ROUNDS = 60
/** A client from another address than this is sent slices of files. Not every system has more than one for the loopback. */
const HOST = process.platform === 'linux' ? '127.0.0.2' : '127.0.0.1'

const produce = { request: produceRequest, response: produceResponse, version: 9 } as const
const fetch = { request: fetchRequest, response: fetchResponse, version: 12 } as const

function fetchBody(fetchOffset: number, readCommitted = false) {
  const partitions = [{ partition: 0, fetchOffset, partitionMaxBytes: 3 * MIB }]
  return {
    maxWaitMs: 100,
    minBytes: 1,
    maxBytes: 50 * MIB,
    isolationLevel: readCommitted ? 1 : 0,
    topics: [{ topic: 'large', partitions }],
  }
}

async function fill(port: number): Promise<void> {
  const writer = await RawClient.connect(port, HOST)
  for (let i = 0; i < BATCHES; i++) {
    const value = Buffer.alloc(VALUE_BYTES, i)
    const records = buildBatch([{ key: null, value, timestampMs: 1_700_000_000_000 }])
    const partitionData = [{ index: 0, records }]
    const body = { acks: 1, timeoutMs: 5_000, topicData: [{ name: 'large', partitionData }] }
    const { responses } = await within(writer.send(produce, body))
    assert.equal(responses[0]!.partitionResponses[0]!.errorCode, 0)
  }
  writer.close()
}

/** Everything, in order and as it was written. */
async function readAll(port: number): Promise<void> {
  const reader = await RawClient.connect(port, HOST)
  let next = 0
  while (next < BATCHES) {
    const { responses } = await within(reader.send(fetch, fetchBody(next, next % 2 === 0)))
    const records = responses[0]!.partitions[0]!.records!
    for (let at = 0; at < records.length; at += batch.batchSizeBytes(records, at)) {
      assert.equal(batch.batchProblem(records, at, records.length), null)
      assert.equal(batch.baseOffset(records, at), next)
      assert.equal(records[at + batch.batchSizeBytes(records, at) - 2], next % 256, 'the end of the value')
      next++
    }
  }
  reader.close()
}

/** One client that asks for much, reads some of it or nothing, and leaves in one way or the other. */
async function leave(port: number, random: Seeded): Promise<void> {
  const attacker = await Attacker.connect(port, '127.0.0.1', HOST)
  if (random.between(0, 2) > 0) attacker.stopReading()
  const requests = Array.from({ length: random.between(1, 6) }, () =>
    requestFrame(fetchRequest, 12, fetchBody(random.between(0, BATCHES - 1), random.between(0, 1) === 0)),
  )
  attacker.write(Buffer.concat(requests))
  await sleep(random.between(0, 20))
  if (random.between(0, 1) === 0) attacker.startReading()
  await sleep(random.between(0, 5))
  attacker.destroy()
  await attacker.closed
}

/** Files below `directory` that this process holds open although they are gone. */
function deletedAndOpen(directory: string): string[] {
  return fs.readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const target = fs.readlinkSync(`/proc/self/fd/${fd}`)
      return target.startsWith(directory) && target.endsWith(' (deleted)') ? [target] : []
    } catch {
      return []
    }
  })
}

test('clients that leave in the middle of an answer keep no file open', async (t) => {
  const random = new Seeded()
  t.diagnostic(`SAMSA_SEED=${random.seed}`)
  const broker = await Broker.start({
    host: HOST,
    config: { 'log.segment.bytes': 4 * MIB, 'log.segment.delete.delay.ms': 10 },
  })
  try {
    const { port } = broker
    await broker.createTopics([{ name: 'large', partitions: 1 }])
    await fill(port)
    for (let at = 0; at < ROUNDS; at += 10) {
      await Promise.all(Array.from({ length: 10 }, () => leave(port, random)))
    }
    await readAll(port)
    // A sender holds its segment: this one is deleted under it, and what it was promised still arrives.
    const slow = await Attacker.connect(port, '127.0.0.1', HOST)
    slow.stopReading()
    for (let i = 0; i < 4; i++) slow.write(requestFrame(fetchRequest, 12, fetchBody(0), i))
    await sleep(50)
    await broker.deleteAllTopics()
    const logs = (): string[] => fs.readdirSync(broker.dataDir).filter((name) => name.startsWith('large-0'))
    const goneByMs = performance.now() + 60_000
    while (logs().length > 0) {
      assert.ok(performance.now() < goneByMs, 'the files stay')
      await sleep(5)
    }
    slow.startReading()
    const [first] = await slow.answers(1)
    assert.ok(first!.length > MIB / 2)
    slow.destroy()
    if (process.platform !== 'linux') return
    const deadline = Date.now() + 10_000
    while (deletedAndOpen(broker.dataDir).length > 0 && Date.now() < deadline) await sleep(10)
    assert.deepEqual(deletedAndOpen(path.resolve(broker.dataDir)), [])
  } finally {
    await broker.stop()
  }
})
