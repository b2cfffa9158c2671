import { EpochCache } from '../core/replication/epoch-cache.ts'
import { ProducerState } from '../core/transaction/producer-state.ts'
import type { Logger, World } from '../ports.ts'
import { readSmall, removePath, replaceWhole, syncDirectory, writeWhole } from './disk-calls.ts'
import { prepareDirectory } from './partition-directory.ts'
import type { DirectoryContent } from './partition-directory.ts'
import {
  EPOCH_CHECKPOINT,
  LOG_SUFFIX,
  parentOf,
  SEGMENT_SUFFIXES,
  segmentFile,
  TRANSACTION_INDEX_SUFFIX,
} from './log-files.ts'
import type { LogOptions, RecoveryReport, SegmentCache } from './log-types.ts'
import { ProducerSnapshots, replayProducers } from './producer-recovery.ts'
import { Segment } from './segment.ts'
import {
  goodBatchFollows,
  keepCutBytes,
  ScanProgress,
  scanSegment,
  settleRecovered,
} from './segment-recovery.ts'
import type { RecoveryTargets, ScanResult } from './segment-recovery.ts'
import { TransactionIndex } from './transaction-index.ts'

export interface LoadedLog {
  readonly segments: Segment[]
  readonly epochs: EpochCache
  readonly producers: ProducerState
  readonly transactions: TransactionIndex
  readonly topicId: string | null
  readonly logStartOffset: number
  readonly logEndOffset: number
  readonly snapshots: ProducerSnapshots
  readonly recovery: RecoveryReport | null
  /** Names were made that are not on the device yet. */
  readonly namesDirty: boolean
}

type LogWorld = Pick<World, 'clock' | 'disk' | 'logger'>

/** Reads, checks and where needed repairs the directory of one partition. */
export class LogLoader {
  readonly #world: LogWorld
  readonly #options: LogOptions
  readonly #cache: SegmentCache
  readonly #logger: Logger
  readonly #directory: string
  #segments: Segment[] = []
  #snapshots: ProducerSnapshots
  #epochs = new EpochCache()
  readonly #producers = new ProducerState()
  readonly #transactions = new TransactionIndex()
  #logEndOffset = 0
  #recovery: RecoveryReport | null = null
  #namesDirty = false

  constructor(world: LogWorld, options: LogOptions, cache: SegmentCache, logger: Logger) {
    this.#world = world
    this.#options = options
    this.#cache = cache
    this.#logger = logger
    this.#directory = options.directory
    this.#snapshots = new ProducerSnapshots(world, options.directory, logger, [])
  }

  async load(): Promise<LoadedLog> {
    const { disk } = this.#world
    const content = await prepareDirectory(disk, this.#directory, this.#options.topicId, this.#logger)
    this.#namesDirty = content.created
    this.#snapshots = new ProducerSnapshots(
      this.#world,
      this.#directory,
      this.#logger,
      content.snapshotOffsets,
    )
    this.#segments = content.segmentOffsets.map((offset) => this.#segment(offset))
    this.#loadEpochs()
    if (this.#segments.length === 0) this.#startAt(this.#options.logStartOffset)
    else await this.#loadSegments(content)
    if (this.#logEndOffset < this.#options.logStartOffset) await this.#startOver()
    const logStartOffset = Math.max(this.#options.logStartOffset, this.#segments[0]?.baseOffset ?? 0)
    this.#epochs.truncateFromEnd(this.#logEndOffset)
    this.#epochs.truncateFromStart(logStartOffset)
    await this.#snapshots.removeStray(this.#segments, this.#logEndOffset)
    return {
      segments: this.#segments,
      epochs: this.#epochs,
      producers: this.#producers,
      transactions: this.#transactions,
      topicId: content.topicId,
      logStartOffset,
      logEndOffset: this.#logEndOffset,
      snapshots: this.#snapshots,
      recovery: this.#recovery,
      namesDirty: this.#namesDirty,
    }
  }

  #segment(baseOffset: number): Segment {
    return new Segment({
      disk: this.#world.disk,
      cache: this.#cache,
      directory: this.#directory,
      baseOffset,
      indexIntervalBytes: this.#options.config.indexIntervalBytes,
      createdMs: this.#world.clock.nowMs(),
    })
  }

  #startAt(offset: number): void {
    const segment = this.#segment(offset)
    segment.startIndexes()
    this.#segments = [segment]
    // Makes the file: a partition is its directory with a log file in it.
    void segment.file
    this.#logEndOffset = offset
    this.#namesDirty = true
  }

  /** The log ends before it starts (DeleteRecords went further than what survived): nothing in it counts. */
  async #startOver(): Promise<void> {
    this.#logger.warn(
      { logEndOffset: this.#logEndOffset, logStartOffset: this.#options.logStartOffset },
      'the log ends before its start offset: starting over there',
    )
    for (const segment of this.#segments) {
      segment.close()
      for (const suffix of SEGMENT_SUFFIXES) await this.#remove(segment.baseOffset, suffix)
    }
    this.#producers.clear()
    this.#transactions.truncateFromEnd(0)
    this.#startAt(this.#options.logStartOffset)
  }

