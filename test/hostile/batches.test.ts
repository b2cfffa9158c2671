/** Record batches that must not reach the log, and names that must not reach the disk. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { ErrorCode, errorName } from '../../protocol/errors.ts'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import { listOffsetsRequest, listOffsetsResponse } from '../../protocol/messages/02-list-offsets.ts'
import { createTopicsRequest, createTopicsResponse } from '../../protocol/messages/19-create-topics.ts'
import { setCrc } from '../../protocol/records/record-batch.ts'
import { buildBatch } from '../../protocol/records/record-builder.ts'
import { RawClient } from '../support/raw-client.ts'
import { varint } from '../support/varint.ts'
import { metadata, residentBytes, startTarget, within } from './target.ts'
import type { Target } from './target.ts'

const produce = { request: produceRequest, response: produceResponse, version: 9 } as const
const listOffsets = { request: listOffsetsRequest, response: listOffsetsResponse, version: 7 } as const
const createTopics = { request: createTopicsRequest, response: createTopicsResponse, version: 7 } as const

const TOPIC = 'refused'
const COMPACTED = 'compacted'

const BASE_TIMESTAMP = 1_700_000_000_000

let target: Target

before(async () => {
  target = await startTarget({ 'num.partitions': '1' })
  const client = await RawClient.connect(target.port)
  const topic = (name: string, cleanupPolicy: string) => ({
    name,
    numPartitions: 1,
    replicationFactor: 1,
    assignments: [],
    configs: [{ name: 'cleanup.policy', value: cleanupPolicy }],
  })
  const { topics } = await client.send(createTopics, {
    topics: [topic(TOPIC, 'delete'), topic(COMPACTED, 'compact')],
  })
  assert.deepEqual(
    topics.map(({ errorCode }) => errorName(errorCode)),
    ['NONE', 'NONE'],
  )
  client.close()
})

after(async () => {
  await target[Symbol.asyncDispose]()
})

function record(value = 'value'): Parameters<typeof buildBatch>[0][number] {
  return { key: Buffer.from('key'), value: Buffer.from(value), timestampMs: BASE_TIMESTAMP }
}

/** Two records, then changed; with its checksum right again unless that is the point. */
function batch(change: (batch: Buffer) => void, checksum = true): Buffer {
  const bytes = buildBatch([record(), record()])
  change(bytes)
  if (checksum) setCrc(bytes, 0)
  return bytes
}

async function send(
  client: RawClient,
  topic: string,
  records: Buffer | null,
  timeoutMs = 5_000,
): Promise<number> {
  const body = {
    acks: -1,
    timeoutMs,
    topicData: [{ name: topic, partitionData: [{ index: 0, records }] }],
  }
  const { responses } = await within(client.send(produce, body))
  return responses[0]!.partitionResponses[0]!.errorCode
}

async function endOffset(client: RawClient, name: string): Promise<number> {
  const partition = { partitionIndex: 0, timestamp: -1 }
  const { topics } = await within(
    client.send(listOffsets, { replicaId: -1, topics: [{ name, partitions: [partition] }] }),
  )
  assert.equal(topics[0]!.partitions[0]!.errorCode, ErrorCode.NONE)
  return topics[0]!.partitions[0]!.offset
}

/** Each batch must be refused with one of the errors, and the log must be as long as before. */
async function refuses(rows: Readonly<Record<string, [Buffer | null, ...ErrorCode[]]>>): Promise<void> {
  await target.survives(async () => {
    const client = await RawClient.connect(target.port)
    const before = await endOffset(client, TOPIC)
    for (const [what, [records, ...errors]] of Object.entries(rows)) {
      const code = await send(client, TOPIC, records)
      assert.ok((errors as number[]).includes(code), `${what}: ${errorName(code)}`)
    }
    assert.equal(await endOffset(client, TOPIC), before)
    assert.equal(await send(client, TOPIC, buildBatch([record()])), ErrorCode.NONE)
    assert.equal(await endOffset(client, TOPIC), before + 1)
    client.close()
  })
}

