import { types } from 'node:util'
import zlib from 'node:zlib'
import type { Steps } from './compile.ts'
import { CompressionError } from './compression-error.ts'
import { decompressLz4 } from './lz4.ts'
import { compressSnappyInSteps, decompressSnappy } from './snappy.ts'
import { compressZstd, decompressZstd } from './zstd.ts'

/** The codec numbers of a record batch's attributes. */
export const Codec = { NONE: 0, GZIP: 1, SNAPPY: 2, LZ4: 3, ZSTD: 4 } as const

/** By the names that configurations give them. */
export const CODECS_BY_NAME = {
  uncompressed: Codec.NONE,
  gzip: Codec.GZIP,
  snappy: Codec.SNAPPY,
  lz4: Codec.LZ4,
  zstd: Codec.ZSTD,
} as const

/**
 * Decompresses the records area of a batch. Throws CompressionError: `invalid`, `too-large` when the output would be
 * longer than `maxOutputBytes`, or `unsupported` for an unknown codec. The result may share memory with `data`.
 */
export function decompress(codec: number, data: Buffer, maxOutputBytes: number): Buffer {
  return allSteps(decompressInSteps(codec, data, maxOutputBytes))
}

/** All at once. */
export function allSteps<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

/** As `decompress`, in steps. What zlib decodes is one step: away from the loop, it has another way for those. */
export function* decompressInSteps(codec: number, data: Buffer, maxOutputBytes: number): Steps<Buffer> {
  switch (codec) {
    case Codec.NONE:
      if (data.length > maxOutputBytes)
        throw new CompressionError('too-large', `more than ${maxOutputBytes} bytes`)
      return data
    case Codec.GZIP:
      return gunzip(data, maxOutputBytes)
    case Codec.SNAPPY:
      return yield* decompressSnappy(data, maxOutputBytes)
    case Codec.LZ4:
      return yield* decompressLz4(data, maxOutputBytes)
    case Codec.ZSTD:
      return yield* decompressZstd(data, maxOutputBytes)
    default:
      throw new CompressionError('unsupported', `unknown codec ${codec}`)
  }
}

/**
 * Null when this codec cannot be written here (lz4; zstd below Node.js 22.15): whoever rewrites batches then stores
 * them as gzip.
 */
export function compress(codec: number, data: Buffer): Buffer | null {
  switch (codec) {
    case Codec.NONE:
      return data
    case Codec.GZIP:
      return zlib.gzipSync(data)
    case Codec.SNAPPY:
      return allSteps(compressSnappyInSteps(data))
    case Codec.ZSTD:
      return compressZstd(data)
    default:
      return null
  }
}

function gunzip(data: Buffer, maxOutputBytes: number): Buffer {
  try {
    return zlib.gunzipSync(data, { maxOutputLength: Math.max(1, maxOutputBytes) })
  } catch (error) {
    throw gunzipFailure(error)
  }
}

/** What an error of zlib means. */
export function gunzipFailure(error: unknown): CompressionError {
  const tooLarge = types.isNativeError(error) && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE'
  return new CompressionError(tooLarge ? 'too-large' : 'invalid', 'gzip: cannot decode', error)
}
