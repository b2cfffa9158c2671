import zlib from 'node:zlib'
import { Codec, decompressInSteps, gunzipFailure } from '../../protocol/compression.ts'
import type { Steps } from '../../protocol/compile.ts'
import { CompressionError } from '../../protocol/compression-error.ts'
import { zstdFailure, zstdFrames } from '../../protocol/zstd.ts'
import type { Codecs } from '../ports.ts'

/** Output of one job of the thread pool: each comes back to the loop. */
const CHUNK_BYTES = 512 * 1024
/** What JavaScript may decode in one turn. */
const SLICE_MS = 5

type Decoder = (
  data: Buffer,
  options: zlib.ZlibOptions,
  done: (error: Error | null, bytes: Buffer) => void,
) => void

/**
 * Decompression away from the loop: by zlib on the thread pool, by JavaScript in slices. One batch at a time, or many
 * clients that ask for large ones would take the pool from the disk, and the memory from everybody.
 */
export class SystemCodecs implements Codecs {
  #last: Promise<unknown> = Promise.resolve()

  decompress(
    codec: number,
    data: Buffer,
    maxOutputBytes: number,
    isWanted: () => boolean,
  ): Promise<Buffer | null> {
    const result = this.#last.then(() => (isWanted() ? decode(codec, data, maxOutputBytes) : null))
    this.#last = result.catch(() => undefined)
    return result
  }
}

async function decode(codec: number, data: Buffer, maxOutputBytes: number): Promise<Buffer> {
  if (codec === Codec.GZIP) {
    try {
      return await onPool(zlib.gunzip, data, maxOutputBytes)
    } catch (error) {
      throw gunzipFailure(error)
    }
  }
  const zstd = codec === Codec.ZSTD ? nativeZstd() : null
  if (zstd !== null) return await decodeZstd(zstd, data, maxOutputBytes)
  return await inSlices(decompressInSteps(codec, data, maxOutputBytes))
}

function onPool(decoder: Decoder, data: Buffer, maxOutputBytes: number): Promise<Buffer> {
  const options = { maxOutputLength: Math.max(1, maxOutputBytes), chunkSize: CHUNK_BYTES }
  return new Promise((resolve, reject) => {
    decoder(data, options, (error, bytes) => {
      if (error === null) resolve(bytes)
      else reject(error)
    })
  })
}

async function decodeZstd(zstd: Decoder, data: Buffer, maxOutputBytes: number): Promise<Buffer> {
  const outputs: Buffer[] = []
  let leftBytes = maxOutputBytes
  for (const { bytes } of zstdFrames(data, maxOutputBytes)) {
    try {
      const output = await onPool(zstd, bytes, leftBytes)
      leftBytes -= output.length
      outputs.push(output)
    } catch (error) {
      throw zstdFailure(error)
    }
    if (leftBytes < 0) throw new CompressionError('too-large', `more than ${maxOutputBytes} bytes of output`)
  }
  return outputs.length === 1 ? outputs[0]! : Buffer.concat(outputs)
}

/** Null below Node.js 22.15. */
function nativeZstd(): Decoder | null {
  const found: unknown = Reflect.get(zlib, 'zstdDecompress')
  return typeof found === 'function' ? (found as Decoder) : null
}

async function inSlices<Result>(steps: Steps<Result>): Promise<Result> {
  for (;;) {
    const endsMs = performance.now() + SLICE_MS
    let step
    do step = steps.next()
    while (step.done !== true && performance.now() < endsMs)
    if (step.done === true) return step.value
    await new Promise(setImmediate)
  }
}
