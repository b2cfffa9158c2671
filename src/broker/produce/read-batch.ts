import { ErrorCode } from '../../../protocol/errors.ts'
import { problem } from '../../log/append/batch-problem.ts'
import type { BatchProblem } from '../../log/append/batch-problem.ts'
import type { UnreadBatch } from '../../log/append/validate.ts'
import type { Codecs } from '../../ports.ts'

/** What is to be appended, or why nothing is. Rejects with what `undecodable` of the batch understands. */
export async function readBatch(batch: UnreadBatch, codecs: Codecs): Promise<BatchProblem | Buffer> {
  const changes = changesCodec(batch, codecs)
  const maxBytes = changes ? batch.maxPlainBytes : batch.maxReadBytes
  const kept: Buffer[] = []
  let leftBytes = maxBytes
  await codecs.decompress(batch.codec, batch.body, (bytes) => {
    leftBytes -= bytes.length
    if (leftBytes < 0) return false
    if (changes) kept.push(Buffer.from(bytes))
    return batch.piece(bytes)
  })
  if (leftBytes < 0)
    return tooLarge(
      changes
        ? `compression.type compresses what decompresses to ${maxBytes} bytes at most`
        : `${batch.body.length} bytes of records become more than ${maxBytes}`,
    )
  const found = batch.end()
  if (found !== null) return found
  if (!changes) return batch.records
  return batch.inTargetCodec(await codecs.compress(batch.targetCodec, batch.level, Buffer.concat(kept)))
}

function tooLarge(message: string): BatchProblem {
  return problem(ErrorCode.MESSAGE_TOO_LARGE, message)
}

/**
 * Whether the topic wants another codec than the producer's. One that cannot be written here is refused as a value of
 * `compression.type`; in a directory from elsewhere it may stand all the same, and then batches stay as they come.
 */
export function changesCodec(batch: UnreadBatch, codecs: Codecs): boolean {
  return batch.targetCodec !== batch.codec && codecs.canCompress(batch.targetCodec)
}
