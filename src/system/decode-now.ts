import zlib from 'node:zlib'
import { CompressionError } from '../../protocol/compression-error.ts'
import { Codec, decompress, gunzipFailure } from '../../protocol/compression.ts'
import { decompressLz4Block, lz4Blocks } from '../../protocol/lz4.ts'
import type { Lz4Block } from '../../protocol/lz4.ts'
import { claimedSnappyBytes, snappyBlocks } from '../../protocol/snappy.ts'
import { zstdFailure, zstdFrames } from '../../protocol/zstd.ts'
import type { ZstdFrame } from '../../protocol/zstd.ts'
import type { NativeCodecs, NativeLz4, NativeSnappy } from './native-codecs.ts'

const GZIP_MIN_BYTES = 18
/** So many blocks or frames at once: those of nothing take as long as others, and a batch can have very many. */
const MAX_PARTS = 32

/** The output, in pieces as they come, or null when it is longer than `maxBytes`, or may be, or in very many parts. Throws CompressionError. */
export function decodeNow(
  natives: NativeCodecs,
  codec: number,
  data: Buffer,
  maxBytes: number,
): readonly Buffer[] | null {
  switch (codec) {
    case Codec.GZIP:
      return gunzipNow(data, maxBytes)
    case Codec.SNAPPY:
      return snappyNow(natives, data, maxBytes)
    case Codec.LZ4:
      return lz4Now(natives, data, maxBytes)
    case Codec.ZSTD:
      return zstdNow(natives, data, maxBytes)
    case Codec.NONE:
      return [data]
    default:
      throw new CompressionError('unsupported', `unknown codec ${codec}`)
  }
}

/** Its last bytes say how long it becomes. Only a hint: they are what a client wrote there. */
export function gzipHint(data: Buffer): number {
  return data.length < GZIP_MIN_BYTES ? 0 : data.readUInt32LE(data.length - 4)
}

function gunzipNow(data: Buffer, maxBytes: number): readonly Buffer[] | null {
  const hintBytes = gzipHint(data)
  if (hintBytes > maxBytes) return null
  try {
    const chunkSize = Math.max(64, hintBytes + 1)
    return [zlib.gunzipSync(data, { maxOutputLength: maxBytes, chunkSize })]
  } catch (error) {
    const failure = gunzipFailure(error)
    if (failure.reason === 'too-large') return null
    throw failure
  }
}

function snappyNow(natives: NativeCodecs, data: Buffer, maxBytes: number): readonly Buffer[] | null {
  const claimedBytes = claimedBySnappy(data)
  if (claimedBytes > maxBytes) return null
  const native = natives.snappy()
  if (native === null) return [decompress(Codec.SNAPPY, data, claimedBytes)]
  return Array.from(snappyBlocks(data), (block) => snappyBlock(native, block))
}

export function snappyBlock(native: NativeSnappy, block: Buffer): Buffer {
  try {
    return native.decode(block)
  } catch (error) {
    throw snappyFailure(error)
  }
}

/** Infinity where there are too many blocks. */
function claimedBySnappy(data: Buffer): number {
  let claimedBytes = 0
  let blocks = 0
  for (const block of snappyBlocks(data)) {
    if (++blocks > MAX_PARTS) return Infinity
    claimedBytes += claimedSnappyBytes(block)
  }
  return claimedBytes
}

export function snappyFailure(error: unknown): CompressionError {
  return new CompressionError('invalid', 'snappy: cannot decode', error)
}

function lz4Now(natives: NativeCodecs, data: Buffer, maxBytes: number): readonly Buffer[] | null {
  const native = natives.lz4()
  const outputs: Buffer[] = []
  let bytes = 0
  for (const block of lz4Blocks(data)) {
    if (outputs.length === MAX_PARTS) return null
    const output = lz4Block(native, block)
    bytes += output.length
    if (bytes > maxBytes) return null
    outputs.push(output)
  }
  return outputs
}

export function lz4Block(native: NativeLz4 | null, block: Lz4Block): Buffer {
  if (block.isPlain) return block.bytes
  if (native === null) return decompressLz4Block(block, block.maxBytes)
  try {
    return native.decode(block.bytes, block.maxBytes)
  } catch (error) {
    throw new CompressionError('invalid', 'lz4: cannot decode', error)
  }
}

function zstdNow(natives: NativeCodecs, data: Buffer, maxBytes: number): readonly Buffer[] | null {
  const frames: ZstdFrame[] = []
  let atMostBytes = 0
  for (const frame of zstdFrames(data)) {
    if (frames.length === MAX_PARTS) return null
    atMostBytes += frame.maxOutputBytes
    frames.push(frame)
  }
  if (atMostBytes > maxBytes) return null
  const native = natives.zstd()
  if (native === null) return [decompress(Codec.ZSTD, data, atMostBytes)]
  try {
    return frames.map((frame) => native.decode(frame.bytes, frame.maxOutputBytes))
  } catch (error) {
    throw zstdFailure(error)
  }
}
