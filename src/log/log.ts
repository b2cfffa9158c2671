import assert from 'node:assert/strict'
import { ErrorCode } from '../../protocol/errors.ts'
import * as batch from '../../protocol/records/record-batch.ts'
import type { EpochCache } from '../core/replication/epoch-cache.ts'
import type { SamsaError } from '../core/samsa-error.ts'
import type { ProducerState } from '../core/transaction/producer-state.ts'
import type { Logger, World } from '../ports.ts'
import { accepted, checkProducer, refused } from './append/append-check.ts'
import { diskError, syncDirectory, syncFile } from './files/disk-calls.ts'
import type { LogConfig } from './log-config.ts'
import { CLEANED_SUFFIX, LOG_SUFFIX, segmentFile, SWAP_SUFFIX } from './files/log-files.ts'
import { LogFlusher } from './append/log-flusher.ts'
import { LogLoader, nothingLoaded } from './recovery/log-loader.ts'
import type { LoadedLog } from './recovery/log-loader.ts'
import { LogNames } from './files/log-names.ts'
import { floorSegment, readLog } from './read/log-reader.ts'
import type { ReadSource } from './read/log-reader.ts'
import { LogSpace } from './space/log-space.ts'
import type {
  AbortedTransaction,
  AppendResult,
  LogOptions,
  OffsetAndTimestamp,
  ReadDone,
  RecoveryReport,
  SegmentCache,
} from './log-types.ts'
import { LogWriter } from './append/log-writer.ts'
import type { WriteChunk, WriterOwner } from './append/log-writer.ts'
import { PositionHints } from './read/position-hints.ts'
import { loadProducers } from './recovery/producer-recovery.ts'
import type { ProducerSnapshots } from './recovery/producer-recovery.ts'
import { recordProducer } from './recovery/producer-replay.ts'
import { countDeletable, mustRoll, rollJitterMs } from './segment/retention.ts'
import { SegmentBin } from './space/segment-bin.ts'
import { RecentSegments } from './segment/segment-cache.ts'
import { SegmentReplacement } from './segment/segment-replacement.ts'
import { segmentOf } from './segment/segment.ts'
import type { Segment } from './segment/segment.ts'
import { findByTimestamp } from './read/timestamp-lookup.ts'
import type { TransactionIndex } from './segment/transaction-index.ts'

/** Without a shared cache a log keeps this many closed segments open, and this many bytes of their indexes. */
const OWN_CACHE_SEGMENTS = 8
const OWN_CACHE_BYTES = 8 << 20

type LogWorld = Pick<World, 'clock' | 'disk' | 'logger'>

/**
 * The log of one partition: a row of segments in Kafka's on-disk format, of which the last is appended to.
 *
 * Appending is synchronous and leaves with the end of the turn; reading completes at once where the bytes are in
 * memory. What the disk answers badly ends the log: it reports once, then refuses everything with
 * KAFKA_STORAGE_ERROR, and nothing is tried again.
 */
export class Log implements ReadSource, WriterOwner {
  readonly directory: string
  readonly topic: string
  readonly partition: number
  readonly topicId: string | null
  /** What opening had to repair; null when nothing was scanned. */
  readonly recovery: RecoveryReport | null
  readonly epochs: EpochCache
  readonly producers: ProducerState
  readonly logger: Logger
  readonly appendHints = new PositionHints()
  readonly readHints = new PositionHints()
  #config: LogConfig
  #segments: Segment[]
  #logStartOffset: number
  #logEndOffset: number
  #writtenEndOffset: number
  #sizeBytes = 0
  #rollJitterMs = 0
  #failure: SamsaError | null = null
  #closing = false
  readonly #world: LogWorld
  readonly #options: LogOptions
  readonly #cache: SegmentCache
  readonly #transactions: TransactionIndex
  readonly #snapshots: ProducerSnapshots
  readonly #writer: LogWriter
  readonly #flusher: LogFlusher
  readonly #names: LogNames
  readonly #space: LogSpace
  readonly #bin: SegmentBin
  /** What lies beside the log file on the device does not belong to the log as it is now. */
  #sideFilesStale: boolean

