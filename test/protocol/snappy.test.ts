import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allSteps } from '../../protocol/compression.ts'
import {
  claimedSnappyBytes,
  compressSnappyInSteps,
  decompressSnappy,
  snappyBlocks,
} from '../../protocol/snappy.ts'
import { outcomeOf } from './steps-outcome.ts'

const HEADER = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1])
const KIB = 1024

const decoded = (bytes: readonly number[] | Buffer, limit = 1 << 20): string =>
  outcomeOf(() => decompressSnappy(Buffer.from(bytes), limit)).toString()

const text = (count: number): number[] => Array.from({ length: count }, (_, i) => 97 + (i % 26))
const asText = (count: number): string => Buffer.from(text(count)).toString()
const varint = (value: number): number[] =>
  value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)]

/** A block of one literal, whose length stands in as many bytes of its own. */
function literal(count: number, lengthBytes: number): number[] {
  const length = Array.from({ length: lengthBytes }, (_, i) => ((count - 1) >> (8 * i)) & 0xff)
  const tag = lengthBytes === 0 ? count - 1 : 59 + lengthBytes
  return [...varint(count), tag << 2, ...length, ...text(count)]
}

test('literals of every length come out', () => {
  for (const [count, lengthBytes] of [
    [1, 0],
    [59, 0],
    [60, 0],
    [61, 1],
    [256, 1],
    [257, 2],
    [70_000, 3],
    [300, 4],
  ] as const)
    assert.equal(decoded(literal(count, lengthBytes)), asText(count), `${count}`)
})

test('copies of every kind come out', () => {
  const head = (total: number, first: number): number[] => [
    ...varint(total),
    (first - 1) << 2,
    ...text(first),
  ]
  // Four to eleven bytes, by a distance of eleven bits.
  assert.equal(decoded([...head(8, 4), 0x01, 4]), 'abcdabcd')
  assert.equal(decoded([...head(15, 4), 0x1d, 4]), 'abcdabcdabcdabc')
  const far = [...literal(600, 2).slice(2), 0x41, 0x58]
  assert.equal(decoded([...varint(604), ...far]), `${asText(600)}abcd`)
  // One to 64 bytes, by 16 and by 32 bits.
  assert.equal(decoded([...head(5, 4), 0x02, 4, 0]), 'abcda')
  assert.equal(decoded([...head(68, 4), 0xfe, 4, 0]), 'abcd'.repeat(17))
  assert.equal(decoded([...head(5, 4), 0x03, 3, 0, 0, 0]), 'abcdb')
  for (const distance of [0, 5]) {
    assert.equal(decoded([...head(8, 4), 0x01, distance]), 'invalid')
    assert.equal(decoded([...head(5, 4), 0x02, distance, 0]), 'invalid')
  }
  assert.equal(decoded([...head(5, 4), 0x02, 4, 1]), 'invalid')
})

test('a copy does not reach into the block before', () => {
  const block = (...bytes: number[]): number[] => [0, 0, 0, bytes.length, ...bytes]
  const first = block(4, 0x0c, ...text(4))
  const own = block(5, 0x00, 0x7a, 0x01, 1)
  assert.equal(decoded([...HEADER, ...first, ...own]), 'abcdzzzzz')
  assert.equal(decoded([...HEADER, ...first, ...block(5, 0x00, 0x7a, 0x01, 2)]), 'invalid')
})

test('a block is as long as it says, and whole', () => {
  assert.equal(decoded([4, 0x0c, ...text(4)]), 'abcd')
  assert.equal(decoded([3, 0x0c, ...text(4)]), 'invalid', 'longer')
  assert.equal(decoded([5, 0x0c, ...text(4)]), 'invalid', 'shorter')
  assert.equal(decoded([7, 0x0c, ...text(4), 0x01, 4]), 'invalid', 'a copy that is longer')
  for (const bytes of [[], [0x80], [4, 0x0c, ...text(3)], [61, 0xf0], [8, 0x0c, ...text(4), 0x01]])
    assert.equal(decoded(bytes), 'invalid', String(bytes))
  for (const bytes of [
    [5, 0x0c, ...text(4), 0x02, 4],
    [5, 0x0c, ...text(4), 0x03, 4, 0, 0],
  ])
    assert.equal(decoded(bytes), 'invalid', String(bytes))
  assert.equal(decoded([0]), '')
  assert.equal(decoded([4, 0x0c, ...text(4)], 4), 'abcd')
  assert.equal(decoded([4, 0x0c, ...text(4)], 3), 'too-large')
})

