import type { Disk, Done, File, World } from '../../ports.ts'
import { BatchScanner } from '../files/batch-scanner.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import { readAt, readWhole, truncateFile, writeWhole } from '../files/disk-calls.ts'
import type { LogConfig } from '../log-config.ts'
import { INDEX_SUFFIX, LOG_SUFFIX, segmentFile, TIME_INDEX_SUFFIX } from '../files/log-files.ts'
import type { CachedSegment, SegmentCache } from '../log-types.ts'
import { OffsetIndex } from './offset-index.ts'
import { TimeIndex } from './time-index.ts'

/** What an open file costs beside its indexes, for the cache's sums. */
const OPEN_FILE_BYTES = 1024

export interface SegmentOptions {
  readonly disk: Disk
  readonly cache: SegmentCache
  readonly directory: string
  readonly baseOffset: number
  readonly indexIntervalBytes: number
  /** Wall clock when the segment was created or found. */
  readonly createdMs: number
  /** Other than `.log` while the segment is being made (`.log.cleaned`). */
  readonly suffix?: string
}

/** A segment of a log, created or found now. */
export function segmentOf(
  { clock, disk }: Pick<World, 'clock' | 'disk'>,
  cache: SegmentCache,
  directory: string,
  { indexIntervalBytes }: LogConfig,
  baseOffset: number,
  suffix = '',
): Segment {
  const createdMs = clock.nowMs()
  return new Segment({ disk, cache, directory, baseOffset, indexIntervalBytes, createdMs, suffix })
}

/**
 * One log file with its offset and time index.
 *
 * The active segment keeps file and indexes in memory; index files are written when it is closed. A closed one opens
 * and loads on use and gives both back when the cache asks for it.
 */
export class Segment implements CachedSegment {
  readonly baseOffset: number
  readonly directory: string
  readonly createdMs: number
  /** Bytes appended; of the active segment some may still be on their way to the file. */
  sizeBytes = 0
  writtenBytes = 0
  /** -1 when no record carries one. */
  largestTimestampMs = -1
  largestTimestampOffset: number
  /** Max timestamp of the first batch: rolling by time counts from here. -1 when there is none. */
  firstTimestampMs = -1
  offsetIndex: OffsetIndex | null = null
  timeIndex: TimeIndex | null = null
  /** No longer part of the log; files may be gone. */
  retired = false
  /**
   * Slices of it were given to connections. The kernel may hold its pages in the queue of a socket for as long as the
   * client does not read, so its bytes must never be written over: it may be removed, but not used again.
   */
  sliced = false
  /** Index files on disk are complete: what is in memory can be dropped. */
  persisted = false
  /** The file may be longer than the log in it: room was reserved, or is left of an earlier life of the file. */
  loose = false
  /** The file was another segment's before. */
  recycled = false
  readonly #disk: Disk
  readonly #cache: SegmentCache
  readonly #indexIntervalBytes: number
  #suffix: string
  #file: File | null = null
  #bytesSinceIndexEntry = 0
  #loading: Promise<void> | null = null
  #reserving: Promise<void> | null = null
  /** Files given back while something was still under way in them. */
  #leaving: File[] = []

  constructor(options: SegmentOptions) {
    this.baseOffset = options.baseOffset
    this.largestTimestampOffset = options.baseOffset
    this.directory = options.directory
    this.createdMs = options.createdMs
    this.#disk = options.disk
    this.#cache = options.cache
    this.#indexIntervalBytes = options.indexIntervalBytes
    this.#suffix = options.suffix ?? ''
  }

