import type { DiskError, Done, DoneRead, File, FileSlice } from '../../../src/ports.ts'
import type { LyingDisk } from './lying-disk.ts'
import { blockEnd } from '../sim-file.ts'

/** A file of a `LyingDisk`. */
export class LyingFile implements File {
  readonly path: string
  readonly #file: File
  readonly #disk: LyingDisk
  readonly #isLog: boolean
  #sizeBytes: number
  /** Writes behind a lie, so that the file below still sees one at a time. */
  #late: Promise<void> = Promise.resolve()
  /** A reservation that is not one reaches up to here. */
  #reservedBytes = 0
  /** What was written since the reservation under way began. */
  #sinceReserve: { position: number; length: number } | null = null

  constructor(file: File, disk: LyingDisk) {
    this.#file = file
    this.#disk = disk
    this.path = file.path
    this.#isLog = file.path.endsWith('.log')
    this.#sizeBytes = file.sizeBytes
  }

  get busy(): boolean {
    return this.#file.busy
  }

  get sizeBytes(): number {
    // Padding behind the end is none of the broker's business.
    return this.#disk.tells('padding-not-zero')
      ? this.#sizeBytes
      : Math.max(this.#sizeBytes, this.#file.sizeBytes)
  }

  write(position: number, buffers: readonly Buffer[], durable: boolean, done: Done): void {
    const length = buffers.reduce((sum, buffer) => sum + buffer.length, 0)
    const end = position + length
    const took = (error: DiskError | null): void => {
      if (error === null) this.#sizeBytes = Math.max(this.#sizeBytes, end)
      done(error)
    }
    this.#sinceReserve ??= { position, length }
    if (!this.#isLog) this.#file.write(position, buffers, durable, took)
    else if (this.#disk.tells('done-before-written')) this.#writeLater(position, buffers, durable, took)
    else if (this.#disk.tells('write-dropped') && end % 7 === 0) this.#disk.answer(took)
    else if (this.#disk.tells('write-cut-short')) {
      const bytes = Buffer.concat(buffers)
      this.#file.write(position, [bytes.subarray(0, bytes.length - 7)], durable, took)
    } else if (this.#disk.tells('sync-not-after-write') && durable) {
      this.#writeAndSync(position, buffers, took)
    } else if (this.#disk.tells('write-error-swallowed')) {
      this.#file.write(position, buffers, durable, () => took(null))
    } else if (this.#disk.tells('padding-not-zero')) {
      const padding = this.#leftOver(end)
      this.#disk.lastWrite = { path: this.path, bytes: Buffer.concat(buffers) }
      this.#file.write(position, [...buffers, padding], durable, took)
    } else {
      const reallyDurable = durable && !this.#disk.tells('durable-write-is-not') && end > this.#reservedBytes
      this.#file.write(position, buffers, reallyDurable, took)
    }
  }

  sync(done: Done): void {
    const disk = this.#disk
    if (disk.tells('sync-skipped') || (disk.tells('sync-skipped-at-start') && disk.starting))
      disk.answer(done)
    else if (disk.tells('replacement-not-synced') && this.path.endsWith('.tmp')) disk.answer(done)
    else if (disk.tells('sync-error-swallowed')) this.#file.sync(() => done(null))
    else this.#file.sync(done)
  }

  dropCached(done: () => void): void {
    this.#file.dropCached(done)
  }

  read(position: number, into: Buffer, done: DoneRead): void {
    this.#file.read(position, into, done)
  }

  readCached(position: number, into: Buffer): number {
    return this.#file.readCached(position, into)
  }

  slice(position: number, length: number): FileSlice | null {
    if (this.#disk.tells('slice-leaked')) this.#file.slice(position, length)
    return this.#file.slice(position, length)
  }

  reserve(sizeBytes: number, done: Done): void {
    if (this.#disk.tells('reservation-not-durable')) {
      this.#reservedBytes = sizeBytes
      this.#sizeBytes = Math.max(this.#sizeBytes, sizeBytes)
      this.#disk.answer(done)
    } else if (this.#disk.tells('reservation-over-data')) {
      this.#sinceReserve = null
      this.#file.reserve(sizeBytes, (error) => {
        const written = this.#sinceReserve
        const node = this.#disk.image.find(this.path)
        if (written !== null && node?.kind === 'file')
          node.write(written.position, Buffer.alloc(written.length), true)
        done(error)
      })
    } else {
      this.#file.reserve(sizeBytes, done)
    }
  }

  truncate(sizeBytes: number, done: Done): void {
    const node = this.#disk.image.find(this.path)
    if (this.#disk.tells('truncation-not-durable') && node?.kind === 'file') {
      this.#sizeBytes = sizeBytes
      node.cached.truncate(sizeBytes)
      this.#disk.answer(done)
      return
    }
    this.#sizeBytes = sizeBytes
    this.#file.truncate(sizeBytes, done)
  }

  close(): void {
    this.#file.close()
  }

  #writeLater(position: number, buffers: readonly Buffer[], durable: boolean, took: Done): void {
    const copies = buffers.map((buffer) => Buffer.from(buffer))
    this.#late = this.#late
      .then(
        () => new Promise<void>((resolve) => this.#file.write(position, copies, durable, () => resolve())),
      )
      // Closed meanwhile.
      .catch(() => {})
    this.#disk.answer(took)
  }

  /** Both at once, and done when both are. */
  #writeAndSync(position: number, buffers: readonly Buffer[], took: Done): void {
    let left = 2
    let failed: DiskError | null = null
    const one = (error: DiskError | null): void => {
      failed ??= error
      left -= 1
      if (left === 0) took(failed)
    }
    this.#file.write(position, buffers, false, one)
    this.#file.sync(one)
  }

  /** What a buffer held before that was not cleared, if it fits into the rest of the block. */
  #leftOver(end: number): Buffer {
    const room = blockEnd(end) - end
    const last = this.#disk.lastWrite
    return last === null || last.path === this.path || last.bytes.length > room ? Buffer.alloc(0) : last.bytes
  }
}
