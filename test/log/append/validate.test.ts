import assert from 'node:assert/strict'
import { test } from 'node:test'
import zlib from 'node:zlib'
import { ErrorCode } from '../../../protocol/errors.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import { buildBatch } from '../../../protocol/records/record-builder.ts'
import type { BatchOptions, NewRecord } from '../../../protocol/records/record-builder.ts'
import { defaultLogConfig } from '../../../src/log/log-config.ts'
import type { LogConfig } from '../../../src/log/log-config.ts'
import { Seeded } from '../../support/seed.ts'
import { validated } from '../../support/validated.ts'

const NOW = 1_800_000_000_000

function record(more: Partial<NewRecord> = {}): NewRecord {
  return { key: Buffer.from('key'), value: Buffer.from('value'), timestampMs: NOW, ...more }
}

function build(records: readonly NewRecord[] = [record(), record()], options: BatchOptions = {}): Buffer {
  return buildBatch(records, options)
}

function validate(bytes: Buffer | null, config: Partial<LogConfig> = {}, version = 9): number {
  const found = validated(bytes, { ...defaultLogConfig, ...config }, NOW, version)
  if (found !== null) assert.ok(found.message.length > 0)
  return found?.errorCode ?? ErrorCode.NONE
}

/** A batch changed by `edit`, with a checksum that fits. */
function edited(edit: (bytes: Buffer) => void, bytes = build()): Buffer {
  edit(bytes)
  batch.setCrc(bytes, 0)
  return bytes
}

test('a good batch passes and stays as it was', () => {
  for (const codec of [0, 1, 2]) {
    const bytes = build([record(), record({ key: null }), record({ value: null })], { codec })
    const before = Buffer.from(bytes)
    assert.equal(validate(bytes), ErrorCode.NONE)
    assert.deepEqual(bytes, before)
  }
})

test('exactly one batch of magic 2', () => {
  assert.equal(validate(null), ErrorCode.INVALID_RECORD)
  assert.equal(validate(Buffer.alloc(0)), ErrorCode.INVALID_RECORD)
  assert.equal(validate(Buffer.concat([build(), build()])), ErrorCode.INVALID_RECORD)
  assert.equal(validate(Buffer.concat([build(), Buffer.alloc(1)])), ErrorCode.INVALID_RECORD)
  for (const [magic, errorCode] of [
    [0, ErrorCode.INVALID_RECORD],
    [1, ErrorCode.INVALID_RECORD],
    [3, ErrorCode.CORRUPT_MESSAGE],
    [-1, ErrorCode.CORRUPT_MESSAGE],
  ] as const)
    assert.equal(validate(edited((bytes) => bytes.writeInt8(magic, 16))), errorCode)
  const bytes = build()
  for (let cut = 1; cut < bytes.length; cut++) {
    assert.equal(validate(bytes.subarray(0, cut)), ErrorCode.INVALID_RECORD)
  }
})

test('every changed byte under the checksum is noticed', () => {
  for (let at = batch.CRC_START - 4; at < build().length; at++) {
    const bytes = build()
    bytes[at] = (bytes[at] ?? 0) ^ 1
    assert.equal(validate(bytes), ErrorCode.CORRUPT_MESSAGE, `byte ${at}`)
  }
})