test('a block may say that it becomes 22 times as long, and no more', () => {
  const claim = (value: number, blockBytes: number): Buffer => {
    const bytes = Buffer.alloc(blockBytes)
    Buffer.from(varint(value)).copy(bytes)
    return bytes
  }
  assert.equal(claimedSnappyBytes(claim(220, 10)), 220)
  assert.throws(() => claimedSnappyBytes(claim(221, 10)), { reason: 'invalid' })
  // Five bytes at most.
  assert.equal(claimedSnappyBytes(Buffer.from([0x85, 0x80, 0x80, 0x80, 0x00, 0])), 5)
  assert.throws(() => claimedSnappyBytes(Buffer.from([0x85, 0x80, 0x80, 0x80, 0x80, 0x00])), {
    reason: 'invalid',
  })
})

test('the framing of snappy-java is taken apart', () => {
  const block = Buffer.from([4, 0x0c, ...text(4)])
  const framed = Buffer.concat([Buffer.from([0, 0, 0, block.length]), block])
  const lengths = (...pieces: Buffer[]): number[] =>
    Array.from(snappyBlocks(Buffer.concat(pieces)), ({ length }) => length)
  assert.deepEqual(lengths(HEADER), [])
  assert.deepEqual(lengths(HEADER, framed, framed), [6, 6])
  assert.deepEqual(lengths(HEADER, framed, HEADER, framed, HEADER), [6, 6])
  assert.deepEqual(lengths(HEADER, HEADER), [])
  // Without the whole header it is one bare block.
  assert.deepEqual(lengths(HEADER.subarray(0, 15)), [15])
  assert.deepEqual(lengths(Buffer.alloc(20)), [20])
  for (const rest of [
    [0],
    [0, 0, 0],
    [0, 0, 0, 0],
    [0, 0, 0, 7, ...block],
    [0xff, 0xff, 0xff, 0xff, ...block],
  ])
    assert.throws(() => lengths(HEADER, Buffer.from(rest)), { reason: 'invalid' }, String(rest))
})

test('it is written in blocks of 32 KiB', () => {
  const lengths = (count: number): number[] => {
    const seen: number[] = []
    const written = allSteps(
      compressSnappyInSteps(Buffer.alloc(count, 'x'), (block) => (seen.push(block.length), block)),
    )
    assert.deepEqual(written.subarray(0, 16), HEADER)
    assert.deepEqual(
      Array.from(snappyBlocks(written), ({ length }) => length),
      seen,
    )
    return seen
  }
  assert.deepEqual(lengths(0), [])
  assert.deepEqual(lengths(1), [1])
  assert.deepEqual(lengths(32 * KIB), [32 * KIB])
  assert.deepEqual(lengths(32 * KIB + 1), [32 * KIB, 1])
})

test('a long block lets others go on every 256 KiB', () => {
  const turnsOf = (count: number): number => {
    let turns = 0
    // As many copies of 64 bytes as it takes.
    const copies = Array.from({ length: (count - 64) / 64 }, () => [0xfe, 64, 0]).flat()
    const block = Buffer.from([...varint(count), 0xf0, 63, ...text(64), ...copies])
    const steps = decompressSnappy(block, count)
    while (steps.next().done !== true) turns += 1
    return turns
  }
  assert.equal(turnsOf(256 * KIB - 64), 0)
  assert.equal(turnsOf(256 * KIB), 1)
  assert.equal(turnsOf(512 * KIB - 64), 1)
  assert.equal(turnsOf(512 * KIB), 2)
})
