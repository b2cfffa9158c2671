/** Offsets by time in batches that are small and decompress to very much. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ErrorCode } from '../../protocol/errors.ts'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import { listOffsetsRequest, listOffsetsResponse } from '../../protocol/messages/02-list-offsets.ts'
import { createTopicsRequest, createTopicsResponse } from '../../protocol/messages/19-create-topics.ts'
import { Codec } from '../../protocol/compression.ts'
import { buildBatch } from '../../protocol/records/record-builder.ts'
import type { BatchOptions } from '../../protocol/records/record-builder.ts'
import { BATCH_OVERHEAD, withRecords } from '../../protocol/records/record-batch.ts'
import { SystemCodecs } from '../../src/system/system-codecs.ts'
import { RawClient } from '../support/raw-client.ts'
import { Attacker, requestFrame } from './attacker.ts'
import { startWatchedTarget, within } from './target.ts'
import type { WatchedTarget } from './target.ts'

const produce = { request: produceRequest, response: produceResponse, version: 9 } as const
const listOffsets = { request: listOffsetsRequest, response: listOffsetsResponse, version: 9 } as const
const createTopics = { request: createTopicsRequest, response: createTopicsResponse, version: 7 } as const

const MIB = 1024 * 1024
const PARTITIONS = 30
const FIRST_MS = 1_700_000_000_000
const LAST_MS = FIRST_MS + 1_000
const MAX_PIECE_MS = 100

let target: WatchedTarget
let client: RawClient

before(async () => {
  target = await startWatchedTarget()
  client = await RawClient.connect(target.port)
  const topics = [
    { name: 'inflated', numPartitions: PARTITIONS, replicationFactor: 1, assignments: [], configs: [] },
  ]
  await within(client.send(createTopics, { topics, timeoutMs: 1 }))
  const inflated = batchOf(48)
  assert.ok(inflated.length < 128 * 1024, `${inflated.length} bytes`)
  for (let index = 0; index < PARTITIONS; index++) await append(index, inflated)
})

after(async () => {
  client.close()
  await target[Symbol.asyncDispose]()
})

/** Zeros, as gzip, of which only the last record has the later timestamp. */
function batchOf(megabytes: number, options: BatchOptions = {}): Buffer {
  const value = Buffer.alloc(MIB)
  const records = Array.from({ length: megabytes }, (_, i) => ({
    key: null,
    value,
    timestampMs: i === megabytes - 1 && options.maxTimestampMs === undefined ? LAST_MS : FIRST_MS,
  }))
  return buildBatch(records, { codec: Codec.GZIP, ...options })
}

async function append(index: number, records: Buffer): Promise<void> {
  const topicData = [{ name: 'inflated', partitionData: [{ index, records }] }]
  const { responses } = await within(client.send(produce, { acks: 1, timeoutMs: 30_000, topicData }))
  assert.equal(responses[0]!.partitionResponses[0]!.errorCode, ErrorCode.NONE)
}

function asking(indices: readonly number[], timestamp: number) {
  const partitions = indices.map((partitionIndex) => ({ partitionIndex, timestamp }))
  return { replicaId: -1, isolationLevel: 0, topics: [{ name: 'inflated', partitions }] }
}

