import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as batch from '../../../protocol/records/record-batch.ts'
import { buildBatch } from '../../../protocol/records/record-builder.ts'
import { RecordReader } from '../../../protocol/records/record-reader.ts'
import { RecordStream } from '../../../protocol/records/record-stream.ts'
import { Seeded } from '../../support/seed.ts'
import { varint } from '../../support/varint.ts'

type Shape = [number, number, number, bigint | null, number]

function bodyOf(random: Seeded): { body: Buffer; count: number } {
  const records = Array.from({ length: random.between(1, 30) }, () => ({
    key: random.between(0, 2) === 0 ? null : Buffer.alloc(random.between(0, 40)),
    value: random.between(0, 2) === 0 ? null : Buffer.alloc(random.pick([0, 5, 100, 5000])),
    timestampMs: random.pick([0, 1, 5000, 2 ** 40, 2 ** 49, -(2 ** 50), 2 ** 53 - 1]),
    headers: Array.from({ length: random.between(0, 3) }, () => ({
      key: 'h'.repeat(random.between(0, 9)),
      value: random.between(0, 1) === 0 ? null : Buffer.alloc(random.between(0, 300)),
    })),
  }))
  const bytes = buildBatch(records, { baseTimestampMs: 0 })
  return { body: Buffer.from(bytes.subarray(batch.BATCH_OVERHEAD)), count: records.length }
}

function byReader(body: Buffer, count: number): { shapes: Shape[]; problem: boolean } {
  const reader = new RecordReader(body, count)
  const shapes: Shape[] = []
  while (reader.next()) shapes.push(shapeOf(reader))
  return { shapes, problem: reader.problem !== null }
}

function byStream(body: Buffer, count: number, random: Seeded): { shapes: Shape[]; problem: boolean } {
  const stream = new RecordStream(count)
  const shapes: Shape[] = []
  const most = random.pick([1, 2, 7, 100, 4000, 1e6])
  for (let at = 0; at < body.length;) {
    const piece = body.subarray(at, at + random.between(1, most))
    at += piece.length
    stream.feed(piece)
    while (stream.next()) shapes.push(shapeOf(stream))
  }
  stream.end()
  return { shapes, problem: stream.problem !== null }
}

function shapeOf(record: RecordReader | RecordStream): Shape {
  // Only what a number does not hold has to be given as another.
  const wide = Number.isSafeInteger(record.timestampDelta) ? null : record.wideDelta
  return [record.index, record.offsetDelta, record.timestampDelta, wide, Math.max(-1, record.keyLength)]
}

test('pieces of any size show the records that the whole body holds', () => {
  const random = new Seeded()
  for (let round = 0; round < 2000; round++) {
    const { body, count } = bodyOf(random)
    const expected = byReader(body, count)
    assert.equal(expected.shapes.length, count)
    assert.deepEqual(byStream(body, count, random), expected, `seed ${random.seed}, round ${round}`)
  }
})

test('what does not add up is noticed in pieces as in the whole', () => {
  const random = new Seeded()
  let problems = 0
  for (let round = 0; round < 6000; round++) {
    const { body, count } = bodyOf(random)
    for (let i = random.between(0, 3); i > 0; i--) body[random.between(0, body.length - 1)] = random.uint32()
    const cut = random.between(0, 3) === 0 ? body.subarray(0, random.between(0, body.length)) : body
    const claimed = random.between(0, 4) === 0 ? count + random.between(-1, 1) : count
    const expected = byReader(cut, claimed)
    const found = byStream(cut, claimed, random)
    if (expected.problem) problems += 1
    assert.equal(found.problem, expected.problem, `seed ${random.seed}, round ${round}`)
    assert.deepEqual(found.shapes.slice(0, expected.shapes.length), expected.shapes)
  }
  assert.ok(problems > 1000)
})

test('a varint of five bytes has 32 bits, as in Java, whatever its last byte says', () => {
  for (const [last, offsetDelta] of [
    [0x0f, -(2 ** 31)],
    [0x07, -(2 ** 30)],
    [0x17, -(2 ** 30)],
    [0x7f, -(2 ** 31)],
  ] as const) {
    // 9 bytes: attributes, timestamp delta, offset delta, neither key nor value nor headers.
    const body = Buffer.from([...varint(10), 0, 0, 0xff, 0xff, 0xff, 0xff, last, 1, 1, 0])
    for (const shapes of [byReader(body, 1), byStream(body, 1, new Seeded(1))]) {
      assert.deepEqual(shapes, { shapes: [[0, offsetDelta, 0, null, -1]], problem: false })
    }
    const stream = new RecordStream(1)
    for (const byte of body) {
      stream.feed(Buffer.from([byte]))
      stream.next()
    }
    assert.equal(stream.offsetDelta, offsetDelta, `${last}`)
  }
})

test('a record of a gigabyte takes no memory', () => {
  const stream = new RecordStream(1)
  const head = Buffer.from(
    buildBatch([{ key: null, value: Buffer.alloc(0), timestampMs: 0 }]).subarray(batch.BATCH_OVERHEAD),
  )
  assert.equal(head.length, 7)
  // Length and value length in five bytes each.
  const valueBytes = 2 ** 30
  const bytes = [...varint(valueBytes + 10), 0, 0, 0, 1, ...varint(valueBytes)]
  const piece = Buffer.alloc(2 ** 20)
  const before = process.memoryUsage()
  stream.feed(Buffer.from(bytes))
  assert.equal(stream.next(), false)
  for (let at = 0; at < valueBytes; at += piece.length) {
    stream.feed(piece)
    assert.equal(stream.next(), false)
  }
  stream.feed(Buffer.from([0]))
  assert.equal(stream.next(), true)
  stream.end()
  assert.equal(stream.problem, null)
  const after = process.memoryUsage()
  assert.ok(after.rss - before.rss < 64 << 20)
})
