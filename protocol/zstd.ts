import { types } from 'node:util'
import zlib from 'node:zlib'
import { Decompress } from 'fzstd'
import type { Steps } from './compile.ts'
import { CompressionError } from './compression-error.ts'
import { GrowingBuffer } from './growing-buffer.ts'

const FRAME_MAGIC = 0xfd2fb528
const SKIPPABLE_MAGIC = 0x184d2a50
/** What Kafka's own decoder goes up to; clients that compress at the highest level name it for the smallest batch. */
const MAX_WINDOW_BYTES = 128 << 20
/** The decoder in JavaScript moves all of it for every block. */
const MAX_JS_WINDOW_BYTES = 8 << 20
const MIN_WINDOW_BYTES = 128 << 10
const MAX_BLOCK_BYTES = 128 << 10
const RUN_BLOCK = 1
const COMPRESSED_BLOCK = 2

type ZstdSync = (data: Uint8Array, options: { maxOutputLength?: number }) => Buffer

/**
 * Decodes zstd frames, one or several: with Node.js's own zstd where there is one (22.15 and later), else in
 * JavaScript. The frame is looked at first, since its header decides how much memory a decoder takes.
 */
export function* decompressZstd(data: Buffer, maxOutputBytes: number): Steps<Buffer> {
  const native = nativeFunction('zstdDecompressSync')
  const output = new GrowingBuffer(Math.min(maxOutputBytes, data.length * 4), maxOutputBytes)
  for (const frame of zstdFrames(data)) {
    if (native === null) yield* decodeInJs(frame, output)
    else decodeNatively(frame, output, maxOutputBytes, native)
    yield
  }
  return output.result()
}

export interface ZstdFrame {
  readonly bytes: Buffer
  /** Where its blocks end. */
  readonly blockEnds: readonly number[]
  /** It becomes no longer than this, whatever it says: by the number of its blocks. */
  readonly maxOutputBytes: number
  /** What a decoder keeps of its output. */
  readonly windowBytes: number
}

/** The frames of `data`, whose headers ask for no more memory than they may. */
export function* zstdFrames(data: Buffer): Generator<ZstdFrame, void> {
  let at = 0
  while (at < data.length) {
    if (data.length - at < 8) throw new CompressionError('invalid', 'zstd: truncated frame')
    const frameMagic = data.readUInt32LE(at)
    if ((frameMagic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) {
      at += 8 + data.readUInt32LE(at + 4)
      continue
    }
    if (frameMagic !== FRAME_MAGIC) throw new CompressionError('invalid', 'zstd: not a frame')
    const frame = readFrame(data, at)
    yield frame
    at += frame.bytes.length
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

function decodeInJs(frame: ZstdFrame, output: GrowingBuffer): Steps<void> {
  return zstdBlocks(frame, (bytes) => output.append(bytes, 0, bytes.length))
}

/** Decodes in JavaScript, and shows the output of one block after the other: 128 KiB at most each. */
export function* zstdBlocks(
  { bytes: frame, blockEnds, windowBytes }: ZstdFrame,
  show: (bytes: Uint8Array) => void,
): Steps<void> {
  if (windowBytes > MAX_JS_WINDOW_BYTES)
    throw new CompressionError('too-large', `zstd: a window of ${windowBytes} bytes`)
  const stream = new Decompress(show)
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
  const tooLarge = types.isNativeError(error) && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE'
  return new CompressionError(tooLarge ? 'too-large' : 'invalid', 'zstd: cannot decode', error)
}

/** Walks over header and blocks. */
function readFrame(data: Buffer, start: number): ZstdFrame {
  const descriptor = byteAt(data, start + 4)
  const isSingleSegment = (descriptor & 0x20) !== 0
  const contentFlag = descriptor >> 6
  let at = start + 5
  let windowBytes = 0
  if (!isSingleSegment) {
    const window = byteAt(data, at++)
    windowBytes = 2 ** (10 + (window >> 3)) * (1 + (window & 7) / 8)
  }
  at += [0, 1, 2, 4][descriptor & 3] ?? 0
  const sizeBytes = contentFlag === 0 ? (isSingleSegment ? 1 : 0) : 1 << contentFlag
  if (at + sizeBytes > data.length) throw new CompressionError('invalid', 'zstd: truncated frame')
  if (isSingleSegment)
    windowBytes = sizeBytes === 8 ? Number(data.readBigUInt64LE(at)) : data.readUIntLE(at, sizeBytes)
  if (isSingleSegment && sizeBytes === 2) windowBytes += 256
  if (windowBytes > MAX_WINDOW_BYTES)
    throw new CompressionError('too-large', `zstd: a window of ${windowBytes} bytes`)
  at += sizeBytes
  const blockEnds: number[] = []
  let maxOutputBytes = 0
  for (let isLast = false; !isLast;) {
    if (at + 3 > data.length) throw new CompressionError('invalid', 'zstd: truncated block')
    const header = data.readUIntLE(at, 3)
    const type = (header >> 1) & 3
    const size = header >> 3
    maxOutputBytes += type === COMPRESSED_BLOCK ? MAX_BLOCK_BYTES : size
    at += 3 + (type === RUN_BLOCK ? 1 : size)
    blockEnds.push(at - start)
    isLast = (header & 1) === 1
  }
  at += (descriptor & 0x04) === 0 ? 0 : 4
  if (at > data.length) throw new CompressionError('invalid', 'zstd: truncated frame')
  if (isSingleSegment && windowBytes > maxOutputBytes)
    throw new CompressionError('invalid', 'zstd: longer than its blocks can be')
  const bytes = data.subarray(start, at)
  if (isSingleSegment || windowBytes <= 2 * Math.max(maxOutputBytes, MIN_WINDOW_BYTES))
    return { bytes, blockEnds, maxOutputBytes, windowBytes }
  const exponent = Math.ceil(Math.log2(Math.max(maxOutputBytes, MIN_WINDOW_BYTES)))
  return { bytes: narrowed(bytes, exponent), blockEnds, maxOutputBytes, windowBytes: 2 ** exponent }
}

/** A decoder takes the window that a frame names before it has read a byte: no larger one than the frame can fill. */
function narrowed(frame: Buffer, windowExponent: number): Buffer {
  const copy = Buffer.from(frame)
  copy[5] = (windowExponent - 10) << 3
  return copy
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