const { CORRUPT_MESSAGE, INVALID_RECORD, UNSUPPORTED_COMPRESSION_TYPE } = ErrorCode
const { UNSUPPORTED_FOR_MESSAGE_FORMAT, MESSAGE_TOO_LARGE, INVALID_REQUEST, INVALID_TOPIC_EXCEPTION } =
  ErrorCode

test('batches that are damaged', async () => {
  const good = buildBatch([record(), record()])
  await refuses({
    'a wrong checksum': [batch((b) => (b[20]! ^= 1), false), CORRUPT_MESSAGE],
    'a flipped bit in a value': [batch((b) => (b[b.length - 3]! ^= 1), false), CORRUPT_MESSAGE],
    'a length beyond the bytes': [
      batch((b) => b.writeInt32BE(b.length, 8), false),
      CORRUPT_MESSAGE,
      INVALID_RECORD,
    ],
    'a length of 2^31 - 1': [
      batch((b) => b.writeInt32BE(0x7fff_ffff, 8), false),
      CORRUPT_MESSAGE,
      INVALID_RECORD,
    ],
    'a negative length': [batch((b) => b.writeInt32BE(-1, 8), false), CORRUPT_MESSAGE, INVALID_RECORD],
    'a length of zero': [batch((b) => b.writeInt32BE(0, 8), false), CORRUPT_MESSAGE, INVALID_RECORD],
    'half a batch': [good.subarray(0, good.length - 10), CORRUPT_MESSAGE, INVALID_RECORD],
    'half a header': [good.subarray(0, 30), CORRUPT_MESSAGE, INVALID_RECORD],
    'bytes after the batch': [Buffer.concat([good, Buffer.alloc(7)]), CORRUPT_MESSAGE, INVALID_RECORD],
    'no batch': [Buffer.alloc(0), CORRUPT_MESSAGE, INVALID_RECORD],
    null: [null, CORRUPT_MESSAGE, INVALID_RECORD],
    zeroes: [Buffer.alloc(200), CORRUPT_MESSAGE, INVALID_RECORD, UNSUPPORTED_FOR_MESSAGE_FORMAT],
  })
})

test('batches that contradict themselves', async () => {
  const good = buildBatch([record(), record()])
  await refuses({
    'two batches': [Buffer.concat([good, good]), INVALID_RECORD],
    'magic 0': [
      batch((b) => (b[16] = 0), false),
      INVALID_RECORD,
      CORRUPT_MESSAGE,
      UNSUPPORTED_FOR_MESSAGE_FORMAT,
    ],
    'magic 1': [
      batch((b) => (b[16] = 1), false),
      INVALID_RECORD,
      CORRUPT_MESSAGE,
      UNSUPPORTED_FOR_MESSAGE_FORMAT,
    ],
    'magic 3': [batch((b) => (b[16] = 3)), INVALID_RECORD, CORRUPT_MESSAGE],
    'an offset that is not zero': [batch((b) => b.writeInt32BE(5, 4)), INVALID_RECORD, CORRUPT_MESSAGE],
    'more offsets than records': [batch((b) => b.writeInt32BE(9, 23)), INVALID_RECORD],
    'a negative last offset': [batch((b) => b.writeInt32BE(-1, 23)), INVALID_RECORD, CORRUPT_MESSAGE],
    'no records': [
      batch((b) => (b.writeInt32BE(0, 57), b.writeInt32BE(-1, 23))),
      INVALID_RECORD,
      CORRUPT_MESSAGE,
    ],
    'fewer records than it says': [
      batch((b) => (b.writeInt32BE(3, 57), b.writeInt32BE(2, 23))),
      INVALID_RECORD,
      CORRUPT_MESSAGE,
    ],
    'two thousand million records': [
      batch((b) => (b.writeInt32BE(0x7fff_ffff, 57), b.writeInt32BE(0x7fff_fffe, 23))),
      INVALID_RECORD,
      CORRUPT_MESSAGE,
    ],
    'a control batch': [buildBatch([record()], { control: true }), INVALID_RECORD],
    'a sequence below zero': [
      buildBatch([record()], { producerId: 5, producerEpoch: 0, baseSequence: -1 }),
      INVALID_RECORD,
    ],
    'codec 5': [batch((b) => (b[22]! |= 5)), CORRUPT_MESSAGE, INVALID_RECORD, UNSUPPORTED_COMPRESSION_TYPE],
    'codec 7': [batch((b) => (b[22]! |= 7)), CORRUPT_MESSAGE, INVALID_RECORD, UNSUPPORTED_COMPRESSION_TYPE],
    'a transaction nobody began': [
      buildBatch([record()], { producerId: 5, producerEpoch: 0, baseSequence: 0, transactional: true }),
      ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
      ErrorCode.INVALID_PRODUCER_ID_MAPPING,
      INVALID_REQUEST,
      INVALID_RECORD,
    ],
  })
})

