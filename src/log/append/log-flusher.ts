import type { Clock, Disk } from '../../ports.ts'
import { diskProblem, patiently } from '../files/disk-problem.ts'
import { removePath, syncFile, writeWhole } from '../files/disk-calls.ts'
import { segmentFile, TRANSACTION_INDEX_SUFFIX } from '../files/log-files.ts'
import type { LogNames } from '../files/log-names.ts'
import type { WriteChunk } from './log-writer.ts'
import type { ProducerSnapshots } from '../recovery/producer-recovery.ts'
import type { Segment } from '../segment/segment.ts'
import type { TransactionIndex } from '../segment/transaction-index.ts'

/** A segment that was rolled: its side files are still to be written. */
interface ClosingSegment {
  readonly segment: Segment
  readonly endOffset: number
  /** Producer state at `endOffset`. */
  readonly snapshot: Buffer
  queued: boolean
}

export interface FlusherOptions {
  readonly clock: Clock
  readonly disk: Disk
  readonly directory: string
  readonly names: LogNames
  readonly snapshots: ProducerSnapshots
  readonly transactions: TransactionIndex
  /** May a task wait for descriptors? Asked before each further try. */
  readonly mayWait: () => boolean
  /** What a failure of the disk is reported to. */
  readonly failed: (error: unknown) => void
}

/**
 * Makes one log durable: its bytes, its side files and its names. Everything here runs one after the other, so a
 * task sees no half-done work of another.
 */
export class LogFlusher {
  /** Everything below is on the device. */
  durableEndOffset: number
  /** Everything below has been taken by the file, on the device or not. */
  endOffset: number
  /** Monotonic milliseconds since when the oldest byte waits that is not durable; -1 when all is. */
  dirtySinceMs = -1
  /** The same, of what came after the flush under way began. */
  #dirtyAgainMs = -1
  /** The latest durable writes that follow on each other: all of it is durable once what lies below is. */
  #runStartOffset: number
  #runEndOffset: number
  readonly #options: FlusherOptions
  #active: Segment
  #closing: ClosingSegment[] = []
  #tail: Promise<void> = Promise.resolve()
  #nextFlush: Promise<boolean> | null = null
  #stopped = false

  constructor(options: FlusherOptions, active: Segment, endOffset: number) {
    this.#options = options
    this.#active = active
    this.endOffset = endOffset
    this.durableEndOffset = endOffset
    this.#runStartOffset = endOffset
    this.#runEndOffset = endOffset
  }

  /**
   * Below this, log files, index files and snapshots are durable, and files end where the log does: recovery need not
   * look there. That a segment is rolled may be unknown to it, so one with more in its file counts as a whole.
   */
  get recoveryPoint(): number {
    const unfinished = this.#closing[0]?.segment ?? (this.#active.loose ? this.#active : null)
    return unfinished === null
      ? this.durableEndOffset
      : Math.min(this.durableEndOffset, unfinished.baseOffset)
  }

  /** `active` takes over from `closed`, which ends at `endOffset` and whose bytes may still be on their way. */
  rolled(closed: Segment, endOffset: number, snapshot: Buffer, active: Segment): void {
    this.#options.names.changed()
    this.#active = active
    this.#closing.push({ segment: closed, endOffset, snapshot, queued: false })
    this.#queueClosing()
  }

  written(chunk: WriteChunk, durable: boolean): void {
    this.endOffset = chunk.endOffset
    if (durable) {
      if (this.#runEndOffset < chunk.startOffset) this.#runStartOffset = chunk.startOffset
      this.#runEndOffset = chunk.endOffset
    }
    if (durable && this.durableEndOffset >= chunk.startOffset) this.durableEndOffset = chunk.endOffset
    else this.#dirty()
    if (this.#closing.length > 0) this.#queueClosing()
  }

  /** After a truncation. */
  truncated(active: Segment, endOffset: number): void {
    this.#active = active
    this.#closing = this.#closing.filter(({ segment }) => !segment.retired && segment !== active)
    this.endOffset = endOffset
    this.durableEndOffset = Math.min(this.durableEndOffset, endOffset)
    this.#runStartOffset = endOffset
    this.#runEndOffset = endOffset
    if (this.durableEndOffset >= endOffset) this.dirtySinceMs = -1
    this.#options.names.changed()
  }

  /** Makes everything written so far durable. Resolves to false when the log has failed. */
  flush(): Promise<boolean> {
    this.#nextFlush ??= this.run(() => {
      this.#nextFlush = null
      return this.#flush()
    })
    return this.#nextFlush
  }

