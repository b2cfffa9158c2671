import { SamsaError } from '../../core/samsa-error.ts'
import type { EpochCache } from '../../core/replication/epoch-cache.ts'
import type { ProducerState } from '../../core/transaction/producer-state.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import type { Disk } from '../../ports.ts'
import { BatchScanner } from '../files/batch-scanner.ts'
import { readAt, removePath, syncFile, truncateFile, writeAt } from '../files/disk-calls.ts'
import { isNoRoom } from '../files/disk-problem.ts'
import type { RecoveryProgress } from '../log-types.ts'
import { MAX_RELATIVE_OFFSET } from '../segment/offset-index.ts'
import { recordProducer } from './producer-replay.ts'
import type { Segment } from '../segment/segment.ts'
import type { TransactionIndex } from '../segment/transaction-index.ts'

const COPY_BYTES = 1 << 20

/** What a scan fills and counts. */
export interface RecoveryTargets {
  readonly epochs: EpochCache
  readonly producers: ProducerState
  readonly transactions: TransactionIndex
  readonly nowMs: number
  readonly progress: RecoveryProgress | null
  scannedBytes: number
  /** Gaps that end at or below it may be compaction's. */
  readonly gapLimit: number
  /** The first offset that is not there although a later one is, and compaction did not take it; -1 when none is missing. */
  firstMissingOffset: number
  /** Where the log goes on behind the last gap of that kind; 0 when there is none. */
  lossesEnd: number
}

/** The log goes on at `offset` where `nextOffset` is due. */
export function noteGap(targets: RecoveryTargets, nextOffset: number, offset: number): void {
  if (offset <= nextOffset || offset <= targets.gapLimit) return
  targets.lossesEnd = offset
  if (targets.firstMissingOffset < 0) targets.firstMissingOffset = nextOffset
}

export interface ScanResult {
  /** The offset after the last good batch. */
  readonly nextOffset: number
  /** Bytes of good batches. */
  readonly validBytes: number
  /** Why it ends there; null when the whole file is good. */
  readonly problem: string | null
}

/**
 * Checks every batch of a segment (frame, checksum, offsets that grow) and rebuilds its indexes, producer state,
 * transaction index and epochs. Stops before the first bad batch; changes no file.
 */
export async function scanSegment(
  segment: Segment,
  nextOffset: number,
  targets: RecoveryTargets,
): Promise<ScanResult> {
  // Nobody evicts a segment whose log is not open yet.
  const file = segment.openFile()
  segment.startIndexes()
  const scanner = new BatchScanner(file, 0, file.sizeBytes)
  let next = nextOffset
  while (await scanner.fill()) {
    const before = scanner.position
    while (scanner.step()) {
      const { buffer, at } = scanner
      const problem = batchProblem(buffer, at, scanner.sizeBytes, next, segment.baseOffset)
      if (problem !== null) {
        scanner.reject(problem)
        break
      }
      const lastOffset = batch.lastOffset(buffer, at)
      if (batch.magic(buffer, at) >= 2) {
        const base = batch.baseOffset(buffer, at)
        const epoch = batch.partitionLeaderEpoch(buffer, at)
        targets.epochs.found(epoch, base)
        noteGap(targets, next, base)
      }
      const maxTimestamp = batch.maxTimestamp(buffer, at)
      recordProducer(buffer, at, targets.producers, targets.transactions, targets.nowMs)
      segment.appended(lastOffset, maxTimestamp, scanner.sizeBytes)
      next = lastOffset + 1
    }
    targets.scannedBytes += scanner.position - before
    targets.progress?.advanced(scanner.position - before)
    if (scanner.problem !== null) break
  }
  segment.writtenBytes = segment.sizeBytes
  return { nextOffset: next, validBytes: segment.sizeBytes, problem: scanner.problem }
}

function batchProblem(
  buffer: Buffer,
  at: number,
  sizeBytes: number,
  nextOffset: number,
  segmentBase: number,
): string | null {
  const problem = batch.batchProblem(buffer, at, at + sizeBytes)
  if (problem !== null) return problem
  const base = batch.baseOffset(buffer, at)
  if (base < nextOffset) return `offset ${base} where at least ${nextOffset} is due`
  if (batch.lastOffset(buffer, at) - segmentBase > MAX_RELATIVE_OFFSET)
    return `offset ${base} does not fit the segment`
  return null
}

/**
 * Copies what is about to be cut to `<file>.corrupt-<position>`, durably. Resolves to that path. Without room for it nothing
 * may be cut: rejects with SAMSA_LOG_CORRUPT, which is of this log and not of its directory.
 */
export async function keepCutBytes(disk: Disk, segment: Segment, position: number): Promise<string> {
  const path = `${segment.path}.corrupt-${position}`
  try {
    await copyCutBytes(disk, segment, position, path)
  } catch (error) {
    if (!isNoRoom(error)) throw error
    await removePath(disk, path)
    const what = `${segment.path} is damaged at ${position}, and there is no room to keep what follows aside`
    throw new SamsaError('SAMSA_LOG_CORRUPT', what, error)
  }
  return path
}

async function copyCutBytes(disk: Disk, segment: Segment, position: number, path: string): Promise<void> {
  const copy = disk.open(path, 'create')
  try {
    const chunk = Buffer.allocUnsafe(COPY_BYTES)
    let copied = 0
    for (;;) {
      const length = await readAt(segment.openFile(), position + copied, chunk)
      if (length === 0) break
      await writeAt(copy, copied, [chunk.subarray(0, length)], false)
      copied += length
    }
    await syncFile(copy)
  } finally {
    copy.close()
  }
}

/**
 * Cuts the file behind its last good batch. With `durable` all that is left is on the device when it resolves:
 * nothing that was only in the page cache may be served, or it could be gone after it was seen.
 */
export async function settleRecovered(segment: Segment, validBytes: number, durable: boolean): Promise<void> {
  const file = segment.openFile()
  if (file.sizeBytes > validBytes) await truncateFile(file, validBytes)
  if (durable) await syncFile(file)
}
