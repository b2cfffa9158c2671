import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { MAX_ELEMENTS, MAX_TAGGED_FIELDS, ProtocolError, Reader } from '../../protocol/reader.ts'
import { Writer } from '../../protocol/writer.ts'
import { seed } from './seed.ts'

function reading(...bytes: number[]): Reader {
  return new Reader(Buffer.from(bytes))
}

function written(write: (writer: Writer) => void): Reader {
  const writer = new Writer(4)
  write(writer)
  return new Reader(writer.finishBuffer())
}

function refused(run: () => unknown, message: RegExp): void {
  assert.throws(run, (error) => error instanceof ProtocolError && message.test(error.message))
}

test('integers are big-endian and signed', () => {
  assert.equal(reading(0x80).int8(), -128)
  assert.equal(reading(0xff, 0xfe).int16(), -2)
  assert.equal(reading(0x80, 0, 0, 0).int32(), -0x8000_0000)
  assert.equal(reading(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff).int64(), -1)
  assert.equal(reading(0, 0, 0, 1, 0, 0, 0, 0).int64(), 2 ** 32)
})

test('int64 compares as the value does, exactInt64 is the value', () => {
  const limit = BigInt(Number.MAX_SAFE_INTEGER)
  const read = (value: bigint): [number, number | bigint] => {
    const buffer = Buffer.alloc(8)
    buffer.writeBigInt64BE(value)
    return [new Reader(buffer).int64(), new Reader(buffer).exactInt64()]
  }
  for (const value of [limit, -limit, 0n, -1n, 2n ** 32n, -(2n ** 32n)])
    assert.deepEqual(read(value), [Number(value), Number(value)])
  for (const value of [limit + 1n, limit + 2n, 2n ** 60n + 1n, 2n ** 63n - 1n])
    assert.deepEqual(read(value), [Number.MAX_SAFE_INTEGER, value])
  for (const value of [-limit - 1n, -limit - 2n, -(2n ** 63n)])
    assert.deepEqual(read(value), [Number.MIN_SAFE_INTEGER, value])
})

test('varints come back, and five bytes are the limit', () => {
  const property = fc.property(
    fc.nat(0xffff_ffff),
    fc.integer(),
    fc.maxSafeInteger(),
    (unsigned, signed, long) => {
      const reader = written((writer) => {
        writer.uvarint(unsigned)
        writer.varint(signed)
        writer.varlong(long)
      })
      assert.equal(reader.uvarint(), unsigned)
      assert.equal(reader.varint(), signed)
      assert.equal(reader.varlong(), long)
      reader.expectEnd()
    },
  )
  fc.assert(property, { seed, examples: [[0xffff_ffff, -0x8000_0000, Number.MIN_SAFE_INTEGER]] })

  assert.equal(reading(0xff, 0xff, 0xff, 0xff, 0x0f).uvarint(), 0xffff_ffff)
  refused(() => reading(0xff, 0xff, 0xff, 0xff, 0x1f).uvarint(), /longer than 32 bits/)
  refused(() => reading(0x80, 0x80, 0x80, 0x80, 0x80, 0).uvarint(), /longer than 32 bits/)
  refused(() => reading(0x80, 0x80).uvarint(), /0 left/)
})

test('varlongs beyond a safe integer are refused', () => {
  const bytes = Array.from({ length: 9 }, () => 0xff)
  refused(() => reading(...bytes, 0x01).varlong(), /varlong outside/)
  refused(() => reading(...bytes, 0xff).varlong(), /varlong outside/)
  refused(() => reading(...bytes).varlong(), /0 left/)
})

test('strings must be UTF-8, of a length that is there and allowed', () => {
  assert.equal(written((w) => w.string('grüße \u{1f980}')).string(), 'grüße \u{1f980}')
  assert.equal(written((w) => w.string('\ufffd')).string(), '\ufffd')
  assert.equal(written((w) => w.compactString('\ufffd')).compactNullableString(), '\ufffd')
  assert.equal(written((w) => w.nullableString(null)).nullableString(), null)
  assert.equal(written((w) => w.compactNullableString(null)).compactNullableString(), null)
  refused(() => reading(0, 2, 0xc3, 0x28).string(), /not UTF-8/)
  refused(() => reading(0, 3, 0xed, 0xa0, 0x80).string(), /not UTF-8/)
  refused(() => reading(0xff, 0xff).string(), /null string/)
  refused(() => reading(0xff, 0xfe).nullableString(), /length -2/)
  refused(() => reading(0).compactString(), /null string/)
  refused(() => reading(0, 5, 0x61).string(), /5 bytes wanted, 1 left/)
  refused(() => reading(0x81, 0x80, 0x02).compactString(), /string of 32768 bytes/)
})

