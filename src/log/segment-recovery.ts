import type { EpochCache } from '../core/replication/epoch-cache.ts'
import type { ProducerState } from '../core/transaction/producer-state.ts'
import * as batch from '../../protocol/records/record-batch.ts'
import type { Clock, Disk, Logger } from '../ports.ts'
import { BatchScanner, findGoodBatch } from './batch-scanner.ts'
import { readAt, syncFile, truncateFile, writeAt } from './disk-calls.ts'
import { recordProducer } from './producer-replay.ts'
import type { Segment } from './segment.ts'
import type { TransactionIndex } from './transaction-index.ts'

const PROGRESS_MS = 5000
const COPY_BYTES = 1 << 20
const MAX_RELATIVE_OFFSET = 0x7fff_ffff

/** Logs now and then how far a long scan is. */
export class ScanProgress {
  scannedBytes = 0
  readonly #clock: Clock
  readonly #logger: Logger
  #lastMs: number

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock
    this.#logger = logger
    this.#lastMs = clock.monotonicMs()
  }

  advanced(bytes: number, segment: Segment): void {
    this.scannedBytes += bytes
    const now = this.#clock.monotonicMs()
    if (now - this.#lastMs < PROGRESS_MS) return
    this.#lastMs = now
    this.#logger.info({ scannedBytes: this.scannedBytes, segment: segment.baseOffset }, 'recovering the log')
  }
}

export interface RecoveryTargets {
  readonly epochs: EpochCache
  readonly producers: ProducerState
  readonly transactions: TransactionIndex
  readonly progress: ScanProgress
  readonly nowMs: number
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
  const size = segment.file.sizeBytes
  segment.startIndexes()
  const scanner = new BatchScanner(segment.file, 0, size)
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
      const epoch = batch.magic(buffer, at) >= 2 ? batch.partitionLeaderEpoch(buffer, at) : -1
      if (epoch > targets.epochs.latestEpoch) targets.epochs.assign(epoch, batch.baseOffset(buffer, at))
      const maxTimestamp = batch.maxTimestamp(buffer, at)
      recordProducer(buffer, at, targets.producers, targets.transactions, targets.nowMs)
      segment.appended(lastOffset, maxTimestamp, scanner.sizeBytes)
      next = lastOffset + 1
    }
    targets.progress.advanced(scanner.position - before, segment)
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

/** Does anything good come after the bad batch at `position`? */
export function goodBatchFollows(segment: Segment, position: number, nextOffset: number): Promise<boolean> {
  const { file } = segment
  return findGoodBatch(file, position + 1, file.sizeBytes, nextOffset).then((found) => found >= 0)
}

/** Copies what is about to be cut to `<file>.corrupt-<position>`, durably. Resolves to that path. */
export async function keepCutBytes(disk: Disk, segment: Segment, position: number): Promise<string> {
  const path = `${segment.path}.corrupt-${position}`
  const copy = disk.open(path, 'create')
  try {
    const chunk = Buffer.allocUnsafe(COPY_BYTES)
    let copied = 0
    for (;;) {
      const length = await readAt(segment.file, position + copied, chunk)
      if (length === 0) break
      await writeAt(copy, copied, [chunk.subarray(0, length)], false)
      copied += length
    }
    await syncFile(copy)
  } finally {
    copy.close()
  }
  return path
}

/** Cuts the file behind its last good batch and makes what is left durable: nothing recovered may be served before. */
export async function settleRecovered(segment: Segment, validBytes: number): Promise<void> {
  if (segment.file.sizeBytes > validBytes) await truncateFile(segment.file, validBytes)
  await syncFile(segment.file)
}
