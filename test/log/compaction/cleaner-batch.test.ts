import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as batch from '../../../protocol/records/record-batch.ts'
import { buildBatch, buildControlBatch, wrapRecords } from '../../../protocol/records/record-builder.ts'
import type { BatchOptions } from '../../../protocol/records/record-builder.ts'
import { readControlRecord, RecordReader } from '../../../protocol/records/record-reader.ts'
import { cleanBatch, cleanMarker, noteKeys, recordsOf } from '../../../src/log/compaction/cleaner-batch.ts'
import { OpaqueBatch } from '../../../src/log/compaction/opaque-batch.ts'
import type { CleaningRules } from '../../../src/log/compaction/cleaner-batch.ts'
import { OffsetMap } from '../../../src/log/compaction/offset-map.ts'

const NOW = 1_800_000_000_000
const LIMIT = 1 << 20

function keyed(
  entries: readonly (readonly [string | null, string | null])[],
  options: BatchOptions = {},
): Buffer {
  const records = entries.map(([key, value], index) => ({
    key: key === null ? null : Buffer.from(key),
    value: value === null ? null : Buffer.from(value),
    timestampMs: NOW - 1000 + index,
    headers: [{ key: 'h', value: Buffer.from(`${index}`) }],
  }))
  return buildBatch(records, { baseOffset: 100, partitionLeaderEpoch: 3, ...options })
}

function rules(newest: Record<string, number>, more: Partial<CleaningRules> = {}): CleaningRules {
  const map = new OffsetMap(1e9)
  for (const [key, offset] of Object.entries(newest)) map.set(Buffer.from(key), offset)
  return {
    map,
    nowMs: NOW,
    deleteRetentionMs: 500,
    maxDecompressedBytes: LIMIT,
    isNewestOfProducer: () => false,
    ...more,
  }
}

/** `offset:key=value@timestamp/headers` of each record. */
function read(bytes: Buffer): string[] {
  const reader = new RecordReader(recordsOf(bytes, 0, LIMIT), batch.recordCount(bytes, 0))
  const lines: string[] = []
  while (reader.next()) {
    const offset = batch.baseOffset(bytes, 0) + reader.offsetDelta
    const timestampMs = batch.baseTimestamp(bytes, 0) + reader.timestampDelta - NOW
    const headers = reader.headers().map(({ key, value }) => `${key}${value?.toString()}`)
    lines.push(
      `${offset}:${reader.key()?.toString()}=${reader.value()?.toString()}@${timestampMs}/${headers.join()}`,
    )
  }
  assert.equal(reader.problem, null)
  return lines
}

function rebuilt(bytes: Buffer, by: CleaningRules): Buffer {
  const cleaned = cleanBatch(bytes, 0, by)
  assert(Buffer.isBuffer(cleaned), String(cleaned))
  assert.equal(batch.batchProblem(cleaned, 0, cleaned.length), null)
  return cleaned
}

test('replaced records go; what stays keeps offset, timestamp, headers and the header of its batch', () => {
  for (const codec of [0, 1, 2]) {
    const producer = { producerId: 7, producerEpoch: 1, baseSequence: 40 }
    const original = keyed(
      [
        ['a', '1'],
        ['b', '2'],
        ['a', '3'],
        ['c', '4'],
      ],
      { ...producer, codec },
    )
    const cleaned = rebuilt(original, rules({ a: 102, b: 200, c: 103 }))
    assert.deepEqual(read(cleaned), ['102:a=3@-998/h2', '103:c=4@-997/h3'])
    for (const field of [
      batch.baseOffset,
      batch.lastOffset,
      batch.partitionLeaderEpoch,
      batch.producerId,
      batch.producerEpoch,
      batch.baseSequence,
      batch.maxTimestamp,
    ])
      assert.equal(field(cleaned, 0), field(original, 0))
    assert.equal(batch.codec(cleaned, 0), 0, 'who writes it compresses it')
  }
})

test('a batch in which nothing is replaced stays as it is, one in which everything is goes', () => {
  const original = keyed([
    ['a', '1'],
    ['b', '2'],
  ])
  assert.equal(cleanBatch(original, 0, rules({ a: 100, b: 101 })), 'all')
  assert.equal(cleanBatch(original, 0, rules({})), 'all')
  assert.equal(cleanBatch(original, 0, rules({ a: 300, b: 300 })), 'nothing')
  assert.deepEqual(
    read(
      rebuilt(
        keyed([
          [null, 'x'],
          ['b', '2'],
        ]),
        rules({}),
      ),
    ),
    ['101:b=2@-999/h1'],
  )
})

