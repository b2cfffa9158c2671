import type { Clock, Disk, Timer } from '../../ports.ts'
import { removePath } from '../files/disk-calls.ts'
import {
  DELETED_SUFFIX,
  LOG_SUFFIX,
  SEGMENT_SUFFIXES,
  segmentFile,
  SPARE_SUFFIX,
} from '../files/log-files.ts'
import type { Segment } from '../segment/segment.ts'
import type { SpareBudget } from './spare-budget.ts'

export interface BinOptions {
  readonly clock: Clock
  readonly disk: Disk
  readonly directory: string
  readonly spares: SpareBudget | null
  /** `file.delete.delay.ms`, now. */
  readonly delayMs: () => number
  /** Largest file worth keeping for the next segment; 0: none is. */
  readonly maxSpareBytes: () => number
  /** Runs a task of the log, after those before it. */
  readonly run: (task: () => Promise<void>) => void
}

interface Deleted {
  readonly segment: Segment
  readonly timer: Timer
  /** All offsets in it are lower; -1: it must not be written over. */
  readonly endOffset: number
}

export interface Spare {
  readonly endOffset: number
  readonly sizeBytes: number
  readonly path: string
}

/**
 * Where the segments of one log go: their files wait for `file.delete.delay.ms`, then are removed, or one is kept to
 * be written over as a later segment of the same log. Its blocks are written already, so nothing has to be zeroed.
 *
 * Everything here but `use` runs as a task of the log.
 */
export class SegmentBin {
  readonly #options: BinOptions
  readonly #deleted = new Map<Segment, Deleted>()
  #spare: Spare | null = null

  constructor(options: BinOptions) {
    this.#options = options
  }

  /** The segment is out of the log, its files are `.deleted` when this task ends: they are gone some time later. */
  retire(segment: Segment, endOffset: number): void {
    segment.become('retired')
    // Compacted, and its successor goes before its time is up: their files have one name, and those of the later stay.
    for (const [other, { timer }] of this.#deleted) {
      if (other.baseOffset !== segment.baseOffset) continue
      timer.cancel()
      this.#deleted.delete(other)
    }
    const timer = this.#options.clock.after(this.#options.delayMs(), () => {
      this.#options.run(() => this.#expire(segment))
    })
    this.#deleted.set(segment, { segment, timer, endOffset })
  }

  /** Removes the files of a retired segment whose offsets will be given again. */
  removeFiles(segment: Segment): Promise<void> {
    return this.#removeFiles(segment, '')
  }

  /** Makes the spare file, if there is one that fits, the log file of a segment. Null when there is none. */
  use(segment: Segment): Spare | null {
    const spare = this.#spare
    if (spare === null || segment.baseOffset < spare.endOffset) return null
    this.#spare = null
    this.#options.spares?.give(spare.sizeBytes)
    this.#options.disk.rename(spare.path, segment.path)
    return spare
  }

  /** The segment could not be started after all: its file is the spare again. */
  putBack(segment: Segment, spare: Spare): void {
    this.#options.disk.rename(segment.path, spare.path)
    if (this.#options.spares?.take(spare.sizeBytes) !== false) this.#spare = spare
  }

  /** Removes the spare file when it is of no use any more. */
  async review(): Promise<void> {
    const spare = this.#spare
    if (spare === null || spare.sizeBytes <= this.#options.maxSpareBytes()) return
    await this.dropSpare()
  }

  async dropSpare(): Promise<void> {
    const spare = this.#spare
    if (spare === null) return
    await removePath(this.#options.disk, spare.path)
    this.#spare = null
    this.#options.spares?.give(spare.sizeBytes)
  }

  /** Everything goes, now. */
  async empty(): Promise<void> {
    for (const deleted of this.#deleted.values()) await this.#removeDeleted(deleted)
    await this.dropSpare()
  }

  /** Nothing is touched any more; the next start removes what is left. */
  stop(): void {
    for (const { timer } of this.#deleted.values()) timer.cancel()
  }

  async #expire(segment: Segment): Promise<void> {
    const deleted = this.#deleted.get(segment)
    if (deleted === undefined) return
    if (!this.#keep(deleted)) {
      await this.#removeDeleted(deleted)
      return
    }
    this.#deleted.delete(segment)
    await this.#removeFiles(segment, DELETED_SUFFIX)
  }

  /** Takes its log file as the spare. */
  #keep({ segment, endOffset }: Deleted): boolean {
    const { disk, directory, spares, maxSpareBytes } = this.#options
    const { sizeBytes } = segment
    if (spares === null || endOffset < 0 || this.#spare !== null || sizeBytes > maxSpareBytes()) return false
    if (segment.inUse || !spares.take(sizeBytes)) return false
    const path = segmentFile(directory, endOffset, SPARE_SUFFIX)
    disk.rename(segmentFile(directory, segment.baseOffset, LOG_SUFFIX + DELETED_SUFFIX), path)
    this.#spare = { endOffset, sizeBytes, path }
    return true
  }

  async #removeDeleted({ segment, timer }: Deleted): Promise<void> {
    timer.cancel()
    await this.#removeFiles(segment, DELETED_SUFFIX)
    this.#deleted.delete(segment)
  }

  async #removeFiles(segment: Segment, suffix: string): Promise<void> {
    for (const kind of SEGMENT_SUFFIXES) {
      await removePath(
        this.#options.disk,
        segmentFile(this.#options.directory, segment.baseOffset, kind + suffix),
      )
    }
  }
}