test('bytes are views of the frame', () => {
  const frame = Buffer.from([0, 0, 0, 2, 7, 8])
  const bytes = new Reader(frame).bytes()
  frame[4] = 9
  assert.deepEqual(bytes, Buffer.from([9, 8]))
  refused(() => reading(0xff, 0xff, 0xff, 0xff).bytes(), /null bytes/)
  assert.equal(reading(0xff, 0xff, 0xff, 0xff).nullableBytes(), null)
  refused(() => reading(0xff, 0xff, 0xff, 0xfe).nullableBytes(), /length -2/)
  refused(() => reading(0x7f, 0xff, 0xff, 0xff).bytes(), /2147483647 bytes wanted, 0 left/)
  refused(() => reading(0xff, 0xff, 0xff, 0xff, 0x0f).compactBytes(), /4294967294 bytes wanted, 0 left/)
})

test('a count must fit into what is left', () => {
  assert.equal(reading(0, 0, 0, 2, 1, 2, 3, 4).arrayCount(2), 2)
  refused(() => reading(0, 0, 0, 3, 1, 2, 3, 4).arrayCount(2), /array of 3 in 4 bytes/)
  refused(() => reading(0x7f, 0xff, 0xff, 0xff).arrayCount(1), /array of 2147483647 in 0 bytes/)
  refused(() => reading(0xff, 0xff, 0xff, 0xff).arrayCount(1), /null array/)
  refused(() => reading(0xff, 0xff, 0xff, 0xfe).nullableArrayCount(1), /length -2/)
  assert.equal(reading(0xff, 0xff, 0xff, 0xff).nullableArrayCount(1), -1)
  assert.equal(reading(0).compactNullableArrayCount(1), -1)
  refused(() => reading(0).compactArrayCount(1), /null array/)
  refused(() => reading(0xff, 0xff, 0xff, 0xff, 0x0f).compactArrayCount(1), /array of 4294967294 in 0 bytes/)
})

test('the elements of one message are limited, however large the frame', () => {
  const frame = Buffer.alloc(2 * MAX_ELEMENTS)
  frame.writeInt32BE(MAX_ELEMENTS)
  frame.writeInt32BE(1, 4)
  const reader = new Reader(frame)
  assert.equal(reader.arrayCount(1), MAX_ELEMENTS)
  refused(() => reader.arrayCount(1), /more than 262144 array elements/)
  assert.equal(reader.reset(frame).arrayCount(1), MAX_ELEMENTS)
  refused(() => reader.reset(frame).arrayCount(1, true), /more than 131072 structs/)
})

test('unknown tagged fields are skipped, up to a number', () => {
  const tags = (count: number): Reader =>
    written((writer) => {
      writer.uvarint(count)
      for (let tag = 0; tag < count; tag++) {
        writer.uvarint(tag)
        writer.uvarint(1)
        writer.uint8(0)
      }
    })
  const reader = tags(MAX_TAGGED_FIELDS)
  reader.skipTaggedFields()
  reader.expectEnd()
  refused(() => tags(MAX_TAGGED_FIELDS + 1).skipTaggedFields(), /65 tagged fields/)
  refused(() => reading(1, 0, 9, 0).skipTaggedFields(), /9 bytes wanted, 1 left/)
  refused(() => reading().skipTaggedFields(), /0 left/)
})

test('nothing is read behind the end', () => {
  const reader = new Reader(Buffer.from([1, 2, 3, 4]), 1, 3)
  assert.equal(reader.remaining, 2)
  assert.equal(reader.int16(), 0x0203)
  reader.expectEnd()
  refused(() => reader.int8(), /1 bytes wanted, 0 left/)
  refused(() => reader.reset(Buffer.from([1, 2])).expectEnd(), /2 bytes after the message/)
})

test('a struct marker is 1 or -1', () => {
  assert.equal(reading(1).structIsPresent(), true)
  assert.equal(reading(0xff).structIsPresent(), false)
  refused(() => reading(0).structIsPresent(), /struct marker 0/)
  refused(() => reading(2).structIsPresent(), /struct marker 2/)
})
