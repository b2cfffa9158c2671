import assert from 'node:assert/strict'
import type { ErrorCode } from '../../protocol/errors.ts'
import type { EpochCache } from '../core/replication/epoch-cache.ts'
import type { SamsaError } from '../core/samsa-error.ts'
import type { ProducerState } from '../core/transaction/producer-state.ts'
import type { Logger, World } from '../ports.ts'
import { appendAsFollower } from './change/append-as-follower.ts'
import { appendAsLeader } from './change/append-as-leader.ts'
import { needsRetention, RetentionRound } from './change/apply-retention.ts'
import { closeLog, settleLog } from './change/close.ts'
import { LogBody } from './change/log-body.ts'
import { beginReplacement, SegmentSwap } from './change/replacement.ts'
import { FreshStart, Truncation } from './change/truncation.ts'
import { diskError } from './files/disk-calls.ts'
import type { LogConfig } from './log-config.ts'
import type {
  AbortedTransaction,
  AppendResult,
  LogOptions,
  OffsetAndTimestamp,
  ReadDone,
  RecoveryReport,
  SegmentCache,
} from './log-types.ts'
import { readLog } from './read/log-reader.ts'
import type { ReadSource } from './read/log-reader.ts'
import type { PositionHints } from './read/position-hints.ts'
import { findByTimestamp } from './read/timestamp-lookup.ts'
import type { LookupWork } from './read/timestamp-lookup.ts'
import { LogLoader, nothingLoaded } from './recovery/log-loader.ts'
import type { LoadedLog } from './recovery/log-loader.ts'
import { RecentSegments } from './segment/segment-cache.ts'
import type { SegmentReplacement } from './segment/segment-replacement.ts'
import type { Segment } from './segment/segment.ts'
import type { AbortedTransactions } from './segment/transaction-index.ts'

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
export class Log implements ReadSource {
  readonly directory: string
  readonly topic: string
  readonly partition: number
  readonly topicId: string | null
  /** What opening had to repair; null when nothing was scanned. */
  readonly recovery: RecoveryReport | null
  /** Where it goes on behind the last gap that opening reported; 0 when there is none. */
  readonly lossesEnd: number
  readonly epochs: EpochCache
  readonly producers: ProducerState
  readonly logger: Logger
  readonly appendHints: PositionHints
  readonly readHints: PositionHints
  readonly #body: LogBody

  private constructor(
    world: LogWorld,
    options: LogOptions,
    cache: SegmentCache,
    logger: Logger,
    loaded: LoadedLog,
  ) {
    const body = new LogBody(world, options, cache, logger, loaded)
    this.#body = body
    this.directory = options.directory
    this.topic = options.topic
    this.partition = options.partition
    this.topicId = loaded.topicId
    this.recovery = loaded.recovery
    this.lossesEnd = loaded.lossesEnd
    this.epochs = body.epochs
    this.producers = body.producers
    this.logger = logger
    this.appendHints = body.appendHints
    this.readHints = body.readHints
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
    log.#body.failure = because
    return log
  }

  get config(): LogConfig {
    return this.#body.config
  }

  get logStartOffset(): number {
    return this.#body.logStartOffset
  }

  /** Next offset to be assigned. */
  get logEndOffset(): number {
    return this.#body.logEndOffset
  }

  /** Readers may see only offsets below; see `LogBody` for what it promises. */
  get writtenEndOffset(): number {
    return this.#body.writtenEndOffset
  }

  /** Clients saw what lies below, as the checkpoint said when the log was opened. */
  get checkpointedHighWatermark(): number {
    return this.#body.options.highWatermark ?? 0
  }

  /** Everything below is on the device. */
  get durableEndOffset(): number {
    return this.#body.flusher.durableEndOffset
  }

  /** What to put into `recovery-point-offset-checkpoint`: durable with all its side files. */
  get recoveryPoint(): number {
    return this.#body.recoveryPoint
  }

  /** What a checkpoint may promise of the end of the log. */
  get promisedEndOffset(): number {
    return this.#body.promisedEndOffset
  }

  get sizeBytes(): number {
    return this.#body.list.sizeBytes
  }