test('header rules', () => {
  const cases: [string, number, (bytes: Buffer) => void][] = [
    ['base offset', ErrorCode.INVALID_RECORD, (bytes) => batch.setBaseOffset(bytes, 0, 5)],
    ['count 0', ErrorCode.INVALID_RECORD, (bytes) => bytes.writeInt32BE(0, 57)],
    ['count too large', ErrorCode.INVALID_RECORD, (bytes) => bytes.writeInt32BE(3, 57)],
    [
      'count and delta too large',
      ErrorCode.INVALID_RECORD,
      (bytes) => bytes.writeInt32BE(2, 23) && bytes.writeInt32BE(3, 57),
    ],
    ['negative delta', ErrorCode.INVALID_RECORD, (bytes) => bytes.writeInt32BE(-1, 23)],
    ['control bit', ErrorCode.INVALID_RECORD, (bytes) => bytes.writeInt16BE(0x20, 21)],
    [
      'transactional',
      ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
      (bytes) => bytes.writeInt16BE(0x10, 21),
    ],
    ['unknown codec', ErrorCode.INVALID_RECORD, (bytes) => bytes.writeInt16BE(5, 21)],
    ['producer without sequence', ErrorCode.INVALID_RECORD, (bytes) => batch.writeInt64(bytes, 1, 43)],
    ['producer id out of range', ErrorCode.INVALID_RECORD, (bytes) => bytes.writeInt32BE(0x7fff_ffff, 43)],
    ['base timestamp too far ahead', ErrorCode.INVALID_TIMESTAMP, (bytes) => bytes.writeInt32BE(0x7fff, 27)],
  ]
  for (const [name, errorCode, edit] of cases) assert.equal(validate(edited(edit)), errorCode, name)
})

test('sizes', () => {
  const bytes = build()
  assert.equal(validate(bytes, { maxMessageBytes: bytes.length }), ErrorCode.NONE)
  assert.equal(validate(bytes, { maxMessageBytes: bytes.length - 1 }), ErrorCode.MESSAGE_TOO_LARGE)
  assert.equal(validate(bytes, { segmentBytes: bytes.length - 1 }), ErrorCode.RECORD_LIST_TOO_LARGE)
})

test('zstd needs version 7', () => {
  const bytes = edited((batchBytes) => batchBytes.writeInt16BE(4, 21))
  assert.equal(validate(bytes, {}, 6), ErrorCode.UNSUPPORTED_COMPRESSION_TYPE)
  assert.equal(validate(bytes, {}, 7), ErrorCode.INVALID_RECORD, 'looked into, and not zstd')
})

test('timestamps outside the window name the records', () => {
  const config = { ...defaultLogConfig, messageTimestampBeforeMaxMs: 1000, messageTimestampAfterMaxMs: 1000 }
  const records = [record(), record({ timestampMs: NOW - 1001 }), record({ timestampMs: NOW + 1001 })]
  for (const codec of [0, 1]) {
    const found = validated(build(records, { codec }), config, NOW, 9)
    assert.equal(found?.errorCode, ErrorCode.INVALID_TIMESTAMP)
    assert.deepEqual(
      found.recordErrors.map((error) => error.batchIndex),
      [1, 2],
    )
  }
  assert.equal(validate(build(records), { ...config, messageTimestampType: 'LogAppendTime' }), ErrorCode.NONE)
  assert.equal(validate(build([record({ timestampMs: -1 })]), config), ErrorCode.NONE)
})

test('of very many refused records a hundred are named, and the kind of the others counts', () => {
  const config = { ...defaultLogConfig, messageTimestampAfterMaxMs: 1000 }
  const late = record({ timestampMs: NOW + 1001 })
  const many = validated(build(Array.from({ length: 5_000 }, () => late)), config, NOW, 9)
  assert.equal(many?.errorCode, ErrorCode.INVALID_TIMESTAMP)
  assert.equal(many.recordErrors.length, 100)
  const compacted = { ...config, cleanupPolicy: { compact: true, delete: false } }
  const keyless = Array.from({ length: 200 }, () => record({ key: null }))
  assert.equal(validated(build(keyless), compacted, NOW, 9)?.errorCode, ErrorCode.INVALID_RECORD)
  const both = validated(build([...keyless, late]), compacted, NOW, 9)
  assert.equal(both?.errorCode, ErrorCode.INVALID_TIMESTAMP)
  assert.equal(both.recordErrors.length, 100)
})

test('a compacted topic wants keys, inside compressed batches too', () => {
  const config = { ...defaultLogConfig, cleanupPolicy: { delete: false, compact: true } }
  for (const codec of [0, 1, 2]) {
    const found = validated(build([record(), record({ key: null })], { codec }), config, NOW, 9)
    assert.equal(found?.errorCode, ErrorCode.INVALID_RECORD)
    assert.deepEqual(
      found.recordErrors.map((error) => error.batchIndex),
      [1],
    )
  }
  const roomy = build([record({ value: Buffer.alloc(8 << 20) })], { codec: 1 })
  assert.equal(validate(roomy, config), ErrorCode.NONE, 'what counts is its size on the wire')
})