  /** As `flush`, before the log is closed for good. */
  close(): Promise<boolean> {
    return this.run(async () => {
      await this.#options.names.persistClosing(this.endOffset)
      if (this.durableEndOffset < this.endOffset) await this.#flush()
    })
  }

  /**
   * Runs `task` after everything queued before. Resolves to false, and the log fails, when it throws. Without a
   * descriptor the task waits and begins again, so it must be one that may.
   */
  run(task: () => Promise<void>): Promise<boolean> {
    const result = this.#tail.then(async () => {
      if (this.#stopped) return false
      try {
        await patiently(this.#options.clock, () => !this.#stopped && this.#options.mayWait(), task)
        return true
      } catch (error) {
        if (diskProblem(error) !== 'short') this.#options.failed(error)
        return false
      }
    })
    this.#tail = result.then(() => undefined)
    return result
  }

  stop(): void {
    this.#stopped = true
  }

  /** Writes the transaction index of a segment that ends at `endOffset`, if it needs one. */
  async writeTransactionIndex(segment: Segment, endOffset: number): Promise<void> {
    const { disk, directory, transactions } = this.#options
    const bytes = transactions.encode(segment.baseOffset, endOffset)
    const path = segmentFile(directory, segment.baseOffset, TRANSACTION_INDEX_SUFFIX)
    if (bytes !== null) await writeWhole(disk, path, bytes, true)
    else if (disk.exists(path)) await removePath(disk, path)
  }

  #queueClosing(): void {
    for (const closing of this.#closing) {
      if (closing.queued || closing.endOffset > this.endOffset) continue
      closing.queued = true
      void this.run(() => this.#finish(closing))
    }
  }

  async #finish(closing: ClosingSegment): Promise<void> {
    const { segment, endOffset } = closing
    if (!this.#closing.includes(closing)) return
    // Closed when this was begun before; retired when retention was faster.
    if (segment.state === 'rolled') {
      await segment.cutToSize()
      await syncFile(segment.openFile())
      await this.writeTransactionIndex(segment, endOffset)
      await segment.complete(true)
    }
    // A flush since the roll may have synced the directory without these files in it.
    this.#options.names.changed()
    await this.#options.names.persist()
    // Last: recovery takes a snapshot where a segment starts as proof that the one before is complete.
    await this.#options.snapshots.write(endOffset, closing.snapshot)
    this.#options.names.changed()
    await this.#options.names.persist()
    this.#closing = this.#closing.filter((other) => other !== closing)
    if (this.durableEndOffset < endOffset) this.#durable(endOffset)
  }

  async #flush(): Promise<void> {
    const { endOffset } = this
    if (this.durableEndOffset >= endOffset && this.#options.names.durable) return
    this.#dirtyAgainMs = -1
    for (const { segment } of this.#closing) if (!segment.retired) await syncFile(segment.openFile())
    await syncFile(this.#active.openFile())
    await this.#options.names.persist()
    this.#durable(endOffset)
  }

  #dirty(): void {
    if (this.dirtySinceMs >= 0 && this.#dirtyAgainMs >= 0) return
    const nowMs = this.#options.clock.monotonicMs()
    if (this.dirtySinceMs < 0) this.dirtySinceMs = nowMs
    if (this.#dirtyAgainMs < 0) this.#dirtyAgainMs = nowMs
  }

  #durable(endOffset: number): void {
    const reached = endOffset >= this.#runStartOffset ? Math.max(endOffset, this.#runEndOffset) : endOffset
    this.durableEndOffset = Math.max(this.durableEndOffset, reached)
    if (this.durableEndOffset >= this.endOffset) {
      this.dirtySinceMs = -1
      this.#dirtyAgainMs = -1
    } else if (this.#dirtyAgainMs >= 0) {
      this.dirtySinceMs = this.#dirtyAgainMs
    }
  }
}
