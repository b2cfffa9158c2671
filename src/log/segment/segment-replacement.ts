import * as batch from '../../../protocol/records/record-batch.ts'
import type { Disk } from '../../ports.ts'
import { removePath, syncFile, writeAt, writeWhole } from '../files/disk-calls.ts'
import {
  CLEANED_SUFFIX,
  SEGMENT_SUFFIXES,
  segmentFile,
  TRANSACTION_INDEX_SUFFIX,
} from '../files/log-files.ts'
import type { Segment } from './segment.ts'

/** A segment in the making, under `.cleaned`, that will take the place of closed ones. */
export class SegmentReplacement {
  readonly segment: Segment
  /** The offset after the last batch. */
  endOffset: number
  /** How often the log had been cut when this was begun. */
  readonly cuts: number
  readonly #disk: Disk

  /** `segment` has the suffix `.cleaned`, empty indexes and no bytes. */
  constructor(disk: Disk, segment: Segment, cuts: number) {
    this.#disk = disk
    this.cuts = cuts
    this.segment = segment
    this.endOffset = segment.baseOffset
  }

  get baseOffset(): number {
    return this.segment.baseOffset
  }

  get sizeBytes(): number {
    return this.segment.sizeBytes
  }

  /** Takes whole batches with their final offsets, ascending. The buffer is free again when it resolves. */
  async append(batches: Buffer): Promise<void> {
    const position = this.segment.sizeBytes
    let at = 0
    while (at < batches.length) {
      const size = batch.batchSizeBytes(batches, at)
      const lastOffset = batch.lastOffset(batches, at)
      this.segment.appended(lastOffset, batch.maxTimestamp(batches, at), size)
      this.endOffset = lastOffset + 1
      at += size
    }
    if (batches.length > 0) await writeAt(this.segment.openFile(), position, [batches], false)
    this.segment.writtenBytes = this.segment.sizeBytes
  }

  /** Everything durable but the names. */
  async complete(transactionIndex: Buffer | null): Promise<void> {
    await this.segment.writeIndexes(true)
    if (transactionIndex !== null) {
      const path = segmentFile(
        this.segment.directory,
        this.baseOffset,
        TRANSACTION_INDEX_SUFFIX + CLEANED_SUFFIX,
      )
      await writeWhole(this.#disk, path, transactionIndex, true)
    }
    await syncFile(this.segment.openFile())
  }

  /** Removes the `.cleaned` files. */
  async abandon(): Promise<void> {
    this.segment.become('retired')
    for (const suffix of SEGMENT_SUFFIXES) {
      await removePath(
        this.#disk,
        segmentFile(this.segment.directory, this.baseOffset, suffix + CLEANED_SUFFIX),
      )
    }
  }
}
