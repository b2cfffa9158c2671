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

interface Spare {
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

  /** The segment is out of the log. Its files become `.deleted`, and are gone some time later. */
  retire(segment: Segment, endOffset: number): void {
    segment.retired = true
    segment.rename(DELETED_SUFFIX)
    const timer = this.#options.clock.after(this.#options.delayMs(), () => {
      this.#options.run(() => this.#expire(segment))
    })
    this.#deleted.set(segment, { segment, timer, endOffset })
  }

  /** Removes the files of a segment whose offsets will be given again. */
  async remove(segment: Segment): Promise<void> {
    segment.retired = true
    segment.close()
    await this.#removeFiles(segment, '')
  }

  /** Makes the spare file, if there is one that fits, the log file of a segment. True when it did. */
  use(segment: Segment): boolean {
    const spare = this.#spare
    if (spare === null || segment.baseOffset < spare.endOffset) return false
    this.#spare = null
    this.#options.spares?.give(spare.sizeBytes)
    this.#options.disk.rename(spare.path, segment.path)
    return true
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
    this.#spare = null
    await removePath(this.#options.disk, spare.path)
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
    segment.close()
    if (segment.inUse || !spares.take(sizeBytes)) return false
    const path = segmentFile(directory, endOffset, SPARE_SUFFIX)
    disk.rename(segmentFile(directory, segment.baseOffset, LOG_SUFFIX + DELETED_SUFFIX), path)
    this.#spare = { endOffset, sizeBytes, path }
    return true
  }

  async #removeDeleted({ segment, timer }: Deleted): Promise<void> {
    timer.cancel()
    this.#deleted.delete(segment)
    segment.close()
    await this.#removeFiles(segment, DELETED_SUFFIX)
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
