import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decompress } from '../../../protocol/compression.ts'
import { crc32c, crc32Ieee } from '../../../protocol/crc32c.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import { buildBatch, buildControlBatch, moveRecord } from '../../../protocol/records/record-builder.ts'
import type { NewRecord } from '../../../protocol/records/record-builder.ts'
import { readControlRecord, readOldMessage, RecordReader } from '../../../protocol/records/record-reader.ts'

/** By kafka-python. Two records, keys "k" and null, values null and "v", one header, timestamps 1000 and 1007. */
const GOLDEN = Buffer.from(
  '00000000000000000000004500000000023762518200000000000100000000000003e800000000000003efffffffffffffffffffffffffffff000000020e000000026b010016000e020102760202680278',
  'hex',
)
const GOLDEN_MAGIC_1 = Buffer.from(
  '000000000000004d0000001a2ec6223601000000018bcfe5680000000001610000000378797a',
  'hex',
)
const GOLDEN_MAGIC_0 = Buffer.from('000000000000004e000000119d76c40a0000ffffffff0000000378797a', 'hex')

const bytes = fc.option(fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array)))
const records: fc.Arbitrary<NewRecord[]> = fc.array(
  fc.record({
    key: bytes,
    value: bytes,
    timestampMs: fc.integer({ min: 0, max: 2 ** 50 }),
    headers: fc.array(
      fc.record({ key: fc.string({ maxLength: 10 }), value: bytes }, { noNullPrototype: true }),
      { maxLength: 3 },
    ),
  }),
  { minLength: 1, maxLength: 20 },
)

function readAll(batchBytes: Buffer): NewRecord[] {
  const codec = batch.codec(batchBytes, 0)
  const body = decompress(codec, batchBytes.subarray(batch.BATCH_OVERHEAD), 1 << 24)
  const reader = new RecordReader(body, batch.recordCount(batchBytes, 0))
  const found: NewRecord[] = []
  while (reader.next()) {
    assert.equal(reader.offsetDelta, reader.index)
    found.push({
      key: reader.key(),
      value: reader.value(),
      timestampMs: batch.baseTimestamp(batchBytes, 0) + reader.timestampDelta,
      headers: reader.headers(),
    })
  }
  assert.equal(reader.problem, null)
  return found
}

test('what is built is read back, whatever the codec', () => {
  fc.assert(
    fc.property(records, fc.integer({ min: 0, max: 2 }), (list, codec) => {
      const built = buildBatch(list, {
        codec,
        baseOffset: 2 ** 40 + 7,
        producerId: 2 ** 35,
        producerEpoch: 3,
        baseSequence: 9,
      })
      assert.equal(batch.batchProblem(built, 0, built.length), null)
      assert.deepEqual(
        readAll(built),
        list.map((record) => ({ ...record })),
      )
      assert.equal(batch.baseOffset(built, 0), 2 ** 40 + 7)
      assert.equal(batch.lastOffset(built, 0), 2 ** 40 + 7 + list.length - 1)
      assert.equal(batch.producerId(built, 0), 2 ** 35)
      assert.equal(batch.producerEpoch(built, 0), 3)
      assert.equal(batch.baseSequence(built, 0), 9)
      assert.equal(batch.maxTimestamp(built, 0), Math.max(...list.map((record) => record.timestampMs)))
    }),
    { numRuns: 300 },
  )
})

test('damaged records stop the reader with a reason, never an exception', () => {
  fc.assert(
    fc.property(
      records,
      fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 5 }),
      (list, edits) => {
        const built = buildBatch(list)
        for (const [at, value] of edits) built[61 + (at % (built.length - 61))] = value
        const reader = new RecordReader(built, list.length, 61)
        while (reader.next()) {
          reader.key()
          reader.value()
          reader.headers()
        }
        assert.ok(reader.problem === null || reader.problem.length > 0)
      },
    ),
    { numRuns: 2000 },
  )
  const short = buildBatch([{ key: null, value: Buffer.from('x'), timestampMs: 1 }])
  for (let end = 61; end < short.length; end++) {
    const reader = new RecordReader(short, 1, 61, end)
    assert.equal(reader.next(), false)
    assert.notEqual(reader.problem, null)
  }
  assert.equal(new RecordReader(short, -1, 61).next(), false)
})

