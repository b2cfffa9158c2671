import fs from 'node:fs'
import os from 'node:os'
import process from 'node:process'
import type { Disk, Done, File, Lock, LockEvents, OpenMode } from '../../ports.ts'
import { DirectoryLock } from './directory-lock.ts'
import { toDiskFailure } from '../disk-failure.ts'
import type { NativeAddon } from '../native-addon.ts'
import { WriteClock } from './recent-writes.ts'
import type { RingEngine } from '../uring/ring-engine.ts'
import { StallGuard } from './stall-guard.ts'
import { SystemFile } from './system-file.ts'
import type { FileChange, FileHost } from './system-file.ts'
import { TurnWriter } from './turn-writer.ts'
import type { Turn } from '../turn.ts'
import { ZeroFiller } from '../uring/zero-filler.ts'

const MIB = 1 << 20
/** A page-cache write that took longer than this means that the device pushes back. */
const SLOW_WRITE_MS = 10

export interface SystemDiskOptions {
  /** For looks into the page cache. */
  readonly addon?: NativeAddon | null
  /** For all that waits for the device. Without it the thread pool does that. */
  readonly ring?: RingEngine | null
  /** Page-cache writes done on the loop's own thread per turn, before the rest goes to the thread pool. 0: none. */
  readonly syncBytesPerTurn?: number
  /** With the addon, a turn with this many bytes for the page cache writes them as one job of the thread pool. */
  readonly pooledTurnBytes?: number
  /** Bytes written last (over all files) that reads may take from the page cache on the loop's own thread. */
  readonly cachedBytes?: number
}

/**
 * The disk of this machine.
 *
 * A write into the page cache costs about 10 us when called directly and 50 us by way of the thread pool, so such
 * writes run on the loop's thread, at the end of the turn, as long as the kernel takes them without a pause. It
 * stops doing so when too many pages are dirty; the stall guard then sends writes to the pool for a while. When a turn
 * has much to write, copying costs more than a job does: then all its writes are one job. What has to wait for the
 * device (durable writes, reservations, reads of cold bytes) goes to the ring where there is one, otherwise to the
 * pool.
 */
export class SystemDisk implements Disk {
  readonly #turn: Turn
  readonly #guard: StallGuard
  readonly #host: FileHost
  #queued: FileChange[] = []
  #spare: FileChange[] = []
  /** Null: each write that the loop does not do itself is a job of its own. */
  readonly #turnWriter: TurnWriter | null
  readonly #pooledTurnBytes: number
  readonly #submitBound = (): void => this.#submit()

  constructor(turn: Turn, options: SystemDiskOptions = {}) {
    this.#turn = turn
    this.#guard = new StallGuard(options.syncBytesPerTurn ?? 16 * MIB, SLOW_WRITE_MS)
    this.#host = {
      clock: new WriteClock(options.cachedBytes ?? defaultCachedBytes()),
      filler: new ZeroFiller(),
      addon: options.addon ?? options.ring?.addon ?? null,
      ring: options.ring ?? null,
      queue: (change) => this.#queue(change),
    }
    this.#turnWriter = this.#host.addon === null ? null : new TurnWriter(this.#host.addon)
    this.#pooledTurnBytes = options.pooledTurnBytes ?? 64 * 1024
  }

  open(path: string, mode: OpenMode): File {
    return call(() => {
      const fd = fs.openSync(path, openFlags(mode), 0o644)
      try {
        return new SystemFile(path, fd, mode, fs.fstatSync(fd), this.#host)
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

  lock(directory: string, events: LockEvents): Promise<Lock> {
    return DirectoryLock.acquire(directory, this.#host.addon, events)
  }

  #queue(change: FileChange): void {
    if (this.#queued.length === 0) this.#turn.at('submit', this.#submitBound)
    this.#queued.push(change)
  }

  #submit(): void {
    const changes = this.#queued
    this.#queued = this.#spare
    let next = 0
    const pooled = this.#turnWriter !== null && bufferedBytes(changes) >= this.#pooledTurnBytes
    try {
      while (next < changes.length) {
        const change = changes[next++]
        if (change === undefined) continue
        if (pooled && change.file.mayWriteNow(change)) this.#turnWriter?.add(change)
        else this.#start(change)
      }
    } finally {
      this.#turnWriter?.submit()
      if (next === changes.length) {
        changes.length = 0
        this.#spare = changes
      } else {
        // A callback threw. The changes behind it keep their turn.
        this.#spare = []
        for (const change of changes.slice(next)) this.#queue(change)
      }
    }
  }

  #start(change: FileChange): void {
    const { file, lengthBytes } = change
    if (!file.mayWriteNow(change) || !this.#guard.allows(file.stalls, this.#turn.number, lengthBytes)) {
      file.start(change)
      return
    }
    const startMs = performance.now()
    const failure = file.writeNow(change)
    this.#guard.took(file.stalls, performance.now() - startMs, lengthBytes)
    change.done(failure)
  }
}

/** What goes to the page cache. */
function bufferedBytes(changes: readonly FileChange[]): number {
  let bytes = 0
  for (const change of changes) if (!change.durable) bytes += change.lengthBytes
  return bytes
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