test('a batch larger than the topic allows', async () => {
  const large = buildBatch([record('x'.repeat(1_100_000))])
  await refuses({ 'more than max.message.bytes': [large, MESSAGE_TOO_LARGE] })
})

/** `plain` under a codec, as one batch of `count` records. */
function compressed(codec: number, body: Buffer, count: number): Buffer {
  const head = buildBatch([record()]).subarray(0, 61)
  const bytes = Buffer.concat([head, body])
  bytes.writeInt32BE(bytes.length - 12, 8)
  bytes.writeInt16BE(codec, 21)
  bytes.writeInt32BE(count - 1, 23)
  bytes.writeInt32BE(count, 57)
  setCrc(bytes, 0)
  return bytes
}

test('batches that unpack to a thousand times their size', async () => {
  const zeroes = Buffer.alloc(200 * 1024 * 1024)
  const bombs = {
    gzip: compressed(1, gzipSync(zeroes, { level: 9 }), 1),
    zstd: compressed(4, zstdOfZeroes(zeroes.length), 1),
  }
  await target.survives(async () => {
    const client = await RawClient.connect(target.port)
    // A compacted topic needs the keys of the records, so its broker must look inside.
    const before = await endOffset(client, COMPACTED)
    for (const [name, bomb] of Object.entries(bombs)) {
      assert.ok(bomb.length < 1_000_000)
      for (let round = 0; round < 5; round++) {
        const code = await send(client, COMPACTED, bomb)
        assert.ok(
          [INVALID_RECORD, MESSAGE_TOO_LARGE, CORRUPT_MESSAGE].includes(code as never),
          `${name}: ${errorName(code)}`,
        )
      }
    }
    assert.equal(await endOffset(client, COMPACTED), before)
    client.close()
  })
})

/** A zstd frame without checksum: these bytes, then blocks that each repeat one zero byte 128 KiB times. */
function zstdOfZeroes(length: number, before: Buffer = Buffer.alloc(0)): Buffer {
  const BLOCK = 128 * 1024
  const head = Buffer.alloc(9)
  head.writeUInt32LE(0xfd2fb528, 0)
  head[5] = 0x38
  head.writeUIntLE(before.length << 3, 6, 3)
  const blocks = Math.ceil(length / BLOCK)
  const zeroes = Buffer.alloc(4 * blocks)
  for (let i = 0; i < blocks; i++) {
    const last = i === blocks - 1 ? 1 : 0
    zeroes.writeUIntLE(last | (1 << 1) | (BLOCK << 3), 4 * i, 3)
  }
  return Buffer.concat([head, before, zeroes])
}

test('a record of half a gigabyte in 17 KB is looked at to its end, and takes no memory', async () => {
  await target.survives(async () => {
    const client = await RawClient.connect(target.port)
    const other = await RawClient.connect(target.port)
    const valueBytes = 2 ** 29 - 1
    // Attributes, deltas, no key, the value, no headers: its last byte is one of the zeroes.
    const fields = Buffer.from([0, 0, 0, 1, ...varint(valueBytes)])
    const start = Buffer.from([...varint(fields.length + valueBytes + 1), ...fields])
    const good = compressed(4, zstdOfZeroes(2 ** 29, start), 1)
    const short = compressed(4, zstdOfZeroes(2 ** 29 - 128 * 1024, start), 1)
    assert.ok(good.length < 17_000)
    const startBytes = residentBytes(target.server.pid)
    const codes = Promise.all([good, short].map((each) => send(client, TOPIC, each, 1_000)))
    let done = false
    void codes.finally(() => (done = true))
    for (let i = 0; !done; i++) {
      await endOffset(other, TOPIC)
      const grownMiB = (residentBytes(target.server.pid) - startBytes) / 2 ** 20
      assert.ok(grownMiB < 128, `${grownMiB} MiB`)
      if (i % 10 === 0) assert.equal(await send(other, COMPACTED, buildBatch([record()])), ErrorCode.NONE)
    }
    assert.deepEqual(await codes, [ErrorCode.NONE, INVALID_RECORD])
    client.close()
    other.close()
  })
})