test('a tombstone gets a date, keeps it, and goes after it', () => {
  const original = keyed([
    ['a', '1'],
    ['b', null],
  ])
  const dated = rebuilt(original, rules({ b: 101 }))
  assert(batch.hasDeleteHorizon(dated, 0))
  assert.equal(batch.baseTimestamp(dated, 0), NOW + 500)
  assert.deepEqual(read(dated), ['100:a=1@-1000/h0', '101:b=undefined@-999/h1'])
  assert.equal(batch.maxTimestamp(dated, 0), batch.maxTimestamp(original, 0))
  assert.equal(cleanBatch(dated, 0, rules({ b: 101 }, { nowMs: NOW + 499 })), 'all')
  const after = rebuilt(dated, rules({ b: 101 }, { nowMs: NOW + 500 }))
  assert.deepEqual(read(after), ['100:a=1@-1000/h0'])
  assert.equal(batch.baseTimestamp(after, 0), NOW + 500)
})

test('the newest batch of a producer leaves its header behind', () => {
  const isNewestOfProducer: CleaningRules['isNewestOfProducer'] = (id, epoch, last) =>
    id === 7 && epoch === 1 && last === 41
  const original = keyed(
    [
      ['a', '1'],
      ['b', '2'],
    ],
    { producerId: 7, producerEpoch: 1, baseSequence: 40, codec: 1 },
  )
  const gone = { a: 300, b: 300 }
  const empty = rebuilt(original, rules(gone, { isNewestOfProducer }))
  assert.equal(empty.length, batch.BATCH_OVERHEAD)
  assert.equal(batch.recordCount(empty, 0), 0)
  assert.equal(batch.lastOffset(empty, 0), 101)
  assert.equal(batch.baseSequence(empty, 0), 40)
  assert.equal(batch.maxTimestamp(empty, 0), batch.maxTimestamp(original, 0))
  assert.equal(cleanBatch(empty, 0, rules(gone, { isNewestOfProducer })), 'all')
  assert.equal(cleanBatch(empty, 0, rules(gone)), 'nothing')
  // 2^31-1 is followed by 0.
  const wrapped = keyed(
    [
      ['a', '1'],
      ['b', '2'],
    ],
    { producerId: 7, producerEpoch: 1, baseSequence: 0x7fff_ffff },
  )
  const wraps: CleaningRules['isNewestOfProducer'] = (_id, _epoch, last) => last === 0
  assert(Buffer.isBuffer(cleanBatch(wrapped, 0, rules(gone, { isNewestOfProducer: wraps }))))
})

test('a marker says nothing about keys; without its transaction it gets a date and goes after it', () => {
  const marker = buildControlBatch('COMMIT', 3, { producerId: 7, producerEpoch: 1 }, NOW)
  const map = new OffsetMap(1e9)
  noteKeys(marker, 0, map, LIMIT)
  assert.equal(map.size, 0)
  const newest = rules(
    {},
    { isNewestOfProducer: (id, epoch, last) => id === 7 && epoch === 1 && last === -1 },
  )
  assert.equal(cleanMarker(marker, 0, newest), 'all')
  const dated = cleanMarker(marker, 0, rules({}))
  assert(Buffer.isBuffer(dated))
  assert.equal(batch.batchProblem(dated, 0, dated.length), null)
  assert.deepEqual(readControlRecord(dated, batch.BATCH_OVERHEAD, dated.length), {
    type: 1,
    coordinatorEpoch: 3,
  })
  assert(batch.isControl(dated, 0) && batch.isTransactional(dated, 0) && batch.hasDeleteHorizon(dated, 0))
  assert.equal(batch.baseTimestamp(dated, 0), NOW + 500)
  assert.equal(batch.maxTimestamp(dated, 0), NOW)
  assert.equal(cleanMarker(dated, 0, rules({}, { nowMs: NOW + 499 })), 'all')
  assert.equal(cleanMarker(dated, 0, rules({}, { nowMs: NOW + 500 })), 'nothing')
})

test('under LogAppendTime the time of the batch is kept', () => {
  const original = keyed(
    [
      ['a', '1'],
      ['b', '2'],
    ],
    { logAppendTime: true, maxTimestampMs: NOW + 77 },
  )
  const cleaned = rebuilt(original, rules({ a: 300 }))
  assert(batch.isLogAppendTime(cleaned, 0))
  assert.equal(batch.maxTimestamp(cleaned, 0), NOW + 77)
})

