import assert from 'node:assert/strict'
import type { Disk, Done, File, World } from '../../ports.ts'
import { BatchScanner } from '../files/batch-scanner.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import { copyBytes, readAt, readWhole, syncFile, truncateFile, writeWhole } from '../files/disk-calls.ts'
import { SegmentGone } from '../files/disk-problem.ts'
import type { LogConfig } from '../log-config.ts'
import {
  INDEX_SUFFIX,
  LOG_SUFFIX,
  SEGMENT_SUFFIXES,
  segmentFile,
  TIME_INDEX_SUFFIX,
} from '../files/log-files.ts'
import type { CachedSegment, SegmentCache } from '../log-types.ts'
import { OffsetIndex } from './offset-index.ts'
import { readIndexEnds } from './index-ends.ts'
import { endOf, orderProblem, YoungestCheck } from './segment-end.ts'
import type { SegmentEnd } from './segment-end.ts'
import { SegmentFile } from './segment-file.ts'
import type { HeldFile } from './segment-file.ts'
import { FOLLOWS } from './segment-state.ts'
import type { SegmentState } from './segment-state.ts'
import { skipByIndex } from './skip-by-index.ts'
import type { Skipped } from './skip-by-index.ts'
import { TimeIndex } from './time-index.ts'

/** What an open file costs beside its indexes, for the cache's sums. */
const OPEN_FILE_BYTES = 1024

/** Where a log ends in a segment that is going to be cut. */
export interface SegmentCut {
  /** Of the segment, as it will be. */
  readonly counted: Segment
  /** After the last batch that stays. */
  readonly keptEndOffset: number
  /** Where the log goes on: what the cut asked for, or the start of the batch that it falls into. */
  readonly endOffset: number
}

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

interface Counted {
  /** After the last batch counted. */
  readonly next: number
  readonly problem: string | null
  /** Where the first batch begins that was not; -1 when there is none. */
  readonly stoppedAt: number
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
 * and loads on use and gives both back when the cache asks for it. Whoever needs its file for more than one step
 * holds it: neither the cache nor the end of the segment takes it away then.
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
  /** This process compared its indexes with its batches. */
  indexesChecked = false
  readonly #options: SegmentOptions
  readonly #disk: Disk
  readonly #cache: SegmentCache
  readonly #indexIntervalBytes: number
  #suffix: string
  #state: SegmentState = 'making'
  readonly #file: SegmentFile
  /**
   * Slices of it were given to connections. The kernel may hold its pages in the queue of a socket for as long as the
   * client does not read, so its bytes must never be written over: it may be removed, but not used again.
   */
  #sliced = false
  #loose = false
  #recycled = false
  #bytesSinceIndexEntry = 0
  #loading: Promise<void> | null = null
  #repairing: Promise<boolean> | null = null
  #reserving: Promise<void> | null = null

  constructor(options: SegmentOptions) {
    this.baseOffset = options.baseOffset
    this.largestTimestampOffset = options.baseOffset
    this.directory = options.directory
    this.createdMs = options.createdMs
    this.#options = options
    this.#disk = options.disk
    this.#cache = options.cache
    this.#indexIntervalBytes = options.indexIntervalBytes
    this.#suffix = options.suffix ?? ''
    this.#file = new SegmentFile(options.disk, this.#sibling(LOG_SUFFIX))
  }

  get path(): string {
    return this.#file.path
  }

  get state(): SegmentState {
    return this.#state
  }

  get retired(): boolean {
    return this.#state === 'retired'
  }

  /** The file may be longer than the log in it: room was reserved, or is left of an earlier life of the file. */
  get loose(): boolean {
    return this.#loose
  }

  /** The file was another segment's before. */
  get recycled(): boolean {
    return this.#recycled
  }

  /** The file is longer than the log in it, or may become so. */
  mayGrowLoose(): void {
    this.#loose = true
  }

  /** A slice of it goes to a connection. */
  noteSlice(): void {
    this.#sliced = true
  }

