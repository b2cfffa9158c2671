import { CompressionError } from '../../../protocol/compression-error.ts'
import { Codec } from '../../../protocol/compression.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import type { Codecs } from '../../ports.ts'
import { OpaqueBatch } from './opaque-batch.ts'

/** The records area of the batch that is looked at, decompressed away from the loop. */
export class PlainRecords {
  readonly #codecs: Codecs
  readonly #maxBytes: number
  #buffer: Buffer | null = null
  #at = 0
  #body: Buffer | OpaqueBatch | null = null

  constructor(codecs: Codecs, maxBytes: number) {
    this.#codecs = codecs
    this.#maxBytes = maxBytes
  }

  /** Whether `prepare` has something to do. */
  needs(buffer: Buffer, at: number): boolean {
    return batch.magic(buffer, at) >= 2 && batch.codec(buffer, at) !== 0
  }

  async prepare(buffer: Buffer, at: number): Promise<void> {
    this.#buffer = buffer
    this.#at = at
    this.#body = null
    try {
      this.#body = await this.#decompress(buffer, at)
    } catch (error) {
      if (!(error instanceof CompressionError)) throw error
      this.#body = new OpaqueBatch(error.message, { cause: error })
    }
  }

  /** Of the batch that was prepared; null when it is another one. Throws OpaqueBatch. */
  of(buffer: Buffer, at: number): Buffer | null {
    if (buffer !== this.#buffer || at !== this.#at) return null
    if (this.#body instanceof OpaqueBatch) throw this.#body
    return this.#body
  }

  /** What is left of the batch, compressed as it was, or as gzip where that codec cannot be written here. */
  async compress(left: Buffer, codec: number): Promise<Buffer> {
    if (codec === Codec.NONE || batch.recordCount(left, 0) === 0) return left
    const written = this.#codecs.canCompress(codec) ? codec : Codec.GZIP
    const records = left.subarray(batch.BATCH_OVERHEAD)
    return batch.withRecords(left, written, await this.#codecs.compress(written, null, records))
  }

  async #decompress(buffer: Buffer, at: number): Promise<Buffer> {
    const compressed = buffer.subarray(at + batch.BATCH_OVERHEAD, at + batch.batchSizeBytes(buffer, at))
    const codec = batch.codec(buffer, at)
    const now = this.#codecs.decompressNow(codec, compressed)
    if (now !== null) return now.length === 1 ? now[0]! : Buffer.concat(now)
    const pieces: Buffer[] = []
    let leftBytes = this.#maxBytes
    await this.#codecs.decompress(codec, compressed, (bytes) => {
      leftBytes -= bytes.length
      if (leftBytes >= 0) pieces.push(Buffer.from(bytes))
      return leftBytes >= 0
    })
    if (leftBytes < 0) throw new CompressionError('too-large', `more than ${this.#maxBytes} bytes of output`)
    return Buffer.concat(pieces)
  }
}
