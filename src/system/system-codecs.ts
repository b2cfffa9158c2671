import zlib from 'node:zlib'
import { CompressionError } from '../../protocol/compression-error.ts'
import { Codec, decompress, decompressInSteps, gunzipFailure } from '../../protocol/compression.ts'
import { decompressLz4Block, lz4Blocks } from '../../protocol/lz4.ts'
import { claimedSnappyBytes, snappyBlocks } from '../../protocol/snappy.ts'
import { zstdBlocks, zstdFailure, zstdFrames } from '../../protocol/zstd.ts'
import type { ZstdFrame } from '../../protocol/zstd.ts'
import type { Steps } from '../../protocol/compile.ts'
import type { Codecs } from '../ports.ts'
import { nativeZstd } from './native-codecs.ts'

/** What becomes no longer than this is decoded on the loop: the way to the thread pool and back takes longer. */
const MOMENT_BYTES = 256 * 1024
/** Between two looks at the clock. */
const PIECE_BYTES = 64 * 1024
/** Of one job of the thread pool. */
const CHUNK_BYTES = 256 * 1024
/** What may be done in one turn. */
const SLICE_MS = 4
const GZIP_MIN_BYTES = 18

/** By zlib on the thread pool, and in JavaScript in slices where there is no other. */
export class SystemCodecs implements Codecs {
  decompressNow(codec: number, data: Buffer): Buffer | null {
    if (data.length > MOMENT_BYTES) return null
    switch (codec) {
      case Codec.GZIP:
        return gunzipNow(data)
      case Codec.SNAPPY:
        return snappyNow(data)
      case Codec.LZ4:
        return lz4Now(data)
      case Codec.ZSTD:
        return zstdNow(data)
      case Codec.NONE:
        return data
      default:
        throw new CompressionError('unsupported', `unknown codec ${codec}`)
    }
  }

  async decompress(codec: number, data: Buffer, piece: (bytes: Buffer) => boolean): Promise<void> {
    const output = new Pieces(piece)
    switch (codec) {
      case Codec.GZIP:
        return await fromStream(zlib.createGunzip({ chunkSize: CHUNK_BYTES }), data, output, gunzipFailure)
      case Codec.SNAPPY:
        return await snappyInPieces(data, output)
      case Codec.LZ4:
        return await lz4InPieces(data, output)
      case Codec.ZSTD:
        return await zstdInPieces(data, output)
      case Codec.NONE:
        await output.show(data)
        return
      default:
        throw new CompressionError('unsupported', `unknown codec ${codec}`)
    }
  }
}

/** Shows what is decoded, and lets others have their turn when this has had its own. */
class Pieces {
  /** Nobody needs more. */
  done = false
  readonly #piece: (bytes: Buffer) => boolean
  #endsMs = performance.now() + SLICE_MS

  constructor(piece: (bytes: Buffer) => boolean) {
    this.#piece = piece
  }

  async show(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length && !this.done; at += PIECE_BYTES) {
      this.done = !this.#piece(bytes.subarray(at, at + PIECE_BYTES))
      await this.breathe()
    }
  }

  async breathe(): Promise<void> {
    if (performance.now() < this.#endsMs) return
    await new Promise(setImmediate)
    this.#endsMs = performance.now() + SLICE_MS
  }
}

// ------------------------------------------------------------------------------------------------------------- gzip

function gunzipNow(data: Buffer): Buffer | null {
  // Its last bytes say how long it becomes; only a hint.
  const hintBytes = data.length < GZIP_MIN_BYTES ? 0 : data.readUInt32LE(data.length - 4)
  if (hintBytes > MOMENT_BYTES) return null
  try {
    const chunkSize = Math.max(64, hintBytes + 1)
    return zlib.gunzipSync(data, { maxOutputLength: MOMENT_BYTES, chunkSize })
  } catch (error) {
    const failure = gunzipFailure(error)
    if (failure.reason === 'too-large') return null
    throw failure
  }
}

async function fromStream(
  stream: zlib.Gunzip,
  data: Buffer,
  output: Pieces,
  failure: (error: unknown) => CompressionError,
): Promise<void> {
  stream.end(data)
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  try {
    while (!output.done) {
      const next = await chunks.next().catch((error: unknown) => {
        throw failure(error)
      })
      if (next.done === true) return
      await output.show(next.value)
    }
  } finally {
    stream.destroy()
  }
}

// ----------------------------------------------------------------------------------------------------------- snappy

function snappyNow(data: Buffer): Buffer | null {
  let claimedBytes = 0
  for (const block of snappyBlocks(data)) claimedBytes += claimedSnappyBytes(block)
  return claimedBytes > MOMENT_BYTES ? null : decompress(Codec.SNAPPY, data, claimedBytes)
}

async function snappyInPieces(data: Buffer, output: Pieces): Promise<void> {
  for (const block of snappyBlocks(data)) {
    const steps = decompressInSteps(Codec.SNAPPY, block, claimedSnappyBytes(block))
    await output.show(await inSlices(steps, output))
    if (output.done) return
  }
}

// -------------------------------------------------------------------------------------------------------------- lz4

function lz4Now(data: Buffer): Buffer | null {
  const blocks: Buffer[] = []
  let leftBytes = MOMENT_BYTES
  for (const block of lz4Blocks(data)) {
    if (block.bytes.length > leftBytes) return null
    const output = tooLongIsNull(() => decompressLz4Block(block, leftBytes))
    if (output === null) return null
    blocks.push(output)
    leftBytes -= output.length
  }
  return blocks.length === 1 ? blocks[0]! : Buffer.concat(blocks)
}

async function lz4InPieces(data: Buffer, output: Pieces): Promise<void> {
  for (const block of lz4Blocks(data)) {
    await output.show(decompressLz4Block(block, block.maxBytes))
    if (output.done) return
  }
}

function tooLongIsNull(decode: () => Buffer): Buffer | null {
  try {
    return decode()
  } catch (error) {
    if (error instanceof CompressionError && error.reason === 'too-large') return null
    throw error
  }
}

// ------------------------------------------------------------------------------------------------------------- zstd

function zstdNow(data: Buffer): Buffer | null {
  let maxBytes = 0
  for (const frame of zstdFrames(data)) maxBytes += frame.maxOutputBytes
  // Each of its blocks counts with the most that one holds.
  return maxBytes > 2 * MOMENT_BYTES ? null : decompress(Codec.ZSTD, data, maxBytes)
}

async function zstdInPieces(data: Buffer, output: Pieces): Promise<void> {
  for (const frame of zstdFrames(data)) {
    if (nativeZstd === null) await zstdFrameInJs(frame, output)
    else await fromStream(nativeZstd.stream(CHUNK_BYTES), frame.bytes, output, zstdFailure)
    if (output.done) return
  }
}

async function zstdFrameInJs(frame: ZstdFrame, output: Pieces): Promise<void> {
  const decoded: Uint8Array[] = []
  const steps = zstdBlocks(frame, (bytes) => decoded.push(bytes))
  for (let isOver = false; !isOver && !output.done;) {
    isOver = steps.next().done === true
    for (const { buffer, byteOffset, length } of decoded.splice(0))
      await output.show(Buffer.from(buffer, byteOffset, length))
    await output.breathe()
  }
}

async function inSlices<Result>(steps: Steps<Result>, output: Pieces): Promise<Result> {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
    await output.breathe()
  }
}