  get segmentCount(): number {
    return this.#body.list.count
  }

  get failed(): boolean {
    return this.#body.failed
  }

  /** The write that has not come back yet; another object for each. */
  get writeUnderWay(): object | null {
    return this.#body.writer.underWay
  }

  get refusal(): number {
    return this.#body.refusal
  }

  get cuts(): number {
    return this.#body.cuts
  }

  /** Monotonic milliseconds since when something waits for `flush`; -1 when all is durable. */
  get dirtySinceMs(): number {
    return this.#body.flusher.dirtySinceMs
  }

  /** First offset of an open transaction, or -1. */
  get firstOpenTransactionOffset(): number {
    return this.producers.firstOpenTransactionOffset
  }

  /** False: a read_committed reader sees what every reader sees. */
  get hasTransactions(): boolean {
    return !this.#body.transactions.empty || this.producers.firstOpenTransactionOffset >= 0
  }

  /** All segments, oldest first; the last is the active one. Do not keep the list. */
  get segments(): readonly Segment[] {
    return this.#body.segments
  }

  /**
   * Appends one validated batch: stamps offset and leader epoch in place and checks what is known of its producer.
   * The buffer belongs to the log until it is written, unless the result is an error or a duplicate.
   */
  append(buffer: Buffer, leaderEpoch: number): AppendResult {
    return appendAsLeader(this.#body, buffer, leaderEpoch)
  }

  /**
   * Appends batches that the leader of the partition sent, with their offsets and epochs as they are. The buffer belongs
   * to the log until everything in it is written, unless the result is an error.
   */
  appendAsFollower(records: Buffer): AppendResult {
    return appendAsFollower(this.#body, records)
  }

  /**
   * Reads whole batches from the one that contains `offset` on, below `maxOffset`, out of one segment. At least one
   * batch, if there is one, with `minOneBatch`. `done` may run before `read` returns. See also `readToSend`.
   */
  read(offset: number, maxBytes: number, maxOffset: number, minOneBatch: boolean, done: ReadDone): void {
    readLog(this, offset, maxBytes, maxOffset, minOneBatch, done)
  }

  /** Earliest record with a timestamp >= `timestampMs`; null when there is none below `maxOffset`. */
  async offsetForTimestamp(
    timestampMs: number,
    maxOffset: number,
    work: LookupWork,
  ): Promise<OffsetAndTimestamp | null> {
    const found = await findByTimestamp(this, timestampMs, this.#body.world.clock, work)
    const limit = Math.min(maxOffset, this.#body.writtenEndOffset)
    return found !== null && found.offset < limit ? found : null
  }

  /** ListOffsets -3: the first record with the largest timestamp; null when no record has one. */
  async offsetOfMaxTimestamp(work: LookupWork): Promise<OffsetAndTimestamp | null> {
    let largest = -1
    for (const segment of this.#body.segments) largest = Math.max(largest, segment.largestTimestampMs)
    return largest < 0 ? null : this.offsetForTimestamp(largest, this.#body.writtenEndOffset, work)
  }

  /** What a read_committed reader must know; to be taken before its read begins. */
  get abortedTransactions(): AbortedTransactions {
    return this.#body.transactions.all
  }

  /** Moves the log start; files go at the next `applyRetention`. */
  deleteRecordsBefore(offset: number): void {
    assert(offset <= this.#body.logEndOffset)
    if (offset > this.#body.logStartOffset) this.#body.startAt(offset)
  }

  /**
   * Deletes segments by start offset, size and time, never at or above `highWatermark`, and forgets producers not
   * heard of for long. Resolves to how many segments went.
   */
  async applyRetention(nowMs: number, highWatermark: number = this.writtenEndOffset): Promise<number> {
    const body = this.#body
    this.producers.expire(nowMs, body.config.producerIdExpirationMs)
    if (!needsRetention(body, nowMs, highWatermark)) return 0
    const round = new RetentionRound(body, nowMs, highWatermark)
    await body.flusher.run(() => round.run())
    return round.count
  }

  /**
   * Drops all records at and above `offset`, and those of the batch it falls into: the log ends at `offset` then, or
   * where that batch began. Appends are refused meanwhile; readers, flushes and compaction go on.
   */
  async truncateTo(offset: number): Promise<void> {
    const body = this.#body
    if (offset >= body.logEndOffset) {
      // Who led, and appended nothing, knows of an epoch at the end of its log that others may not know.
      body.epochs.truncateFromEnd(body.logEndOffset)
      return
    }
    if (offset < body.list.oldest.baseOffset) return this.truncateFullyAndStartAt(offset)
    await body.whileCutting(new Truncation(body, offset))
  }

  /** Drops all records; the next one gets `offset`. Appends and reads are refused meanwhile. */
  async truncateFullyAndStartAt(offset: number): Promise<void> {
    await this.#body.whileCutting(new FreshStart(this.#body, offset))
  }

  /** Starts a new segment; nothing when the active one is empty. */
  roll(): void {
    this.#body.roll()
  }

  /** Makes everything written so far durable, with all side files. `done(false)`: the log has failed. */
  flush(done: (ok: boolean) => void): void {
    void this.#body.flusher.flush().then(done)
  }

  /** Gives back room that was reserved for a log that went idle. `nowMs` is monotonic. */
  async trimReserved(nowMs: number): Promise<void> {
    if (this.#body.closing || this.failed || !this.#body.space.mayHaveSurplus(this.#body.list.active, nowMs))
      return
    await this.#body.flusher.run(async () => {
      if (!this.#body.closing) await this.#body.space.trim(this.#body.list.active, nowMs, this.#body.writer)
    })
  }

  /** Removes the file kept for the next segment: the volume is running full. */
  dropSpare(): void {
    void this.#body.flusher.run(() => this.#body.bin.dropSpare())
  }

  updateConfig(config: LogConfig): void {
    this.#body.config = config
    this.#body.drawJitter()
    void this.#body.flusher.run(() => this.#body.bin.review())
  }

  /**
   * While nothing is appended: everything becomes durable, with the files that a clean stop leaves, and the log goes on.
   * False: the log failed.
   */
  settle(): Promise<boolean> {
    return settleLog(this.#body)
  }

  /**
   * Waits for writes under way. `clean`: indexes, producer snapshot and bytes are durable when it resolves, unless
   * the log failed (see `failed`); only then may the directory get its clean marker.
   */
  close(clean: boolean): Promise<void> {
    return closeLog(this.#body, clean)
  }

  /** As `close`, for good: from here on its readers and writers hear `because`. */
  discard(because: ErrorCode): Promise<void> {
    this.#body.discardedBecause = because
    return closeLog(this.#body, false)
  }

  /** Its directory failed, which was told. */
  fail(error: SamsaError): void {
    this.#body.fail(error, true)
  }

  readableBytes(segment: Segment): number {
    return this.#body.readableBytes(segment)
  }

  readFailed(error: unknown): void {
    this.#body.readFailed(error)
  }

  noteShortage(what: string, error: unknown): void {
    this.#body.noteShortage(what, error)
  }

  /**
   * Starts a `.cleaned` segment that will take the place of closed segments from `baseOffset` on. `cuts`: as it was when
   * the log was looked through.
   */
  beginReplacement(baseOffset: number, cuts: number = this.cuts): SegmentReplacement {
    return beginReplacement(this.#body, baseOffset, cuts)
  }

  /**
   * Swaps it in for `replaced` (adjacent, closed, the first with its base offset), crash-safe. It may be empty. `ended`:
   * aborted transactions of which no batch is left. False: the log was cut meanwhile, and nothing was replaced.
   */
  async replaceSegments(
    replaced: readonly Segment[],
    by: SegmentReplacement,
    ended: ReadonlySet<AbortedTransaction>,
  ): Promise<boolean> {
    const body = this.#body
    const swap = new SegmentSwap(body, replaced, by, ended)
    // A swap is for good, and the markers it goes by may still be on their way into the active segment: they come first.
    await body.writer.drained()
    await body.flusher.flush()
    await body.flusher.run(() => swap.run())
    if (swap.noRoom !== null) throw swap.noRoom
    if (!swap.swapped && body.failure !== null) throw body.failure
    return swap.swapped
  }
}
