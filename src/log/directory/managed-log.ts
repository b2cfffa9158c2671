import type { ErrorCode } from '../../../protocol/errors.ts'
import type { SamsaError } from '../../core/samsa-error.ts'
import { partitionName } from '../files/checkpoints.ts'
import type { DueFlush } from './flush-schedule.ts'
import type { LogConfig } from '../log-config.ts'
import type { LogDirectory } from './log-directory.ts'
import type { Log } from '../log.ts'

/** What a partition wants to hear from its log. */
export interface LogListener {
  /** Everything below `endOffset` is written as the flush mode promises. */
  written(endOffset: number): void
  /** Once. Whatever waits gets KAFKA_STORAGE_ERROR. */
  failed(): void
  /** The disk does not answer. Whatever waits gets KAFKA_STORAGE_ERROR, and may be written later all the same. */
  stalled(): void
  /** Resolves when all is appended that came so far; until the result is called, what comes waits. */
  holdAppends(): Promise<() => void>
  /** The partition lies in another directory now: `log` has the same records, and takes the next. */
  moved(log: Log): void
  /** For the `replication-offset-checkpoint` and the cleaner. */
  readonly highWatermark: number
}

/** A log in its directory, with what the manager keeps for it: listener, next flush, one maintenance job at a time. */
export class ManagedLog {
  readonly topic: string
  readonly partition: number
  readonly name: string
  readonly directory: LogDirectory
  listener: LogListener | null = null
  /** Compaction went through everything below; -1 when it never ran. */
  cleanedEndOffset = -1
  /** Compaction, or that of a leader, may have made the gaps that end at or below it. Infinity: nobody knows how far. */
  gapLimit = 0
  /** The log is being closed or deleted: maintenance stops where it is. */
  leaving = false
  /** On its way to another directory: as in Kafka nothing is compacted until it is there. */
  moving = false
  #log: Log | null = null
  #nextFlush: DueFlush | null = null
  /** Looks in a row at which the write under way was the same. */
  looksAtWrite = 0
  /** At the last look. */
  #seenWrite: object | null = null
  #seenEndOffset = -1
  #flushing = false
  #closed: Promise<void> | null = null
  #maintenance: Promise<void> = Promise.resolve()
  #permitting: Promise<void> | null = null

  constructor(directory: LogDirectory, topic: string, partition: number) {
    this.directory = directory
    this.topic = topic
    this.partition = partition
    this.name = partitionName(topic, partition)
  }

  get log(): Log {
    if (this.#log === null) throw new Error(`${this.name} is not open yet`)
    return this.#log
  }

  get isOpen(): boolean {
    return this.#log !== null
  }

  opened(log: Log): void {
    this.#log = log
    this.#scheduleFlush()
  }

  /** Until a partition has it, what was known before: others may lead, and have another end of it. */
  get highWatermark(): number {
    const highWatermark = this.listener?.highWatermark ?? this.log.checkpointedHighWatermark
    return Math.min(highWatermark, this.log.promisedEndOffset)
  }

  written(endOffset: number): void {
    this.listener?.written(endOffset)
    if (this.#nextFlush === null) this.#scheduleFlush()
  }

  /** Called again and again: whether a write came back since the last time. */
  look(): boolean {
    const write = this.#log?.writeUnderWay ?? null
    const endOffset = this.#log?.writtenEndOffset ?? -1
    const cameBack =
      endOffset !== this.#seenEndOffset || (this.#seenWrite !== null && write !== this.#seenWrite)
    this.looksAtWrite = write !== null && write === this.#seenWrite ? this.looksAtWrite + 1 : 0
    this.#seenWrite = write
    this.#seenEndOffset = endOffset
    return cameBack
  }

  failed(error: SamsaError): void {
    this.leaving = true
    this.#cancelFlush()
    this.#log?.fail(error)
    this.listener?.failed()
  }

  /** Before gaps up to `endOffset` are made: when it resolves, or with null, no recovery takes them for a loss. */
  permitGaps(endOffset: number): Promise<void> | null {
    if (this.gapLimit < Infinity && this.gapLimit >= endOffset) return this.#permitting
    const before = this.gapLimit
    this.gapLimit = before < Infinity ? endOffset : Math.max(endOffset, this.log.logEndOffset)
    const permitting = this.#checkpointGaps(before).finally(() => {
      if (this.#permitting === permitting) this.#permitting = null
    })
    this.#permitting = permitting
    return permitting
  }

  async #checkpointGaps(limitBefore: number): Promise<void> {
    try {
      await this.directory.checkpoint()
    } catch (error) {
      // Whoever tries again does not take it for written.
      this.gapLimit = limitBefore
      throw error
    }
  }

  /** Ends the log, once. */
  close(clean: boolean): Promise<void> {
    this.leaving = true
    this.#cancelFlush()
    this.#closed ??= this.exclusively(async () => this.#log?.close(clean))
    return this.#closed
  }

  /** As `close`, because it is the partition's log no more: what its readers hear then. */
  discard(because: ErrorCode): Promise<void> {
    this.leaving = true
    this.#cancelFlush()
    this.#closed ??= this.exclusively(async () => this.#log?.discard(because))
    return this.#closed
  }

  updateConfig(config: LogConfig): void {
    this.log.updateConfig(config)
    this.#cancelFlush()
    this.#scheduleFlush()
  }

  /** Runs after the maintenance already asked for: retention, compaction and deletion never overlap. */
  exclusively(run: () => Promise<void>): Promise<void> {
    const turn = this.#maintenance.then(run)
    this.#maintenance = turn.catch(() => {})
    return turn
  }

  #cancelFlush(): void {
    if (this.#nextFlush !== null) this.#nextFlush.cancelled = true
    this.#nextFlush = null
  }

  /** `flush.ms`, counted from the oldest byte that is not durable. */
  #scheduleFlush(): void {
    const log = this.#log
    if (log === null || this.leaving || this.#flushing) return
    if (log.dirtySinceMs < 0 || log.config.flushMs >= Number.MAX_SAFE_INTEGER) return
    const dueMs = log.dirtySinceMs + log.config.flushMs
    this.#nextFlush = { dueMs, cancelled: false, run: (done) => this.#flush(log, dueMs, done) }
    this.directory.flushes.add(this.#nextFlush)
  }

  #flush(log: Log, dueMs: number, done: () => void): boolean {
    this.#nextFlush = null
    if (this.leaving || log.dirtySinceMs < 0 || log.dirtySinceMs + log.config.flushMs > dueMs) {
      // Something else flushed it since.
      this.#scheduleFlush()
      return false
    }
    this.#flushing = true
    log.flush(() => {
      this.#flushing = false
      this.#scheduleFlush()
      done()
    })
    return true
  }
}
