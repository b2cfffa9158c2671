import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decompressZstd, zstdBlocks, zstdFailure, zstdFrames } from '../../protocol/zstd.ts'
import type { ZstdFrame } from '../../protocol/zstd.ts'
import { outcomeOf } from './steps-outcome.ts'

const MAGIC = [0x28, 0xb5, 0x2f, 0xfd]
const SINGLE_SEGMENT = 0x20
const CHECKSUM = 0x04
const RAW = 0
const RUN = 1
const COMPRESSED = 2
const KIB = 1024
const MIB = 1024 * KIB

function block(type: number, size: number, bytes: readonly number[], isLast = true): number[] {
  const header = (size << 3) | (type << 1) | (isLast ? 1 : 0)
  return [header & 0xff, (header >> 8) & 0xff, header >> 16, ...bytes]
}

const raw = (text: string, isLast = true): number[] => block(RAW, text.length, [...Buffer.from(text)], isLast)
/** With a window of its own: 2 to the `exponent`, and `eighths` of that on top. */
const windowed = (exponent: number, blocks: readonly number[], descriptor = 0, eighths = 0): number[] => [
  ...MAGIC,
  descriptor,
  ((exponent - 10) << 3) | eighths,
  ...blocks,
]

const decoded = (bytes: readonly number[], limit = MIB): string =>
  outcomeOf(() => decompressZstd(Buffer.from(bytes), limit)).toString()
const frames = (bytes: readonly number[]): ZstdFrame[] => [...zstdFrames(Buffer.from(bytes))]

test('frames of every kind of header are taken', () => {
  const content = [...raw('abc', false), ...raw('de')]
  for (const [what, head] of [
    ['a window', [0, 0x38]],
    ['a window, and the size in 4 bytes', [0x80, 0x38, 5, 0, 0, 0]],
    ['a window, and the size in 8 bytes', [0xc0, 0x38, 5, 0, 0, 0, 0, 0, 0, 0]],
    ['the size in a byte', [SINGLE_SEGMENT, 5]],
    ['the size in 4 bytes', [0x80 | SINGLE_SEGMENT, 5, 0, 0, 0]],
    ['the size in 8 bytes', [0xc0 | SINGLE_SEGMENT, 5, 0, 0, 0, 0, 0, 0, 0]],
  ] as const) {
    const bytes = [...MAGIC, ...head, ...content]
    assert.equal(decoded(bytes), 'abcde', what)
    for (let cut = 1; cut < bytes.length; cut++) assert.equal(decoded(bytes.slice(0, cut)), 'invalid', what)
    const [frame] = frames(bytes)
    assert.deepEqual(frame!.blockEnds, [bytes.length - 5, bytes.length], what)
    assert.equal(frame!.maxOutputBytes, 5)
    if ((head[0] & SINGLE_SEGMENT) !== 0) assert.equal(frame!.windowBytes, 5)
  }
  // The id of a dictionary of 0 bytes says that there is none.
  for (const [flag, idBytes] of [
    [1, 1],
    [2, 2],
    [3, 4],
  ] as const) {
    const bytes = [...MAGIC, flag, 0x38, ...Array.from({ length: idBytes }, () => 0), ...content]
    assert.deepEqual(frames(bytes)[0]!.blockEnds, [bytes.length - 5, bytes.length])
  }
})

test('two bytes of size begin at 256', () => {
  const text = 'x'.repeat(300)
  assert.equal(decoded([...MAGIC, 0x40 | SINGLE_SEGMENT, 44, 0, ...raw(text)]), text)
  assert.equal(decoded([...MAGIC, 0x40, 0x38, 44, 0, ...raw(text)]), text)
  assert.equal(frames([...MAGIC, 0x40 | SINGLE_SEGMENT, 44, 0, ...raw(text)])[0]!.windowBytes, 300)
})

test('frames follow each other, and what may be skipped is', () => {
  const one = windowed(17, raw('one'))
  const two = windowed(17, raw('two'))
  const skipped = (magic: number, ...content: number[]): number[] => [
    magic,
    0x2a,
    0x4d,
    0x18,
    content.length,
    0,
    0,
    0,
    ...content,
  ]
  assert.equal(decoded([...one, ...two]), 'onetwo')
  assert.equal(decoded([...skipped(0x50), ...one, ...skipped(0x5f, 1, 2, 3), ...two]), 'onetwo')
  assert.equal(decoded([...one, ...skipped(0x55, 1)]), 'one')
  assert.equal(decoded([]), '')
  assert.equal(decoded([...skipped(0x60), ...one]), 'invalid')
  assert.equal(decoded([...one, 0x28, 0xb5, 0x2f]), 'invalid')
  assert.equal(decoded([0x29, ...one.slice(1)]), 'invalid')
  assert.equal(decoded([...one, ...two], 6), 'onetwo')
  assert.equal(decoded([...one, ...two], 5), 'too-large')
})