test('of a large compressed batch every record is read, whatever the policy', () => {
  const noise = (): Buffer => Buffer.from(Array.from({ length: 400 }, () => random.uint32() & 0xff))
  const random = new Seeded()
  const records = Array.from({ length: 100 }, (_, i) =>
    record({ value: noise(), timestampMs: NOW - 100 + i }),
  )
  for (const codec of [1, 2]) {
    const unset = build(records, { codec, maxTimestampMs: -1 })
    assert.ok(unset.length > 30_000)
    assert.equal(validate(unset), ErrorCode.NONE)
    assert.equal(batch.maxTimestamp(unset, 0), NOW - 1, 'as sarama before 1.45.1 leaves it')
    assert.equal(batch.batchProblem(unset, 0, unset.length), null)
    assert.equal(
      validate(build([...records, record({ offsetDelta: 7 })], { codec })),
      ErrorCode.INVALID_RECORD,
    )
    const fewer = edited(
      (bytes) => bytes.writeInt32BE(100, 23) && bytes.writeInt32BE(101, 57),
      build(records, { codec }),
    )
    assert.equal(validate(fewer), ErrorCode.INVALID_RECORD)
    const more = edited(
      (bytes) => bytes.writeInt32BE(98, 23) && bytes.writeInt32BE(99, 57),
      build(records, { codec }),
    )
    assert.equal(validate(more), ErrorCode.INVALID_RECORD)
    const bytes = Buffer.concat([build(records, { codec }).subarray(0, 61), noise(), ...records.map(noise)])
    bytes.writeInt32BE(bytes.length - 12, 8)
    assert.equal(validate(edited(() => {}, bytes)), ErrorCode.INVALID_RECORD, 'noise')
  }
})

test('any 64 bits are a timestamp, and the header has the largest of them exactly', () => {
  const config = { messageTimestampAfterMaxMs: 2 ** 63 }
  const nanoseconds = 1_795_994_149_195_660_170n
  const at = (base: bigint, records = [record()], max = base): Buffer =>
    edited((bytes) => {
      bytes.writeBigInt64BE(base, 27)
      bytes.writeBigInt64BE(max, 35)
    }, build(records))
  const ahead = [record(), record({ timestampMs: NOW + 3 })]
  const cases: [string, Buffer, bigint][] = [
    ['before 1970', at(-473_385_600_000n), -1n],
    ['the zero time of Go', at(-62_135_596_800_000n), -1n],
    ['nanoseconds', at(nanoseconds), nanoseconds],
    ['nanoseconds, header unset', at(nanoseconds, ahead, -1n), nanoseconds + 3n],
    ['nanoseconds, header off by one', at(nanoseconds, ahead, nanoseconds + 2n), nanoseconds + 3n],
    ['the largest', at(2n ** 63n - 1n), 2n ** 63n - 1n],
    ['a large delta', build([record({ timestampMs: 2 ** 52 }), record()]), 2n ** 52n],
  ]
  for (const [what, bytes, max] of cases) {
    assert.equal(validate(bytes, config), ErrorCode.NONE, what)
    assert.equal(bytes.readBigInt64BE(35), max, what)
    assert.equal(batch.batchProblem(bytes, 0, bytes.length), null)
    assert.equal(validate(bytes, { messageTimestampType: 'LogAppendTime' }), ErrorCode.NONE, what)
    assert.equal(batch.maxTimestamp(bytes, 0), NOW)
  }
  assert.equal(validate(at(nanoseconds)), ErrorCode.INVALID_TIMESTAMP)
})

