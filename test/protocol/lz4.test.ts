import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CompressionError } from '../../protocol/compression-error.ts'
import { allSteps } from '../../protocol/compression.ts'
import { decompressLz4, decompressLz4Block, lz4Blocks, lz4FrameInSteps } from '../../protocol/lz4.ts'
import { xxhash32 } from '../../protocol/xxhash32.ts'
import { outcomeOf } from './steps-outcome.ts'

const INDEPENDENT = 0x60
const BLOCK_CHECKSUMS = 0x10
const CONTENT_SIZE = 0x08
const CONTENT_CHECKSUM = 0x04
const PLAIN = 0x8000_0000
const KIB = 1024
const END = int32(0)

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value >>> 0)
  return bytes
}

/** A header with the right checksum. */
function headerOf(flags: number, sizeCode = 0x40): Buffer {
  const described = Buffer.from([flags, sizeCode, ...Buffer.alloc((flags & CONTENT_SIZE) === 0 ? 0 : 8, 1)])
  return Buffer.concat([
    Buffer.from([0x04, 0x22, 0x4d, 0x18]),
    described,
    Buffer.from([(xxhash32(described) >> 8) & 0xff]),
  ])
}

const plain = (bytes: Buffer): Buffer => Buffer.concat([int32((bytes.length | PLAIN) >>> 0), bytes])
const compressed = (bytes: Buffer): Buffer => Buffer.concat([int32(bytes.length), bytes])
const framed = (flags: number, ...blocks: Buffer[]): Buffer =>
  Buffer.concat([headerOf(flags), ...blocks, END])

const decoded = (frame: Buffer, limit = 1 << 23): string =>
  outcomeOf(() => decompressLz4(frame, limit)).toString()
const decodedBlock = (...bytes: number[]): string =>
  decoded(framed(INDEPENDENT, compressed(Buffer.from(bytes))))

test('blocks with checksums are taken when these are right', () => {
  const text = 'a block of text'
  const bytes = Buffer.from(text)
  const flags = INDEPENDENT | BLOCK_CHECKSUMS
  const frame = framed(flags, plain(bytes), int32(xxhash32(bytes)), plain(bytes), int32(xxhash32(bytes)))
  assert.equal(decoded(frame), text.repeat(2))
  assert.equal(decoded(framed(flags, plain(bytes), int32(xxhash32(bytes) + 1))), 'invalid')
  assert.equal(decoded(frame.subarray(0, frame.length - 4)), 'invalid', 'without its end')
  // The end mark is no checksum, and there is none behind it.
  const cut = Buffer.concat([headerOf(flags), plain(bytes)])
  for (const rest of [0, 1, 3]) assert.equal(decoded(Buffer.concat([cut, Buffer.alloc(rest)])), 'invalid')
})

test('the length and the checksum of the content may be told', () => {
  const bytes = Buffer.from('text')
  for (const flags of [CONTENT_SIZE, CONTENT_CHECKSUM, CONTENT_SIZE | CONTENT_CHECKSUM])
    assert.equal(decoded(framed(INDEPENDENT | flags, plain(bytes))), 'text')
})

test('headers that mean something else are refused', () => {
  for (const flags of [0x20, 0xa0, 0xe0, 0x40, 0x61, 0x62])
    assert.equal(decoded(Buffer.concat([headerOf(flags), END])), 'invalid', flags.toString(16))
  for (const sizeCode of [0, 0x30, 0xc0, 0x41, 0x48])
    assert.equal(decoded(Buffer.concat([headerOf(INDEPENDENT, sizeCode), END])), 'invalid')
  const empty = framed(INDEPENDENT)
  assert.equal(decoded(empty), '')
  for (let cut = 0; cut < empty.length; cut++) assert.equal(decoded(empty.subarray(0, cut)), 'invalid')
})

test('no block is longer than the header says that it may be', () => {
  for (const [sizeCode, maxBytes] of [
    [0x40, 64 * KIB],
    [0x50, 256 * KIB],
    [0x60, 1024 * KIB],
    [0x70, 4096 * KIB],
  ] as const) {
    const frameOf = (block: Buffer): Buffer =>
      Buffer.concat([headerOf(INDEPENDENT, sizeCode), plain(block), END])
    assert.equal(decoded(frameOf(Buffer.alloc(maxBytes, 'x'))).length, maxBytes)
    assert.equal(decoded(frameOf(Buffer.alloc(maxBytes + 1))), 'invalid')
    assert.equal([...lz4Blocks(frameOf(Buffer.alloc(1)))][0]!.maxBytes, maxBytes)
  }
  // What it becomes, too: a byte, and 65,535 or 65,536 times the same.
  const run = (matchBytes: number): number[] => {
    const more = matchBytes - 4 - 15
    return [0x1f, 0x61, 1, 0, ...Array.from({ length: Math.floor(more / 255) }, () => 255), more % 255]
  }
  assert.equal(decodedBlock(...run(64 * KIB - 1)), 'a'.repeat(64 * KIB))
  assert.equal(decodedBlock(...run(64 * KIB)), 'invalid')
  const limited = framed(INDEPENDENT, plain(Buffer.from('abcd')), plain(Buffer.from('e')))
  assert.equal(decoded(limited, 5), 'abcde')
  assert.equal(decoded(limited, 4), 'too-large')
})

