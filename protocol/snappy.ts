import { compress, uncompress } from 'snappyjs'
import { CompressionError } from './compression-error.ts'
import { GrowingBuffer } from './growing-buffer.ts'

/** Java, sarama and kafka-python frame their snappy blocks the way snappy-java does; librdkafka and franz-go send one bare block. */
const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00])
const XERIAL_HEADER = 16
const XERIAL_BLOCK = 32 * 1024

/** A copy element of 3 bytes yields at most 64: no valid block says that it grows by more than that. */
const MAX_RATIO = 22

export function decompressSnappy(data: Buffer, maxOutputBytes: number): Buffer {
  if (data.length < XERIAL_HEADER || XERIAL_MAGIC.compare(data, 0, 8) !== 0)
    return block(data, maxOutputBytes)
  const output = new GrowingBuffer(Math.min(maxOutputBytes, data.length * 4), maxOutputBytes)
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
    const bytes = block(data.subarray(at, at + length), maxOutputBytes - output.length)
    output.append(bytes, 0, bytes.length)
    at += length
  }
  return output.result()
}

/** In snappy-java's framing, which every client reads. */
export function compressSnappy(data: Buffer): Buffer {
  const pieces: Buffer[] = [Buffer.concat([XERIAL_MAGIC, Buffer.from([0, 0, 0, 1, 0, 0, 0, 1])])]
  for (let at = 0; at < data.length; at += XERIAL_BLOCK) {
    const bytes = compress(data.subarray(at, at + XERIAL_BLOCK))
    const length = Buffer.alloc(4)
    length.writeInt32BE(bytes.length)
    pieces.push(length, bytes)
  }
  return Buffer.concat(pieces)
}

function block(data: Buffer, maxOutputBytes: number): Buffer {
  const claimed = uncompressedLength(data)
  if (claimed > maxOutputBytes)
    throw new CompressionError('too-large', `snappy: more than ${maxOutputBytes} bytes`)
  if (claimed > data.length * MAX_RATIO) throw new CompressionError('invalid', 'snappy: impossible length')
  try {
    return uncompress(data, maxOutputBytes)
  } catch (error) {
    throw new CompressionError('invalid', 'snappy: cannot decode', error)
  }
}

function uncompressedLength(data: Buffer): number {
  let length = 0
  for (let i = 0; i < 5; i++) {
    const byte = data[i]
    if (byte === undefined) break
    length += (byte & 0x7f) * 2 ** (7 * i)
    if (byte < 0x80) return length
  }
  throw new CompressionError('invalid', 'snappy: bad length')
}