test("the timestamp type is the topic's: a producer that names LogAppendTime is put right, or refused there", () => {
  const claimed = (): Buffer => edited((bytes) => bytes.writeInt16BE(0x08, 21))
  const bytes = claimed()
  assert.equal(validate(bytes), ErrorCode.NONE)
  assert.equal(batch.isLogAppendTime(bytes, 0), false)
  assert.equal(batch.batchProblem(bytes, 0, bytes.length), null)
  const config = { ...defaultLogConfig, messageTimestampType: 'LogAppendTime' } as const
  const found = validated(claimed(), config, NOW)
  assert.equal(found?.errorCode, ErrorCode.INVALID_TIMESTAMP)
  assert.equal(found.recordErrors.length, 2)
})

test('attributes that nobody knows stay, and go when the header is written anew', () => {
  const unknown = edited((bytes) => bytes.writeInt16BE(0x7f00, 21))
  assert.equal(validate(unknown), ErrorCode.NONE)
  assert.equal(batch.attributes(unknown, 0), 0x7f00)
  batch.setMaxTimestamp(unknown, 0, NOW + 1)
  assert.equal(validate(edited(() => {}, unknown)), ErrorCode.NONE)
  assert.equal(batch.attributes(unknown, 0), 0)
})

test('lengths below 0 are null, as Kafka reads them', () => {
  const bytes = edited((changed) => (changed[65] = 0x03), build([record({ key: null })]))
  assert.equal(validate(bytes), ErrorCode.NONE)
  assert.equal(validate(bytes, { cleanupPolicy: { delete: false, compact: true } }), ErrorCode.INVALID_RECORD)
})

test('a wrong max timestamp is put right; LogAppendTime is stamped', () => {
  const wrong = build([record({ timestampMs: NOW - 5 }), record({ timestampMs: NOW - 9 })], {
    maxTimestampMs: NOW + 7,
  })
  assert.equal(validate(wrong), ErrorCode.NONE)
  assert.equal(batch.maxTimestamp(wrong, 0), NOW - 5)
  assert.equal(batch.batchProblem(wrong, 0, wrong.length), null)
  const stamped = build([record({ timestampMs: 5 })])
  assert.equal(validate(stamped, { messageTimestampType: 'LogAppendTime' }), ErrorCode.NONE)
  assert.equal(batch.isLogAppendTime(stamped, 0), true)
  assert.equal(batch.maxTimestamp(stamped, 0), NOW)
  assert.equal(batch.batchProblem(stamped, 0, stamped.length), null)
})

test('records that do not add up are refused', () => {
  const refusals: ((bytes: Buffer) => void)[] = [
    (bytes) => (bytes[61] = 0x7e),
    (bytes) => (bytes[61] = 0x02),
    (bytes) => (bytes[64] = 0x04),
    (bytes) => (bytes[65] = 0xff),
    (bytes) => (bytes[bytes.length - 1] = 0x02),
  ]
  for (const edit of refusals) assert.equal(validate(edited(edit)), ErrorCode.INVALID_RECORD)
  assert.equal(
    validate(build([record({ offsetDelta: 0 }), record({ offsetDelta: 2 })])),
    ErrorCode.INVALID_RECORD,
  )
  const garbage = Buffer.concat([
    build([record()], { codec: 1 }).subarray(0, 61),
    zlib.gzipSync('not records'),
  ])
  garbage.writeInt32BE(garbage.length - 12, 8)
  assert.equal(validate(edited(() => {}, garbage)), ErrorCode.INVALID_RECORD)
})

test('arbitrary bytes under a good checksum never throw', () => {
  const random = new Seeded()
  for (let round = 0; round < 5000; round++) {
    const bytes = build([record(), record({ headers: [{ key: 'a', value: null }] })], {
      codec: random.between(0, 2),
    })
    for (let i = random.between(1, 5); i > 0; i--)
      bytes[random.between(17, bytes.length - 1)] = random.uint32()
    batch.setCrc(bytes, 0)
    try {
      validate(bytes, { cleanupPolicy: { delete: true, compact: random.between(0, 1) === 1 } })
    } catch (error) {
      throw new Error(`seed ${random.seed}, ${bytes.toString('hex')}`, { cause: error })
    }
  }
})
