import type { Steps } from './compile.ts'
import { CompressionError } from './compression-error.ts'
import { GrowingBuffer } from './growing-buffer.ts'
import { xxhash32 } from './xxhash32.ts'

const FRAME_MAGIC = 0x184d2204
/** Version 1, independent blocks, of 64 KiB at most, and the checksum of that. */
const FRAME_START = Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82])
const FRAME_END = Buffer.alloc(4)
const PLAIN_BLOCK = 0x8000_0000
const MIN_MATCH = 4
/** Output between two chances for others. */
const STEP_BYTES = 256 * 1024

/** One block of a frame. */
export interface Lz4Block {
  readonly bytes: Buffer
  /** Stored as it is. */
  readonly isPlain: boolean
  /** No block of the frame becomes longer. */
  readonly maxBytes: number
}

const BLOCK_BYTES: readonly number[] = [64 * 1024, 256 * 1024, 1024 * 1024, 4 * 1024 * 1024]

/**
 * The blocks of one LZ4 frame, as Kafka and its Java clients read it: with the right header checksum, in blocks that do
 * not depend on each other. What stands behind the frame is not looked at.
 */
export function* lz4Blocks(data: Buffer): Generator<Lz4Block, void> {
  if (data.length < 7) throw new CompressionError('invalid', 'lz4: truncated frame header')
  if (data.readUInt32LE(0) !== FRAME_MAGIC) throw new CompressionError('invalid', 'lz4: not a frame')
  const flags = byteAt(data, 4)
  const sizeCode = byteAt(data, 5)
  if (flags >> 6 !== 1) throw new CompressionError('invalid', 'lz4: unknown frame version')
  if ((flags & 0x20) === 0) throw new CompressionError('invalid', 'lz4: blocks that depend on each other')
  const maxBytes = (sizeCode & 0x8f) === 0 ? BLOCK_BYTES[(sizeCode >> 4) - 4] : undefined
  if (maxBytes === undefined || (flags & 0x03) !== 0)
    throw new CompressionError('invalid', 'lz4: frame header not supported')
  const hasBlockChecksum = (flags & 0x10) !== 0
  const headerEnd = 6 + ((flags & 0x08) !== 0 ? 8 : 0)
  if (byteAt(data, headerEnd) !== ((xxhash32(data.subarray(4, headerEnd)) >> 8) & 0xff))
    throw new CompressionError('invalid', 'lz4: wrong checksum of the frame header')
  let at = headerEnd + 1
  for (;;) {
    if (at + 4 > data.length) throw new CompressionError('invalid', 'lz4: truncated frame')
    const word = data.readUInt32LE(at)
    at += 4
    if (word === 0) return
    const length = word & 0x7fff_ffff
    const end = at + length
    if (length > maxBytes) throw new CompressionError('invalid', 'lz4: block larger than it may be')
    if (end + (hasBlockChecksum ? 4 : 0) > data.length)
      throw new CompressionError('invalid', 'lz4: truncated block')
    const bytes = data.subarray(at, end)
    if (hasBlockChecksum && data.readUInt32LE(end) !== xxhash32(bytes))
      throw new CompressionError('invalid', 'lz4: wrong checksum of a block')
    yield { bytes, isPlain: word >>> 31 === 1, maxBytes }
    at = end + (hasBlockChecksum ? 4 : 0)
  }
}

/** A frame as Kafka's Java clients write it: independent blocks of 64 KiB, no checksums but the header's. A step is a block. */
export function* lz4FrameInSteps(data: Buffer, encode: (block: Buffer) => Buffer): Steps<Buffer> {
  const pieces: Buffer[] = [FRAME_START]
  for (let at = 0; at < data.length; at += BLOCK_BYTES[0]!) {
    const plain = data.subarray(at, at + BLOCK_BYTES[0]!)
    const encoded = encode(plain)
    const isPlain = encoded.length >= plain.length
    const head = Buffer.alloc(4)
    head.writeUInt32LE(isPlain ? (plain.length | PLAIN_BLOCK) >>> 0 : encoded.length)
    pieces.push(head, isPlain ? plain : encoded)
    yield
  }
  pieces.push(FRAME_END)
  return Buffer.concat(pieces)
}

/** Decodes an LZ4 frame. */
export function* decompressLz4(data: Buffer, maxOutputBytes: number): Steps<Buffer> {
  const output = new GrowingBuffer(Math.min(maxOutputBytes, data.length * 4), maxOutputBytes)
  for (const block of lz4Blocks(data)) yield* appendBlock(block, output)
  return output.result()
}

/** One block alone. */
export function decompressLz4Block(block: Lz4Block, maxOutputBytes: number): Buffer {
  const output = new GrowingBuffer(Math.min(maxOutputBytes, block.bytes.length * 4), maxOutputBytes)
  const steps = appendBlock(block, output)
  while (steps.next().done !== true);
  return output.result()
}

function* appendBlock({ bytes, isPlain, maxBytes }: Lz4Block, output: GrowingBuffer): Steps<void> {
  const start = output.length
  if (isPlain) output.append(bytes, 0, bytes.length)
  else yield* decodeBlock(bytes, 0, bytes.length, output, start)
  if (output.length - start > maxBytes)
    throw new CompressionError('invalid', 'lz4: block larger than it may be')
}

/** Matches may reach back to `historyStart` in the output. */
function* decodeBlock(
  data: Buffer,
  start: number,
  end: number,
  output: GrowingBuffer,
  historyStart: number,
): Steps<void> {
  let at = start
  let stepEnds = output.length + STEP_BYTES
  while (at < end) {
    if (output.length >= stepEnds) {
      yield
      stepEnds = output.length + STEP_BYTES
    }
    const token = byteAt(data, at++)
    let literals = token >> 4
    if (literals === 15) {
      let more: number
      do {
        if (at >= end) throw new CompressionError('invalid', 'lz4: truncated literal length')
        more = byteAt(data, at++)
        literals += more
      } while (more === 255)
    }
    if (literals > end - at) throw new CompressionError('invalid', 'lz4: literals go beyond the block')
    output.append(data, at, at + literals)
    at += literals
    if (at === end) return
    if (at + 2 > end) throw new CompressionError('invalid', 'lz4: truncated match')
    const distance = data.readUInt16LE(at)
    at += 2
    let length = (token & 0x0f) + MIN_MATCH
    if (length === 15 + MIN_MATCH) {
      let more: number
      do {
        if (at >= end) throw new CompressionError('invalid', 'lz4: truncated match length')
        more = byteAt(data, at++)
        length += more
      } while (more === 255)
    }
    if (distance === 0 || distance > output.length - historyStart) {
      throw new CompressionError('invalid', 'lz4: match before the start')
    }
    output.repeat(distance, length)
  }
}

function byteAt(data: Buffer, at: number): number {
  const value = data[at]
  if (value === undefined) throw new CompressionError('invalid', 'lz4: truncated')
  return value
}
