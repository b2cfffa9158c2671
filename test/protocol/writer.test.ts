import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProtocolError, Reader } from '../../protocol/reader.ts'
import { Writer } from '../../protocol/writer.ts'

function refused(run: () => void): void {
  assert.throws(run, ProtocolError)
}

test('a frame begins with the size of what follows', () => {
  const writer = new Writer(8)
  writer.beginFrame()
  writer.string('twelve bytes')
  writer.records([Buffer.from('abc'), Buffer.from('de')])
  writer.int16(7)
  assert.equal(writer.byteLength, 4 + 14 + 4 + 5 + 2)
  const frame = writer.finishBuffer()
  assert.equal(frame.length, 29)
  assert.equal(frame.readInt32BE(0), 25)
  assert.equal(frame.subarray(22, 27).toString(), 'abcde')
  assert.equal(writer.byteLength, 0)
})

test('records are chunks of the frame, not copies', () => {
  const writer = new Writer()
  const batch = Buffer.from('a batch')
  writer.beginFrame()
  writer.nullableRecords(batch)
  writer.compactRecords([batch, Buffer.alloc(0), batch])
  const chunks = writer.finish()
  assert.deepEqual(
    chunks.map((chunk) => chunk === batch),
    [false, true, false, true, true],
  )
})

test('of no records there is no chunk, so an answer without any is one', () => {
  const writer = new Writer()
  writer.beginFrame()
  for (let partition = 0; partition < 50; partition++) {
    writer.records([])
    writer.compactRecords([{ length: 0 }])
    writer.nullableRecords(Buffer.alloc(0))
  }
  assert.deepEqual(
    writer.finish().map(({ length }) => length),
    [4 + 50 * 9],
  )
})

test('pieces that are no buffers are counted and come out in their place', () => {
  const writer = new Writer()
  const slice = { length: 1_000_000 }
  const empty = { length: 0 }
  writer.beginFrame()
  writer.records([slice, Buffer.from('tail'), empty])
  writer.int8(7)
  assert.equal(writer.byteLength, 4 + 4 + 1_000_004 + 1)
  const [start, ...rest] = writer.finish()
  assert.ok(Buffer.isBuffer(start))
  assert.equal(start.readInt32BE(0), 4 + 1_000_004 + 1)
  assert.equal(start.readInt32BE(4), 1_000_004)
  assert.equal(rest[0], slice)
  assert.deepEqual(rest.slice(1), [Buffer.from('tail'), Buffer.from([7])])
  writer.compactRecords([slice])
  assert.throws(() => writer.finishBuffer(), /no buffer/)
})

test('finished frames stay as they are while the writer goes on in the same slab', () => {
  const writer = new Writer(64)
  const frames: Buffer[] = []
  for (let i = 0; i < 100; i++) {
    writer.beginFrame()
    writer.int32(i)
    writer.string('x'.repeat(i))
    frames.push(writer.finishBuffer())
  }
  for (const [i, frame] of frames.entries()) {
    const reader = new Reader(frame)
    assert.equal(reader.int32(), frame.length - 4)
    assert.equal(reader.int32(), i)
    assert.equal(reader.string(), 'x'.repeat(i))
    reader.expectEnd()
  }
})

test('discard forgets half a frame', () => {
  const writer = new Writer(16)
  writer.beginFrame()
  writer.int32(1)
  writer.external(Buffer.from('gone'))
  writer.string('more than sixteen bytes of it')
  writer.discard()
  assert.equal(writer.byteLength, 0)
  writer.beginFrame()
  writer.int8(5)
  assert.deepEqual(writer.finishBuffer(), Buffer.from([0, 0, 0, 1, 5]))
  writer.int8(6)
  writer.discard()
  writer.int8(7)
  assert.deepEqual(writer.finishBuffer(), Buffer.from([7]))
})

