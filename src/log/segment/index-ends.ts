import { readInt64 } from '../../../protocol/records/record-batch.ts'
import type { Disk, File } from '../../ports.ts'
import { readAt } from '../files/disk-calls.ts'
import type { Youngest } from './segment-end.ts'

/** What the last entries of the index files of a segment say. */
export interface IndexEnds {
  /** Where the last batch begins that is in the offset index; 0 when none is. */
  readonly position: number
  readonly youngest: Youngest
}

/** Null when the files are not there, or cannot be true. */
export async function readIndexEnds(
  disk: Disk,
  indexPath: string,
  timePath: string,
  baseOffset: number,
): Promise<IndexEnds | null> {
  if (!disk.exists(indexPath) || !disk.exists(timePath)) return null
  const last = await lastEntry(disk, indexPath, 8)
  const time = await lastEntry(disk, timePath, 12)
  if (last === null || time === null) return null
  const position = last.entry?.readInt32BE(4) ?? 0
  if (position < 0) return null
  if (time.entry === null) return { position, youngest: { timestampMs: -1, offset: baseOffset } }
  const timestampMs = readInt64(time.entry, 0)
  // A preallocated index that was not cut ends in zeros.
  if (timestampMs <= 0 && time.count > 1) return null
  return { position, youngest: { timestampMs, offset: baseOffset + time.entry.readUInt32BE(8) } }
}

async function lastEntry(
  disk: Disk,
  path: string,
  entryBytes: number,
): Promise<{ entry: Buffer | null; count: number } | null> {
  const file: File = disk.open(path, 'read')
  try {
    const { sizeBytes } = file
    if (sizeBytes % entryBytes !== 0) return null
    if (sizeBytes === 0) return { entry: null, count: 0 }
    const entry = Buffer.allocUnsafe(entryBytes)
    await readAt(file, sizeBytes - entryBytes, entry)
    return { entry, count: sizeBytes / entryBytes }
  } finally {
    file.close()
  }
}
