import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32c, crc32Ieee } from '../../../protocol/crc32c.ts'
import * as batches from '../../../protocol/records/record-batch.ts'
import { buildBatch, buildControlBatch } from '../../../protocol/records/record-builder.ts'

/** The header of a batch as the protocol describes it, field by field. */
function header(fields: { attributes?: number; body?: number; magic?: number } = {}): Buffer {
  const { attributes = 0, body = 10, magic = 2 } = fields
  const buffer = Buffer.alloc(61 + body, 7)
  buffer.writeBigInt64BE(1_000n, 0)
  buffer.writeInt32BE(49 + body, 8)
  buffer.writeInt32BE(3, 12)
  buffer.writeInt8(magic, 16)
  buffer.writeInt16BE(attributes, 21)
  buffer.writeInt32BE(4, 23)
  buffer.writeBigInt64BE(1_700_000_000_000n, 27)
  buffer.writeBigInt64BE(1_700_000_000_009n, 35)
  buffer.writeBigInt64BE(77n, 43)
  buffer.writeInt16BE(2, 51)
  buffer.writeInt32BE(500, 53)
  buffer.writeInt32BE(5, 57)
  buffer.writeUInt32BE(crc32c(buffer.subarray(21)), 17)
  return buffer
}

test('the fields of a batch lie where the protocol has them, wherever the batch lies', () => {
  for (const at of [0, 5]) {
    const buffer = Buffer.concat([Buffer.alloc(at, 0xff), header(), Buffer.alloc(3, 0xff)])
    const read = <T>(field: (buffer: Buffer, at: number) => T): T => field(buffer, at)
    assert.deepEqual(
      [
        read(batches.baseOffset),
        read(batches.batchSizeBytes),
        read(batches.partitionLeaderEpoch),
        read(batches.magic),
        read(batches.attributes),
        read(batches.lastOffsetDelta),
        read(batches.lastOffset),
        read(batches.baseTimestamp),
        read(batches.maxTimestamp),
        read(batches.producerId),
        read(batches.producerEpoch),
        read(batches.baseSequence),
        read(batches.recordCount),
      ],
      [1_000, 71, 3, 2, 0, 4, 1_004, 1_700_000_000_000, 1_700_000_000_009, 77, 2, 500, 5],
    )
    assert.equal(read(batches.crc), crc32c(header().subarray(21)))
    assert.equal(read(batches.computeCrc), read(batches.crc))
    assert.equal(batches.batchProblem(buffer, at, buffer.length), null)
  }
})

test('the bits of the attributes', () => {
  const flags = (attributes: number): unknown[] => {
    const buffer = header({ attributes })
    return [
      batches.codec(buffer, 0),
      batches.isLogAppendTime(buffer, 0),
      batches.isTransactional(buffer, 0),
      batches.isControl(buffer, 0),
      batches.hasDeleteHorizon(buffer, 0),
    ]
  }
  assert.deepEqual(flags(0), [0, false, false, false, false])
  for (const codec of [1, 2, 3, 4]) assert.deepEqual(flags(codec), [codec, false, false, false, false])
  assert.deepEqual(flags(0x08), [0, true, false, false, false])
  assert.deepEqual(flags(0x10), [0, false, true, false, false])
  assert.deepEqual(flags(0x20), [0, false, false, true, false])
  assert.deepEqual(flags(0x40), [0, false, false, false, true])
  assert.deepEqual(flags(0x7c), [4, true, true, true, true])
})

test('what the builder makes has these bits and fields', () => {
  const record = { key: null, value: Buffer.from('v'), timestampMs: 5 }
  const built = buildBatch([record, { ...record, timestampMs: 9 }], {
    baseOffset: 70,
    partitionLeaderEpoch: 6,
    producerId: 8,
    producerEpoch: 3,
    baseSequence: 11,
    transactional: true,
    logAppendTime: true,
    deleteHorizon: true,
  })
  assert.equal(batches.attributes(built, 0), 0x58)
  assert.deepEqual(
    [
      batches.baseOffset(built, 0),
      batches.lastOffset(built, 0),
      batches.partitionLeaderEpoch(built, 0),
      batches.baseTimestamp(built, 0),
      batches.maxTimestamp(built, 0),
      batches.producerId(built, 0),
      batches.producerEpoch(built, 0),
      batches.baseSequence(built, 0),
      batches.recordCount(built, 0),
    ],
    [70, 71, 6, 5, 9, 8, 3, 11, 2],
  )
  const marker = buildControlBatch('COMMIT', 1, { producerId: 8, producerEpoch: 3 }, 5)
  assert.equal(batches.attributes(marker, 0) & 0x30, 0x30)
  const plain = buildBatch([record])
  assert.deepEqual(
    [batches.producerId(plain, 0), batches.producerEpoch(plain, 0), batches.baseSequence(plain, 0)],
    [-1, -1, -1],
  )
  assert.deepEqual([batches.partitionLeaderEpoch(plain, 0), batches.baseOffset(plain, 0)], [-1, 0])
})

