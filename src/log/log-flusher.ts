import type { EpochCache } from '../core/replication/epoch-cache.ts'
import type { Clock, Disk } from '../ports.ts'
import { replaceWhole, removePath, syncDirectory, syncFile, writeWhole } from './disk-calls.ts'
import {
  EPOCH_CHECKPOINT,
  parentOf,
  PARTITION_METADATA,
  segmentFile,
  TRANSACTION_INDEX_SUFFIX,
} from './log-files.ts'
import type { WriteChunk } from './log-writer.ts'
import type { ProducerSnapshots } from './producer-recovery.ts'
import type { Segment } from './segment.ts'
import type { TransactionIndex } from './transaction-index.ts'

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
  readonly epochs: EpochCache
  readonly snapshots: ProducerSnapshots
  readonly transactions: TransactionIndex
  /** What a failure of the disk is reported to. */
  readonly failed: (error: unknown) => void
}

/**
 * Makes one log durable: its bytes, its side files and its names. Everything here runs one after the other, so a
 * task sees no half-done work of another.
 *
 * Names (the directory, new files in it, the epoch checkpoint) become durable with the first flush, roll or clean
 * close, and before the first acknowledged write when every write is durable: without a promise there is nothing to
 * pay for, which is what makes a thousand new partitions cheap.
 */
export class LogFlusher {
  /** Everything below is on the device. */
  durableEndOffset: number
  /** Everything below has been taken by the file, on the device or not. */
  endOffset: number
  /** Monotonic milliseconds, -1 when all is durable. */
  dirtySinceMs = -1
  readonly #options: FlusherOptions
  #active: Segment
  #closing: ClosingSegment[] = []
  /** Grows with every new name; names are durable up to `#persistedNames`. */
  #names = 0
  #persistedNames: number
  #directoryDirty: boolean
  #persistedEpochs: number
  #tail: Promise<void> = Promise.resolve()
  #nextFlush: Promise<boolean> | null = null
  #persisting: Promise<void> | null = null
  #stopped = false

  constructor(options: FlusherOptions, active: Segment, endOffset: number, namesDirty: boolean) {
    this.#options = options
    this.#active = active
    this.endOffset = endOffset
    this.durableEndOffset = endOffset
    this.#persistedNames = namesDirty ? -1 : 0
    this.#directoryDirty = namesDirty
    this.#persistedEpochs = options.epochs.changeCount
  }

  /** Below this, log files, index files and snapshots are durable: recovery need not look there. */
  get recoveryPoint(): number {
    const closing = this.#closing[0]
    return closing === undefined
      ? this.durableEndOffset
      : Math.min(this.durableEndOffset, closing.segment.baseOffset)
  }

  get namesDurable(): boolean {
    return this.#persistedNames === this.#names && this.#persistedEpochs === this.#options.epochs.changeCount
  }

  /** `active` takes over from `closed`, which ends at `endOffset` and whose bytes may still be on their way. */
  rolled(closed: Segment, endOffset: number, snapshot: Buffer, active: Segment): void {
    this.#names++
    this.#active = active
    this.#closing.push({ segment: closed, endOffset, snapshot, queued: false })
    this.#queueClosing()
  }

  written(chunk: WriteChunk, durable: boolean): void {
    this.endOffset = chunk.endOffset
    if (durable && this.durableEndOffset >= chunk.startOffset) this.durableEndOffset = chunk.endOffset
    else if (this.dirtySinceMs < 0) this.dirtySinceMs = this.#options.clock.monotonicMs()
    if (this.#closing.length > 0) this.#queueClosing()
  }

  /** After a truncation. */
  truncated(active: Segment, endOffset: number): void {
    this.#active = active
    this.#closing = []
    this.endOffset = endOffset
    this.durableEndOffset = Math.min(this.durableEndOffset, endOffset)
    this.#names++
  }

  /** Makes everything written so far durable. Resolves to false when the log has failed. */
  flush(): Promise<boolean> {
    this.#nextFlush ??= this.run(() => {
      this.#nextFlush = null
      return this.#flush()
    })
    return this.#nextFlush
  }

  /** Runs `task` after everything queued before. Resolves to false, and the log fails, when it throws. */
  run(task: () => Promise<void>): Promise<boolean> {
    const result = this.#tail.then(async () => {
      if (this.#stopped) return false
      try {
        await task()
        return true
      } catch (error) {
        this.#options.failed(error)
        return false
      }
    })
    this.#tail = result.then(() => undefined)
    return result
  }

  /** Resolves once names and epochs are durable. */
  persistNames(): Promise<void> {
    this.#persisting ??= this.#persistNames().finally(() => {
      this.#persisting = null
    })
    return this.#persisting
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
    await syncFile(segment.file)
    await this.writeTransactionIndex(segment, endOffset)
    await segment.writeIndexes(true, true)
    // Last: recovery takes a snapshot where a segment starts as proof that the one before is complete.
    await this.#options.snapshots.write(endOffset, closing.snapshot)
    await this.persistNames()
    this.#closing = this.#closing.filter((other) => other !== closing)
    if (this.durableEndOffset < endOffset) this.#durable(endOffset)
  }

  async #flush(): Promise<void> {
    const { endOffset } = this
    for (const closing of this.#closing) await syncFile(closing.segment.file)
    await syncFile(this.#active.file)
    await this.persistNames()
    this.#durable(endOffset)
  }

  #durable(endOffset: number): void {
    this.durableEndOffset = Math.max(this.durableEndOffset, endOffset)
    this.dirtySinceMs = this.durableEndOffset < this.endOffset ? this.#options.clock.monotonicMs() : -1
  }

  async #persistNames(): Promise<void> {
    const { disk, directory, epochs } = this.#options
    while (!this.namesDurable) {
      const changeCount = epochs.changeCount
      const names = this.#names
      if (changeCount !== this.#persistedEpochs) {
        await replaceWhole(disk, `${directory}/${EPOCH_CHECKPOINT}`, Buffer.from(epochs.encode()), true)
      }
      if (this.#directoryDirty) {
        await this.#syncMetadata()
        await syncDirectory(disk, parentOf(directory))
      }
      await syncDirectory(disk, directory)
      this.#directoryDirty = false
      this.#persistedEpochs = changeCount
      this.#persistedNames = names
    }
  }

  async #syncMetadata(): Promise<void> {
    const path = `${this.#options.directory}/${PARTITION_METADATA}`
    if (!this.#options.disk.exists(path)) return
    const file = this.#options.disk.open(path, 'update')
    try {
      await syncFile(file)
    } finally {
      file.close()
    }
  }
}