test('a checksum is four bytes more', () => {
  const bytes = windowed(17, raw('abc'), CHECKSUM)
  assert.equal(frames([...bytes, 1, 2, 3, 4])[0]!.bytes.length, bytes.length + 4)
  assert.throws(() => frames([...bytes, 1, 2, 3]), { reason: 'invalid' })
})

test('a window of more than 128 MiB is refused, and none is larger than the frame can fill', () => {
  const one = raw('abc')
  assert.equal(frames(windowed(27, one))[0]!.windowBytes, 128 * KIB)
  assert.throws(() => frames(windowed(27, one, 0, 1)), { reason: 'too-large' })
  assert.throws(() => frames(windowed(28, one)), { reason: 'too-large' })
  // Up to twice of what it may need stays as it is.
  assert.equal(frames(windowed(18, one))[0]!.windowBytes, 256 * KIB)
  assert.equal(frames(windowed(17, one, 0, 4))[0]!.windowBytes, 192 * KIB)
  assert.equal(frames(windowed(18, one, 0, 1))[0]!.windowBytes, 128 * KIB)
  const wide = frames(windowed(27, one))[0]!
  assert.deepEqual([...wide.bytes], windowed(17, one))
  assert.equal(decoded(windowed(27, one)), 'abc')
  // Blocks that are compressed may become 128 KiB each, runs as long as they say.
  const maxOutput = (...blocks: number[][]): number => frames(windowed(17, blocks.flat()))[0]!.maxOutputBytes
  assert.equal(maxOutput(block(COMPRESSED, 3, [1, 2, 3], false), block(COMPRESSED, 1, [1])), 256 * KIB)
  assert.equal(maxOutput(block(RUN, 1000, [7], false), block(RAW, 2, [1, 2])), 1002)
  assert.equal(decoded(windowed(17, block(RUN, 1000, [0x61]))), 'a'.repeat(1000))
  const three = [
    block(COMPRESSED, 1, [1], false),
    block(COMPRESSED, 1, [1], false),
    block(COMPRESSED, 1, [1]),
  ]
  assert.equal(frames(windowed(24, three.flat()))[0]!.windowBytes, 512 * KIB)
})

test('one that says its size is no longer than its blocks can be', () => {
  const sized = (size: number): number[] => [...MAGIC, SINGLE_SEGMENT, size, ...raw('abc')]
  assert.equal(decoded(sized(3)), 'abc')
  assert.equal(decoded(sized(4)), 'invalid')
})

test('the decoder in JavaScript takes windows up to 8 MiB, and shows block after block', () => {
  const [frame] = frames(windowed(17, [...raw('abc', false), ...raw('de')]))
  const shown: string[] = []
  const show = (bytes: Uint8Array): void => void shown.push(Buffer.from(bytes).toString())
  let turns = 0
  const steps = zstdBlocks(frame!, show)
  while (steps.next().done !== true) turns += 1
  assert.equal(shown.join(''), 'abcde')
  assert.equal(turns, 2)
  assert.equal(outcomeOfBlocks({ ...frame!, windowBytes: 8 * MIB }), 'abcde')
  assert.equal(outcomeOfBlocks({ ...frame!, windowBytes: 8 * MIB + 1 }), 'too-large')
})

function outcomeOfBlocks(frame: ZstdFrame): string {
  const shown: Uint8Array[] = []
  return outcomeOf(function* () {
    yield* zstdBlocks(frame, (bytes) => shown.push(Buffer.from(bytes)))
    return Buffer.concat(shown)
  }).toString()
}

test('what an error of a decoder means', () => {
  const tooLarge = Object.assign(new RangeError('too much'), { code: 'ERR_BUFFER_TOO_LARGE' })
  assert.equal(zstdFailure(tooLarge).reason, 'too-large')
  assert.equal(zstdFailure(Object.assign(new Error('no'), { code: 'Z_DATA_ERROR' })).reason, 'invalid')
  assert.equal(zstdFailure({ code: 'ERR_BUFFER_TOO_LARGE' }).reason, 'invalid')
  assert.equal(zstdFailure(zstdFailure(tooLarge)).reason, 'too-large')
})
