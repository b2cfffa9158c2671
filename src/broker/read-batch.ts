import { ErrorCode } from '../../protocol/errors.ts'
import { problem } from '../log/append/batch-problem.ts'
import type { BatchProblem } from '../log/append/batch-problem.ts'
import type { CompressedBatch } from '../log/append/validate.ts'
import type { Codecs } from '../ports.ts'

/** What is to be appended, or why nothing is. Rejects with what `undecodable` of the batch understands. */
export async function readBatch(batch: CompressedBatch, codecs: Codecs): Promise<BatchProblem | Buffer> {
  if (!changesCodec(batch, codecs)) {
    let unreadBytes = batch.maxReadBytes
    await codecs.decompress(batch.codec, batch.compressed, (bytes) => {
      unreadBytes -= bytes.length
      return unreadBytes >= 0 && batch.piece(bytes)
    })
    if (unreadBytes < 0)
      return tooLarge(`${batch.compressed.length} bytes of records become more than ${batch.maxReadBytes}`)
    return batch.end() ?? batch.records
  }
  const pieces: Buffer[] = []
  let leftBytes = batch.maxPlainBytes
  await codecs.decompress(batch.codec, batch.compressed, (bytes) => {
    leftBytes -= bytes.length
    if (leftBytes < 0) return false
    pieces.push(Buffer.from(bytes))
    return batch.piece(bytes)
  })
  if (leftBytes < 0)
    return tooLarge(`compression.type compresses what decompresses to ${batch.maxPlainBytes} bytes at most`)
  const found = batch.end()
  if (found !== null) return found
  return batch.inTargetCodec(await codecs.compress(batch.targetCodec, batch.level, Buffer.concat(pieces)))
}

function tooLarge(message: string): BatchProblem {
  return problem(ErrorCode.MESSAGE_TOO_LARGE, message)
}

/**
 * Whether the topic wants another codec than the producer's. One that cannot be written here is refused as a value of
 * `compression.type`; in a directory from elsewhere it may stand all the same, and then batches stay as they come.
 */
export function changesCodec(batch: CompressedBatch, codecs: Codecs): boolean {
  return batch.targetCodec !== batch.codec && codecs.canCompress(batch.targetCodec)
}