test('the layout is the one other clients write', () => {
  const built = buildBatch(
    [
      { key: Buffer.from('k'), value: null, timestampMs: 1000 },
      {
        key: null,
        value: Buffer.from('v'),
        timestampMs: 1007,
        headers: [{ key: 'h', value: Buffer.from('x') }],
      },
    ],
    { partitionLeaderEpoch: 0 },
  )
  assert.equal(built.toString('hex'), GOLDEN.toString('hex'))
})

test('control batches', () => {
  const built = buildControlBatch('COMMIT', 42, { producerId: 7, producerEpoch: 1 }, 1000)
  assert.equal(batch.isControl(built, 0) && batch.isTransactional(built, 0), true)
  assert.deepEqual(readControlRecord(built, 61, built.length), { type: 1, coordinatorEpoch: 42 })
  assert.equal(readControlRecord(built, 61, built.length - 1), null)
})

test('control records say what they are, or nothing', () => {
  const read = (key: number[] | null, value: number[] | null) => {
    const asBuffer = (list: number[] | null): Buffer | null => (list === null ? null : Buffer.from(list))
    const built = buildBatch([{ key: asBuffer(key), value: asBuffer(value), timestampMs: 0 }])
    return readControlRecord(built, batch.BATCH_OVERHEAD, built.length)
  }
  const epoch = [0, 0, 0, 0, 0, 9]
  assert.deepEqual(read([0, 0, 0, 0], epoch), { type: 0, coordinatorEpoch: 9 })
  assert.deepEqual(read([0, 0, 0, 1], epoch), { type: 1, coordinatorEpoch: 9 })
  assert.deepEqual(read([0, 0, 0, 1, 7], [...epoch, 7]), { type: 1, coordinatorEpoch: 9 })
  // A change of leaders, a snapshot: nothing about transactions, whatever they hold.
  assert.deepEqual(read([0, 0, 0, 2], null), { type: 2, coordinatorEpoch: -1 })
  assert.deepEqual(read([0, 0, 0xff, 0xff], epoch), { type: -1, coordinatorEpoch: -1 })
  for (const key of [null, [], [0, 0, 0]]) assert.equal(read(key, epoch), null)
  for (const value of [null, [], [0, 0, 0, 0, 0]]) assert.equal(read([0, 0, 0, 1], value), null)
})

test('old messages: null, empty and missing keys and values', () => {
  const message = (magic: number, key: string | null, value: string | null): Buffer => {
    const field = (text: string | null): Buffer => {
      const length = Buffer.alloc(4)
      length.writeInt32BE(text === null ? -1 : text.length)
      return Buffer.concat([length, Buffer.from(text ?? '')])
    }
    const head = Buffer.alloc(magic === 0 ? 18 : 26)
    head.writeBigInt64BE(300n, 0)
    head.writeInt8(magic, 16)
    head.writeInt8(0x0b, 17)
    if (magic === 1) head.writeBigInt64BE(5000n, 18)
    return Buffer.concat([head, field(key), field(value)])
  }
  for (const magic of [0, 1])
    for (const key of [null, '', 'k'])
      for (const value of [null, '', 'v']) {
        const bytesOf = message(magic, key, value)
        const at = 3
        const placed = Buffer.concat([Buffer.alloc(at), bytesOf, Buffer.alloc(9)])
        assert.deepEqual(readOldMessage(placed, at, at + bytesOf.length), {
          offset: 300,
          timestampMs: magic === 0 ? -1 : 5000,
          codec: 3,
          key: key === null ? null : Buffer.from(key),
          value: value === null ? null : Buffer.from(value),
        })
        for (let end = at + 19; end < at + bytesOf.length; end++)
          assert.equal(readOldMessage(placed, at, end), null, `${magic} ${key} ${value} ${end}`)
      }
  // Lengths below that of null.
  const zero = message(0, null, null)
  zero.writeInt32BE(-2, 18)
  assert.equal(readOldMessage(zero, 0, zero.length), null)
  zero.writeInt32BE(-1, 18)
  zero.writeInt32BE(-2, 22)
  assert.equal(readOldMessage(zero, 0, zero.length), null)
})