  get path(): string {
    return segmentFile(this.directory, this.baseOffset, LOG_SUFFIX + this.#suffix)
  }

  /** Opened when it is not. */
  get file(): File {
    this.#file ??= this.#disk.open(this.path, this.persisted ? 'read' : 'create')
    if (this.persisted && !this.retired) this.#cache.touch(this)
    return this.#file
  }

  /** What is under way in its files, read or sent, may still need the bytes as they are. */
  get inUse(): boolean {
    return this.sliced || this.#file?.busy === true || this.#leaving.some((file) => file.busy)
  }

  get reserving(): boolean {
    return this.#reserving !== null
  }

  get indexed(): boolean {
    return this.offsetIndex !== null
  }

  get cachedBytes(): number {
    return OPEN_FILE_BYTES + (this.offsetIndex?.sizeBytes ?? 0) + (this.timeIndex?.sizeBytes ?? 0)
  }

  evict(): void {
    if (!this.persisted) return
    this.#closeFile()
    this.offsetIndex = null
    this.timeIndex = null
  }

  /** Closes the file; the segment must not be used any more. */
  close(): void {
    this.#cache.forget(this)
    this.#closeFile()
  }

  /** Makes the file of the active segment at least `sizeBytes` long. One reservation at a time. */
  reserve(sizeBytes: number, done: Done): void {
    this.loose = true
    let settled = (): void => {}
    this.#reserving = new Promise((resolve) => {
      settled = resolve
    })
    this.file.reserve(sizeBytes, (error) => {
      this.#reserving = null
      settled()
      done(error)
    })
  }

  /** Cuts the file to what the log has in it. Nothing may be written meanwhile. */
  async cutToSize(): Promise<void> {
    if (!this.loose) return
    await this.#reserving
    await truncateFile(this.file, this.writtenBytes)
    this.loose = false
  }

  /** Empty indexes for a segment that is about to be filled or scanned. */
  startIndexes(): void {
    this.offsetIndex = new OffsetIndex(this.baseOffset)
    this.timeIndex = new TimeIndex(this.baseOffset)
    this.sizeBytes = 0
    this.largestTimestampMs = -1
    this.largestTimestampOffset = this.baseOffset
    this.firstTimestampMs = -1
    this.#bytesSinceIndexEntry = 0
    this.persisted = false
  }

  /** The batch at the end of the segment: counts it in and indexes it now and then, as Kafka does. */
  appended(lastOffset: number, maxTimestampMs: number, sizeBytes: number): void {
    if (this.sizeBytes === 0) this.firstTimestampMs = maxTimestampMs
    if (maxTimestampMs > this.largestTimestampMs) {
      this.largestTimestampMs = maxTimestampMs
      this.largestTimestampOffset = lastOffset
    }
    if (this.#bytesSinceIndexEntry > this.#indexIntervalBytes) {
      this.offsetIndex?.append(lastOffset, this.sizeBytes)
      this.timeIndex?.maybeAppend(this.largestTimestampMs, this.largestTimestampOffset)
      this.#bytesSinceIndexEntry = 0
    }
    this.#bytesSinceIndexEntry += sizeBytes
    this.sizeBytes += sizeBytes
  }

  /** Writes both index files; the segment may be evicted afterwards when `final`. */
  async writeIndexes(durable: boolean, final: boolean): Promise<void> {
    const { offsetIndex, timeIndex } = this
    if (offsetIndex === null || timeIndex === null) return
    timeIndex.maybeAppend(this.largestTimestampMs, this.largestTimestampOffset)
    await writeWhole(this.#disk, this.#sibling(INDEX_SUFFIX), offsetIndex.encode(), durable)
    await writeWhole(this.#disk, this.#sibling(TIME_INDEX_SUFFIX), timeIndex.encode(), durable)
    if (!final) return
    this.persisted = true
    if (!this.retired) this.#cache.touch(this)
  }

  /** Empty index files, where there are none: Kafka wants them beside a log file that it trusts. */
  async makeIndexFiles(): Promise<void> {
    for (const kind of [INDEX_SUFFIX, TIME_INDEX_SUFFIX]) {
      await writeWhole(this.#disk, this.#sibling(kind), Buffer.alloc(0), false)
    }
  }

  /**
   * A closed segment as it lies on disk: sizes, and whether its index files can be true. What they say in detail is
   * checked when they are loaded. False: they have to be rebuilt.
   */
  async examine(): Promise<boolean> {
    const file = this.#disk.open(this.path, 'read')
    this.sizeBytes = file.sizeBytes
    this.writtenBytes = file.sizeBytes
    file.close()
    const indexPath = this.#sibling(INDEX_SUFFIX)
    const timePath = this.#sibling(TIME_INDEX_SUFFIX)
    if (!this.#disk.exists(indexPath) || !this.#disk.exists(timePath)) return false
    const index = this.#disk.open(indexPath, 'read')
    const indexBytes = index.sizeBytes
    index.close()
    const time = this.#disk.open(timePath, 'read')
    try {
      if (indexBytes % 8 !== 0 || time.sizeBytes % 12 !== 0) return false
      if (time.sizeBytes > 0) {
        const entry = Buffer.allocUnsafe(12)
        await readAt(time, time.sizeBytes - 12, entry)
        this.largestTimestampMs = batch.readInt64(entry, 0)
        this.largestTimestampOffset = this.baseOffset + entry.readUInt32BE(8)
        // A preallocated index that was not cut ends in zeros.
        if (this.largestTimestampMs <= 0 && time.sizeBytes > 12) return false
      }
    } finally {
      time.close()
    }
    this.persisted = true
    return true
  }

  /** Loads the index files of a closed segment, or rebuilds them when they cannot be true. */
  load(): Promise<void> {
    if (this.indexed) return Promise.resolve()
    this.#loading ??= this.#load().finally(() => {
      this.#loading = null
    })
    return this.#loading
  }

  /**
   * Loads the indexes of the segment that will be appended to, and reads what comes after the last entry. Resolves to
   * the next offset, or -1 when the files do not fit together and the segment has to be recovered.
   */
  async loadActive(): Promise<number> {
    const size = this.file.sizeBytes
    const index = await this.#readIndex(size)
    const time = await this.#readTimeIndex()
    if ((index === null || time === null) && size > 0) return -1
    this.startIndexes()
    this.offsetIndex = index ?? this.offsetIndex
    this.timeIndex = time ?? this.timeIndex
    const start = this.offsetIndex?.lastPosition ?? 0
    this.sizeBytes = start
    this.largestTimestampMs = this.timeIndex?.lastTimestampMs ?? -1
    this.largestTimestampOffset = this.timeIndex?.lastOffset ?? this.baseOffset
    const scanner = new BatchScanner(this.file, start, size)
    let next = this.baseOffset
    while (await scanner.fill()) {
      while (scanner.step()) {
        const { buffer, at } = scanner
        next = batch.lastOffset(buffer, at) + 1
        this.appended(next - 1, batch.maxTimestamp(buffer, at), scanner.sizeBytes)
      }
    }
    if (scanner.problem !== null || next < this.baseOffset) return -1
    if (start > 0 && size > 0) {
      const header = Buffer.alloc(batch.BATCH_OVERHEAD)
      if ((await readAt(this.file, 0, header)) >= 43) this.firstTimestampMs = batch.maxTimestamp(header, 0)
    }
    this.writtenBytes = size
    return next
  }

  /** Makes indexes from the headers of the log file. Stops silently where the file makes no sense. */
  async rebuildIndexes(): Promise<void> {
    const file = this.file
    const size = file.sizeBytes
    this.startIndexes()
    const scanner = new BatchScanner(file, 0, size)
    while (await scanner.fill()) {
      while (scanner.step()) {
        const { buffer, at } = scanner
        this.appended(batch.lastOffset(buffer, at), batch.maxTimestamp(buffer, at), scanner.sizeBytes)
      }
    }
    this.sizeBytes = size
    this.writtenBytes = size
  }

  /**
   * Makes this the segment that is appended to, without the batches that end at or above `offset`: rebuilds the
   * indexes up to there. Resolves to the size the file has to be cut to.
   */
  async reopenUpTo(offset: number): Promise<number> {
    this.#cache.forget(this)
    await this.#reserving
    // Behind them a recycled file holds batches that look as good, with offsets below.
    const endBytes = Math.min(this.writtenBytes, this.file.sizeBytes)
    this.startIndexes()
    this.#closeFile()
    const scanner = new BatchScanner(this.file, 0, endBytes)
    let cut = false
    while (!cut && (await scanner.fill())) {
      while (scanner.step()) {
        const { buffer, at } = scanner
        const lastOffset = batch.lastOffset(buffer, at)
        cut = lastOffset >= offset
        if (cut) break
        this.appended(lastOffset, batch.maxTimestamp(buffer, at), scanner.sizeBytes)
      }
    }
    this.writtenBytes = this.sizeBytes
    return this.sizeBytes
  }

  /** Reads up to `into.length` bytes at `position`; resolves to what was read (less only at the end of the segment). */
  read(position: number, into: Buffer): Promise<number> {
    const length = Math.max(0, Math.min(into.length, this.writtenBytes - position))
    return readAt(this.file, position, into.subarray(0, length))
  }

  /** Appends or takes away what stands behind the names of its files, on disk too. */
  rename(suffix: string): void {
    for (const kind of [LOG_SUFFIX, INDEX_SUFFIX, TIME_INDEX_SUFFIX, '.txnindex']) {
      const from = segmentFile(this.directory, this.baseOffset, kind + this.#suffix)
      if (this.#disk.exists(from)) {
        this.#disk.rename(from, segmentFile(this.directory, this.baseOffset, kind + suffix))
      }
    }
    this.#suffix = suffix
  }

  #closeFile(): void {
    const file = this.#file
    if (file === null) return
    this.#file = null
    file.close()
    this.#leaving = this.#leaving.filter((other) => other.busy)
    if (file.busy) this.#leaving.push(file)
  }

  #sibling(kind: string): string {
    return segmentFile(this.directory, this.baseOffset, kind + this.#suffix)
  }

  async #load(): Promise<void> {
    const index = await this.#readIndex(this.writtenBytes)
    const time = await this.#readTimeIndex()
    if (index === null || time === null) {
      await this.rebuildIndexes()
      await this.writeIndexes(false, true)
      return
    }
    this.offsetIndex = index
    this.timeIndex = time
    if (!this.retired) this.#cache.touch(this)
  }

  async #readIndex(logBytes: number): Promise<OffsetIndex | null> {
    const bytes = await readWhole(this.#disk, this.#sibling(INDEX_SUFFIX))
    return bytes === null ? null : OffsetIndex.decode(bytes, this.baseOffset, logBytes)
  }

  async #readTimeIndex(): Promise<TimeIndex | null> {
    const bytes = await readWhole(this.#disk, this.#sibling(TIME_INDEX_SUFFIX))
    return bytes === null ? null : TimeIndex.decode(bytes, this.baseOffset)
  }
}
