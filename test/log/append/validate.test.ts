import assert from 'node:assert/strict'
import { test } from 'node:test'
import zlib from 'node:zlib'
import { ErrorCode } from '../../../protocol/errors.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import { buildBatch } from '../../../protocol/records/record-builder.ts'
import type { BatchOptions, NewRecord } from '../../../protocol/records/record-builder.ts'
import { defaultLogConfig } from '../../../src/log/log-config.ts'
import type { LogConfig } from '../../../src/log/log-config.ts'
import { validateProduceBatch } from '../../../src/log/append/validate.ts'
import { Seeded } from '../../support/seed.ts'

const NOW = 1_800_000_000_000

function record(more: Partial<NewRecord> = {}): NewRecord {
  return { key: Buffer.from('key'), value: Buffer.from('value'), timestampMs: NOW, ...more }
}

function build(records: readonly NewRecord[] = [record(), record()], options: BatchOptions = {}): Buffer {
  return buildBatch(records, options)
}

function validate(bytes: Buffer | null, config: Partial<LogConfig> = {}, version = 9): number {
  const found = validateProduceBatch(bytes, { ...defaultLogConfig, ...config }, NOW, version)
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
  for (const magic of [0, 1, 3, -1]) {
    assert.equal(validate(edited((bytes) => bytes.writeInt8(magic, 16))), ErrorCode.INVALID_RECORD)
  }
  const bytes = build()
  for (let cut = 1; cut < bytes.length; cut++) {
    assert.equal(validate(bytes.subarray(0, cut)), ErrorCode.CORRUPT_MESSAGE)
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
    ['transactional', ErrorCode.INVALID_TXN_STATE, (bytes) => bytes.writeInt16BE(0x10, 21)],
    ['LogAppendTime bit', ErrorCode.INVALID_TIMESTAMP, (bytes) => bytes.writeInt16BE(0x08, 21)],
    ['unknown codec', ErrorCode.INVALID_RECORD, (bytes) => bytes.writeInt16BE(5, 21)],
    ['producer without sequence', ErrorCode.INVALID_RECORD, (bytes) => batch.writeInt64(bytes, 1, 43)],
    ['producer id out of range', ErrorCode.INVALID_RECORD, (bytes) => bytes.writeInt32BE(0x7fff_ffff, 43)],
    ['base timestamp out of range', ErrorCode.INVALID_TIMESTAMP, (bytes) => bytes.writeInt32BE(-5, 27)],
    [
      'max timestamp out of range',
      ErrorCode.INVALID_TIMESTAMP,
      (bytes) => bytes.writeInt32BE(0x7fff_ffff, 35),
    ],
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
  assert.equal(validate(bytes, {}, 7), ErrorCode.CORRUPT_MESSAGE, 'looked into, and not zstd')
})

test('timestamps outside the window name the records', () => {
  const config = { ...defaultLogConfig, messageTimestampBeforeMaxMs: 1000, messageTimestampAfterMaxMs: 1000 }
  const records = [record(), record({ timestampMs: NOW - 1001 }), record({ timestampMs: NOW + 1001 })]
  for (const codec of [0, 1]) {
    const found = validateProduceBatch(build(records, { codec }), config, NOW, 9)
    assert.equal(found?.errorCode, ErrorCode.INVALID_TIMESTAMP)
    assert.deepEqual(
      found.recordErrors.map((error) => error.batchIndex),
      [1, 2],
    )
  }
  assert.equal(validate(build(records), { ...config, messageTimestampType: 'LogAppendTime' }), ErrorCode.NONE)
  assert.equal(validate(build([record({ timestampMs: -1 })]), config), ErrorCode.NONE)
})

test('a compacted topic wants keys, inside compressed batches too', () => {
  const config = { ...defaultLogConfig, cleanupPolicy: { delete: false, compact: true } }
  for (const codec of [0, 1, 2]) {
    const found = validateProduceBatch(build([record(), record({ key: null })], { codec }), config, NOW, 9)
    assert.equal(found?.errorCode, ErrorCode.INVALID_RECORD)
    assert.deepEqual(
      found.recordErrors.map((error) => error.batchIndex),
      [1],
    )
  }
  const bomb = build([record({ value: Buffer.alloc(8 << 20) })], { codec: 1 })
  assert.equal(validate(bomb, config), ErrorCode.MESSAGE_TOO_LARGE)
  assert.equal(validate(bomb), ErrorCode.NONE, 'elsewhere it is not unpacked')
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