  private constructor(
    world: LogWorld,
    options: LogOptions,
    cache: SegmentCache,
    logger: Logger,
    loaded: LoadedLog,
  ) {
    this.#world = world
    this.#options = options
    this.#cache = cache
    this.logger = logger
    this.directory = options.directory
    this.topic = options.topic
    this.partition = options.partition
    this.topicId = loaded.topicId
    this.recovery = loaded.recovery
    this.epochs = loaded.epochs
    this.producers = loaded.producers
    this.#config = options.config
    this.#segments = loaded.segments
    this.#transactions = loaded.transactions
    this.#snapshots = loaded.snapshots
    this.#logStartOffset = loaded.logStartOffset
    this.#logEndOffset = loaded.logEndOffset
    this.#writtenEndOffset = loaded.logEndOffset
    this.#countBytes()
    this.#writer = new LogWriter(world.clock, this)
    this.#sideFilesStale = loaded.recovery !== null
    const { clock, disk } = world
    const { directory } = this
    const failed = (error: unknown): void => this.fail(diskError(`log ${directory}`, error))
    // A log that was never written to is closed without a look at its names.
    const namesDirty = loaded.namesDirty || loaded.logEndOffset === 0
    const names = new LogNames(disk, directory, this.epochs, namesDirty, loaded.epochsOnDisk)
    this.#names = names
    const { snapshots, transactions } = loaded
    this.#flusher = new LogFlusher(
      { clock, disk, directory, names, snapshots, transactions, failed },
      this.#active,
      this.#logEndOffset,
    )
    const spares = options.spares ?? null
    this.#space = new LogSpace({ clock, logger, names, spares, failed })
    this.#bin = new SegmentBin({
      clock,
      disk,
      directory,
      spares,
      delayMs: () => this.#config.fileDeleteDelayMs,
      maxSpareBytes: () => (this.#recycles() ? this.#config.segmentBytes : 0),
      run: (task) => void this.#flusher.run(task),
    })
    this.#drawJitter()
  }

  /** Creates or recovers. Rejects with SamsaError SAMSA_DISK_IO or SAMSA_LOG_CORRUPT. */
  static async open(world: LogWorld, options: LogOptions): Promise<Log> {
    const logger = world.logger.child({ topic: options.topic, partition: options.partition })
    const cache = options.segmentCache ?? new RecentSegments(OWN_CACHE_SEGMENTS, OWN_CACHE_BYTES)
    try {
      const loaded = await new LogLoader(world, options, cache, logger).load()
      return new Log(world, options, cache, logger, loaded)
    } catch (error) {
      throw diskError(`cannot open the log in ${options.directory}`, error)
    }
  }

  /** A log that nobody can get at, `because`: refuses everything and touches no disk. */
  static offline(world: LogWorld, because: SamsaError, options: LogOptions): Log {
    const { logger } = world
    const cache = new RecentSegments(OWN_CACHE_SEGMENTS, OWN_CACHE_BYTES)
    const log = new Log(world, options, cache, logger, nothingLoaded(world, options, cache, logger))
    log.#failure = because
    return log
  }

  get config(): LogConfig {
    return this.#config
  }

  get logStartOffset(): number {
    return this.#logStartOffset
  }

  /** Next offset to be assigned. */
  get logEndOffset(): number {
    return this.#logEndOffset
  }

  /** Readers may see only offsets below. */
  get writtenEndOffset(): number {
    return this.#writtenEndOffset
  }

  /** Everything below is on the device. */
  get durableEndOffset(): number {
    return this.#flusher.durableEndOffset
  }

  /** What to put into `recovery-point-offset-checkpoint`: durable with all its side files. */
  get recoveryPoint(): number {
    return this.#flusher.recoveryPoint
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  get segmentCount(): number {
    return this.#segments.length
  }

  get failed(): boolean {
    return this.#failure !== null
  }

  /** Monotonic milliseconds since when something waits for `flush`; -1 when all is durable. */
  get dirtySinceMs(): number {
    return this.#flusher.dirtySinceMs
  }

  /** First offset of an open transaction, or -1. */
  get firstOpenTransactionOffset(): number {
    return this.producers.firstOpenTransactionOffset
  }

  /** False: a read_committed reader sees what every reader sees. */
  get hasTransactions(): boolean {
    return !this.#transactions.empty || this.producers.firstOpenTransactionOffset >= 0
  }

  /** All segments, oldest first; the last is the active one. Do not keep the list. */
  get segments(): readonly Segment[] {
    return this.#segments
  }

  get #active(): Segment {
    const active = this.#segments.at(-1)
    assert(active !== undefined)
    return active
  }

  /**
   * Appends one validated batch: stamps offset and leader epoch in place and checks what is known of its producer.
   * The buffer belongs to the log until it is written, unless the result is an error or a duplicate.
   */
  append(buffer: Buffer, leaderEpoch: number): AppendResult {
    if (this.#failure !== null || this.#closing)
      return refused(ErrorCode.KAFKA_STORAGE_ERROR, 'the log is offline')
    const sizeBytes = buffer.length
    assert(sizeBytes === batch.batchSizeBytes(buffer, 0))
    const producerId = batch.producerId(buffer, 0)
    if (producerId >= 0) {
      const logAppendTime = this.#config.messageTimestampType === 'LogAppendTime'
      const answer = checkProducer(buffer, this.producers, logAppendTime)
      if (answer !== null) return answer
    }
    const maxTimestamp = batch.maxTimestamp(buffer, 0)
    const baseOffset = this.#logEndOffset
    const lastOffset = baseOffset + batch.lastOffsetDelta(buffer, 0)
    const jitterMs = this.#rollJitterMs
    const { clock } = this.#world
    if (mustRoll(this.#active, this.#config, jitterMs, clock, sizeBytes, maxTimestamp, lastOffset)) {
      this.roll()
      if (this.failed) return refused(ErrorCode.KAFKA_STORAGE_ERROR, 'the log is offline')
    }
    batch.setBaseOffset(buffer, 0, baseOffset)
    batch.setPartitionLeaderEpoch(buffer, 0, leaderEpoch)
    if (leaderEpoch > this.epochs.latestEpoch) this.epochs.assign(leaderEpoch, baseOffset)
    if (producerId >= 0) {
      recordProducer(buffer, 0, this.producers, this.#transactions, clock.nowMs())
    }
    const active = this.#active
    const position = active.sizeBytes
    this.#sideFilesStale = true
    this.#writer.add(active, position, buffer, baseOffset, lastOffset + 1)
    this.appendHints.add(baseOffset, active, position)
    active.appended(lastOffset, maxTimestamp, sizeBytes)
    this.#logEndOffset = lastOffset + 1
    this.#sizeBytes += sizeBytes
    return accepted(baseOffset, lastOffset, batch.isLogAppendTime(buffer, 0) ? maxTimestamp : -1)
  }

  /**
   * Reads whole batches from the one that contains `offset` on, below `maxOffset`, out of one segment. At least one
   * batch, if there is one, with `minOneBatch`. `done` may run before `read` returns. See also `readToSend`.
   */
  read(offset: number, maxBytes: number, maxOffset: number, minOneBatch: boolean, done: ReadDone): void {
    readLog(this, offset, maxBytes, maxOffset, minOneBatch, done)
  }

  /** Earliest record with a timestamp >= `timestampMs`; null when there is none below `maxOffset`. */
  async offsetForTimestamp(timestampMs: number, maxOffset: number): Promise<OffsetAndTimestamp | null> {
    const found = await findByTimestamp(this, timestampMs)
    const limit = Math.min(maxOffset, this.#writtenEndOffset)
    return found !== null && found.offset < limit ? found : null
  }

  /** ListOffsets -3: the first record with the largest timestamp; null when no record has one. */
  async offsetOfMaxTimestamp(): Promise<OffsetAndTimestamp | null> {
    let largest = -1
    for (const segment of this.#segments) largest = Math.max(largest, segment.largestTimestampMs)
    return largest < 0 ? null : this.offsetForTimestamp(largest, this.#writtenEndOffset)
  }

  /** Aborted transactions a read_committed fetch of [fetchOffset, upperBoundOffset) must know. */
  abortedTransactions(fetchOffset: number, upperBoundOffset: number): Promise<AbortedTransaction[]> {
    return Promise.resolve(this.#transactions.within(fetchOffset, upperBoundOffset))
  }

  /** Moves the log start; files go at the next `applyRetention`. */
  deleteRecordsBefore(offset: number): void {
    assert(offset <= this.#logEndOffset)
    if (offset <= this.#logStartOffset) return
    this.#logStartOffset = offset
    this.epochs.truncateFromStart(offset)
    this.#transactions.truncateFromStart(offset)
  }

  /**
   * Deletes segments by start offset, size and time, never at or above `highWatermark`, and forgets producers not
   * heard of for long. Resolves to how many segments went.
   */
  async applyRetention(nowMs: number, highWatermark: number = this.#writtenEndOffset): Promise<number> {
    let count = 0
    await this.#flusher.run(async () => {
      this.producers.expire(nowMs, this.#config.producerIdExpirationMs)
      count = countDeletable(this, this.#config, nowMs, Math.min(highWatermark, this.#writtenEndOffset))
      if (count === 0 || this.#closing) return
      if (count === this.#segments.length) this.roll()
      const segments = this.#segments.splice(0, count)
      this.#logStartOffset = Math.max(this.#logStartOffset, this.#segments[0]?.baseOffset ?? 0)
      this.epochs.truncateFromStart(this.#logStartOffset)
      this.#transactions.truncateFromStart(this.#logStartOffset)
      for (const [i, segment] of segments.entries()) {
        await this.#names.removing()
        await this.#retire(segment, (segments[i + 1] ?? this.#segments[0])?.baseOffset ?? -1)
      }
      this.#countBytes()
      this.logger.info({ segments: count, logStartOffset: this.#logStartOffset }, 'deleted old segments')
    })
    return this.failed ? 0 : count
  }

  /** Drops all records at and above `offset`. Nothing may be appended meanwhile. */
  async truncateTo(offset: number): Promise<void> {
    if (offset >= this.#logEndOffset) return
    if (offset < (this.#segments[0]?.baseOffset ?? 0)) return this.truncateFullyAndStartAt(offset)
    await this.#writer.drained()
    await this.#flusher.run(() => this.#truncate(offset))
  }

  /** Drops all records; the next one gets `offset`. Nothing may be appended meanwhile. */
  async truncateFullyAndStartAt(offset: number): Promise<void> {
    await this.#writer.drained()
    await this.#flusher.run(async () => {
      const old = this.#segments
      this.#segments = []
      for (const segment of old) await this.#bin.remove(segment)
      await this.#snapshots.removeAbove(-1)
      this.producers.clear()
      this.epochs.clear()
      this.#transactions.truncateFromEnd(0)
      this.#logStartOffset = offset
      this.#addSegment(offset)
      this.#restartAt(offset)
      await syncDirectory(this.#world.disk, this.directory)
    })
  }

  /** Starts a new segment; nothing when the active one is empty. */
  roll(): void {
    const old = this.#active
    if (old.sizeBytes === 0 || this.#failure !== null) return
    try {
      this.#sideFilesStale = true
      const active = this.#addSegment(this.#logEndOffset, this.#recycles())
      this.#flusher.rolled(old, this.#logEndOffset, this.producers.encodeSnapshot(), active)
      if (this.durable()) this.#space.reserve(active, this.#config.segmentBytes)
      this.#drawJitter()
    } catch (error) {
      this.fail(diskError(`cannot start a segment in ${this.directory}`, error))
    }
  }

  /** Makes everything written so far durable, with all side files. `done(false)`: the log has failed. */
  flush(done: (ok: boolean) => void): void {
    void this.#flusher.flush().then(done)
  }

  /** Gives back room that was reserved for a log that went idle. `nowMs` is monotonic. */
  async trimReserved(nowMs: number): Promise<void> {
    if (this.#closing || this.failed || !this.#space.hasSurplus(this.#active, nowMs)) return
    await this.#flusher.run(async () => {
      if (!this.#closing) await this.#space.trim(this.#active, nowMs, this.#writer)
    })
  }

  /** Removes the file kept for the next segment: the volume is running full. */
  dropSpare(): void {
    void this.#flusher.run(() => this.#bin.dropSpare())
  }

  updateConfig(config: LogConfig): void {
    this.#config = config
    this.#drawJitter()
    void this.#flusher.run(() => this.#bin.review())
  }

  /**
   * Waits for writes under way. `clean`: indexes, producer snapshot and bytes are durable when it resolves, unless
   * the log failed (see `failed`); only then may the directory get its clean marker.
   */
  async close(clean: boolean): Promise<void> {
    if (this.#closing) return
    this.#closing = true
    await this.#writer.drained()
    this.#writer.stop()
    if (clean) await this.#settle()
    await this.#flusher.run(() => this.#bin.empty())
    this.#flusher.stop()
    for (const segment of this.#segments) segment.close()
  }

  /** The disk this log lies on is not to be trusted any more. Reported to the owner the first time. */
  fail(error: SamsaError): void {
    if (this.#failure !== null) return
    this.#failure = error
    this.#writer.stop()
    this.#flusher.stop()
    this.#bin.stop()
    this.logger.error({ error }, 'log failed')
    this.#options.onFailed(error)
  }

  /** Starts a `.cleaned` segment that will take the place of closed segments from `baseOffset` on. */
  beginReplacement(baseOffset: number): SegmentReplacement {
    const path = segmentFile(this.directory, baseOffset, LOG_SUFFIX + CLEANED_SUFFIX)
    assert(!this.#world.disk.exists(path), 'two compactions of one segment at once')
    const segment = this.#newSegment(baseOffset, CLEANED_SUFFIX)
    segment.startIndexes()
    return new SegmentReplacement(this.#world.disk, segment)
  }

  /** Swaps it in for `replaced` (adjacent, closed, the first with its base offset), crash-safe. It may be empty. */
  async replaceSegments(replaced: readonly Segment[], by: SegmentReplacement): Promise<void> {
    const ok = await this.#flusher.run(async () => {
      const at = this.#segments.indexOf(replaced[0]!)
      assert(at >= 0 && at + replaced.length < this.#segments.length, 'only closed segments can be replaced')
      assert(
        replaced.every((segment, i) => this.#segments[at + i] === segment) &&
          replaced[0]!.baseOffset === by.baseOffset,
      )
      const endOffset = this.#segments[at + replaced.length]!.baseOffset
      const { segment } = by
      // Writes the log file's name even when nothing was kept.
      void segment.file
      await by.complete(this.#transactions.encode(by.baseOffset, endOffset))
      segment.rename(SWAP_SUFFIX)
      await syncDirectory(this.#world.disk, this.directory)
      for (const old of replaced) await this.#retire(old, -1, old.baseOffset === by.baseOffset)
      segment.rename('')
      segment.persisted = true
      this.#segments.splice(at, replaced.length, segment)
      this.#countBytes()
      await syncDirectory(this.#world.disk, this.directory)
    })
    if (!ok && this.#failure !== null) throw this.#failure
  }

  // ------------------------------------------------------------------------------------- for the writer and readers

  durable(): boolean {
    return this.#config.flushMessages === 1
  }

  namesReady(ready: () => void): boolean {
    if (this.#names.durable) return true
    this.#names.persist().then(ready, (error: unknown) => this.writeFailed(error))
    return false
  }

  written(chunk: WriteChunk, durable: boolean): void {
    const { flushMessages } = this.#config
    this.#flusher.written(chunk, durable)
    const unflushed = chunk.endOffset - this.#flusher.durableEndOffset
    if (unflushed < flushMessages) {
      this.#publish(chunk.endOffset)
    } else {
      // flush.messages=n: the n-th message takes all before it to the device, and is acknowledged after that.
      void this.#flusher.flush().then((ok) => {
        if (ok) this.#publish(Math.max(chunk.endOffset, this.#flusher.durableEndOffset))
      })
    }
    if (durable && chunk.segment === this.#active && !this.#closing && !this.failed)
      this.#space.wrote(chunk.segment, chunk.sizeBytes, this.#config.segmentBytes)
  }

  writeFailed(error: unknown): void {
    this.fail(diskError(`cannot write to ${this.#active.path}`, error))
  }

  readFailed(error: unknown): void {
    this.fail(diskError(`cannot read from ${this.directory}`, error))
  }

  #publish(endOffset: number): void {
    if (endOffset <= this.#writtenEndOffset || this.#failure !== null) return
    this.#writtenEndOffset = endOffset
    this.#options.onWritten(endOffset)
  }

  // ------------------------------------------------------------------------------------------------------- appending

  #drawJitter(): void {
    this.#rollJitterMs = rollJitterMs(this.#config, this.directory, this.#active.baseOffset)
  }

  #newSegment(baseOffset: number, suffix = ''): Segment {
    return segmentOf(this.#world, this.#cache, this.directory, this.#config, baseOffset, suffix)
  }

  /** Whether files of deleted segments are written over. */
  #recycles(): boolean {
    return this.durable() && !this.#config.cleanupPolicy.compact
  }

  /** A new, empty active segment. Throws what the disk throws. */
  #addSegment(baseOffset: number, mayRecycle = false): Segment {
    const segment = this.#newSegment(baseOffset)
    assert(!this.#world.disk.exists(segment.path), `${segment.path} is in the way`)
    segment.recycled = mayRecycle && this.#bin.use(segment)
    segment.loose = segment.recycled
    segment.startIndexes()
    // Makes the file.
    void segment.file
    this.#segments.push(segment)
    return segment
  }

  // ------------------------------------------------------------------------------- closing, deleting, truncating

  /** Makes files and side files what a clean start takes them for. */
  async #settle(): Promise<void> {
    await this.#flusher.run(async () => {
      const active = this.#active
      if (active.loose) {
        if (active.recycled) await this.#names.persist()
        await active.cutToSize()
        await syncFile(active.file)
      }
      if (this.#sideFilesStale) {
        await active.writeIndexes(true, false)
        await this.#flusher.writeTransactionIndex(active, this.#logEndOffset)
        await this.#snapshots.write(this.#logEndOffset, this.producers.encodeSnapshot())
        this.#names.changed()
      } else if (active.sizeBytes === 0) {
        await active.makeIndexFiles()
      }
    })
    // A power loss may take the names of a log that was never written to: they are made again.
    if (this.#sideFilesStale || this.#logEndOffset > 0) await this.#flusher.close()
  }

  /** Takes a segment out. All its offsets are below `endOffset`; -1: its file must not be used again. */
  async #retire(segment: Segment, endOffset: number, keepSnapshot = false): Promise<void> {
    this.#cache.forget(segment)
    this.#bin.retire(segment, endOffset)
    if (!keepSnapshot) await this.#snapshots.remove(segment.baseOffset)
  }

  async #truncate(offset: number): Promise<void> {
    const keep = floorSegment(this.#segments, offset)
    for (const segment of this.#segments.splice(keep + 1)) await this.#bin.remove(segment)
    const active = this.#active
    active.evict()
    await active.reopenUpTo(offset)
    active.loose = true
    await active.cutToSize()
    await syncFile(active.file)
    this.epochs.truncateFromEnd(offset)
    this.#transactions.truncateFromEnd(offset)
    this.#restartAt(offset)
    await this.#snapshots.removeAbove(offset)
    await loadProducers(this.#snapshots, this.#segments, this.producers, offset, this.#world.clock)
    await syncDirectory(this.#world.disk, this.directory)
  }

  #restartAt(endOffset: number): void {
    this.#sideFilesStale = true
    this.#logEndOffset = endOffset
    this.#writtenEndOffset = endOffset
    this.#logStartOffset = Math.min(this.#logStartOffset, endOffset)
    this.appendHints.clear()
    this.readHints.clear()
    this.#countBytes()
    this.#drawJitter()
    this.#flusher.truncated(this.#active, endOffset)
  }

  #countBytes(): void {
    this.#sizeBytes = this.#segments.reduce((sum, segment) => sum + segment.sizeBytes, 0)
  }
}
