import fs from 'node:fs'
import os from 'node:os'
import process from 'node:process'
import type { DirectFile } from './direct-file.ts'
import type { DiskFailure } from '../disk-failure.ts'
import { fromErrno, nothingWritten, toDiskFailure } from '../disk-failure.ts'
import type { Ring } from '../native-addon.ts'
import type { RingDriver, RingOperation } from './ring-driver.ts'

export const ZERO_CHUNK_BYTES = 1 << 18
/** Of all files of a disk. Small reservations wait for the device most of their time. */
const MAX_UNDER_WAY = 8
/** Reservations leave most of a fast device to the writes they are made for. */
const BYTES_PER_MS = (1 << 30) / 1000
const BURST_BYTES = 4 << 20

export type ZerosDone = (failure: DiskFailure | null) => void

/** How zeros reach a file. */
export interface ZeroWriter {
  /** Positions and lengths are multiples of it. */
  readonly blockBytes: number
  /** `durable`: `done(null)` means that they are on the device. */
  write(position: number, length: number, durable: boolean, done: ZerosDone): void
  /** Makes room for zeros, and the file longer, when the system has a way that costs little; otherwise does nothing. */
  allocate(position: number, length: number, done: ZerosDone): void
  sync(done: ZerosDone): void
}

/** A file that has zeros to come. */
export interface Filling {
  readonly hasMore: boolean
  /** Starts the next chunk. Its bytes, or -1 when there is nothing to do now; `ended` is called when it is done. */
  step(ended: () => void): number
}

/**
 * Writes the zeros of all reservations of a disk: a chunk of each in turn, few at a time, at a capped rate.
 */
export class ZeroFiller {
  readonly #waiting: Filling[] = []
  #underWay = 0
  #tokens = BURST_BYTES
  #countedMs = performance.now()
  #paused = false

  /** Called for a new reservation, and again for one that had to wait for its file. */
  add(reservation: Filling): void {
    this.#waiting.push(reservation)
    this.#pump()
  }

  #pump(): void {
    while (this.#underWay < MAX_UNDER_WAY && !this.#paused) {
      const reservation = this.#waiting[0]
      if (reservation === undefined) return
      if (!this.#allows()) return
      this.#waiting.shift()
      const bytes = reservation.step(() => {
        this.#underWay--
        this.#pump()
      })
      // It has nothing to do now. It ended, or will be added again.
      if (bytes < 0) continue
      this.#underWay++
      this.#tokens -= bytes
      if (reservation.hasMore) this.#waiting.push(reservation)
    }
  }

  #allows(): boolean {
    const nowMs = performance.now()
    this.#tokens = Math.min(BURST_BYTES, this.#tokens + (nowMs - this.#countedMs) * BYTES_PER_MS)
    this.#countedMs = nowMs
    if (this.#tokens > 0) return true
    this.#paused = true
    setTimeout(
      () => {
        this.#paused = false
        this.#pump()
      },
      Math.ceil(-this.#tokens / BYTES_PER_MS),
    )
    return false
  }
}

/** Where calls to a device run that wait for it. */
export interface Threads {
  run(call: (ended: () => void) => void): void
}

interface ZeroWrite {
  readonly position: number
  readonly length: number
  readonly durable: boolean
  readonly done: ZerosDone
}

/** Through the page cache, by the thread pool. */
export class PoolZeroWriter implements ZeroWriter {
  readonly blockBytes = 1
  readonly #threads: Threads
  readonly #fd: number
  readonly #path: string

  constructor(threads: Threads, fd: number, path: string) {
    this.#threads = threads
    this.#fd = fd
    this.#path = path
  }

  write(position: number, length: number, durable: boolean, done: ZerosDone): void {
    this.#threads.run((ended) =>
      fs.write(this.#fd, pageCacheZeros(), 0, length, position, (error, count) => {
        ended()
        this.#wrote(error, count, { position, length, durable, done })
      }),
    )
  }

  #wrote(error: Error | null, count: number, { position, length, durable, done }: ZeroWrite): void {
    if (error !== null) done(toDiskFailure(error))
    else if (count === 0) done(nothingWritten(this.#path))
    else if (count < length) this.write(position + count, length - count, durable, done)
    else if (durable) this.sync(done)
    else done(null)
  }

  allocate(_position: number, _length: number, done: ZerosDone): void {
    process.nextTick(done, null)
  }

  sync(done: ZerosDone): void {
    this.#threads.run((ended) =>
      fs.fdatasync(this.#fd, (error) => {
        ended()
        done(error === null ? null : toDiskFailure(error))
      }),
    )
  }
}

/** Past the page cache, by the ring. */
export class RingZeroWriter implements ZeroWriter {
  readonly #driver: RingDriver
  readonly #zeros: Buffer
  readonly #file: DirectFile

  /** `zeros` is aligned and ZERO_CHUNK_BYTES long. */
  constructor(driver: RingDriver, zeros: Buffer, file: DirectFile) {
    this.#driver = driver
    this.#zeros = zeros
    this.#file = file
  }

  get blockBytes(): number {
    return this.#file.blockBytes
  }

  write(position: number, length: number, durable: boolean, done: ZerosDone): void {
    this.#driver.start(new ZerosWrite(this.#driver, this.#file, this.#zeros, position, length, durable, done))
  }

  allocate(position: number, length: number, done: ZerosDone): void {
    const { fd, path } = this.#file
    this.#driver.start({
      queue: (ring, id) => ring.fallocate(id, fd, 0, position, length),
      // Not every file system can do it. The chunks tell what is really wrong.
      ended: (result) => done(isFull(result) ? fromErrno(result, 'fallocate', path) : null),
    })
  }

  sync(done: ZerosDone): void {
    const { fd, path } = this.#file
    this.#driver.start({
      queue: (ring, id) => ring.fdatasync(id, fd),
      ended: (result) => done(result < 0 ? fromErrno(result, 'fdatasync', path) : null),
    })
  }
}

class ZerosWrite implements RingOperation {
  readonly #driver: RingDriver
  readonly #file: DirectFile
  readonly #zeros: Buffer
  #position: number
  #length: number
  readonly #durable: boolean
  readonly #done: ZerosDone

  constructor(
    driver: RingDriver,
    file: DirectFile,
    zeros: Buffer,
    position: number,
    length: number,
    durable: boolean,
    done: ZerosDone,
  ) {
    this.#driver = driver
    this.#file = file
    this.#zeros = zeros
    this.#position = position
    this.#length = length
    this.#durable = durable
    this.#done = done
  }

  queue(ring: Ring, id: number): number {
    return ring.write(id, this.#file.fd, this.#zeros, 0, this.#length, this.#position, this.#durable)
  }

  ended(result: number): void {
    const { blockBytes, path } = this.#file
    if (result < 0) {
      this.#done(fromErrno(result, 'write', path))
      return
    }
    const written = result - (result % blockBytes)
    if (result === this.#length) this.#done(null)
    else if (written === 0) this.#done(nothingWritten(path))
    else {
      this.#position += written
      this.#length -= written
      this.#driver.start(this)
    }
  }
}

const { ENOSPC, EDQUOT, EFBIG } = os.constants.errno

function isFull(result: number): boolean {
  return result === -ENOSPC || result === -EDQUOT || result === -EFBIG
}

let zeros: Buffer | null = null

function pageCacheZeros(): Buffer {
  zeros ??= Buffer.alloc(ZERO_CHUNK_BYTES)
  return zeros
}
