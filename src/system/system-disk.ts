import fs from 'node:fs'
import os from 'node:os'
import process from 'node:process'
import type { Disk, Done, File, Lock, OpenMode } from '../ports.ts'
import { DirectoryLock } from './directory-lock.ts'
import { toDiskFailure } from './disk-failure.ts'
import { ThreadFile } from './thread-file.ts'
import type { FileChange } from './thread-file.ts'
import type { Turn } from './turn.ts'
import { WriteClock } from './recent-writes.ts'

const MIB = 1 << 20

export interface DiskThreadsOptions {
  /** Page-cache writes done on the loop's own thread per turn, before the rest goes to the thread pool. 0: none. */
  readonly syncBytesPerTurn?: number
  /** A page-cache write that took longer than this means that the device pushes back. */
  readonly slowWriteMs?: number
  /** Bytes written last (over all files) that reads may take from the page cache on the loop's own thread. */
  readonly cachedBytes?: number
}

/**
 * The disk by Node.js's own file calls.
 *
 * A write into the page cache costs about 10 us when called directly and 50 us by way of the thread pool, so such
 * writes run on the loop's thread, at the end of the turn, as long as the kernel takes them without a pause. It
 * stops doing so when too many pages are dirty; the stall guard then sends writes to the pool for a while. What
 * has to wait for the device (durable writes, sync, reads of cold bytes) always goes to the pool.
 */
export class DiskThreads implements Disk {
  readonly #turn: Turn
  readonly #guard: StallGuard
  readonly #writes: WriteClock
  #queued: FileChange[] = []
  #spare: FileChange[] = []
  readonly #submitBound = (): void => this.#submit()

  constructor(turn: Turn, options: DiskThreadsOptions = {}) {
    this.#turn = turn
    this.#guard = new StallGuard(options.syncBytesPerTurn ?? 16 * MIB, options.slowWriteMs ?? 10)
    this.#writes = new WriteClock(options.cachedBytes ?? defaultCachedBytes())
  }

  open(path: string, mode: OpenMode): File {
    return call(() => {
      const fd = fs.openSync(path, openFlags(mode), 0o644)
      try {
        const sizeBytes = fs.fstatSync(fd).size
        return new ThreadFile(path, fd, sizeBytes, this.#writes, (write) => this.#queue(write))
      } catch (error) {
        fs.closeSync(fd)
        throw error
      }
    })
  }

  list(directory: string): string[] {
    return call(() => fs.readdirSync(directory))
  }

  exists(path: string): boolean {
    return fs.existsSync(path)
  }

  makeDirectory(path: string): void {
    call(() => fs.mkdirSync(path, { recursive: true }))
  }

  rename(from: string, to: string): void {
    call(() => fs.renameSync(from, to))
  }

  remove(path: string, done: Done): void {
    fs.rm(path, { recursive: true, force: true }, (error) =>
      done(error === null ? null : toDiskFailure(error)),
    )
  }

  syncDirectory(path: string, done: Done): void {
    // Windows has no such thing as a directory one could open and flush.
    if (process.platform === 'win32') {
      process.nextTick(done, null)
      return
    }
    fs.open(path, 'r', (openError, fd) => {
      if (openError !== null) {
        done(toDiskFailure(openError))
        return
      }
      fs.fsync(fd, (syncError) => {
        fs.close(fd, () => done(syncError === null ? null : toDiskFailure(syncError)))
      })
    })
  }

  readFile(path: string): Buffer {
    return call(() => fs.readFileSync(path))
  }

  freeBytes(directory: string): number {
    return call(() => {
      const stats = fs.statfsSync(directory)
      return stats.bavail * stats.bsize
    })
  }

  totalBytes(directory: string): number {
    return call(() => {
      const stats = fs.statfsSync(directory)
      return stats.blocks * stats.bsize
    })
  }

  lock(directory: string): Lock {
    return call(() => DirectoryLock.acquire(directory))
  }

  #queue(write: FileChange): void {
    if (this.#queued.length === 0) this.#turn.at('submit', this.#submitBound)
    this.#queued.push(write)
  }

  #submit(): void {
    const writes = this.#queued
    this.#queued = this.#spare
    let next = 0
    try {
      while (next < writes.length) {
        const write = writes[next++]
        if (write !== undefined) this.#start(write)
      }
    } finally {
      if (next === writes.length) {
        writes.length = 0
        this.#spare = writes
      } else {
        // A callback threw. The writes behind it keep their turn.
        this.#spare = []
        for (const write of writes.slice(next)) this.#queue(write)
      }
    }
  }

  #start(write: FileChange): void {
    if (
      write.durable ||
      write.truncateTo >= 0 ||
      !write.file.idle ||
      !this.#guard.allows(this.#turn.number, write.lengthBytes)
    ) {
      write.file.startOnPool(write)
      return
    }
    const startMs = performance.now()
    const error = write.file.writeNow(write)
    this.#guard.took(performance.now() - startMs, write.lengthBytes)
    write.done(error)
  }
}

const FIRST_PENALTY_MS = 50
const LONGEST_PENALTY_MS = 2000

/** Decides whether a page-cache write may run on the loop's thread. */
export class StallGuard {
  readonly #bytesPerTurn: number
  readonly #slowMs: number
  #turnNumber = -1
  #turnBytes = 0
  #turnMs = 0
  #penaltyUntilMs = 0
  #penaltyMs = FIRST_PENALTY_MS

  constructor(bytesPerTurn: number, slowMs: number) {
    this.#bytesPerTurn = bytesPerTurn
    this.#slowMs = slowMs
  }

  allows(turnNumber: number, lengthBytes: number): boolean {
    if (turnNumber !== this.#turnNumber) {
      this.#turnNumber = turnNumber
      this.#turnBytes = 0
      this.#turnMs = 0
    }
    if (this.#turnBytes + lengthBytes > this.#bytesPerTurn || this.#turnMs > this.#slowMs) return false
    return this.#penaltyUntilMs === 0 || this.#penaltyOver()
  }

  took(durationMs: number, lengthBytes: number): void {
    this.#turnBytes += lengthBytes
    this.#turnMs += durationMs
    if (durationMs <= this.#slowMs) return
    const nowMs = performance.now()
    // Slow again soon after the last penalty: the device is still behind, stay away for longer.
    const again = this.#penaltyUntilMs > 0 && nowMs - this.#penaltyUntilMs < 1000
    this.#penaltyMs = again ? Math.min(LONGEST_PENALTY_MS, this.#penaltyMs * 2) : FIRST_PENALTY_MS
    this.#penaltyUntilMs = nowMs + this.#penaltyMs
  }

  #penaltyOver(): boolean {
    const overMs = performance.now() - this.#penaltyUntilMs
    if (overMs >= 1000) this.#penaltyUntilMs = 0
    return overMs >= 0
  }
}

function openFlags(mode: OpenMode): number {
  if (mode === 'read') return fs.constants.O_RDONLY
  return mode === 'update' ? fs.constants.O_RDWR : fs.constants.O_RDWR | fs.constants.O_CREAT
}

/** In a small container the page cache is small too: at most an eighth of the memory there is. */
function defaultCachedBytes(): number {
  const limit = process.constrainedMemory()
  const total = limit !== undefined && limit > 0 ? Math.min(limit, os.totalmem()) : os.totalmem()
  return Math.min(256 * MIB, Math.floor(total / 8))
}

/** Every error that leaves the disk is a DiskError. */
function call<T>(run: () => T): T {
  try {
    return run()
  } catch (error) {
    throw toDiskFailure(error)
  }
}