test('garbage in compressed batches', async () => {
  await target.survives(async () => {
    const client = await RawClient.connect(target.port)
    const before = await endOffset(client, COMPACTED)
    for (const codec of [1, 2, 3, 4]) {
      for (const body of [Buffer.alloc(0), Buffer.alloc(50, 0xff), Buffer.from('not compressed at all')]) {
        const code = await send(client, COMPACTED, compressed(codec, body, 1))
        assert.ok(
          [INVALID_RECORD, CORRUPT_MESSAGE].includes(code as never),
          `codec ${codec}: ${errorName(code)}`,
        )
      }
    }
    assert.equal(await endOffset(client, COMPACTED), before)
    client.close()
  })
})

const BAD_NAMES = [
  '..',
  '.',
  'a/b',
  '/etc/passwd',
  '../../x',
  'a\0b',
  '\0',
  'x'.repeat(250),
  '',
  ' ',
  'ü',
  'a\nb',
  'a:b',
]

test('topic names that are no names', async () => {
  await target.survives(async () => {
    const client = await RawClient.connect(target.port)
    for (const name of BAD_NAMES) {
      const topic = { name, numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }
      const created = await within(client.send(createTopics, { topics: [topic] }))
      assert.equal(errorName(created.topics[0]!.errorCode), 'INVALID_TOPIC_EXCEPTION', JSON.stringify(name))
      const asked = await within(client.send(metadata, { topics: [{ name }], allowAutoTopicCreation: true }))
      assert.equal(asked.topics[0]!.errorCode, INVALID_TOPIC_EXCEPTION, JSON.stringify(name))
      const code = await send(client, name, buildBatch([record()]))
      assert.ok(
        [INVALID_TOPIC_EXCEPTION, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION].includes(code as never),
        `${JSON.stringify(name)}: ${errorName(code)}`,
      )
    }
    client.close()
  })
  const partitions = readdirSync(target.server.dataDir).filter((name) => /-\d+$/.test(name))
  assert.ok(
    partitions.every((name) => /^(refused|compacted|__consumer_offsets)-\d+$/.test(name)),
    partitions.join(),
  )
})

test('topic names that mean something in JavaScript are names', async () => {
  await target.survives(async () => {
    const client = await RawClient.connect(target.port)
    for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      const unknown = await within(
        client.send(metadata, { topics: [{ name }], allowAutoTopicCreation: false }),
      )
      assert.equal(unknown.topics[0]!.errorCode, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, name)
      const topic = {
        name,
        numPartitions: 1,
        replicationFactor: 1,
        assignments: [],
        configs: [{ name: '__proto__', value: '1' }],
      }
      const refused = await within(client.send(createTopics, { topics: [topic] }))
      assert.equal(errorName(refused.topics[0]!.errorCode), 'INVALID_CONFIG', name)
      const created = await within(client.send(createTopics, { topics: [{ ...topic, configs: [] }] }))
      assert.equal(errorName(created.topics[0]!.errorCode), 'NONE', name)
      assert.equal(await send(client, name, buildBatch([record()])), ErrorCode.NONE, name)
      assert.equal(await endOffset(client, name), 1)
    }
    client.close()
  })
})

test('more partitions than anybody wants', async () => {
  await target.survives(async () => {
    const client = await RawClient.connect(target.port)
    for (const numPartitions of [0x7fff_ffff, 1_000_000, 0, -2]) {
      const topic = { name: 'wide', numPartitions, replicationFactor: 1, assignments: [], configs: [] }
      const { topics } = await within(client.send(createTopics, { topics: [topic] }))
      assert.notEqual(topics[0]!.errorCode, ErrorCode.NONE, String(numPartitions))
    }
    client.close()
  })
})
