import type { SamsaError } from '../core/samsa-error.ts'
import type { Clock, Timer } from '../ports.ts'
import { partitionName } from './checkpoints.ts'
import type { LogConfig } from './log-config.ts'
import type { LogDirectory } from './log-directory.ts'
import type { Log } from './log.ts'

/** What a partition wants to hear from its log. */
export interface LogListener {
  /** Everything below `endOffset` is written as the flush mode promises. */
  written(endOffset: number): void
  /** Once. Whatever waits gets KAFKA_STORAGE_ERROR. */
  failed(): void
  /** For the `replication-offset-checkpoint` and the cleaner. */
  readonly highWatermark: number
}

/** A log in its directory, with what the manager keeps for it: listener, flush timer, one maintenance job at a time. */
export class ManagedLog {
  readonly topic: string
  readonly partition: number
  readonly name: string
  readonly directory: LogDirectory
  listener: LogListener | null = null
  /** Compaction went through everything below; -1 when it never ran. */
  cleanedEndOffset = -1
  /** The log is being closed or deleted: maintenance stops where it is. */
  leaving = false
  readonly #clock: Clock
  #log: Log | null = null
  #flushTimer: Timer | null = null
  #closed: Promise<void> | null = null
  #maintenance: Promise<void> = Promise.resolve()

  constructor(clock: Clock, directory: LogDirectory, topic: string, partition: number) {
    this.#clock = clock
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
    this.#armFlush()
  }

  get highWatermark(): number {
    return this.listener?.highWatermark ?? this.log.writtenEndOffset
  }

  written(endOffset: number): void {
    this.listener?.written(endOffset)
    if (this.#flushTimer === null) this.#armFlush()
  }

  failed(error: SamsaError): void {
    this.leaving = true
    this.cancelFlush()
    this.#log?.fail(error)
    this.listener?.failed()
  }

  /** Ends the log, once. */
  close(clean: boolean): Promise<void> {
    this.leaving = true
    this.cancelFlush()
    this.#closed ??= this.exclusively(async () => this.#log?.close(clean))
    return this.#closed
  }

  updateConfig(config: LogConfig): void {
    this.log.updateConfig(config)
    this.cancelFlush()
    this.#armFlush()
  }

  /** Runs after the maintenance already asked for: retention, compaction and deletion never overlap. */
  exclusively(run: () => Promise<void>): Promise<void> {
    const turn = this.#maintenance.then(run)
    this.#maintenance = turn.catch(() => {})
    return turn
  }

  cancelFlush(): void {
    this.#flushTimer?.cancel()
    this.#flushTimer = null
  }

  /** `flush.ms`, counted from the oldest byte that is not durable. */
  #armFlush(): void {
    const log = this.#log
    if (log === null || this.leaving || log.config.flushMs >= Number.MAX_SAFE_INTEGER) return
    if (log.dirtySinceMs < 0) return
    const delayMs = Math.max(0, log.dirtySinceMs + log.config.flushMs - this.#clock.monotonicMs())
    this.#flushTimer = this.#clock.after(delayMs, () => {
      log.flush((ok) => {
        this.#flushTimer = null
        if (ok) this.#armFlush()
      })
    })
  }
}
