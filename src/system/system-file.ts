import fs from 'node:fs'
import type { Done, DoneRead, File, FileSlice } from '../ports.ts'
import { DiskFailure, toDiskFailure } from './disk-failure.ts'
import { sliceOf } from './file-slice.ts'
import { RecentWrites } from './recent-writes.ts'
import type { WriteClock } from './recent-writes.ts'

/** What one `writev` takes (IOV_MAX on Linux and macOS). */
const MAX_VECTORS = 1024
/** What one step of a reservation writes. */
const ZEROS = Buffer.alloc(1 << 18)
/** Reads on the loop's own thread stay short. */
const MAX_CACHED_READ_BYTES = 1 << 20

/** A write, or a truncation: both leave in the order they were asked for. */
export interface FileChange {
  readonly file: ThreadFile
  /** -1 for a write. */
  readonly truncateTo: number
  readonly position: number
  readonly buffers: readonly Buffer[]
  readonly lengthBytes: number
  readonly durable: boolean
  readonly done: Done
}

/**
 * One open file. What changes the file (writes, truncations) runs one at a time, in the order it was asked for;
 * reads and syncs run beside it.
 */
export class ThreadFile implements File {
  readonly path: string
  readonly #fd: number
  #sizeBytes: number
  readonly #recent: RecentWrites
  readonly #queue: (write: FileChange) => void
  /** A write or truncation is on the pool. */
  #changing = false
  readonly #waiting: (() => void)[] = []
  /** Everything that still needs the descriptor, queued writes included. */
  #pending = 0
  #closing = false
  readonly #sliceReleased = (): void => this.#end()

  constructor(
    path: string,
    fd: number,
    sizeBytes: number,
    clock: WriteClock,
    queue: (write: FileChange) => void,
  ) {
    this.path = path
    this.#fd = fd
    this.#sizeBytes = sizeBytes
    this.#recent = new RecentWrites(clock)
    this.#queue = queue
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  get busy(): boolean {
    return this.#pending > 0
  }

  /** Nothing changes the file at this moment, so a write may run at once. */
  get idle(): boolean {
    return !this.#changing && this.#waiting.length === 0
  }

  write(position: number, buffers: readonly Buffer[], durable: boolean, done: Done): void {
    this.#begin()
    let lengthBytes = 0
    for (const buffer of buffers) lengthBytes += buffer.length
    this.#queue({ file: this, truncateTo: -1, position, buffers, lengthBytes, durable, done })
  }

  sync(done: Done): void {
    this.#begin()
    fs.fdatasync(this.#fd, (error) => {
      this.#end()
      done(error === null ? null : toDiskFailure(error))
    })
  }

