import assert from 'node:assert/strict'
import { ErrorCode } from '../../../protocol/errors.ts'
import { messageOf } from '../../core/is-error.ts'
import type { EpochCache } from '../../core/replication/epoch-cache.ts'
import type { SamsaError } from '../../core/samsa-error.ts'
import type { ProducerState } from '../../core/transaction/producer-state.ts'
import type { Logger, World } from '../../ports.ts'
import { LogFlusher } from '../append/log-flusher.ts'
import { LogWriter } from '../append/log-writer.ts'
import type { WriteChunk, WriterOwner } from '../append/log-writer.ts'
import { diskError } from '../files/disk-calls.ts'
import { diskProblem, RETRY_MS } from '../files/disk-problem.ts'
import { LogNames } from '../files/log-names.ts'
import type { LogConfig } from '../log-config.ts'
import type { LogOptions, SegmentCache } from '../log-types.ts'
import type { ReadSource } from '../read/log-reader.ts'
import { PositionHints } from '../read/position-hints.ts'
import type { LoadedLog } from '../recovery/log-loader.ts'
import type { ProducerSnapshots } from '../recovery/producer-recovery.ts'
import { rollJitterMs } from '../segment/retention.ts'
import { SegmentList } from '../segment/segment-list.ts'
import { segmentOf } from '../segment/segment.ts'
import type { Segment } from '../segment/segment.ts'
import type { TransactionIndex } from '../segment/transaction-index.ts'
import { LogSpace } from '../space/log-space.ts'
import { SegmentBin } from '../space/segment-bin.ts'

/** How often a log that is being closed waits for descriptors before it is closed without. */
const RETRIES_WHEN_CLOSING = 50
/** Between two lines about the same shortage. */
const SAY_AGAIN_MS = 10_000

type LogWorld = Pick<World, 'clock' | 'disk' | 'logger'>

interface UnpublishedStretch {
  readonly segment: Segment
  readonly position: number
  readonly endOffset: number
}

/**
 * What the log of one partition is made of, and the steps that appending, retention, truncation and compaction have in
 * common. `Log` is what others see of it.
 */
export class LogBody implements ReadSource, WriterOwner {
  readonly world: LogWorld
  readonly options: LogOptions
  readonly cache: SegmentCache
  readonly logger: Logger
  readonly directory: string
  readonly epochs: EpochCache
  readonly producers: ProducerState
  readonly transactions: TransactionIndex
  readonly snapshots: ProducerSnapshots
  readonly list: SegmentList
  readonly writer: LogWriter
  readonly flusher: LogFlusher
  readonly names: LogNames
  readonly space: LogSpace
  readonly bin: SegmentBin
  readonly appendHints = new PositionHints()
  readonly readHints = new PositionHints()
  config: LogConfig
  logStartOffset: number
  logEndOffset: number
  /**
   * What holds between the offsets of a log at any time, and what each of them promises; `#checkOffsets` insists on it.
   *
   *     logStartOffset <= logEndOffset
   *     high watermark <= writtenEndOffset <= flusher.endOffset <= logEndOffset
   *     recoveryPoint <= flusher.durableEndOffset <= flusher.endOffset
   *
   * Appended is what lies below `logEndOffset`, taken by the file what lies below `flusher.endOffset`, on the device what
   * lies below `flusher.durableEndOffset`, and a start need not look at what lies below `recoveryPoint`.
   *
   * Readers see what lies below, and its producers are acknowledged: both at once, when it is as safe as the flush mode
   * says. Of what lies below, fewer than `flush.messages` records are not on the device (none with 1).
   */
  writtenEndOffset: number
  rollJitterMs = 0
  failure: SamsaError | null = null
  closing = false
  /** Its files are closed. */
  closed = false
  /** What its readers and writers hear once it is no log of a partition any more. */
  discardedBecause: ErrorCode = ErrorCode.NONE
  /** A cut is under way: nothing is appended, no segment started. */
  cutting = false
  /** Checkpoints must not promise anything above; the end of a cut under way. */
  promiseLimit = Infinity
  /** While there is nothing to read. */
  temporaryRefusal: number = ErrorCode.NONE
  cuts = 0
  /** What lies beside the log file on the device does not belong to the log as it is now. */
  sideFilesStale: boolean
  #retriesLeft = RETRIES_WHEN_CLOSING
  #sayShortageMs = -Infinity
  /** In the file and at or above `writtenEndOffset`: it waits for the flush that `flush.messages` asks for. */
  #unpublished: UnpublishedStretch[] = []