test('a frame is as large as its magic wants, and not larger than what is there', () => {
  const problem = (buffer: Buffer, end = buffer.length): string => batches.frameProblem(buffer, 0, end) ?? ''
  assert.match(problem(header(), 16), /shorter than the start/)
  assert.match(problem(header(), 17), /goes beyond the end/)
  assert.match(problem(header(), 70), /batch length 59 goes beyond the end/)
  assert.equal(problem(header()), '')
  assert.equal(problem(header({ body: 0 })), '')
  for (const magic of [-1, 3, 127]) assert.match(problem(header({ magic })), /unknown magic/)
  for (const [magic, least] of [
    [0, 26],
    [1, 34],
    [2, 61],
  ] as const) {
    const buffer = header({ magic })
    buffer.writeInt32BE(least - 12, 8)
    assert.equal(problem(buffer), '')
    buffer.writeInt32BE(least - 13, 8)
    assert.match(problem(buffer), /is smaller than a (?:batch|message) header/)
    buffer.writeInt32BE(-100, 8)
    assert.match(problem(buffer), /is smaller than a (?:batch|message) header/)
  }
})

test('a batch whose checksum is right may still make no sense', () => {
  const problem = (change: (buffer: Buffer) => void, setCrc = true): string | null => {
    const buffer = header()
    change(buffer)
    if (setCrc) batches.setCrc(buffer, 0)
    return batches.batchProblem(buffer, 0, buffer.length)
  }
  assert.equal(
    problem(() => {}),
    null,
  )
  assert.match(problem((buffer) => buffer.writeBigInt64BE(-1n, 0)) ?? '', /base offset -1 out of range/)
  assert.match(problem((buffer) => buffer.writeBigInt64BE(2n ** 53n, 0)) ?? '', /out of range/)
  assert.equal(
    problem((buffer) => buffer.writeBigInt64BE(2n ** 53n - 1n, 0)),
    null,
  )
  assert.match(problem((buffer) => buffer.writeInt32BE(-1, 23)) ?? '', /last offset delta -1 is negative/)
  assert.equal(
    problem((buffer) => buffer.writeInt32BE(0, 23)),
    null,
  )
  assert.match(problem((buffer) => buffer.writeInt32BE(-1, 57)) ?? '', /record count -1 is negative/)
  assert.equal(
    problem((buffer) => buffer.writeInt32BE(0, 57)),
    null,
  )
  for (const at of [17, 21, 60, 70])
    assert.equal(
      problem((buffer) => (buffer[at]! ^= 1), false),
      'checksum mismatch',
      `byte ${at}`,
    )
})

test('messages of the old formats: size, offset, time and checksum', () => {
  for (const magic of [0, 1]) {
    const message = Buffer.alloc(40, 1)
    message.writeBigInt64BE(9n, 0)
    message.writeInt32BE(28, 8)
    message.writeInt8(magic, 16)
    message.writeBigInt64BE(1_600_000_000_000n, 18)
    message.writeUInt32BE(crc32Ieee(message.subarray(16)), 12)
    assert.equal(batches.batchProblem(message, 0, 40), null)
    assert.deepEqual([batches.baseOffset(message, 0), batches.lastOffset(message, 0)], [9, 9])
    assert.equal(batches.maxTimestamp(message, 0), magic === 0 ? -1 : 1_600_000_000_000)
    message[39]! ^= 1
    assert.equal(batches.batchProblem(message, 0, 40), 'checksum mismatch')
  }
})

test('what the log writes into a batch', () => {
  const buffer = header()
  batches.setBaseOffset(buffer, 0, 2 ** 40 + 5)
  batches.setPartitionLeaderEpoch(buffer, 0, 12)
  assert.deepEqual([buffer.readBigInt64BE(0), buffer.readInt32BE(12)], [2n ** 40n + 5n, 12])
  assert.equal(batches.batchProblem(buffer, 0, buffer.length), null, 'both are outside the checksum')
  batches.setMaxTimestamp(buffer, 0, 1_800_000_000_000)
  assert.equal(buffer.readBigInt64BE(35), 1_800_000_000_000n)
  assert.equal(batches.batchProblem(buffer, 0, buffer.length), 'checksum mismatch')
  batches.setCrc(buffer, 0)
  assert.equal(batches.batchProblem(buffer, 0, buffer.length), null)
})

test('an int64 goes in and out as it is', () => {
  const buffer = Buffer.alloc(10)
  for (const value of [0, 1, -1, 2 ** 31, -(2 ** 31), 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, -(2 ** 53) + 1]) {
    batches.writeInt64(buffer, value, 1)
    assert.equal(buffer.readBigInt64BE(1), BigInt(value))
    assert.equal(batches.readInt64(buffer, 1), value)
  }
})