  read(position: number, into: Buffer, done: DoneRead): void {
    this.#begin()
    let bytesRead = 0
    const next = (): void => {
      fs.read(this.#fd, into, bytesRead, into.length - bytesRead, position + bytesRead, (error, count) => {
        bytesRead += count
        if (error === null && count > 0 && bytesRead < into.length) {
          next()
          return
        }
        this.#end()
        done(error === null ? null : toDiskFailure(error), error === null ? bytesRead : 0)
      })
    }
    next()
  }

  readCached(position: number, into: Buffer): number {
    if (this.#closing) throw this.#closed()
    const length = Math.min(into.length, this.#sizeBytes - position)
    if (length <= 0) return 0
    if (length > MAX_CACHED_READ_BYTES || !this.#recent.covers(position, length)) return -1
    let bytesRead = 0
    while (bytesRead < length) {
      const count = readNow(this.#fd, into, bytesRead, length - bytesRead, position + bytesRead)
      // Errors, and a file that somebody cut from outside, are for the asynchronous read to report.
      if (count <= 0) return -1
      bytesRead += count
    }
    return bytesRead
  }

  truncate(sizeBytes: number, done: Done): void {
    this.#begin()
    this.#queue({
      file: this,
      truncateTo: sizeBytes,
      position: 0,
      buffers: [],
      lengthBytes: 0,
      durable: false,
      done,
    })
  }

  slice(position: number, length: number): FileSlice | null {
    if (this.#closing) throw this.#closed()
    const surelyCached = (): boolean => this.#recent.covers(position, length)
    const slice = sliceOf(this.#fd, position, length, surelyCached, this.#sliceReleased)
    if (slice !== null) this.#pending++
    return slice
  }

  reserve(sizeBytes: number, done: Done): void {
    this.#begin()
    const finish = (error: NodeJS.ErrnoException | null): void => {
      this.#end()
      done(error === null ? null : toDiskFailure(error))
    }
    const next = (): void => {
      const left = sizeBytes - this.#sizeBytes
      if (left <= 0) {
        fs.fdatasync(this.#fd, finish)
        return
      }
      const start = this.#sizeBytes
      // What is written from here on lies beyond: nothing of it can be covered by these zeros.
      this.#sizeBytes = start + Math.min(left, ZEROS.length)
      fs.write(this.#fd, ZEROS, 0, this.#sizeBytes - start, start, (error) => {
        if (error === null) next()
        else finish(error)
      })
    }
    next()
  }

  close(): void {
    if (this.#closing) return
    this.#closing = true
    if (this.#pending === 0) this.#closeNow()
  }

  /** Runs a write on the caller's thread. The file must be `idle`. Returns what `done` is to be told. */
  writeNow(write: FileChange): DiskFailure | null {
    const failure = writeFully(this.#fd, write.buffers, write.position, write.lengthBytes)
    if (failure === null) this.#wrote(write)
    this.#end()
    return failure
  }

  /** Runs a truncation, or a write and the flush of a durable one, on the thread pool. */
  startOnPool(change: FileChange): void {
    this.#change(() => {
      if (change.truncateTo < 0) this.#writeOnPool(change, change.buffers, 0)
      else this.#truncateOnPool(change)
    })
  }

  #truncateOnPool({ truncateTo, done }: FileChange): void {
    fs.ftruncate(this.#fd, truncateTo, (error) => {
      if (error === null) {
        this.#sizeBytes = truncateTo
        this.#recent.truncated(truncateTo)
      }
      this.#changed()
      this.#end()
      done(error === null ? null : toDiskFailure(error))
    })
  }

  #writeOnPool(write: FileChange, buffers: readonly Buffer[], written: number): void {
    if (written === write.lengthBytes) {
      this.#writtenOnPool(write)
      return
    }
    const vectors = buffers.slice(0, MAX_VECTORS)
    fs.writev(this.#fd, vectors, write.position + written, (error, count) => {
      if (error !== null) this.#finish(write, toDiskFailure(error))
      else if (count === 0) this.#finish(write, nothingWritten())
      else this.#writeOnPool(write, rest(buffers, count), written + count)
    })
  }

  #writtenOnPool(write: FileChange): void {
    if (!write.durable) {
      this.#finish(write, null)
      return
    }
    // Size is data that fdatasync flushes, so it is enough for a file that grew.
    fs.fdatasync(this.#fd, (error) => {
      if (error === null) this.#finish(write, null)
      else this.#finish(write, toDiskFailure(error))
    })
  }

  #finish(write: FileChange, failure: DiskFailure | null): void {
    if (failure === null) this.#wrote(write)
    this.#changed()
    this.#end()
    write.done(failure)
  }

  #wrote(write: FileChange): void {
    const end = write.position + write.lengthBytes
    if (end > this.#sizeBytes) this.#sizeBytes = end
    this.#recent.wrote(write.position, write.lengthBytes)
  }

  #change(start: () => void): void {
    if (this.#changing) {
      this.#waiting.push(start)
      return
    }
    this.#changing = true
    start()
  }

  #changed(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#changing = false
    else next()
  }

  #begin(): void {
    if (this.#closing) throw this.#closed()
    this.#pending++
  }

  #end(): void {
    this.#pending--
    if (this.#closing && this.#pending === 0) this.#closeNow()
  }

  #closeNow(): void {
    try {
      fs.closeSync(this.#fd)
    } catch {
      // The descriptor is gone either way, and what had to be durable was synced before.
    }
  }

  #closed(): DiskFailure {
    return new DiskFailure('EBADF', `EBADF: ${this.path} is closed`)
  }
}

function readNow(fd: number, into: Buffer, offset: number, length: number, position: number): number {
  try {
    return fs.readSync(fd, into, offset, length, position)
  } catch {
    return -1
  }
}

function writeFully(
  fd: number,
  buffers: readonly Buffer[],
  position: number,
  lengthBytes: number,
): DiskFailure | null {
  let left = buffers
  let written = 0
  try {
    while (written < lengthBytes) {
      const only = left.length === 1 ? left[0] : undefined
      const count =
        only === undefined
          ? fs.writevSync(fd, left.slice(0, MAX_VECTORS), position + written)
          : fs.writeSync(fd, only, 0, only.length, position + written)
      if (count === 0) return nothingWritten()
      written += count
      if (written < lengthBytes) left = rest(left, count)
    }
    return null
  } catch (error) {
    return toDiskFailure(error)
  }
}

/** What is left of `buffers` after their first `count` bytes. */
function rest(buffers: readonly Buffer[], count: number): readonly Buffer[] {
  let skip = count
  let index = 0
  for (; index < buffers.length; index++) {
    const length = buffers[index]?.length ?? 0
    if (length > skip) break
    skip -= length
  }
  const left = buffers.slice(index)
  const first = left[0]
  if (skip > 0 && first !== undefined) left[0] = first.subarray(skip)
  return left
}

function nothingWritten(): DiskFailure {
  return new DiskFailure('EIO', 'EIO: the device took no byte of a write')
}
