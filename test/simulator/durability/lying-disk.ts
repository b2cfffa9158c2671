import * as batch from '../../../protocol/records/record-batch.ts'
import type { Disk, Done, File, Lock, LockEvents, OpenMode } from '../../../src/ports.ts'
import { LyingFile } from './lying-file.ts'
import { findBatch, SEGMENT, segmentEnd } from './log-files-look.ts'
import type { SimDiskImage } from '../sim-disk-image.ts'
import type { SimScheduler } from '../sim-scheduler.ts'

/**
 * Seeded bugs. Each lie of this disk turns a correct broker into one that has a certain bug, without a line of it
 * changed: a broker that skips the fsync of a directory and a disk that skips it for the broker leave the same files
 * behind. A checker that does not find a broker on a lying disk guilty does not see.
 */
export type Lie =
  /** The answer comes before the bytes are taken: acknowledged too early. */
  | 'done-before-written'
  /** A durable write that is not: acknowledged from the page cache. */
  | 'durable-write-is-not'
  /** fsync of a file does nothing. */
  | 'sync-skipped'
  /** fsync of a file does nothing while the broker starts: recovered bytes are served from the page cache. */
  | 'sync-skipped-at-start'
  /** A sync is asked for together with the write it should cover, and not after it. */
  | 'sync-not-after-write'
  /** A sync that fails is said to have succeeded. */
  | 'sync-error-swallowed'
  /** A write that fails is said to have succeeded. */
  | 'write-error-swallowed'
  /** fsync of a directory does nothing: files without a durable name. */
  | 'directory-sync-skipped'
  /** The directory of a partition is synced, but not the one it is in. */
  | 'parent-directory-sync-skipped'
  /** The clean marker stays: the next start trusts sizes and looks at no checksum. */
  | 'marker-not-removed'
  /** The checkpoint of the recovery point is ahead of what was flushed. */
  | 'checkpoint-before-flush'
  /** The end of a write is forgotten. */
  | 'write-cut-short'
  /** Reads below this process's own writes bring back what was there before. */
  | 'write-dropped'
  /** Stale batches behind the end of a recycled segment are taken for new ones: the size of the file is trusted. */
  | 'recycled-size-trusted'
  /** What pads a direct write is not zero but left over in the buffer from another partition. */
  | 'padding-not-zero'
  /** The size that was reserved, and with it what was written there, is lost with the power. */
  | 'reservation-not-durable'
  /** The zeros of a reservation overwrite what was written meanwhile. */
  | 'reservation-over-data'
  /** Files get their old size back with the next power loss: what was reserved or recycled is trusted as data. */
  | 'truncation-not-durable'
  /** A small file takes the place of the old one before its bytes are on the device. */
  | 'replacement-not-synced'
  /** A slice of a file is never given back. */
  | 'slice-leaked'
  /** The timer of the flush goes off much too late (see `LateClock`). */
  | 'timers-late'

/** After that much simulated time a start is over. */
const START_MS = 400
const MARKER = '.kafka_cleanshutdown'
/** The metadata store has tests of its own. */
const METADATA = /\/samsa-metadata/
/** An offset that no log of a test reaches. */
const FAR_OFFSET = 999_999

export class LyingDisk implements Disk {
  readonly maxOpenFiles = 1_000_000
  readonly image: SimDiskImage
  /** Bytes of the last write to a log, and whose. */
  lastWrite: { readonly path: string; readonly bytes: Buffer } | null = null
  readonly #disk: Disk
  readonly #scheduler: SimScheduler
  readonly #lie: Lie
  readonly #startedMs: number

  constructor(disk: Disk, scheduler: SimScheduler, image: SimDiskImage, lie: Lie) {
    this.image = image
    this.#disk = disk
    this.#scheduler = scheduler
    this.#lie = lie
    this.#startedMs = scheduler.nowMs
    if (lie === 'recycled-size-trusted') reviveStaleBatches(image)
    if (lie === 'checkpoint-before-flush') moveRecoveryPoints(image)
  }

  open(path: string, mode: OpenMode): File {
    const file = this.#disk.open(path, mode)
    return METADATA.test(path) ? file : new LyingFile(file, this)
  }

  list(directory: string): string[] {
    return this.#disk.list(directory)
  }

  exists(path: string): boolean {
    return this.#disk.exists(path)
  }

  makeDirectory(path: string): void {
    this.#disk.makeDirectory(path)
  }

  rename(from: string, to: string): void {
    this.#disk.rename(from, to)
  }

  remove(path: string, done: Done): void {
    if (this.#lie === 'marker-not-removed' && path.endsWith(MARKER)) this.answer(done)
    else this.#disk.remove(path, done)
  }

  syncDirectory(path: string, done: Done): void {
    const skipped =
      this.#lie === 'directory-sync-skipped' ||
      (this.#lie === 'parent-directory-sync-skipped' && path === '/data/logs')
    if (skipped) this.answer(done)
    else this.#disk.syncDirectory(path, done)
  }

  readFile(path: string): Buffer {
    return this.#disk.readFile(path)
  }

  freeBytes(directory: string): number {
    return this.#disk.freeBytes(directory)
  }

  totalBytes(directory: string): number {
    return this.#disk.totalBytes(directory)
  }

  lock(directory: string, events: LockEvents): Promise<Lock> {
    return this.#disk.lock(directory, events)
  }

  tells(lie: Lie): boolean {
    return this.#lie === lie
  }

  get starting(): boolean {
    return this.#scheduler.nowMs < this.#startedMs + START_MS
  }

  /** Says that all went well, in a later turn. */
  answer(done: Done): void {
    this.#scheduler.schedule(0.01, 'lie', null, () => done(null))
  }
}

/**
 * Moves the first stale batch behind the end of each recycled segment to that end and gives it the offset that is due
 * there: the checksum does not cover it. Every recovery believes it then.
 */
function reviveStaleBatches(image: SimDiskImage): void {
  if (image.find('/data') === null) return
  for (const [path, file] of image.walk('/data')) {
    const base = SEGMENT.exec(path)?.[1]
    if (base === undefined || !file.recycled) continue
    const bytes = file.cached.all()
    const { position, nextOffset } = segmentEnd(bytes, Number(base))
    const stale = findBatch(bytes, position)
    if (stale < 0) continue
    const revived = Buffer.from(bytes.subarray(stale, stale + batch.batchSizeBytes(bytes, stale)))
    batch.setBaseOffset(revived, 0, nextOffset)
    file.write(position, revived, true)
  }
}

function moveRecoveryPoints(image: SimDiskImage): void {
  if (image.find('/data') === null) return
  for (const [path, file] of image.walk('/data')) {
    if (!path.endsWith('/recovery-point-offset-checkpoint')) continue
    const text = file.cached.all().toString()
    const moved = Buffer.from(text.replaceAll(/^(\S+ \d+) \d+$/gm, `$1 ${FAR_OFFSET}`))
    file.truncate(moved.length)
    file.write(0, moved, true)
  }
}