test('the map keeps the newest offset of each key, byte for byte, and is full at its bound', () => {
  const map = new OffsetMap(300)
  const records = keyed([
    ['a', '1'],
    ['b', null],
    ['a', '3'],
    [null, 'x'],
  ])
  for (let again = 0; again < 10; again++) noteKeys(records, 0, map, LIMIT)
  const latest = (key: string | Buffer): number => map.latest(Buffer.from(key))
  assert.deepEqual(['a', 'b', 'c'].map(latest), [102, 101, -1])
  assert(!map.full)
  const bytes = buildBatch([{ key: Buffer.from([0xff]), value: null, timestampMs: 1 }])
  noteKeys(bytes, 0, map, LIMIT)
  assert.equal(latest(Buffer.from([0xff])), 0)
  assert.equal(latest('\ufffd'), -1)
  map.set(Buffer.from('y'.repeat(100)), 1)
  assert(map.full)
})

test('a batch that cannot be read is told apart, and nothing in it counts', () => {
  const plain = keyed([
    ['a', '1'],
    ['b', '2'],
  ])
  plain.writeInt32BE(3, 57)
  const gzip = keyed([['a', 'x'.repeat(200)]])
  gzip.writeInt16BE(1, 21)
  const large = keyed([['a', 'x'.repeat(LIMIT)]], { codec: 1 })
  for (const bytes of [plain, gzip, large]) {
    const map = new OffsetMap(1000)
    assert.throws(() => cleanBatch(bytes, 0, rules({})), OpaqueBatch)
    assert.throws(() => noteKeys(bytes, 0, map, LIMIT), OpaqueBatch)
    assert.equal(map.size, 0)
  }
})

test('what stays keeps every byte: header keys that are no text, varints longer than they need be', () => {
  const value = (...bytes: number[]): number[] => [bytes.length << 1, ...bytes]
  const record = (key: number): number[] => [0, 0, 0, ...value(key), ...value(1), 2, ...value(0xff, 0xfe), 1]
  const encoded = [97, 98].map((key, i) => {
    const content = record(key)
    content[2] = i << 1
    return Buffer.from([0x80 | (content.length << 1), 0x00, ...content])
  })
  const original = wrapRecords(Buffer.concat(encoded), 2, {
    baseOffset: 100,
    lastOffsetDelta: 1,
    baseTimestampMs: NOW,
    maxTimestampMs: NOW,
  })
  const cleaned = rebuilt(original, rules({ a: 300, b: 101 }))
  assert.deepEqual(cleaned.subarray(batch.BATCH_OVERHEAD), encoded[1])
})

test('messages of old formats: a replaced one goes, a tombstone stays, a compressed set cannot be read', () => {
  const message = (key: string, value: string | null, attributes = 0): Buffer => {
    const valueBytes = value === null ? 0 : value.length
    const bytes = Buffer.alloc(34 + key.length + valueBytes)
    batch.writeInt64(bytes, 100, 0)
    bytes.writeInt32BE(bytes.length - batch.LOG_OVERHEAD, 8)
    bytes.writeInt8(1, 16)
    bytes.writeInt8(attributes, 17)
    bytes.writeInt32BE(key.length, 26)
    bytes.write(key, 30)
    bytes.writeInt32BE(value === null ? -1 : valueBytes, 30 + key.length)
    bytes.write(value ?? '', 34 + key.length)
    return bytes
  }
  const map = new OffsetMap(1000)
  noteKeys(message('a', '1'), 0, map, LIMIT)
  assert.equal(map.latest(Buffer.from('a')), 100)
  assert.equal(cleanBatch(message('a', '1'), 0, rules({ a: 100 })), 'all')
  assert.equal(cleanBatch(message('a', null), 0, rules({ a: 100 })), 'all')
  assert.equal(cleanBatch(message('a', '1'), 0, rules({ a: 101 })), 'nothing')
  assert.throws(() => cleanBatch(message('a', '1', 1), 0, rules({})), OpaqueBatch)
})

test('numbers that cannot be written again as they were: the batch stays as it is', () => {
  const baseTimestampAt = 27
  const maxTimestampAt = 35
  const producerIdAt = 43
  for (const [value, at] of [
    [2 ** 63, baseTimestampAt],
    [2 ** 62, maxTimestampAt],
    [2 ** 60, producerIdAt],
  ] as const) {
    const bytes = keyed([
      ['a', '1'],
      ['b', '2'],
    ])
    batch.writeInt64(bytes, value, at)
    assert.equal(cleanBatch(bytes, 0, rules({})), 'all')
    assert.throws(() => cleanBatch(bytes, 0, rules({ a: 300 })), OpaqueBatch)
  }
})

test('delete.retention.ms without end: a tombstone stays, and its batch can be read for ever', () => {
  const forever = { deleteRetentionMs: Number.MAX_SAFE_INTEGER }
  const dated = rebuilt(keyed([['b', null]]), rules({ b: 100 }, forever))
  assert.deepEqual(read(dated), ['100:b=undefined@-1000/h0'])
  assert.equal(cleanBatch(dated, 0, rules({ b: 100 }, { ...forever, nowMs: NOW + 1e15 })), 'all')
})
