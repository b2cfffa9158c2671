import { compress } from 'snappyjs'
import type { Steps } from './compile.ts'
import { CompressionError } from './compression-error.ts'
import { GrowingBuffer } from './growing-buffer.ts'

/** Java, sarama and kafka-python frame their snappy blocks the way snappy-java does; librdkafka and franz-go send one bare block. */
const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00])
/** With the versions that it has always had. */
const XERIAL_START = Buffer.concat([XERIAL_MAGIC, Buffer.from([0, 0, 0, 1, 0, 0, 0, 1])])
const XERIAL_HEADER = 16
const XERIAL_BLOCK = 32 * 1024

/** A copy element of 3 bytes yields at most 64: no valid block says that it grows by more than that. */
const MAX_RATIO = 22
/** Output between two chances for others. */
const STEP_BYTES = 256 * 1024

/** The blocks of what a client sends: framed as snappy-java does, or one bare block. */
export function* snappyBlocks(data: Buffer): Generator<Buffer, void> {
  if (data.length < XERIAL_HEADER || XERIAL_MAGIC.compare(data, 0, 8) !== 0) {
    yield data
    return
  }
  let at = XERIAL_HEADER
  while (at < data.length) {
    // Concatenated streams repeat the header.
    if (data.length - at >= XERIAL_HEADER && XERIAL_MAGIC.compare(data, at, at + 8) === 0) {
      at += XERIAL_HEADER
      continue
    }
    if (data.length - at < 4) throw new CompressionError('invalid', 'snappy: truncated block length')
    const length = data.readInt32BE(at)
    at += 4
    if (length <= 0 || length > data.length - at)
      throw new CompressionError('invalid', 'snappy: bad block length')
    yield data.subarray(at, at + length)
    at += length
  }
}

/** How long the block says that it becomes, which is never more than it can. */
export function claimedSnappyBytes(block: Buffer): number {
  return readClaim(block).claimed
}

export function* decompressSnappy(data: Buffer, maxOutputBytes: number): Steps<Buffer> {
  const output = new GrowingBuffer(Math.min(maxOutputBytes, data.length * 4), maxOutputBytes)
  for (const block of snappyBlocks(data)) yield* decodeBlock(block, output, maxOutputBytes)
  return output.result()
}

/** In snappy-java's framing, which every client reads. `encode` makes one block, which is a step. */
export function* compressSnappyInSteps(
  data: Buffer,
  encode: (block: Buffer) => Uint8Array = compress,
): Steps<Buffer> {
  const pieces: Uint8Array[] = [XERIAL_START]
  for (let at = 0; at < data.length; at += XERIAL_BLOCK) {
    const bytes = encode(data.subarray(at, at + XERIAL_BLOCK))
    const length = Buffer.alloc(4)
    length.writeInt32BE(bytes.length)
    pieces.push(length, bytes)
    yield
  }
  return Buffer.concat(pieces)
}

function readClaim(block: Buffer): { readonly claimed: number; readonly bodyStart: number } {
  let at = 0
  let claimed = 0
  for (let shift = 0; ; shift += 7) {
    const byte = at < block.length && shift < 35 ? block[at++]! : -1
    if (byte < 0) throw new CompressionError('invalid', 'snappy: bad length')
    claimed += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) break
  }
  if (claimed > block.length * MAX_RATIO) throw new CompressionError('invalid', 'snappy: impossible length')
  return { claimed, bodyStart: at }
}

/** One block: how long its output is, then literals and copies of what came before in it. */
function* decodeBlock(data: Buffer, output: GrowingBuffer, maxOutputBytes: number): Steps<void> {
  const blockStart = output.length
  const end = data.length
  const { claimed, bodyStart } = readClaim(data)
  let at = bodyStart
  if (claimed > maxOutputBytes - blockStart)
    throw new CompressionError('too-large', `snappy: more than ${maxOutputBytes} bytes`)
  const blockEnd = blockStart + claimed
  let stepEnds = blockStart + STEP_BYTES
  while (at < end) {
    const tag = data[at]!
    const headBytes = elementHeadBytes(tag)
    if (headBytes > end - at) throw new CompressionError('invalid', 'snappy: truncated element')
    const length = elementBytes(data, at, tag)
    if (length > blockEnd - output.length)
      throw new CompressionError('invalid', 'snappy: longer than it says')
    const isLiteral = (tag & 3) === 0
    const distance = isLiteral ? 0 : copyDistance(data, at, tag)
    at += headBytes
    if (isLiteral) {
      if (length > end - at) throw new CompressionError('invalid', 'snappy: literal goes beyond the block')
      output.append(data, at, at + length)
      at += length
    } else {
      if (distance === 0 || distance > output.length - blockStart)
        throw new CompressionError('invalid', 'snappy: copy from before the start')
      output.repeat(distance, length)
    }
    if (output.length < stepEnds) continue
    yield
    stepEnds = output.length + STEP_BYTES
  }
  if (output.length !== blockEnd) throw new CompressionError('invalid', 'snappy: shorter than it says')
}

/** Tag, length of a long literal, distance of a copy. */
function elementHeadBytes(tag: number): number {
  const kind = tag & 3
  if (kind === 0) return 1 + Math.max(0, (tag >> 2) - 59)
  return kind === 1 ? 2 : kind === 2 ? 3 : 5
}

function elementBytes(data: Buffer, at: number, tag: number): number {
  const kind = tag & 3
  if (kind === 1) return 4 + ((tag >> 2) & 7)
  const length = tag >> 2
  if (kind === 0 && length >= 60) return 1 + data.readUIntLE(at + 1, length - 59)
  return 1 + length
}

function copyDistance(data: Buffer, at: number, tag: number): number {
  const kind = tag & 3
  if (kind === 1) return ((tag >> 5) << 8) | data[at + 1]!
  return kind === 2 ? data.readUInt16LE(at + 1) : data.readUInt32LE(at + 1)
}
