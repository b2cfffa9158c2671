import zlib from 'node:zlib'
import { CompressionError } from '../../protocol/compression-error.ts'
import { Codec, decompressInSteps, gunzipFailure } from '../../protocol/compression.ts'
import { lz4Blocks } from '../../protocol/lz4.ts'
import { claimedSnappyBytes, snappyBlocks } from '../../protocol/snappy.ts'
import { zstdBlocks, zstdFailure, zstdFrames } from '../../protocol/zstd.ts'
import type { ZstdFrame } from '../../protocol/zstd.ts'
import type { Steps } from '../../protocol/compile.ts'
import type { RecordsSummary } from '../../protocol/records/records-summary.ts'
import type { Codecs } from '../ports.ts'
import type { CodecThread } from './codec-thread.ts'
import { canCompress, compressOnPool } from './compressing.ts'
import { decodeNow, gzipHint, lz4Block, snappyBlock, snappyFailure } from './decode-now.ts'
import type { NativeAddon } from './native-addon.ts'
import { installedCodecs, onPool } from './native-codecs.ts'
import type { NativeCodecs } from './native-codecs.ts'
import { summarize } from './summarizing.ts'

/** What becomes no longer than this is decoded on the loop: within a millisecond, which the way elsewhere takes too. */
const MOMENT_BYTES = 256 * 1024
/** The addon walks over so much within some two milliseconds. */
const PLAIN_MOMENT_BYTES = 2 * 1024 * 1024
/** A snappy block that becomes no longer goes by itself to no pool. */
const BLOCK_BYTES = 64 * 1024
/** What is shorter is looked at as fast as it is given to the thread. */
const WORTH_BYTES: Readonly<Record<number, number>> = {
  [Codec.GZIP]: 2 * 1024,
  [Codec.SNAPPY]: 16 * 1024,
  [Codec.LZ4]: 16 * 1024,
  [Codec.ZSTD]: 2 * 1024,
}
/** What becomes no longer than this is decoded by the thread pool as a whole, which takes less of the loop. */
const WHOLE_BYTES = 1024 * 1024
/** Between two looks at the clock. */
const PIECE_BYTES = 32 * 1024
/** Of one job of the thread pool. */
const CHUNK_BYTES = 256 * 1024
/** What may be done in one turn. */
const SLICE_MS = 4
/** A frame that becomes no longer than this is decoded as a whole where it cannot be in pieces. */
const WHOLE_FRAME_BYTES = 16 << 20

export interface CodecParts {
  readonly natives?: NativeCodecs
  readonly addon?: Pick<NativeAddon, 'summarize'> | null
  readonly thread?: CodecThread | null
}

/**
 * By libraries where there are binaries of them, and in JavaScript, in slices, where not. Records that are as they should
 * be are looked at by the addon; a thread, where there is one, does so beside the loop while it has room.
 */
export class SystemCodecs implements Codecs {
  readonly #natives: NativeCodecs
  readonly #addon: Pick<NativeAddon, 'summarize'> | null
  readonly #thread: CodecThread | null

  constructor({ natives = installedCodecs, addon = null, thread = null }: CodecParts = {}) {
    this.#natives = natives
    this.#addon = addon
    this.#thread = thread
  }

  summarizeNow(codec: number, data: Buffer, recordCount: number): RecordsSummary | null {
    const isPlain = codec === Codec.NONE && this.#addon !== null
    if (data.length > (isPlain ? PLAIN_MOMENT_BYTES : MOMENT_BYTES)) return null
    const by = { natives: this.#natives, addon: this.#addon }
    return summarize(by, codec, data, recordCount, MOMENT_BYTES)
  }

  summarizeBeside(
    codec: number,
    data: Buffer,
    recordCount: number,
    done: (summary: RecordsSummary | null) => void,
  ): boolean {
    if (this.#thread === null || data.length < (WORTH_BYTES[codec] ?? Infinity)) return false
    return this.#thread.summarize(codec, data, recordCount, done)
  }

  decompressNow(codec: number, data: Buffer): readonly Buffer[] | null {
    return data.length > MOMENT_BYTES ? null : decodeNow(this.#natives, codec, data, MOMENT_BYTES)
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

async function snappyInPieces(natives: NativeCodecs, data: Buffer, output: Pieces): Promise<void> {
  const native = natives.snappy()
  for (const block of snappyBlocks(data)) {
    const claimedBytes = claimedSnappyBytes(block)
    if (native === null)
      await output.show(await inSlices(decompressInSteps(Codec.SNAPPY, block, claimedBytes), output))
    else if (claimedBytes <= BLOCK_BYTES) await output.show(snappyBlock(native, block))
    else await output.show(await native.decodeOnPool(block).catch(rethrow(snappyFailure)))
    if (output.done) return
  }
}

// -------------------------------------------------------------------------------------------------------------- lz4

/** Blocks are small, so none takes long. */
async function lz4InPieces(natives: NativeCodecs, data: Buffer, output: Pieces): Promise<void> {
  const native = natives.lz4()
  for (const block of lz4Blocks(data)) {
    await output.show(lz4Block(native, block))
    if (output.done) return
  }
}

// ------------------------------------------------------------------------------------------------------------- zstd

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