test('values outside their type are refused', () => {
  const writer = new Writer()
  refused(() => writer.int8(128))
  refused(() => writer.int16(-0x8001))
  refused(() => writer.int32(2 ** 31))
  refused(() => writer.int32(0.5))
  refused(() => writer.int64(2 ** 53))
  refused(() => writer.int64(Number.NaN))
  refused(() => writer.int64(2n ** 63n))
  refused(() => writer.exactInt64(-(2n ** 63n) - 1n))
  refused(() => writer.uvarint(-1))
  refused(() => writer.uvarint(2 ** 32))
  refused(() => writer.uuid('no id'))
  // The last character of an id carries two bits: another spelling of the same bytes is not the same string.
  refused(() => writer.uuid('AAAAAAAAAAAAAAAAAAAAAB'))
  refused(() => writer.string('x'.repeat(0x8000)))
  refused(() => writer.compactString('ü'.repeat(0x4000)))
  assert.equal(writer.byteLength, 0)
})

test('an int64 may be a bigint', () => {
  const writer = new Writer()
  for (const value of [2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n, 5n]) {
    writer.exactInt64(value)
    assert.equal(writer.finishBuffer().readBigInt64BE(), value)
  }
})

test('a lone surrogate becomes a replacement character', () => {
  const writer = new Writer()
  writer.string('a\ud800b')
  assert.equal(new Reader(writer.finishBuffer()).string(), 'a\ufffdb')
})

test('no byte leaves that was not written', (t) => {
  const write = (writer: Writer, length: number): Buffer => {
    writer.beginFrame()
    writer.bool(false)
    writer.int8(0)
    writer.int16(0)
    writer.int32(0)
    writer.int64(0)
    writer.float64(0)
    writer.uuid('AAAAAAAAAAAAAAAAAAAAAA')
    writer.uvarint(length)
    writer.varlong(0)
    writer.nullableString('\ud800'.repeat(length))
    writer.bytes(Buffer.alloc(length))
    const nested = new Writer(8)
    nested.compactString('\u00e9'.repeat(length))
    writer.taggedField(0, nested)
    if (length % 3 === 0) writer.records(Buffer.alloc(3))
    return writer.finishBuffer()
  }
  const allocate = Buffer.allocUnsafe.bind(Buffer)
  let poison = 0
  t.mock.method(Buffer, 'allocUnsafe', (size: number) => allocate(size).fill(poison))
  const frames = [0x00, 0xa5].map((fill) => {
    poison = fill
    const writer = new Writer(32)
    return Array.from({ length: 200 }, (_, length) => write(writer, length))
  })
  // An unwritten byte would show what the slab was filled with.
  assert.deepEqual(frames[1], frames[0])
})

test('a small frame keeps no large slab', () => {
  const writer = new Writer()
  writer.beginFrame()
  writer.raw(Buffer.alloc(300_000))
  writer.finish()
  writer.beginFrame()
  writer.string('small')
  assert.ok(writer.finishBuffer().buffer.byteLength <= 65_536)
})

test('a number that its type cannot carry is refused, and the ones at its ends are not', () => {
  const types = {
    int8: [-128, 127],
    uint8: [0, 255],
    int16: [-32_768, 32_767],
    uint16: [0, 65_535],
    varint: [-(2 ** 31), 2 ** 31 - 1],
    varlong: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  } as const
  for (const [type, [least, most]] of Object.entries(types) as [keyof typeof types, [number, number]][]) {
    const writer = new Writer(64)
    writer[type](least)
    writer[type](most)
    const { byteLength } = writer
    for (const value of [least - 1, most + 1, 0.5, NaN]) refused(() => writer[type](value))
    assert.equal(writer.byteLength, byteLength, `${type}: nothing of these is written`)
  }
})

test('no bytes at all differ from none', () => {
  const writer = new Writer(64)
  writer.compactNullableBytes(null)
  writer.compactNullableBytes(Buffer.alloc(0))
  writer.compactNullableBytes(Buffer.from('x'))
  assert.deepEqual([...writer.finishBuffer()], [0, 1, 2, 0x78])
})
