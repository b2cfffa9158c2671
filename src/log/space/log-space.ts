import type { Clock, DiskError, Logger } from '../../ports.ts'
import { truncateFile } from '../files/disk-calls.ts'
import { diskProblem } from '../files/disk-problem.ts'
import type { LogNames } from '../files/log-names.ts'
import type { LogWriter } from '../append/log-writer.ts'
import { SegmentSpace } from './segment-space.ts'
import type { Segment } from '../segment/segment.ts'
import type { SpareBudget } from './spare-budget.ts'

export interface SpaceOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly names: LogNames
  readonly spares: SpareBudget | null
  readonly failed: (error: unknown) => void
}

/** Keeps the file of the active segment ahead of a log whose writes must be on the device. */
export class LogSpace {
  readonly #options: SpaceOptions
  readonly #space = new SegmentSpace()

  constructor(options: SpaceOptions) {
    this.#options = options
  }

  /** A durable write of the active segment is done. `maxBytes`: what the segment may grow to. */
  wrote(segment: Segment, bytes: number, maxBytes: number): void {
    this.#space.wrote(this.#options.clock.monotonicMs(), bytes)
    this.reserve(segment, maxBytes)
  }

  /** As much as the present rate asks for, if the segment has not half of it. */
  reserve(segment: Segment, maxBytes: number): void {
    const nowMs = this.#options.clock.monotonicMs()
    if (segment.reserving || this.#options.spares?.scarce === true) return
    try {
      const size = this.#space.wanted(nowMs, segment.writtenBytes, segment.openFile().sizeBytes, maxBytes)
      if (size >= 0) segment.reserve(size, (error) => this.#reserved(segment, error))
    } catch (error) {
      if (diskProblem(error) !== 'short') this.#options.failed(error)
    }
  }

  /** Whether `trim` may have anything to do. */
  mayHaveSurplus(segment: Segment, nowMs: number): boolean {
    return segment.loose && !segment.reserving && this.#space.isIdle(nowMs)
  }

  /** Gives back most of what an idle log has reserved. A task of the log. */
  async trim(segment: Segment, nowMs: number, writer: LogWriter): Promise<void> {
    if (this.#surplus(segment, nowMs) < 0) return
    if (segment.recycled) await this.#options.names.persist()
    await writer.hold()
    try {
      const size = this.#surplus(segment, nowMs)
      if (size >= 0 && !segment.reserving) await truncateFile(segment.openFile(), size)
    } finally {
      writer.release()
    }
  }

  #surplus(segment: Segment, nowMs: number): number {
    return this.#space.surplus(nowMs, segment.sizeBytes, segment.openFile().sizeBytes)
  }

  #reserved(segment: Segment, error: DiskError | null): void {
    if (error === null) {
      this.#space.granted()
    } else if (error.code === 'ENOSPC' || error.code === 'EDQUOT' || diskProblem(error) === 'short') {
      const isNews = this.#space.refused(this.#options.clock.monotonicMs())
      if (isNews)
        this.#options.logger.warn(
          { segment: segment.path, error: error.message },
          'no room to reserve ahead: durable writes are slower until there is',
        )
    } else {
      this.#options.failed(error)
    }
  }
}