test('messages of magic 0 and 1 are recognised', () => {
  const [one, zero] = [GOLDEN_MAGIC_1, GOLDEN_MAGIC_0]
  assert.deepEqual(
    [one, zero].map((message) => batch.batchProblem(message, 0, message.length)),
    [null, null],
  )
  assert.deepEqual(
    [batch.magic(one, 0), batch.lastOffset(one, 0), batch.maxTimestamp(one, 0)],
    [1, 77, 1_700_000_000_000],
  )
  assert.deepEqual(
    [batch.magic(zero, 0), batch.lastOffset(zero, 0), batch.maxTimestamp(zero, 0)],
    [0, 78, -1],
  )
  assert.deepEqual(readOldMessage(one, 0, one.length), {
    offset: 77,
    timestampMs: 1_700_000_000_000,
    codec: 0,
    key: Buffer.from('a'),
    value: Buffer.from('xyz'),
  })
  assert.equal(readOldMessage(zero, 0, zero.length)?.key, null)
  assert.equal(readOldMessage(one, 0, one.length - 1), null)
  one[one.length - 1] = 0
  assert.equal(batch.batchProblem(one, 0, one.length), 'checksum mismatch')
})

test('checksums: the check value of each polynomial, and in pieces', () => {
  const check = Buffer.from('123456789')
  assert.equal(crc32c(check), 0xe3069283)
  assert.equal(crc32Ieee(check), 0xcbf43926)
  assert.equal(crc32c(check.subarray(4), crc32c(check.subarray(0, 4))), 0xe3069283)
})

test('64-bit numbers, negative ones too', () => {
  const buffer = Buffer.alloc(8)
  for (const value of [
    0,
    1,
    -1,
    -2,
    2 ** 31,
    2 ** 32,
    -(2 ** 32),
    2 ** 53 - 1,
    -(2 ** 53 - 1),
    1_800_000_000_123,
  ]) {
    batch.writeInt64(buffer, value, 0)
    assert.equal(buffer.readBigInt64BE(0), BigInt(value))
    assert.equal(batch.readInt64(buffer, 0), value)
  }
})

test('what no 64 bits hold becomes the nearest number that they do', () => {
  const buffer = Buffer.alloc(8)
  for (const [value, written] of [
    [2 ** 63, 2n ** 63n - 1n],
    [2 ** 63 - 1024, 2n ** 63n - 1024n],
    [2 ** 70, 2n ** 63n - 1n],
    [-(2 ** 63), -(2n ** 63n)],
    [-(2 ** 63) - 2048, -(2n ** 63n)],
    [-(2 ** 70), -(2n ** 63n)],
  ] as const) {
    buffer.fill(0x55)
    batch.writeInt64(buffer, value, 0)
    assert.equal(buffer.readBigInt64BE(0), written, String(value))
  }
})

test('a record that is moved in time keeps all else', () => {
  const headers = [{ key: 'h', value: Buffer.from('x') }]
  const list = [1000, 1007].map((timestampMs) => ({
    key: Buffer.from('k'),
    value: Buffer.alloc(200, 'v'),
    timestampMs,
    headers,
  }))
  const built = buildBatch(list)
  const reader = new RecordReader(built, 2, batch.BATCH_OVERHEAD)
  assert.ok(reader.next() && reader.next())
  const rest = built.subarray(reader.restStart, reader.recordEnd)
  for (const timestampDelta of [0, 5, -64, 64, 2 ** 40]) {
    const moved = moveRecord(timestampDelta, rest)
    const whole = new RecordReader(moved, 1)
    assert.equal(whole.next(), true)
    assert.deepEqual(
      [whole.timestampDelta, whole.offsetDelta, whole.key(), whole.value(), whole.headers()],
      [timestampDelta, 1, Buffer.from('k'), Buffer.alloc(200, 'v'), headers],
    )
    assert.equal(whole.next(), false)
    assert.equal(whole.problem, null, 'nothing stands behind it')
  }
})