  become(state: SegmentState): void {
    assert(FOLLOWS[this.#state].includes(state), `${this.path}: ${this.#state} cannot become ${state}`)
    this.#state = state
    if (state !== 'retired') return
    this.#cache.forget(this)
    this.#file.giveUp()
  }

  /** Makes its file, which is there already when it is `recycled`. Empty indexes. Throws what the disk throws. */
  create(recycled = false): void {
    this.startIndexes()
    this.#recycled = recycled
    this.#loose = recycled
    this.#file.open('create')
  }

  /** The file, for one operation. Throws what the disk throws; SegmentGone when the segment has left the log. */
  openFile(): File {
    return this.#opened().file
  }

  /** The file, for as long as the caller does not release it. Throws as `openFile`. */
  hold(): HeldFile {
    return this.#opened().hold()
  }

  async whileHeld<T>(run: (file: File) => Promise<T>): Promise<T> {
    const held = this.hold()
    try {
      return await run(held.file)
    } finally {
      held.release()
    }
  }

  #opened(): HeldFile {
    if (this.#state === 'retired') throw new SegmentGone(this.path)
    const opened = this.#file.open(this.#state === 'closed' ? 'read' : 'update')
    if (this.#state === 'closed') this.#cache.touch(this)
    return opened
  }

  /** What is under way in its files, read or sent, may still need the bytes as they are. */
  get inUse(): boolean {
    return this.#sliced || this.#file.inUse
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
    if (this.#state !== 'closed') return
    this.#file.giveUp()
    this.offsetIndex = null
    this.timeIndex = null
  }

  /** Closes the file; the segment must not be used any more. */
  close(): void {
    this.#cache.forget(this)
    this.#file.giveUp()
  }

  /** Makes the file of the active segment at least `sizeBytes` long. One reservation at a time. */
  reserve(sizeBytes: number, done: Done): void {
    const file = this.openFile()
    this.#loose = true
    let settled = (): void => {}
    this.#reserving = new Promise((resolve) => {
      settled = resolve
    })
    file.reserve(sizeBytes, (error) => {
      this.#reserving = null
      settled()
      done(error)
    })
  }

  /** Cuts the file to what the log has in it. Nothing may be written meanwhile. */
  async cutToSize(): Promise<void> {
    if (!this.#loose) return
    await this.#reserving
    await truncateFile(this.openFile(), this.writtenBytes)
    this.#loose = false
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

  /** Writes both index files. */
  async writeIndexes(durable: boolean): Promise<void> {
    const { offsetIndex, timeIndex } = this
    if (offsetIndex === null || timeIndex === null) return
    timeIndex.maybeAppend(this.largestTimestampMs, this.largestTimestampOffset)
    await this.#writeSideFile(INDEX_SUFFIX, offsetIndex.encode(), durable)
    await this.#writeSideFile(TIME_INDEX_SUFFIX, timeIndex.encode(), durable)
  }

  /** As `writeIndexes`, and the segment is closed: nothing is missing on the disk any more. */
  async complete(durable: boolean): Promise<void> {
    await this.writeIndexes(durable)
    if (this.#state === 'retired') return
    this.become('closed')
    this.#cache.touch(this)
  }

  /** Empty index files, where there are none: Kafka wants them beside a log file that it trusts. */
  async makeIndexFiles(): Promise<void> {
    for (const kind of [INDEX_SUFFIX, TIME_INDEX_SUFFIX])
      await this.#writeSideFile(kind, Buffer.alloc(0), false)
  }

  /**
   * A closed segment as it lies on disk: sizes, where its batches end, and whether its index files can be true. What they
   * say in detail is checked when they are loaded. Null: they have to be rebuilt.
   */
  async examine(): Promise<SegmentEnd | null> {
    const file = this.#disk.open(this.path, 'read')
    try {
      this.sizeBytes = file.sizeBytes
      this.writtenBytes = file.sizeBytes
      const ends = await readIndexEnds(
        this.#disk,
        this.#sibling(INDEX_SUFFIX),
        this.#sibling(TIME_INDEX_SUFFIX),
        this.baseOffset,
      )
      if (ends === null) return null
      const { position, youngest } = ends
      this.largestTimestampMs = youngest.timestampMs
      this.largestTimestampOffset = youngest.offset
      if (position >= file.sizeBytes && position > 0) return null
      const check = new YoungestCheck(youngest)
      const end = await endOf(file, position, file.sizeBytes, this.baseOffset, check)
      // No batch begins where the index says, or the times are others.
      if (end.problem !== null && position > 0 && end.validBytes === position) return null
      if (check.disproved || (position === 0 && !check.seen)) return null
      this.become('closed')
      return end
    } finally {
      file.close()
    }
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
  loadActive(): Promise<number> {
    return this.whileHeld((file) => this.#loadActive(file))
  }

  async #loadActive(file: File): Promise<number> {
    const size = file.sizeBytes
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
    const { next, problem } = await this.#count(file, start, size)
    if (problem !== null || next < this.baseOffset) return -1
    if (start > 0 && size > 0) {
      const header = Buffer.alloc(batch.BATCH_OVERHEAD)
      if ((await readAt(file, 0, header)) >= 43) this.firstTimestampMs = batch.maxTimestamp(header, 0)
    }
    this.writtenBytes = size
    return next
  }

  /** Makes indexes from the headers of the log file, as far as it makes sense: resolves to how far that is. */
  rebuildIndexes(): Promise<SegmentEnd> {
    return this.#rebuildIndexes(() => true)
  }

  /**
   * The batches say something else than the indexes, as it seems: these are made anew, once, unless it is the batches that
   * are damaged. Resolves to whether they were.
   */
  repairIndexes(): Promise<boolean> {
    this.#repairing ??= this.whileHeld((file) => this.#repairIndexes(file)).finally(() => {
      this.#repairing = null
    })
    return this.#repairing
  }

  async #repairIndexes(file: File): Promise<boolean> {
    const before = this.offsetIndex
    const counted = this.#fresh()
    const { problem } = await counted.#count(file, 0, Math.min(this.writtenBytes, file.sizeBytes))
    this.indexesChecked = true
    if (problem === null && this.#state === 'closed') {
      this.#takeIndexes(counted)
      await this.writeIndexes(false)
      this.#cache.touch(this)
      return true
    }
    if (counted.largestTimestampMs > this.largestTimestampMs) {
      this.largestTimestampMs = counted.largestTimestampMs
      this.largestTimestampOffset = counted.largestTimestampOffset
    }
    // It was cut meanwhile, and has the indexes of what is left.
    if (problem !== null || before === null || this.offsetIndex !== before || this.retired) return false
    counted.offsetIndex?.takeFrom(before, counted.sizeBytes)
    this.offsetIndex = counted.offsetIndex
    return true
  }

  #rebuildIndexes(isWanted: () => boolean): Promise<SegmentEnd> {
    return this.whileHeld(async (file) => {
      // Aside, because the segment may be read, counted and evicted meanwhile.
      const counted = this.#fresh()
      const { next, problem } = await counted.#count(file, 0, file.sizeBytes)
      if (isWanted()) {
        this.#takeIndexes(counted)
        this.sizeBytes = file.sizeBytes
        this.writtenBytes = file.sizeBytes
      }
      return { nextOffset: next, validBytes: counted.sizeBytes, problem }
    })
  }

  /** Where the log ends without what lies at and above `offset`: whole batches stay. Changes nothing. */
  measureUpTo(offset: number): Promise<SegmentCut> {
    return this.whileHeld(async (file) => {
      // Behind them a recycled file holds batches that look as good, with offsets below.
      const endBytes = Math.min(this.writtenBytes, file.sizeBytes)
      const counted = this.#fresh()
      const skipped = await skipByIndex(file, this, offset)
      if (skipped !== null) counted.#goOnBehind(skipped)
      const { next, stoppedAt } = await counted.#count(file, counted.sizeBytes, endBytes, offset)
      const endOffset = stoppedAt < 0 ? offset : Math.min(stoppedAt, offset)
      return { counted, keptEndOffset: next, endOffset }
    })
  }

  #goOnBehind({ offsetIndex, timeIndex, position, firstTimestampMs }: Skipped): void {
    this.offsetIndex = offsetIndex
    this.timeIndex = timeIndex
    this.largestTimestampMs = timeIndex.lastTimestampMs
    this.largestTimestampOffset = timeIndex.lastOffset
    this.firstTimestampMs = firstTimestampMs
    this.sizeBytes = position
  }

  /** Makes this the segment that is appended to, with an end that was measured. Its file follows, see `cutFile`. */
  endAt({ counted }: SegmentCut): void {
    this.#cache.forget(this)
    if (this.#state !== 'active') this.become('active')
    this.#takeIndexes(counted)
    this.sizeBytes = counted.sizeBytes
    this.writtenBytes = counted.sizeBytes
    this.#loose = true
    // It may be open for reading only.
    this.#file.giveUp()
  }

  /** Takes what lies behind the end of the segment out of its file, durably. */
  async cutFile(): Promise<void> {
    await this.#reserving
    if (this.inUse) await this.#moveToOwnFile()
    else {
      this.#loose = true
      await this.cutToSize()
      await syncFile(this.openFile())
    }
  }

  /** A closed segment that is longer than the log in it loses the rest, durably. Nobody reads it yet. */
  async cutClosed(sizeBytes: number): Promise<void> {
    const file = this.#disk.open(this.path, 'update')
    try {
      await truncateFile(file, sizeBytes)
      await syncFile(file)
    } finally {
      file.close()
    }
    this.sizeBytes = sizeBytes
    this.writtenBytes = sizeBytes
  }

  /** Who reads or sends the bytes behind the end keeps them: the segment goes on in a copy without them. */
  async #moveToOwnFile(): Promise<void> {
    const path = `${this.path}.tmp`
    const copy = this.#disk.open(path, 'create')
    try {
      await this.whileHeld((file) => copyBytes(file, copy, this.writtenBytes))
    } finally {
      copy.close()
    }
    this.#disk.rename(path, this.path)
    this.#file.giveUp()
    this.#sliced = false
    this.#recycled = false
    this.#loose = false
  }

  /** Of the same segment, with empty indexes. */
  #fresh(): Segment {
    const fresh = new Segment({ ...this.#options, createdMs: this.createdMs })
    fresh.startIndexes()
    return fresh
  }

  #takeIndexes(counted: Segment): void {
    this.offsetIndex = counted.offsetIndex
    this.timeIndex = counted.timeIndex
    this.largestTimestampMs = counted.largestTimestampMs
    this.largestTimestampOffset = counted.largestTimestampOffset
    this.firstTimestampMs = counted.firstTimestampMs
    this.#bytesSinceIndexEntry = counted.#bytesSinceIndexEntry
  }

  /** Counts in the batches of [start, end) that end below `offset`. */
  async #count(file: File, start: number, end: number, offset = Infinity): Promise<Counted> {
    const scanner = new BatchScanner(file, start, end)
    let next = this.baseOffset
    while (await scanner.fill()) {
      while (scanner.step()) {
        const { buffer, at } = scanner
        const lastOffset = batch.lastOffset(buffer, at)
        // What stands in an old message set is the last offset.
        if (lastOffset >= offset)
          return {
            next,
            problem: null,
            stoppedAt: batch.magic(buffer, at) < 2 ? -1 : batch.baseOffset(buffer, at),
          }
        const problem = orderProblem(buffer, at, next, this.baseOffset)
        if (problem !== null) {
          scanner.reject(problem)
          break
        }
        next = lastOffset + 1
        this.appended(lastOffset, batch.maxTimestamp(buffer, at), scanner.sizeBytes)
      }
    }
    return { next, problem: scanner.problem, stoppedAt: -1 }
  }