/** Seconds of processor that the broker has used. */
function usedSeconds(): number {
  const fields = readFileSync(`/proc/${target.server.pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

test('a partition that is named fifty times is not looked up at all', async () => {
  await target.survives(async () => {
    target.longestPieceMs()
    const again = Array.from({ length: 50 }, () => 0)
    const usedBefore = usedSeconds()
    const { topics } = await within(client.send(listOffsets, asking(again, LAST_MS)))
    assert.deepEqual(
      topics[0]!.partitions.map(({ partitionIndex, errorCode }) => [partitionIndex, errorCode]),
      [[0, ErrorCode.INVALID_REQUEST]],
    )
    assert.ok(usedSeconds() - usedBefore < 5)
  })
})

test('what is found in a large batch is exact, and others are served meanwhile', async () => {
  await target.survives(async () => {
    target.longestPieceMs()
    const { topics } = await within(client.send(listOffsets, asking([0, 1], LAST_MS)))
    assert.deepEqual(
      topics[0]!.partitions.map(({ offset, timestamp }) => [offset, timestamp]),
      [
        [47, LAST_MS],
        [47, LAST_MS],
      ],
    )
    const heldMs = target.longestPieceMs()
    assert.ok(heldMs <= MAX_PIECE_MS, `the loop was held for ${heldMs} ms`)
  })
})

test('the work ends with its client', async () => {
  await target.survives(async () => {
    const every = Array.from({ length: PARTITIONS }, (_, index) => index)
    for (let round = 0; round < 3; round++) {
      const attacker = await Attacker.connect(target.port)
      await attacker.flush(requestFrame(listOffsetsRequest, 9, asking(every, LAST_MS)))
      await sleep(100)
      attacker.destroy()
    }
    // What is under way may end; of ninety batches that would be many seconds.
    await sleep(2_000)
    const usedBefore = usedSeconds()
    await sleep(1_000)
    const used = usedSeconds() - usedBefore
    assert.ok(used < 0.5, `${used} s of work for nobody`)
  })
})

test('headers that promise later records than there are were put right when they came', async () => {
  const lying = batchOf(12, { maxTimestampMs: LAST_MS + 5_000 })
  for (let i = 0; i < 40; i++) await append(29, Buffer.from(lying))
  await target.survives(async () => {
    target.longestPieceMs()
    const usedBefore = usedSeconds()
    const { topics } = await within(client.send(listOffsets, asking([29], LAST_MS + 1_000)))
    const { errorCode, offset } = topics[0]!.partitions[0]!
    assert.deepEqual([errorCode, offset], [ErrorCode.NONE, -1])
    assert.ok(usedSeconds() - usedBefore < 1)
    const heldMs = target.longestPieceMs()
    assert.ok(heldMs <= MAX_PIECE_MS, `the loop was held for ${heldMs} ms`)
  })
})

test('batches of compacted topics, whose records are looked at, are worked on in slices', async () => {
  const PARTITIONS_HELD = 60
  const topic = {
    name: 'compacted',
    numPartitions: PARTITIONS_HELD,
    replicationFactor: 1,
    assignments: [],
    configs: [{ name: 'cleanup.policy', value: 'compact' }],
  }
  await within(client.send(createTopics, { topics: [topic], timeoutMs: 1 }))
  const record = { key: Buffer.from('k'), value: Buffer.alloc(3.5 * MIB), timestampMs: Date.now() }
  const batch = buildBatch([record], { codec: Codec.GZIP })
  const partitionData = Array.from({ length: PARTITIONS_HELD }, (_, index) => ({
    index,
    records: Buffer.from(batch),
  }))
  const first = { acks: 1, timeoutMs: 30_000, topicData: [{ name: 'compacted', partitionData }] }
  const second = { ...first, topicData: [{ name: 'compacted', partitionData: partitionData.slice(-1) }] }
  await target.survives(async () => {
    target.longestPieceMs()
    const [many, behind] = await within(
      Promise.all([client.send(produce, first), client.send(produce, second)]),
    )
    const heldMs = target.longestPieceMs()
    assert.ok(heldMs <= MAX_PIECE_MS, `the loop was held for ${heldMs} ms`)
    const answers = many.responses[0]!.partitionResponses
    assert.ok(answers.every(({ errorCode, baseOffset }) => errorCode === ErrorCode.NONE && baseOffset === 0))
    assert.equal(behind.responses[0]!.partitionResponses[0]!.baseOffset, 1, 'nothing was overtaken')
  })
})

test('batches that become large hold the loop for nobody, whatever the codec', async () => {
  const codecs = new SystemCodecs()
  const value = Buffer.from(
    JSON.stringify({ text: 'lorem ipsum dolor sit amet '.repeat(8), more: [1, 2, 3] }),
  )
  const records = Array.from({ length: 40_000 }, (_, i) => ({
    key: Buffer.from(`user-${i}`),
    value,
    timestampMs: FIRST_MS,
  }))
  const plain = buildBatch(records)
  const held: Record<string, number> = {}
  await target.survives(async () => {
    for (const [name, codec] of Object.entries({ gzip: 1, snappy: 2, lz4: 3, zstd: 4 })) {
      const body = await codecs.compress(codec, null, plain.subarray(BATCH_OVERHEAD))
      const batch = withRecords(plain, codec, body)
      assert.ok(batch.length < MIB, `${name}: ${batch.length}`)
      target.longestPieceMs()
      await Promise.all([3, 4, 5].map((index) => append(index, Buffer.from(batch))))
      held[name] = target.longestPieceMs()
    }
  })
  for (const [name, heldMs] of Object.entries(held))
    assert.ok(heldMs <= MAX_PIECE_MS, `${name}: the loop was held for ${heldMs} ms`)
})