test('literals and matches of every length come out', () => {
  const text = (count: number): number[] => Array.from({ length: count }, (_, i) => 97 + (i % 26))
  const asText = (count: number): string => Buffer.from(text(count)).toString()
  assert.equal(decodedBlock(0xe0, ...text(14)), asText(14))
  assert.equal(decodedBlock(0xf0, 0, ...text(15)), asText(15))
  assert.equal(decodedBlock(0xf0, 255, 0, ...text(270)), asText(270))
  assert.equal(decodedBlock(0xf0, 255, 3, ...text(273)), asText(273))
  // A match of at least four bytes, from as far back as there is something.
  assert.equal(decodedBlock(0x40, ...text(4), 4, 0), 'abcdabcd')
  assert.equal(decodedBlock(0x4e, ...text(4), 4, 0), `${'abcd'.repeat(5)}ab`)
  assert.equal(decodedBlock(0x4f, ...text(4), 4, 0, 0), `${'abcd'.repeat(5)}abc`)
  assert.equal(decodedBlock(0x4f, ...text(4), 4, 0, 255, 1), 'abcd'.repeat(70).slice(0, 4 + 4 + 15 + 256))
  assert.equal(decodedBlock(0x40, ...text(4), 5, 0), 'invalid')
  assert.equal(decodedBlock(0x40, ...text(4), 0, 0), 'invalid')
  const far = framed(
    INDEPENDENT,
    compressed(Buffer.from([0x40, ...text(4), 4, 0])),
    compressed(Buffer.from([0x00, 4, 0])),
  )
  assert.equal(decoded(far), 'invalid', 'from the block before')
})

test('a block that is cut short is refused', () => {
  for (const bytes of [
    [0xf0],
    [0xf0, 255],
    [0x20, 97],
    [0x10, 97, 1],
    [0x1f, 97, 1, 0],
    [0x1f, 97, 1, 0, 255],
  ])
    assert.equal(decodedBlock(...bytes), 'invalid', String(bytes))
  assert.equal(decodedBlock(0x10, 97), 'a', 'it may end with literals')
  assert.equal(decodedBlock(0x10, 97, 1, 0), 'aaaaa', 'and with a match')
})

test('a long block lets others go on every 256 KiB', () => {
  const more = Array.from({ length: 4000 }, () => 255)
  const longMatch = Buffer.from([0x1f, 97, 1, 0, ...more, 0])
  const block = Buffer.concat([longMatch, longMatch])
  const frame = Buffer.concat([headerOf(INDEPENDENT, 0x70), compressed(block), END])
  let turns = 0
  const steps = decompressLz4(frame, 1 << 23)
  while (steps.next().done !== true) turns += 1
  assert.equal(turns, 1)
})

test('one block alone keeps to its limit as well', () => {
  const [block] = lz4Blocks(framed(INDEPENDENT, plain(Buffer.from('abcd'))))
  assert.equal(decompressLz4Block(block!, 4).toString(), 'abcd')
  assert.throws(() => decompressLz4Block(block!, 3), { reason: 'too-large' })
  assert.throws(() => decompressLz4Block({ ...block!, maxBytes: 3 }, 4), CompressionError)
})

test('a frame is written in blocks of 64 KiB, as they are where compressing makes them no shorter', () => {
  const shorter = (block: Buffer): Buffer => Buffer.alloc(block.length - 1)
  const lengths = (dataBytes: number, encode = shorter): [number, boolean][] => {
    const frame = allSteps(lz4FrameInSteps(Buffer.alloc(dataBytes), encode))
    return Array.from(lz4Blocks(frame), ({ bytes, isPlain }) => [bytes.length, isPlain])
  }
  assert.deepEqual(lengths(0), [])
  assert.deepEqual(lengths(2), [[1, false]])
  assert.deepEqual(lengths(64 * KIB), [[64 * KIB - 1, false]])
  assert.deepEqual(lengths(64 * KIB + 2), [
    [64 * KIB - 1, false],
    [1, false],
  ])
  assert.deepEqual(
    lengths(64 * KIB, (block) => block),
    [[64 * KIB, true]],
  )
})
