import { EpochCache } from '../../core/replication/epoch-cache.ts'
import { ProducerState } from '../../core/transaction/producer-state.ts'
import type { Logger, World } from '../../ports.ts'
import {
  dropCached,
  readSmall,
  removePath,
  replaceWhole,
  syncDirectory,
  writeWhole,
} from '../files/disk-calls.ts'
import { lostSince } from '../files/clean-stop.ts'
import { prepareDirectory } from './partition-directory.ts'
import type { DirectoryContent } from './partition-directory.ts'
import {
  EPOCH_CHECKPOINT,
  LOG_SUFFIX,
  parentOf,
  SEGMENT_SUFFIXES,
  segmentFile,
  TRANSACTION_INDEX_SUFFIX,
} from '../files/log-files.ts'
import { holdsGoodBatch, inspectEnd } from './log-end.ts'
import type { EndKind } from './log-end.ts'
import type { LogOptions, RecoveryReport, SegmentCache } from '../log-types.ts'
import { ProducerSnapshots, replayProducers } from './producer-recovery.ts'
import { segmentOf } from '../segment/segment.ts'
import type { SegmentEnd } from '../segment/segment-end.ts'
import type { Segment } from '../segment/segment.ts'
import { keepCutBytes, noteGap, scanSegment, settleRecovered } from './segment-recovery.ts'
import type { RecoveryTargets, ScanResult } from './segment-recovery.ts'
import { TransactionIndex } from '../segment/transaction-index.ts'

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
  /** Where the log goes on behind the last gap that was reported; 0 when none was. */
  readonly lossesEnd: number
  /** Names were made that are not on the device yet. */
  readonly namesDirty: boolean
  /** `changeCount` of the epochs as their file has them. */
  readonly epochsOnDisk: number
}

const SEGMENT_CHANGED = 'RECORDS ARE MISSING: a segment is not what it was when the broker stopped'

type LogWorld = Pick<World, 'clock' | 'disk' | 'logger'>