  /** Reads up to `into.length` bytes at `position`; resolves to what was read (less only at the end of the segment). */
  read(position: number, into: Buffer): Promise<number> {
    const length = Math.max(0, Math.min(into.length, this.writtenBytes - position))
    return readAt(this.openFile(), position, into.subarray(0, length))
  }

  /** Appends or takes away what stands behind the names of its files, on disk too. */
  rename(suffix: string): void {
    if (suffix === this.#suffix) return
    for (const kind of SEGMENT_SUFFIXES) {
      const from = this.#sibling(kind)
      if (!this.#disk.exists(from)) continue
      this.#disk.rename(from, segmentFile(this.directory, this.baseOffset, kind + suffix))
    }
    this.#suffix = suffix
    this.#file.renamed(this.#sibling(LOG_SUFFIX))
  }

  #sibling(kind: string): string {
    return segmentFile(this.directory, this.baseOffset, kind + this.#suffix)
  }

  async #load(): Promise<void> {
    const index = await this.#readIndex(this.writtenBytes)
    const time = await this.#readTimeIndex()
    // Its files have other names, or are gone.
    if (this.#state === 'retired') throw new SegmentGone(this.path)
    // The log was cut in here meanwhile: it has the indexes of what is left, and those on the disk are of more.
    if (this.indexed) return
    if (index === null || time === null) {
      await this.#rebuildIndexes(() => !this.indexed)
      if (this.#state === 'closed') await this.writeIndexes(false)
      return
    }
    this.offsetIndex = index
    this.timeIndex = time
    this.#cache.touch(this)
  }

  /** Nothing is made in the name of a segment that left the log. */
  async #writeSideFile(kind: string, bytes: Buffer, durable: boolean): Promise<void> {
    if (this.#state !== 'retired') await writeWhole(this.#disk, this.#sibling(kind), bytes, durable)
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
