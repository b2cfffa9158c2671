import { strict as assert } from 'node:assert'
import { crc32 } from 'node:zlib'
import * as batch from '../../../protocol/records/record-batch.ts'
import { RecordReader } from '../../../protocol/records/record-reader.ts'
import type { SimDiskImage, SimNode } from '../sim-disk-image.ts'

/** A batch as it lies in a log: all of it but what the length of the log says. */
interface StoredBatch {
  readonly baseOffset: number
  readonly lastOffset: number
  readonly epoch: number
  readonly sum: number
}

export interface StoredLog {
  readonly batches: readonly StoredBatch[]
  /** By offset; the log starts at 0. */
  readonly values: readonly string[]
  /** Where the next one should be that is there; null: none is missing. */
  readonly gapAt: number | null
}

/**
 * What a partition's files hold below `end`, as the running system sees them. Up to where it makes no sense: of a process that
 * is writing, or was when it died, the last write may be there in part.
 */
export function storedLog(image: SimDiskImage, directory: string, end: number): StoredLog {
  const node = image.find(directory)
  assert(node?.kind === 'directory', `${directory} is not there`)
  const names = [...node.cached.keys()].filter((name) => /^\d{20}\.log$/.test(name)).sort()
  const batches: StoredBatch[] = []
  const values: string[] = []
  let gapAt: number | null = null
  for (const name of names) {
    const bytes = bytesOf(node.cached.get(name)!)
    for (let at = 0; at + batch.BATCH_OVERHEAD <= bytes.length;) {
      const baseOffset = batch.baseOffset(bytes, at)
      const size = batch.batchSizeBytes(bytes, at)
      // Zeros or what was there before: the segment ends.
      if (size <= batch.LOG_OVERHEAD || baseOffset < values.length || baseOffset >= end) break
      if (batch.batchProblem(bytes, at, bytes.length) !== null) break
      if (baseOffset > values.length) gapAt ??= values.length
      if (gapAt !== null) break
      const reader = new RecordReader(
        bytes,
        batch.recordCount(bytes, at),
        at + batch.BATCH_OVERHEAD,
        at + size,
      )
      while (reader.next()) values.push(reader.value()?.toString() ?? '')
      batches.push({
        baseOffset,
        lastOffset: batch.lastOffset(bytes, at),
        epoch: batch.partitionLeaderEpoch(bytes, at),
        sum: crc32(bytes.subarray(at, at + size)),
      })
      at += size
    }
  }
  return { batches, values, gapAt }
}

function bytesOf(node: SimNode): Buffer {
  assert(node.kind === 'file')
  return node.cached.all()
}

/** S4: what both have is the same, byte for byte. */
export function sameLogs(left: StoredLog, right: StoredLog, which: string): void {
  const length = Math.min(left.batches.length, right.batches.length)
  assert.deepEqual(left.batches.slice(0, length), right.batches.slice(0, length), `S4: ${which}`)
}