/** What a log has to start with that nobody can get at. Touches no disk. */
export function nothingLoaded(
  world: LogWorld,
  options: LogOptions,
  cache: SegmentCache,
  logger: Logger,
): LoadedLog {
  const { directory, logStartOffset, topicId, config } = options
  const segment = segmentOf(world, cache, directory, config, logStartOffset)
  segment.startIndexes()
  segment.become('active')
  return {
    segments: [segment],
    epochs: new EpochCache(),
    producers: new ProducerState(options.producerRoom ?? null),
    transactions: new TransactionIndex(),
    topicId,
    logStartOffset,
    logEndOffset: logStartOffset,
    snapshots: new ProducerSnapshots(world, directory, logger, []),
    recovery: null,
    lossesEnd: 0,
    namesDirty: false,
    epochsOnDisk: 0,
  }
}

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
  readonly #producers: ProducerState
  readonly #transactions = new TransactionIndex()
  #logEndOffset = 0
  #namesDirty = false
  #scanned = false
  #scannedBytes = 0
  #truncatedBytes = 0
  #unusedBytes = 0
  #removedSegments = 0
  #midLogCorruption = false
  #lossesEnd = 0
  /** Where the log goes on behind gaps that were told of. */
  readonly #gapEnds = new Set<number>()
  /** Where the batches of closed segments end, by base offset. */
  readonly #ends = new Map<number, number>()
  readonly #problems: string[] = []
  /** `changeCount` of the epochs as the file has them. */
  #epochsOnDisk = 0
  #transactionIndexOffsets: ReadonlySet<number> = new Set()
  /** Recovery made, renamed or removed files. */
  #namesChanged = false

  constructor(world: LogWorld, options: LogOptions, cache: SegmentCache, logger: Logger) {
    this.#world = world
    this.#options = options
    this.#cache = cache
    this.#logger = logger
    this.#directory = options.directory
    this.#producers = new ProducerState(options.producerRoom ?? null)
    this.#snapshots = new ProducerSnapshots(world, options.directory, logger, [])
  }

  async load(): Promise<LoadedLog> {
    const { disk } = this.#world
    const { topicId, foundTopicId } = this.#options
    const content = await prepareDirectory(
      disk,
      this.#directory,
      topicId,
      this.#logger,
      this.#gapLimit,
      foundTopicId,
    )
    this.#namesDirty = content.created
    this.#snapshots = new ProducerSnapshots(
      this.#world,
      this.#directory,
      this.#logger,
      content.snapshotOffsets,
    )
    this.#segments = content.segmentOffsets.map((offset) => this.#segment(offset))
    if (content.hasEpochs) this.#loadEpochs()
    if (this.#segments.length === 0) await this.#startAt(this.#options.logStartOffset, content.found)
    else await this.#loadSegments(content)
    if (this.#logEndOffset < this.#options.logStartOffset) await this.#startOver()
    const active = this.#segments.at(-1)!
    if (active.state !== 'active') active.become('active')
    const logStartOffset = Math.max(this.#options.logStartOffset, this.#segments[0]?.baseOffset ?? 0)
    this.#checkInventory()
    this.#checkPromises()
    this.#checkStart(logStartOffset)
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
      recovery: this.#report(),
      lossesEnd: this.#lossesEnd,
      namesDirty: this.#namesDirty,
      epochsOnDisk: this.#epochsOnDisk,
    }
  }

  /** Null when nothing was scanned and nothing is missing. */
  #report(): RecoveryReport | null {
    if (!this.#scanned && this.#problems.length === 0) return null
    return {
      scannedBytes: this.#scannedBytes,
      truncatedBytes: this.#truncatedBytes,
      unusedBytes: this.#unusedBytes,
      removedSegments: this.#removedSegments,
      midLogCorruption: this.#midLogCorruption,
      unclean: this.#problems.length > 0,
      problems: this.#problems,
    }
  }

  /** What an earlier life of this log wrote down as safe, or showed to clients, has to be there still. */
  #checkPromises(): void {
    const { atStop, highWatermark = 0 } = this.#options
    const recoveryPoint = Math.max(this.#options.recoveryPoint, atStop?.logEndOffset ?? 0)
    const promised = Math.max(recoveryPoint, highWatermark)
    if (this.#logEndOffset >= promised) return
    const what = recoveryPoint >= promised ? 'recovery point' : 'high watermark'
    this.#problems.push(`the log ends at ${this.#logEndOffset}, below its ${what} ${promised}`)
    this.#logger.error(
      { logEndOffset: this.#logEndOffset, recoveryPoint, highWatermark },
      recoveryPoint > this.#logEndOffset
        ? 'RECORDS ARE MISSING: the log ends below its recovery point; what lay below that was on the device'
        : 'RECORDS ARE MISSING: the log ends below the high watermark that clients saw',
    )
  }

  /** What a clean stop left has to be there, in compacted logs too: nobody compacts while the broker is away. */
  #checkInventory(): void {
    const { atStop } = this.#options
    if (atStop === undefined) return
    const found = new Map(
      this.#segments.map(({ baseOffset, sizeBytes }) => {
        return [baseOffset, { nextOffset: this.#ends.get(baseOffset) ?? this.#logEndOffset, sizeBytes }]
      }),
    )
    for (const { baseOffset, offset, goesOnAt } of lostSince(atStop, found)) {
      // What lies behind the end, or in a gap, is told of already.
      if (offset >= this.#logEndOffset || this.#gapEnds.has(goesOnAt)) continue
      const segment = segmentFile(this.#directory, baseOffset, LOG_SUFFIX)
      this.#lossesEnd = Math.max(this.#lossesEnd, goesOnAt)
      this.#problems.push(
        `${segment} is not what it was at the last stop: ${offset} to ${goesOnAt} are missing`,
      )
      this.#logger.error({ segment, offset, goesOnAt }, SEGMENT_CHANGED)
    }
  }

  /** Deleted records can be read again when a checkpoint was lost. */
  #checkStart(logStartOffset: number): void {
    const { startedAt = 0, logStartOffset: checkpointed } = this.#options
    if (startedAt === 0 || (logStartOffset >= startedAt && checkpointed <= startedAt)) return
    this.#logger.warn(
      { logStartOffset, startedAt },
      logStartOffset < startedAt
        ? 'the log starts below where it started before: records that were deleted can be read again'
        : 'the log starts above where it started before, as the checkpoint says and its copy does not',
    )
  }

  #segment(baseOffset: number): Segment {
    return segmentOf(this.#world, this.#cache, this.#directory, this.#options.config, baseOffset)
  }

  /** `found`: an earlier log of that name may be gone only as far as this process sees. */
  async #startAt(offset: number, found: boolean): Promise<void> {
    const segment = this.#segment(offset)
    // Makes the file: a partition is its directory with a log file in it.
    segment.create()
    this.#segments = [segment]
    this.#logEndOffset = offset
    this.#namesDirty = true
    // Its name is all that says where the log is, once the checkpoint of log starts leaves it out.
    if (offset > 0 || found) await this.#syncNames()
  }

  async #syncNames(): Promise<void> {
    const { disk } = this.#world
    await syncDirectory(disk, this.#directory)
    if (this.#options.callerSyncsParent !== true) await syncDirectory(disk, parentOf(this.#directory))
  }

  /** The log ends before it starts (DeleteRecords went further than what survived): nothing in it counts. */
  async #startOver(): Promise<void> {
    this.#logger.warn(
      { logEndOffset: this.#logEndOffset, logStartOffset: this.#options.logStartOffset },
      'the log ends before its start offset: starting over there',
    )
    for (const segment of this.#segments) {
      segment.become('retired')
      for (const suffix of SEGMENT_SUFFIXES) await this.#remove(segment.baseOffset, suffix)
    }
    this.#producers.clear()
    this.#transactions.truncateFromEnd(0)
    await this.#startAt(this.#options.logStartOffset, true)
  }

  #loadEpochs(): void {
    const text = this.#world.disk.readFile(`${this.#directory}/${EPOCH_CHECKPOINT}`)
    const epochs = EpochCache.decode(text.toString('utf8'))
    if (epochs === null) {
      this.#logger.warn({ file: EPOCH_CHECKPOINT }, 'damaged, rebuilding it from the log')
      this.#epochsOnDisk = -1
    } else {
      this.#epochs = epochs
      this.#epochsOnDisk = epochs.changeCount
    }
  }

  async #loadSegments(content: DirectoryContent): Promise<void> {
    const segments = this.#segments
    let recoverFrom = this.#options.cleanShutdown ? segments.length : this.#scanStart(content.snapshotOffsets)
    recoverFrom = this.#loadTransactionIndexes(content, recoverFrom)
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
    this.#transactions.truncateFromEnd(scanStart)
    await this.#loadProducers(scanStart)
    if (recoverFrom === segments.length) return
    this.#scanned = true
    this.#transactionIndexOffsets = new Set(content.transactionIndexOffsets)
    await this.#recover(recoverFrom)
  }

  /**
   * Index of the segment from which on the log is scanned. The recovery point may be from before a roll at that very
   * offset: only the snapshot there says that the segment before it was finished.
   */
  #scanStart(snapshotOffsets: readonly number[]): number {
    const { recoveryPoint } = this.#options
    const found = this.#floorOf(recoveryPoint)
    const begins = this.#segments[found]?.baseOffset === recoveryPoint
    return begins && found > 0 && !snapshotOffsets.includes(recoveryPoint) ? found - 1 : found
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
    let next = 0
    for (const [i, segment] of this.#segments.slice(0, count).entries()) {
      let end = await segment.examine()
      const hadRecords = segment.largestTimestampMs >= 0
      if (end === null) {
        this.#logger.warn({ segment: segment.baseOffset }, 'index missing or damaged: rebuilding it')
        end = await segment.rebuildIndexes()
        await segment.complete(true)
      }
      if (end.problem !== null) await this.#cutClosed(segment, end)
      const following = this.#segments[i + 1]!.baseOffset
      const { logStartOffset } = this.#options
      this.#ends.set(segment.baseOffset, end.nextOffset)
      // What one segment holds may reach beyond the next, when that is empty.
      next = Math.max(next, end.nextOffset)
      if (following > Math.max(next, logStartOffset, this.#gapLimit)) this.#missing(next, following)
      // Of what compaction left nothing of, there is nothing in the time index either.
      else if (hadRecords && segment.sizeBytes === 0 && following > logStartOffset)
        this.#missing(segment.baseOffset, following)
    }
  }

  /** The recovery point says that it is whole, and it is not: who reads on from its end must come to the next segment. */
  async #cutClosed(segment: Segment, { nextOffset, validBytes, problem }: SegmentEnd): Promise<void> {
    const { disk } = this.#world
    const { path, sizeBytes, baseOffset } = segment
    const end = await segment.whileHeld((file) =>
      inspectEnd(file, validBytes, sizeBytes, nextOffset, baseOffset),
    )
    const fields = { segment: path, position: validBytes, problem, truncatedBytes: sizeBytes - validBytes }
    if (end === 'unused') {
      this.#logger.warn(fields, 'cut zeros behind the end of a closed segment')
    } else {
      const kept = await keepCutBytes(disk, segment, validBytes)
      await syncDirectory(disk, this.#directory)
      this.#problems.push(`${path} is damaged at ${validBytes}: ${problem}`)
      this.#logger.error(
        { ...fields, kept },
        'CORRUPTION at the end of a closed segment: cut off and kept aside',
      )
    }
    await segment.cutClosed(validBytes)
  }

  get #gapLimit(): number {
    const { config, gapLimit } = this.#options
    return gapLimit ?? (config.cleanupPolicy.compact ? Infinity : 0)
  }

  /**
   * Those of the oldest `count` segments. Returns from which segment on the log has to be scanned: without its index a
   * segment would show aborted records, and the markers in it say what the index said.
   */
  #loadTransactionIndexes(content: DirectoryContent, count: number): number {
    const withIndex = new Set(content.transactionIndexOffsets)
    for (const [i, { baseOffset }] of this.#segments.slice(0, count).entries()) {
      if (!withIndex.has(baseOffset)) continue
      const path = segmentFile(this.#directory, baseOffset, TRANSACTION_INDEX_SUFFIX)
      const bytes = readSmall(this.#world.disk, path)
      const endOffset = this.#segments[i + 1]?.baseOffset ?? Infinity
      if (bytes === null || this.#transactions.decode(bytes, baseOffset, endOffset)) continue
      this.#logger.warn({ segment: baseOffset }, 'transaction index damaged: scanning the log from there on')
      return i
    }
    return count
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

  async #recover(from: number): Promise<void> {
    const { clock } = this.#world
    const { progress } = this.#options
    const targets: RecoveryTargets = {
      epochs: this.#epochs,
      producers: this.#producers,
      transactions: this.#transactions,
      nowMs: clock.nowMs(),
      progress: progress ?? null,
      scannedBytes: 0,
      gapLimit: this.#gapLimit,
      firstMissingOffset: -1,
      lossesEnd: 0,
    }
    for (const segment of this.#segments.slice(from)) {
      const file = segment.openFile()
      // After a failed flush the page cache shows bytes as clean that are not on the device: a later flush that
      // succeeds would say nothing about them.
      await dropCached(file)
      progress?.found(file.sizeBytes)
    }
    let next = this.#segments[from]?.baseOffset ?? 0
    for (let i = from; i < this.#segments.length; i++) {
      const segment = this.#segments[i]!
      if (i > from && this.#endLost(segment, next)) {
        const before = this.#segments[i - 1]!
        const problem = `the next segment starts at ${segment.baseOffset} where ${next} is due`
        await this.#cut(i - 1, { nextOffset: next, validBytes: before.sizeBytes, problem }, 'unused')
        // It is the active segment again.
        before.endAt(await before.measureUpTo(Infinity))
        await before.cutFile()
        break
      }
      noteGap(targets, next, segment.baseOffset)
      if (i > from) {
        await this.#snapshots.write(segment.baseOffset, this.#producers.encodeSnapshot())
        this.#namesChanged = true
      }
      const scan = await scanSegment(segment, Math.max(next, segment.baseOffset), targets)
      next = scan.nextOffset
      const loose =
        scan.problem !== null && (await this.#endsBefore(i, scan, targets.firstMissingOffset >= 0))
      await this.#settle(i, scan, loose)
    }
    this.#logEndOffset = Math.max(next, this.#segments.at(-1)?.baseOffset ?? 0)
    this.#scannedBytes = targets.scannedBytes
    if (targets.firstMissingOffset >= 0) this.#missing(targets.firstMissingOffset, targets.lossesEnd)
    await this.#persistNames(next)
  }

  /** The segment is good up to `scan.validBytes` only. True when what follows is nothing that must be got rid of. */
  async #endsBefore(i: number, scan: ScanResult, gapBefore: boolean): Promise<boolean> {
    const segment = this.#segments[i]!
    const { sizeBytes } = segment.openFile()
    const end = await inspectEnd(
      segment.openFile(),
      scan.validBytes,
      sizeBytes,
      scan.nextOffset,
      segment.baseOffset,
    )
    const following = this.#segments[i + 1]
    // A segment that was not cut to its end yet when the next one took over.
    const goesOn = following === undefined ? end !== 'torn' : following.baseOffset === scan.nextOffset
    if (end === 'damaged' || !goesOn) {
      await this.#cut(i, scan, end)
      return false
    }
    if (gapBefore) {
      // What is missing may be in there: two files that changed places.
      const kept = await keepCutBytes(this.#world.disk, segment, scan.validBytes)
      this.#namesChanged = true
      this.#logger.error({ segment: segment.path, kept }, 'kept what stood behind the end of a segment')
    }
    if (end !== 'torn') this.#unusedBytes += sizeBytes - scan.validBytes
    else this.#noteCut(segment, scan, { truncatedBytes: sizeBytes - scan.validBytes, removedSegments: 0 })
    // Old batches must not come back under what is written next.
    return end === 'unused'
  }

  /**
   * What the recovery point covers is on the device with all names, so that a log at rest costs no flush. A file whose
   * unused end comes back after a power loss is none the worse, as long as it is scanned again: the last one.
   */
  async #settle(i: number, scan: ScanResult, loose: boolean): Promise<void> {
    const segment = this.#segments[i]!
    const last = i === this.#segments.length - 1
    const cut = segment.openFile().sizeBytes > scan.validBytes
    const known = scan.nextOffset <= this.#options.recoveryPoint
    await settleRecovered(segment, scan.validBytes, !known || (cut && !(loose && last)))
    if (!last) await segment.complete(true)
    await this.#writeTransactionIndex(segment, scan.nextOffset)
  }

  /** Names that this recovery made, and those that the crash found made and not durable. */
  async #persistNames(endOffset: number): Promise<void> {
    const { disk } = this.#world
    this.#epochs.truncateFromEnd(this.#logEndOffset)
    // While the log is one segment, each recovery finds all its epochs again: no hurry.
    if (this.#epochs.changeCount !== this.#epochsOnDisk && this.#segments.length > 1) {
      const path = `${this.#directory}/${EPOCH_CHECKPOINT}`
      await replaceWhole(disk, path, Buffer.from(this.#epochs.encode()), true)
      this.#epochsOnDisk = this.#epochs.changeCount
      this.#namesChanged = true
    }
    if (this.#namesChanged || endOffset > this.#options.recoveryPoint) await this.#syncNames()
  }

  /** A copy of another place, or a segment that is gone: with a checksum of its own each batch looks good. */
  #missing(offset: number, goesOnAt: number): void {
    this.#lossesEnd = Math.max(this.#lossesEnd, goesOnAt)
    this.#gapEnds.add(goesOnAt)
    this.#problems.push(`offset ${offset} is missing, and compaction did not take it`)
    this.#logger.error({ offset, goesOnAt }, 'RECORDS ARE MISSING: offsets do not follow one another')
  }

  /**
   * Did the segment before `segment` lose its last batches? Without a sync a later file may survive a power loss that
   * an earlier one does not. A gap that compaction made has a snapshot behind it, written when the segment before was
   * durable as a whole.
   */
  #endLost(segment: Segment, nextOffset: number): boolean {
    return segment.baseOffset > nextOffset && !this.#snapshots.offsets.includes(segment.baseOffset)
  }

  /** Segment `i` is bad from `scan.validBytes` on: what comes later goes, or is kept aside when some of it is good. */
  async #cut(i: number, scan: ScanResult, end: EndKind): Promise<void> {
    const segment = this.#segments[i]!
    const later = this.#segments.splice(i + 1)
    let midLog = end === 'damaged'
    for (const other of later) midLog ||= await holdsGoodBatch(other.openFile(), other.baseOffset)
    let truncatedBytes = segment.openFile().sizeBytes - scan.validBytes
    const kept: string[] = []
    if (midLog && truncatedBytes > 0)
      kept.push(await keepCutBytes(this.#world.disk, segment, scan.validBytes))
    for (const other of later) {
      truncatedBytes += other.openFile().sizeBytes
      const { path } = other
      other.become('retired')
      if (midLog) {
        this.#world.disk.rename(path, `${path}.corrupt-0`)
        kept.push(`${path}.corrupt-0`)
      }
      for (const suffix of SEGMENT_SUFFIXES) await this.#remove(other.baseOffset, suffix)
    }
    this.#namesChanged ||= kept.length > 0 || later.length > 0
    this.#noteCut(segment, scan, { truncatedBytes, removedSegments: later.length }, midLog ? kept : null)
  }

  /** `kept`: where the cut bytes are, of which some are good; null when none is. */
  #noteCut(
    segment: Segment,
    scan: ScanResult,
    cut: { truncatedBytes: number; removedSegments: number },
    kept: readonly string[] | null = null,
  ): void {
    this.#truncatedBytes += cut.truncatedBytes
    this.#removedSegments += cut.removedSegments
    const fields = { segment: segment.path, position: scan.validBytes, problem: scan.problem, ...cut }
    if (kept === null) {
      this.#logger.warn(fields, 'cut a torn tail')
      return
    }
    this.#midLogCorruption = true
    this.#problems.push(
      `${segment.path} is damaged at ${scan.validBytes}, before good batches: ${scan.problem}`,
    )
    this.#logger.error(
      { ...fields, kept },
      'CORRUPTION in the middle of the log: a bad batch is followed by good ones, and all from there on is cut off ' +
        'and kept aside. Records that were acknowledged may be missing (a write of several batches that a power ' +
        'loss interrupted looks the same, and was not acknowledged)',
    )
  }

  async #writeTransactionIndex(segment: Segment, endOffset: number): Promise<void> {
    const bytes = this.#transactions.encode(segment.baseOffset, endOffset)
    const path = segmentFile(this.#directory, segment.baseOffset, TRANSACTION_INDEX_SUFFIX)
    if (bytes !== null) await writeWhole(this.#world.disk, path, bytes, true)
    else if (this.#transactionIndexOffsets.has(segment.baseOffset)) await removePath(this.#world.disk, path)
    else return
    this.#namesChanged = true
  }

  #remove(offset: number, suffix: string): Promise<void> {
    const path = segmentFile(this.#directory, offset, suffix)
    return this.#world.disk.exists(path) || suffix === LOG_SUFFIX
      ? removePath(this.#world.disk, path)
      : Promise.resolve()
  }
}