  #loadEpochs(): void {
    const text = readSmall(this.#world.disk, `${this.#directory}/${EPOCH_CHECKPOINT}`)
    if (text === null) return
    const epochs = EpochCache.decode(text.toString('utf8'))
    if (epochs === null) this.#logger.warn({ file: EPOCH_CHECKPOINT }, 'damaged, rebuilding it from the log')
    else this.#epochs = epochs
  }

  async #loadSegments(content: DirectoryContent): Promise<void> {
    const segments = this.#segments
    let recoverFrom = this.#options.cleanShutdown
      ? segments.length
      : this.#floorOf(this.#options.recoveryPoint)
    await this.#examineClosed(Math.min(recoverFrom, segments.length - 1))
    if (recoverFrom === segments.length) {
      const end = await segments.at(-1)!.loadActive()
      if (end >= 0) {
        this.#logEndOffset = end
      } else {
        this.#logger.warn(
          { segment: segments.at(-1)!.baseOffset },
          'index and log do not fit together: scanning',
        )
        recoverFrom = segments.length - 1
      }
    }
    const scanStart = segments[recoverFrom]?.baseOffset ?? this.#logEndOffset
    this.#loadTransactionIndexes(content, scanStart)
    await this.#loadProducers(scanStart)
    if (recoverFrom < segments.length) await this.#recover(recoverFrom)
  }

  /** Index of the segment that contains `offset`. */
  #floorOf(offset: number): number {
    let found = 0
    this.#segments.forEach((segment, i) => {
      if (segment.baseOffset <= offset) found = i
    })
    return found
  }

  async #examineClosed(count: number): Promise<void> {
    for (const segment of this.#segments.slice(0, count)) {
      if (await segment.examine()) continue
      this.#logger.warn({ segment: segment.baseOffset }, 'index missing or damaged: rebuilding it')
      await segment.rebuildIndexes()
      await segment.writeIndexes(true, true)
    }
  }

  #loadTransactionIndexes(content: DirectoryContent, below: number): void {
    for (const offset of content.transactionIndexOffsets) {
      if (offset >= below) continue
      const bytes = readSmall(
        this.#world.disk,
        segmentFile(this.#directory, offset, TRANSACTION_INDEX_SUFFIX),
      )
      if (bytes !== null && !this.#transactions.decode(bytes)) {
        this.#logger.warn({ segment: offset }, 'transaction index damaged: aborted records may be seen')
      }
    }
  }

  /** Producer state as of `offset`, from the newest snapshot and what the log holds after it. */
  async #loadProducers(offset: number): Promise<void> {
    // A cleanly closed log without any snapshot comes from a version that did not know producers.
    if (this.#options.cleanShutdown && this.#snapshots.count === 0) return
    const from = await this.#snapshots.load(this.#producers, offset)
    if (from < offset) {
      await replayProducers(this.#segments, this.#producers, from, offset, this.#world.clock.nowMs())
    }
  }

  #activeBase(): number {
    return this.#segments.at(-1)?.baseOffset ?? 0
  }

  async #recover(from: number): Promise<void> {
    const { disk, clock } = this.#world
    const targets: RecoveryTargets = {
      epochs: this.#epochs,
      producers: this.#producers,
      transactions: this.#transactions,
      progress: new ScanProgress(clock, this.#logger),
      nowMs: clock.nowMs(),
    }
    let next = this.#segments[from]?.baseOffset ?? 0
    let cut: { midLog: boolean; truncatedBytes: number; removedSegments: number } | null = null
    for (let i = from; i < this.#segments.length; i++) {
      const segment = this.#segments[i]!
      if (i > from && this.#tailLost(segment, next)) {
        const before = this.#segments[i - 1]!
        const problem = `the next segment starts at ${segment.baseOffset} where ${next} is due`
        cut = await this.#cut(i - 1, { nextOffset: next, validBytes: before.sizeBytes, problem })
        // It is the active segment again.
        await before.reopenUpTo(Infinity)
        break
      }
      if (i > from) await this.#snapshots.write(segment.baseOffset, this.#producers.encodeSnapshot())
      const scan = await scanSegment(segment, Math.max(next, segment.baseOffset), targets)
      next = scan.nextOffset
      if (scan.problem !== null) cut = await this.#cut(i, scan)
      await settleRecovered(segment, scan.validBytes)
      if (i < this.#segments.length - 1) await segment.writeIndexes(true, true)
      await this.#writeTransactionIndex(segment, next)
    }
    this.#logEndOffset = Math.max(next, this.#activeBase())
    await replaceWhole(
      disk,
      `${this.#directory}/${EPOCH_CHECKPOINT}`,
      Buffer.from(this.#epochs.encode()),
      true,
    )
    await syncDirectory(disk, this.#directory)
    // The name of the directory itself may be no older than the crash.
    await syncDirectory(disk, parentOf(this.#directory))
    this.#recovery = {
      scannedBytes: targets.progress.scannedBytes,
      truncatedBytes: cut?.truncatedBytes ?? 0,
      removedSegments: cut?.removedSegments ?? 0,
      midLogCorruption: cut?.midLog ?? false,
    }
  }

  /**
   * Did the segment before `segment` lose its last batches? Without a sync a later file may survive a power loss that
   * an earlier one does not. A gap that compaction made has a snapshot behind it, written when the segment before was
   * durable as a whole.
   */
  #tailLost(segment: Segment, nextOffset: number): boolean {
    return segment.baseOffset > nextOffset && !this.#snapshots.offsets.includes(segment.baseOffset)
  }

  /** Segment `i` is bad from `scan.validBytes` on: what comes later goes, or is kept aside when some of it is good. */
  async #cut(
    i: number,
    scan: ScanResult,
  ): Promise<{ midLog: boolean; truncatedBytes: number; removedSegments: number }> {
    const segment = this.#segments[i]!
    const later = this.#segments.splice(i + 1)
    let midLog = await goodBatchFollows(segment, scan.validBytes, scan.nextOffset)
    for (const other of later) midLog ||= await goodBatchFollows(other, -1, scan.nextOffset)
    let truncatedBytes = segment.file.sizeBytes - scan.validBytes
    const kept: string[] = []
    if (midLog && truncatedBytes > 0)
      kept.push(await keepCutBytes(this.#world.disk, segment, scan.validBytes))
    for (const other of later) {
      truncatedBytes += other.file.sizeBytes
      const { path } = other
      other.close()
      if (midLog) {
        this.#world.disk.rename(path, `${path}.corrupt-0`)
        kept.push(`${path}.corrupt-0`)
      }
      for (const suffix of SEGMENT_SUFFIXES) await this.#remove(other.baseOffset, suffix)
    }
    const report = { midLog, truncatedBytes, removedSegments: later.length }
    const fields = {
      segment: segment.path,
      position: scan.validBytes,
      problem: scan.problem,
      ...report,
      kept,
    }
    if (midLog) {
      this.#logger.error(
        fields,
        'CORRUPTION in the middle of the log: a bad batch is followed by good ones; cut bytes are kept',
      )
    } else {
      this.#logger.warn(fields, 'cut a torn tail')
    }
    return report
  }

  async #writeTransactionIndex(segment: Segment, endOffset: number): Promise<void> {
    const bytes = this.#transactions.encode(segment.baseOffset, endOffset)
    const path = segmentFile(this.#directory, segment.baseOffset, TRANSACTION_INDEX_SUFFIX)
    if (bytes !== null) await writeWhole(this.#world.disk, path, bytes, true)
    else await removePath(this.#world.disk, path)
  }

  #remove(offset: number, suffix: string): Promise<void> {
    const path = segmentFile(this.#directory, offset, suffix)
    return this.#world.disk.exists(path) || suffix === LOG_SUFFIX
      ? removePath(this.#world.disk, path)
      : Promise.resolve()
  }
}
