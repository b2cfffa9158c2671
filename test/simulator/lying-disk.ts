import type { Disk, DiskError, Done, DoneRead, File, FileSlice, Lock, OpenMode } from '../../src/ports.ts'
import type { SimScheduler } from './sim-scheduler.ts'

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
  /** fsync of a directory does nothing: files without a durable name. */
  | 'directory-sync-skipped'
  /** The clean marker stays: the next start trusts sizes and looks at no checksum. */
  | 'marker-not-removed'
  /** The end of a write is forgotten. */
  | 'write-cut-short'
  /** The timer of the flush goes off much too late (see `LateClock`). */
  | 'timers-late'
  /** Reads below this process's own writes bring back what was there before. */
  | 'write-dropped'

/** After that much simulated time a start is over. */
const START_MS = 400
const MARKER = '.kafka_cleanshutdown'

export class LyingDisk implements Disk {
  readonly #disk: Disk
  readonly #scheduler: SimScheduler
  readonly #lie: Lie
  readonly #startedMs: number

  constructor(disk: Disk, scheduler: SimScheduler, lie: Lie) {
    this.#disk = disk
    this.#scheduler = scheduler
    this.#lie = lie
    this.#startedMs = scheduler.nowMs
  }

  open(path: string, mode: OpenMode): File {
    const file = this.#disk.open(path, mode)
    // The metadata store has tests of its own.
    return path.includes('/samsa-metadata') ? file : new LyingFile(file, this)
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
    if (this.#lie === 'directory-sync-skipped') this.answer(done)
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

  lock(directory: string): Lock {
    return this.#disk.lock(directory)
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

class LyingFile implements File {
  readonly path: string
  readonly #file: File
  readonly #disk: LyingDisk
  #sizeBytes: number
  /** Writes behind a lie, so that the file below still sees one at a time. */
  #late: Promise<void> = Promise.resolve()

  constructor(file: File, disk: LyingDisk) {
    this.#file = file
    this.#disk = disk
    this.path = file.path
    this.#sizeBytes = file.sizeBytes
  }

  get busy(): boolean {
    return this.#file.busy
  }

  get sizeBytes(): number {
    return Math.max(this.#sizeBytes, this.#file.sizeBytes)
  }

  write(position: number, buffers: readonly Buffer[], durable: boolean, done: Done): void {
    const isLog = this.path.endsWith('.log')
    const end = position + buffers.reduce((sum, buffer) => sum + buffer.length, 0)
    const took = (error: DiskError | null): void => {
      if (error === null) this.#sizeBytes = Math.max(this.#sizeBytes, end)
      done(error)
    }
    if (this.#disk.tells('done-before-written') && isLog) {
      const copies = buffers.map((buffer) => Buffer.from(buffer))
      this.#late = this.#late.then(
        () => new Promise((resolve) => this.#file.write(position, copies, durable, () => resolve())),
      )
      this.#disk.answer(took)
    } else if (this.#disk.tells('write-dropped') && isLog && end % 7 === 0) {
      this.#disk.answer(took)
    } else if (this.#disk.tells('write-cut-short') && isLog) {
      const bytes = Buffer.concat(buffers)
      this.#file.write(position, [bytes.subarray(0, bytes.length - 7)], durable, took)
    } else {
      this.#file.write(position, buffers, durable && !this.#disk.tells('durable-write-is-not'), done)
    }
  }

  sync(done: Done): void {
    const skipped =
      this.#disk.tells('sync-skipped') || (this.#disk.tells('sync-skipped-at-start') && this.#disk.starting)
    if (skipped) this.#disk.answer(done)
    else this.#file.sync(done)
  }

  read(position: number, into: Buffer, done: DoneRead): void {
    this.#file.read(position, into, done)
  }

  readCached(position: number, into: Buffer): number {
    return this.#file.readCached(position, into)
  }

  slice(position: number, length: number): FileSlice | null {
    return this.#file.slice(position, length)
  }

  reserve(sizeBytes: number, done: Done): void {
    this.#file.reserve(sizeBytes, done)
  }

  truncate(sizeBytes: number, done: Done): void {
    this.#sizeBytes = sizeBytes
    this.#file.truncate(sizeBytes, done)
  }

  close(): void {
    this.#file.close()
  }
}
