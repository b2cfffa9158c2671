import type { DirectDone, DirectFile } from './direct-file.ts'
import type { DiskFailure } from '../disk-failure.ts'
import { fromErrno, nothingWritten } from '../disk-failure.ts'
import type { Ring } from '../native-addon.ts'
import type { RingDriver, RingOperation } from './ring-driver.ts'
import type { StagingChunk, StagingRing } from './staging-ring.ts'
import { CHUNK_BYTES } from './staging-ring.ts'

/** More of them only make each one wait longer for the device. */
const MAX_PARTS_UNDER_WAY = 128
/** With so many under way, a flush for all of them costs less than one with each. Alone, a write is quicker with its own. */
const GROUPED_FROM = 8
const COMPACT_AT = 1024

/**
 * Durable writes of all files of a disk. They leave in the order they were asked for, as memory and the device
 * allow; each is copied into the staging memory first, so that the device gets whole aligned blocks.
 */
export class DirectWriter {
  readonly #driver: RingDriver
  readonly #staging: StagingRing
  readonly #freeParts: WritePart[] = []
  #waiting: DirectFile[] = []
  #nextWaiting = 0

  constructor(driver: RingDriver, staging: StagingRing) {
    this.#driver = driver
    this.#staging = staging
    for (let i = 0; i < MAX_PARTS_UNDER_WAY; i++) {
      this.#freeParts.push(new WritePart(driver, (part) => this.#partEnded(part)))
    }
  }

  /** One write of a file at a time. The buffers are no longer needed when `done` is called. */
  write(
    file: DirectFile,
    position: number,
    buffers: readonly Buffer[],
    lengthBytes: number,
    done: DirectDone,
  ): void {
    if (file.begin(position, buffers, lengthBytes, done)) this.#enqueue(file)
    else file.readBack(this.#driver, () => this.#enqueue(file))
  }

  #enqueue(file: DirectFile): void {
    if (this.#nextWaiting >= COMPACT_AT) {
      this.#waiting = this.#waiting.slice(this.#nextWaiting)
      this.#nextWaiting = 0
    }
    this.#waiting.push(file)
    this.#pump()
  }

  #pump(): void {
    for (;;) {
      const file = this.#waiting[this.#nextWaiting]
      if (file === undefined) break
      if (!file.staged) {
        const part = this.#freeParts.pop()
        if (part === undefined) return
        const length = this.#staging.take(Math.min(file.unstagedBytes, CHUNK_BYTES), file.blockBytes)
        if (length === 0) {
          this.#freeParts.push(part)
          return
        }
        if (file.untouched) {
          const underWay = MAX_PARTS_UNDER_WAY - this.#freeParts.length
          file.grouped = underWay >= GROUPED_FROM && file.mayBeGrouped
        }
        part.stage(file, this.#staging.chunk, this.#staging.offset, length)
        if (file.staged) this.#nextWaiting++
        this.#driver.start(part)
      } else this.#nextWaiting++
    }
    this.#waiting.length = 0
    this.#nextWaiting = 0
  }

  #partEnded(part: WritePart): void {
    const { failure } = part
    const file = part.file!
    part.chunk!.writing--
    this.#freeParts.push(part)
    part.release()
    if (file.partEnded(failure)) {
      // One that fails while it waits for memory leaves here: what its file writes next may not be staged yet.
      if (this.#waiting[this.#nextWaiting] === file) this.#nextWaiting++
      if (file.grouped && !file.failed) file.flush!.add(file)
      else file.end(null)
    }
    this.#pump()
  }
}

/** A region on its way to the device. Used again and again. */
class WritePart implements RingOperation {
  file: DirectFile | null = null
  chunk: StagingChunk | null = null
  failure: DiskFailure | null = null
  readonly #driver: RingDriver
  readonly #done: (part: WritePart) => void
  #offset = 0
  #length = 0
  #position = 0

  constructor(driver: RingDriver, done: (part: WritePart) => void) {
    this.#driver = driver
    this.#done = done
  }

  stage(file: DirectFile, chunk: StagingChunk, offset: number, length: number): void {
    this.file = file
    this.chunk = chunk
    this.failure = null
    this.#offset = offset
    this.#length = length
    this.#position = file.stage(chunk, offset, length)
    chunk.writing++
  }

  release(): void {
    this.file = null
    this.chunk = null
  }

  queue(ring: Ring, id: number): number {
    const { fd, grouped } = this.file!
    const { memory } = this.chunk!
    return ring.write(id, fd, memory, this.#offset, this.#length, this.#position, !grouped)
  }

  ended(result: number): void {
    if (result === this.#length) {
      this.#done(this)
      return
    }
    const { blockBytes, path } = this.file!
    if (result < 0) this.failure = fromErrno(result, 'write', path)
    else {
      const written = result - (result % blockBytes)
      if (written > 0) {
        // The rest of the region, from the last whole block on.
        this.#offset += written
        this.#length -= written
        this.#position += written
        this.#driver.start(this)
        return
      }
      this.failure = nothingWritten(path)
    }
    this.#done(this)
  }
}