  constructor(world: LogWorld, options: LogOptions, cache: SegmentCache, logger: Logger, loaded: LoadedLog) {
    const { clock, disk } = world
    const { directory } = options
    this.world = world
    this.options = options
    this.cache = cache
    this.logger = logger
    this.directory = directory
    this.epochs = loaded.epochs
    this.producers = loaded.producers
    this.config = options.config
    this.list = new SegmentList(loaded.segments)
    this.transactions = loaded.transactions
    this.snapshots = loaded.snapshots
    this.logStartOffset = loaded.logStartOffset
    this.logEndOffset = loaded.logEndOffset
    this.writtenEndOffset = loaded.logEndOffset
    this.writer = new LogWriter(clock, this)
    this.sideFilesStale = loaded.recovery !== null
    const failed = (error: unknown): void => this.fail(diskError(`log ${directory}`, error))
    // A log that was never written to is closed without a look at its names.
    const namesDirty = loaded.namesDirty || loaded.logEndOffset === 0
    const names = new LogNames(disk, directory, this.epochs, namesDirty, loaded.epochsOnDisk)
    this.names = names
    const { snapshots, transactions } = loaded
    this.flusher = new LogFlusher(
      { clock, disk, directory, names, snapshots, transactions, failed, mayWait: () => this.#mayWait() },
      this.list.active,
      this.logEndOffset,
    )
    const spares = options.spares ?? null
    this.space = new LogSpace({ clock, logger, names, spares, failed })
    this.bin = new SegmentBin({
      clock,
      disk,
      directory,
      spares,
      delayMs: () => this.config.fileDeleteDelayMs,
      maxSpareBytes: () => (this.recycles() ? this.config.segmentBytes : 0),
      run: (task) => void this.flusher.run(task),
    })
    this.drawJitter()
  }

  get segments(): readonly Segment[] {
    return this.list.all
  }

  get failed(): boolean {
    return this.failure !== null
  }

  get refusal(): number {
    if (this.discardedBecause !== ErrorCode.NONE) return this.discardedBecause
    return this.failure !== null || this.closed ? ErrorCode.KAFKA_STORAGE_ERROR : this.temporaryRefusal
  }

  get sizeBytes(): number {
    return this.list.sizeBytes
  }

  /**
   * The disk this log lies on is not to be trusted any more. Reported to the owner the first time. `isTold`: with the
   * directory, of which there is a line already.
   */
  fail(error: SamsaError, isTold = false): void {
    if (this.failure !== null) return
    this.failure = error
    this.writer.stop()
    this.flusher.stop()
    this.bin.stop()
    if (!isTold) this.logger.error({ error }, 'log failed')
    this.options.onFailed(error)
  }

  /** Something could not be done for want of a descriptor, and is refused or comes later. */
  noteShortage(what: string, error: unknown): void {
    const nowMs = this.world.clock.monotonicMs()
    if (nowMs < this.#sayShortageMs) return
    this.#sayShortageMs = nowMs + SAY_AGAIN_MS
    const reason = messageOf(error)
    this.logger.warn({ reason }, `${what}: no descriptor is left`)
  }

  #mayWait(): boolean {
    return !this.closing || this.#retriesLeft-- > 0
  }

  // ------------------------------------------------------------------------------------- for the writer and readers

  durable(): boolean {
    return this.config.flushMessages === 1
  }

  namesReady(ready: () => void): boolean {
    if (this.names.durable) return true
    this.names.persist().then(ready, (error: unknown) => {
      if (diskProblem(error) !== 'short') this.writeFailed(error)
      else this.world.clock.after(RETRY_MS, ready)
    })
    return false
  }

  written(chunk: WriteChunk, durable: boolean): void {
    const { flushMessages } = this.config
    this.flusher.written(chunk, durable)
    const unflushed = chunk.endOffset - this.flusher.durableEndOffset
    if (unflushed < flushMessages) {
      this.#publish(chunk.endOffset)
    } else {
      // flush.messages=n: the n-th message takes all before it to the device, and is acknowledged after that.
      const { segment, position, endOffset } = chunk
      this.#unpublished.push({ segment, position, endOffset })
      const { cuts } = this
      void this.flusher.flush().then((ok) => {
        if (ok && cuts === this.cuts) this.#publish(Math.max(chunk.endOffset, this.flusher.durableEndOffset))
      })
    }
    if (durable && chunk.segment === this.list.active && !this.closing && !this.failed)
      this.space.wrote(chunk.segment, chunk.sizeBytes, this.config.segmentBytes)
  }

  /** Where readers of the segment stop: with the batch below `writtenEndOffset`. */
  readableBytes(segment: Segment): number {
    for (const stretch of this.#unpublished) if (stretch.segment === segment) return stretch.position
    return segment.writtenBytes
  }

  writeFailed(error: unknown): void {
    this.fail(diskError(`cannot write to ${this.list.active.path}`, error))
  }

  readFailed(error: unknown): void {
    this.fail(diskError(`cannot read from ${this.directory}`, error))
  }

  #publish(endOffset: number): void {
    if (endOffset <= this.writtenEndOffset || this.failure !== null) return
    this.writtenEndOffset = endOffset
    this.#checkOffsets()
    if (this.#unpublished.length > 0)
      this.#unpublished = this.#unpublished.filter((stretch) => stretch.endOffset > endOffset)
    this.options.onWritten(endOffset)
  }

  // -------------------------------------------------------------------------------------------------------- segments

  /** Whether files of deleted segments are written over. */
  recycles(): boolean {
    return this.durable() && !this.config.cleanupPolicy.compact
  }

  drawJitter(): void {
    this.rollJitterMs = rollJitterMs(this.config, this.directory, this.list.active.baseOffset)
  }

  newSegment(baseOffset: number, suffix = ''): Segment {
    return segmentOf(this.world, this.cache, this.directory, this.config, baseOffset, suffix)
  }

  /** A new, empty segment with its file. Throws what the disk throws. */
  makeSegment(baseOffset: number, mayRecycle = false): Segment {
    const segment = this.newSegment(baseOffset)
    assert(!this.world.disk.exists(segment.path), `${segment.path} is in the way`)
    const spare = mayRecycle ? this.bin.use(segment) : null
    try {
      segment.create(spare !== null)
    } catch (error) {
      if (spare !== null) this.bin.putBack(segment, spare)
      throw error
    }
    segment.become('active')
    return segment
  }

  /** The leader's log has a gap: nothing of what comes after it is written before the checkpoint says so. */
  permitGap(endOffset: number): void {
    const permitted = this.options.beforeGap?.(endOffset) ?? null
    if (permitted === null) return
    void this.writer.hold()
    permitted.then(
      () => this.writer.release(),
      (error: unknown) => {
        if (diskProblem(error) !== 'short') return this.writeFailed(error)
        this.world.clock.after(RETRY_MS, () => {
          this.permitGap(endOffset)
          this.writer.release()
        })
      },
    )
  }

  /** The batch goes behind all others: hands it to the writer and counts it in. */
  appended(buffer: Buffer, baseOffset: number, lastOffset: number, maxTimestamp: number): void {
    const { active } = this.list
    const position = active.sizeBytes
    this.sideFilesStale = true
    this.writer.add(active, position, buffer, baseOffset, lastOffset + 1)
    this.appendHints.add(baseOffset, active, position)
    active.appended(lastOffset, maxTimestamp, buffer.length)
    this.logEndOffset = lastOffset + 1
    this.list.grew(buffer.length)
  }

  /** Starts a new segment; nothing when the active one is empty. False: there is none, and the log goes on with the old. */
  roll(baseOffset: number = this.logEndOffset): boolean {
    if (this.failure !== null || this.cutting) return false
    try {
      this.startSegment(baseOffset)
      return true
    } catch (error) {
      const what = `cannot start a segment in ${this.directory}`
      if (diskProblem(error) === 'short') this.noteShortage(what, error)
      else this.fail(diskError(what, error))
      return false
    }
  }

  /** As `roll`. Throws what the disk throws. */
  startSegment(baseOffset: number = this.logEndOffset): void {
    const old = this.list.active
    if (old.baseOffset === baseOffset) return
    this.sideFilesStale = true
    const active = this.makeSegment(baseOffset, this.recycles())
    old.become('rolled')
    this.list.add(active)
    this.flusher.rolled(old, baseOffset, this.producers.encodeSnapshot(), active)
    if (this.durable()) this.space.reserve(active, this.config.segmentBytes)
    this.drawJitter()
  }

  /** What a checkpoint may say of the end of the log: nothing that a cut under way takes back. */
  get promisedEndOffset(): number {
    return Math.min(this.writtenEndOffset, this.promiseLimit)
  }

  get recoveryPoint(): number {
    return Math.min(this.flusher.recoveryPoint, this.promiseLimit)
  }

  /**
   * Before the log is cut: when it resolves, no checkpoint promises that there is anything above `offset`, or that the
   * log starts above `endOffset`.
   */
  async takeBackPromises(offset: number, endOffset: number): Promise<void> {
    this.promiseLimit = offset
    this.logStartOffset = Math.min(this.logStartOffset, endOffset)
    await this.options.beforeCut?.(offset)
  }

  /** Runs a cut of the log while nothing is appended. */
  async whileCutting(cut: { run(): Promise<void> }): Promise<void> {
    assert(!this.cutting, 'one cut of a log at a time')
    this.cutting = true
    await this.writer.drained()
    await this.flusher.run(() => cut.run())
    this.cutting = false
    this.promiseLimit = Infinity
  }

  /** The log ends there now. */
  endAt(endOffset: number): void {
    this.cuts += 1
    this.sideFilesStale = true
    this.logEndOffset = endOffset
    this.writtenEndOffset = endOffset
    this.#unpublished = []
    this.logStartOffset = Math.min(this.logStartOffset, endOffset)
    this.appendHints.clear()
    this.readHints.clear()
    this.list.recount()
    this.drawJitter()
    this.flusher.truncated(this.list.active, endOffset)
    this.#checkOffsets()
  }

  #checkOffsets(): void {
    const { endOffset, durableEndOffset } = this.flusher
    assert(this.logStartOffset <= this.logEndOffset, 'a log starts at or before its end')
    assert(this.writtenEndOffset <= endOffset, 'nobody sees what the file has not taken')
    assert(endOffset <= this.logEndOffset, 'the file holds nothing that was not appended')
    assert(durableEndOffset <= endOffset, 'nothing is on the device that the file has not taken')
  }

  /** Nothing below is in the log any more. */
  startAt(offset: number): void {
    this.logStartOffset = offset
    this.epochs.truncateFromStart(offset)
    this.transactions.truncateFromStart(offset)
    this.#checkOffsets()
  }
}
