import type { Steps } from './compile.ts'
import { CompressionError } from './compression-error.ts'
import { GrowingBuffer } from './growing-buffer.ts'

const FRAME_MAGIC = 0x184d2204
const SKIPPABLE_MAGIC = 0x184d2a50
const MIN_MATCH = 4
/** Output between two chances for others. */
const STEP_BYTES = 256 * 1024

/**
 * Decodes LZ4 frames, one or several. Checksums are skipped over: the batch around them has its own, and Kafka
 * clients of old wrote wrong header checksums (KAFKA-3160).
 */
export function* decompressLz4(data: Buffer, maxOutputBytes: number): Steps<Buffer> {
  const output = new GrowingBuffer(Math.min(maxOutputBytes, data.length * 4), maxOutputBytes)
  let at = 0
  while (at < data.length) {
    if (data.length - at < 8) throw new CompressionError('invalid', 'lz4: truncated frame header')
    const frameMagic = data.readUInt32LE(at)
    if ((frameMagic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) {
      at += 8 + data.readUInt32LE(at + 4)
      continue
    }
    if (frameMagic !== FRAME_MAGIC) throw new CompressionError('invalid', 'lz4: not a frame')
    at = yield* decodeFrame(data, at + 4, output)
  }
  return output.result()
}

function* decodeFrame(data: Buffer, start: number, output: GrowingBuffer): Steps<number> {
  const flags = byteAt(data, start)
  if (flags >> 6 !== 1) throw new CompressionError('invalid', 'lz4: unknown frame version')
  if ((flags & 0x01) !== 0) throw new CompressionError('invalid', 'lz4: dictionaries are not supported')
  const independentBlocks = (flags & 0x20) !== 0
  const blockChecksum = (flags & 0x10) !== 0
  const contentSize = (flags & 0x08) !== 0
  const contentChecksum = (flags & 0x04) !== 0
  let at = start + 2 + (contentSize ? 8 : 0) + 1
  const frameStart = output.length
  for (;;) {
    if (at + 4 > data.length) throw new CompressionError('invalid', 'lz4: truncated frame')
    const word = data.readUInt32LE(at)
    at += 4
    if (word === 0) return at + (contentChecksum ? 4 : 0)
    const length = word & 0x7fffffff
    if (length > data.length - at) throw new CompressionError('invalid', 'lz4: truncated block')
    if (word >>> 31 === 1) output.append(data, at, at + length)
    else yield* decodeBlock(data, at, at + length, output, independentBlocks ? output.length : frameStart)
    at += length + (blockChecksum ? 4 : 0)
  }
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
