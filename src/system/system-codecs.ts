import zlib from 'node:zlib'
import { CompressionError } from '../../protocol/compression-error.ts'
import { Codec, decompress, decompressInSteps, gunzipFailure } from '../../protocol/compression.ts'
import { decompressLz4Block, lz4Blocks } from '../../protocol/lz4.ts'
import type { Lz4Block } from '../../protocol/lz4.ts'
import { claimedSnappyBytes, snappyBlocks } from '../../protocol/snappy.ts'
import { zstdBlocks, zstdFailure, zstdFrames } from '../../protocol/zstd.ts'
import type { ZstdFrame } from '../../protocol/zstd.ts'
import type { Steps } from '../../protocol/compile.ts'
import type { Codecs } from '../ports.ts'
import { canCompress, compressOnPool } from './compressing.ts'
import { installedCodecs, onPool } from './native-codecs.ts'
import type { NativeCodecs, NativeLz4, NativeSnappy } from './native-codecs.ts'

/**
 * What becomes no longer than this is decoded on the loop: the way to the thread pool and back takes longer. Snappy and
 * lz4 are four times as fast as the others, and go there block by block.
 */
const MOMENT_BYTES = 64 * 1024
const FAST_MOMENT_BYTES = 256 * 1024
/** What becomes no longer than this is decoded by the thread pool as a whole, which takes less of the loop. */
const WHOLE_BYTES = 1024 * 1024
/** Between two looks at the clock. */
const PIECE_BYTES = 64 * 1024
/** Of one job of the thread pool. */
const CHUNK_BYTES = 256 * 1024
/** What may be done in one turn. */
const SLICE_MS = 4
/** A frame that becomes no longer than this is decoded as a whole where it cannot be in pieces. */
const WHOLE_FRAME_BYTES = 16 << 20
const GZIP_MIN_BYTES = 18
/** So many blocks or frames are decoded on the loop: those of nothing take as long as others, and a batch can have very many. */
const MAX_PARTS_NOW = 32

/** By libraries where there are binaries of them, and in JavaScript, in slices, where not. */
export class SystemCodecs implements Codecs {
  readonly #natives: NativeCodecs

  constructor(natives: NativeCodecs = installedCodecs) {
    this.#natives = natives
  }

