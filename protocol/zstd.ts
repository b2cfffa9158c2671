import zlib from 'node:zlib'
import { Decompress } from 'fzstd'
import type { Steps } from './compile.ts'
import { CompressionError } from './compression-error.ts'
import { GrowingBuffer } from './growing-buffer.ts'

const FRAME_MAGIC = 0xfd2fb528
const SKIPPABLE_MAGIC = 0x184d2a50
/** What every decoder has to support by RFC 8878, and more than Kafka's clients ask for at any level they offer. */
const MAX_WINDOW_BYTES = 8 << 20

type ZstdSync = (data: Uint8Array, options: { maxOutputLength?: number }) => Buffer

/**
 * Decodes zstd frames, one or several: with Node.js's own zstd where there is one (22.15 and later), else in
 * JavaScript. The frame is looked at first, since its header decides how much memory a decoder takes.
 */
export function* decompressZstd(data: Buffer, maxOutputBytes: number): Steps<Buffer> {
  const native = nativeFunction('zstdDecompressSync')
  const output = new GrowingBuffer(Math.min(maxOutputBytes, data.length * 4), maxOutputBytes)
  for (const frame of zstdFrames(data, maxOutputBytes)) {
    if (native === null) yield* decodeInJs(frame, output)
    else decodeNatively(frame, output, maxOutputBytes, native)
    yield
  }
  return output.result()
}

interface ZstdFrame {
  readonly bytes: Buffer
  /** Where its blocks end. */
  readonly blockEnds: readonly number[]
}

/** The frames of `data`, whose headers ask for no more memory than they may. */
export function* zstdFrames(data: Buffer, maxOutputBytes: number): Generator<ZstdFrame> {
  let at = 0
  while (at < data.length) {
    if (data.length - at < 8) throw new CompressionError('invalid', 'zstd: truncated frame')
    const frameMagic = data.readUInt32LE(at)
    if ((frameMagic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) {
      at += 8 + data.readUInt32LE(at + 4)
      continue
    }
    if (frameMagic !== FRAME_MAGIC) throw new CompressionError('invalid', 'zstd: not a frame')
    const blockEnds: number[] = []
    const end = frameEnd(data, at, maxOutputBytes, blockEnds)
    const start = at
    yield { bytes: data.subarray(at, end), blockEnds: blockEnds.map((blockEnd) => blockEnd - start) }
    at = end
  }
}

/** Null where Node.js has no zstd. */
export function compressZstd(data: Buffer): Buffer | null {
  const native = nativeFunction('zstdCompressSync')
  return native === null ? null : native(data, {})
}

function decodeNatively(
  { bytes: frame }: ZstdFrame,
  output: GrowingBuffer,
  maxOutputBytes: number,
  native: ZstdSync,
): void {
  try {
    const bytes = native(frame, { maxOutputLength: Math.max(1, maxOutputBytes - output.length) })
    output.append(bytes, 0, bytes.length)
  } catch (error) {
    throw zstdFailure(error)
  }
}

/** A block at a time: each has an output of 128 KiB at most. */
function* decodeInJs({ bytes: frame, blockEnds }: ZstdFrame, output: GrowingBuffer): Steps<void> {
  const stream = new Decompress((bytes) => output.append(bytes, 0, bytes.length))
  let at = 0
  for (const [i, blockEnd] of blockEnds.entries()) {
    const isLast = i === blockEnds.length - 1
    const end = isLast ? frame.length : blockEnd
    try {
      stream.push(frame.subarray(at, end), isLast)
    } catch (error) {
      throw zstdFailure(error)
    }
    at = end
    yield
  }
}

/** What an error of a decoder means. */
export function zstdFailure(error: unknown): CompressionError {
  if (error instanceof CompressionError) return error
  const tooLarge = error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE'
  return new CompressionError(tooLarge ? 'too-large' : 'invalid', 'zstd: cannot decode', error)
}

/** Walks over header and blocks; `blockEnds` gets where each block ends. */
function frameEnd(data: Buffer, start: number, maxOutputBytes: number, blockEnds: number[]): number {
  const descriptor = byteAt(data, start + 4)
  const singleSegment = (descriptor & 0x20) !== 0
  const contentFlag = descriptor >> 6
  let at = start + 5
  if (!singleSegment) {
    const window = byteAt(data, at++)
    const base = 2 ** (10 + (window >> 3))
    if (base + (base / 8) * (window & 7) > MAX_WINDOW_BYTES) {
      throw new CompressionError('too-large', 'zstd: window larger than 8 MiB')
    }
  }
  at += [0, 1, 2, 4][descriptor & 3] ?? 0
  const contentBytes = contentFlag === 0 ? (singleSegment ? 1 : 0) : 1 << contentFlag
  if (singleSegment && contentBytes > 0) {
    if (at + contentBytes > data.length) throw new CompressionError('invalid', 'zstd: truncated frame')
    const size = contentBytes === 8 ? Number(data.readBigUInt64LE(at)) : data.readUIntLE(at, contentBytes)
    // A decoder takes that much before it has read a byte.
    if (size > Math.min(maxOutputBytes, MAX_WINDOW_BYTES * 8))
      throw new CompressionError('too-large', `zstd: one segment of ${size} bytes`)
  }
  at += contentBytes
  for (;;) {
    if (at + 3 > data.length) throw new CompressionError('invalid', 'zstd: truncated block')
    const header = data.readUIntLE(at, 3)
    at += 3 + (((header >> 1) & 3) === 1 ? 1 : header >> 3)
    blockEnds.push(at)
    if ((header & 1) === 1) break
  }
  at += (descriptor & 0x04) === 0 ? 0 : 4
  if (at > data.length) throw new CompressionError('invalid', 'zstd: truncated frame')
  return at
}

function byteAt(data: Buffer, at: number): number {
  const value = data[at]
  if (value === undefined) throw new CompressionError('invalid', 'zstd: truncated')
  return value
}

function nativeFunction(name: string): ZstdSync | null {
  const found: unknown = Reflect.get(zlib, name)
  return typeof found === 'function'
    ? (data, options) => Reflect.apply(found, zlib, [data, options]) as Buffer
    : null
}