  decompressNow(codec: number, data: Buffer): readonly Buffer[] | null {
    if (data.length > FAST_MOMENT_BYTES) return null
    switch (codec) {
      case Codec.GZIP:
        return gunzipNow(data)
      case Codec.SNAPPY:
        return snappyNow(this.#natives, data)
      case Codec.LZ4:
        return lz4Now(this.#natives, data)
      case Codec.ZSTD:
        return zstdNow(this.#natives, data)
      case Codec.NONE:
        return [data]
      default:
        throw new CompressionError('unsupported', `unknown codec ${codec}`)
    }
  }

  canCompress(codec: number): boolean {
    return canCompress(this.#natives, codec)
  }

  async compress(codec: number, level: number | null, data: Buffer): Promise<Buffer> {
    return await compressOnPool(this.#natives, codec, level, data)
  }

  async decompress(codec: number, data: Buffer, piece: (bytes: Buffer) => boolean): Promise<void> {
    const output = new Pieces(piece)
    switch (codec) {
      case Codec.GZIP:
        return await gunzipInPieces(data, output)
      case Codec.SNAPPY:
        return await snappyInPieces(this.#natives, data, output)
      case Codec.LZ4:
        return await lz4InPieces(this.#natives, data, output)
      case Codec.ZSTD:
        return await zstdInPieces(this.#natives, data, output)
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
    // To decode nothing took its time too.
    if (bytes.length === 0) await this.breathe()
  }

  async breathe(): Promise<void> {
    if (performance.now() < this.#endsMs) return
    await new Promise(setImmediate)
    this.#endsMs = performance.now() + SLICE_MS
  }
}

// ------------------------------------------------------------------------------------------------------------- gzip

/** Its last bytes say how long it becomes. Only a hint: they are what a client wrote there. */
function gzipHint(data: Buffer): number {
  return data.length < GZIP_MIN_BYTES ? 0 : data.readUInt32LE(data.length - 4)
}

async function gunzipInPieces(data: Buffer, output: Pieces): Promise<void> {
  const hintBytes = gzipHint(data)
  if (hintBytes <= WHOLE_BYTES) {
    const options = { maxOutputLength: WHOLE_BYTES, chunkSize: Math.max(64, hintBytes + 1) }
    const outcome = await onPool(zlib.gunzip, data, options).catch(gunzipFailure)
    if (Buffer.isBuffer(outcome)) return await output.show(outcome)
    if (outcome.reason !== 'too-large') throw outcome
  }
  await fromStream(zlib.createGunzip({ chunkSize: CHUNK_BYTES }), data, output, gunzipFailure)
}

function gunzipNow(data: Buffer): readonly Buffer[] | null {
  const hintBytes = gzipHint(data)
  if (hintBytes > MOMENT_BYTES) return null
  try {
    const chunkSize = Math.max(64, hintBytes + 1)
    return [zlib.gunzipSync(data, { maxOutputLength: MOMENT_BYTES, chunkSize })]
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

function snappyNow(natives: NativeCodecs, data: Buffer): readonly Buffer[] | null {
  const claimedBytes = claimedBySnappy(data)
  if (claimedBytes > FAST_MOMENT_BYTES) return null
  const native = natives.snappy()
  if (native === null) return [decompress(Codec.SNAPPY, data, claimedBytes)]
  return Array.from(snappyBlocks(data), (block) => snappyBlock(native, block))
}

function snappyBlock(native: NativeSnappy, block: Buffer): Buffer {
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
    if (++blocks > MAX_PARTS_NOW) return Infinity
    claimedBytes += claimedSnappyBytes(block)
  }
  return claimedBytes
}

async function snappyInPieces(natives: NativeCodecs, data: Buffer, output: Pieces): Promise<void> {
  const native = natives.snappy()
  for (const block of snappyBlocks(data)) {
    const steps = decompressInSteps(Codec.SNAPPY, block, claimedSnappyBytes(block))
    if (native === null) await output.show(await inSlices(steps, output))
    else if (claimedSnappyBytes(block) <= MOMENT_BYTES) await output.show(snappyBlock(native, block))
    else await output.show(await native.decodeOnPool(block).catch(rethrow(snappyFailure)))
    if (output.done) return
  }
}

function snappyFailure(error: unknown): CompressionError {
  return new CompressionError('invalid', 'snappy: cannot decode', error)
}

// -------------------------------------------------------------------------------------------------------------- lz4

function lz4Now(natives: NativeCodecs, data: Buffer): readonly Buffer[] | null {
  const native = natives.lz4()
  const outputs: Buffer[] = []
  let bytes = 0
  for (const block of lz4Blocks(data)) {
    if (outputs.length === MAX_PARTS_NOW) return null
    const output = lz4Block(native, block)
    bytes += output.length
    if (bytes > FAST_MOMENT_BYTES) return null
    outputs.push(output)
  }
  return outputs
}

/** Blocks are small, so none takes long. */
async function lz4InPieces(natives: NativeCodecs, data: Buffer, output: Pieces): Promise<void> {
  const native = natives.lz4()
  for (const block of lz4Blocks(data)) {
    await output.show(lz4Block(native, block))
    if (output.done) return
  }
}

function lz4Block(native: NativeLz4 | null, block: Lz4Block): Buffer {
  if (block.isPlain) return block.bytes
  if (native === null) return decompressLz4Block(block, block.maxBytes)
  try {
    return native.decode(block.bytes, block.maxBytes)
  } catch (error) {
    throw lz4Failure(error)
  }
}

function lz4Failure(error: unknown): CompressionError {
  return new CompressionError('invalid', 'lz4: cannot decode', error)
}

// ------------------------------------------------------------------------------------------------------------- zstd

function zstdNow(natives: NativeCodecs, data: Buffer): readonly Buffer[] | null {
  const frames: ZstdFrame[] = []
  let maxBytes = 0
  for (const frame of zstdFrames(data)) {
    if (frames.length === MAX_PARTS_NOW) return null
    maxBytes += frame.maxOutputBytes
    frames.push(frame)
  }
  // Each of its blocks counts with the most that one holds.
  if (maxBytes > 2 * MOMENT_BYTES) return null
  const native = natives.zstd()
  if (native === null) return [decompress(Codec.ZSTD, data, maxBytes)]
  try {
    return frames.map((frame) => native.decode(frame.bytes, frame.maxOutputBytes))
  } catch (error) {
    throw zstdFailure(error)
  }
}

async function zstdInPieces(natives: NativeCodecs, data: Buffer, output: Pieces): Promise<void> {
  const native = natives.zstd()
  for (const frame of zstdFrames(data)) {
    const isSmall = frame.maxOutputBytes <= (native?.stream === null ? WHOLE_FRAME_BYTES : WHOLE_BYTES)
    if (native !== null && isSmall)
      await output.show(await native.decodeOnPool(frame.bytes).catch(rethrow(zstdFailure)))
    else if (native !== null && native.stream !== null)
      await fromStream(native.stream(CHUNK_BYTES), frame.bytes, output, zstdFailure)
    else await zstdFrameInJs(frame, output)
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

// ------------------------------------------------------------------------------------------------------------------

function rethrow(failure: (error: unknown) => CompressionError): (error: unknown) => never {
  return (error) => {
    throw failure(error)
  }
}

async function inSlices<Result>(steps: Steps<Result>, output: Pieces): Promise<Result> {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
    await output.breathe()
  }
}
