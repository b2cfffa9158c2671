import fs from 'node:fs'
import type { Logger } from '../../ports.ts'
import { DiskFailure, isCode, toDiskFailure } from '../disk-failure.ts'
import { openFile } from './file-gate.ts'
import type { OpenedFile } from './file-gate.ts'

/** What is no file of a log and no client: pipes, rings, listeners, the admin port, files that are open for a moment. */
const RESERVED = 256
/** Of the rest, clients have at most so much. */
const SOCKET_SHARE = 0.75
/** Calls that cannot wait may go so far beyond what the files have. */
const HEADROOM = 64
/** A file that nobody used for so long gives its descriptor back. */
const TICK_MS = 1000
const IDLE_TICKS = 3
/** One with bytes that only the page cache has is flushed first: by then the system has mostly done it. */
const UNFLUSHED_IDLE_TICKS = 40
/** One after the other: closing so many takes a millisecond or two. */
const MAX_PARKED_AT_ONCE = 500
const NEXT_PARKED_MS = 20
const MAX_SETTLING = 8
/** After the system itself had none left: how many of ours go at once. */
const PARKED_WHEN_SHORT = 32
const RETRY_MS = 20

/** A file that can do without its descriptor while nothing is under way in it. */
export abstract class Pooled {
  /** Something was written that only the page cache may have: without a descriptor nobody would learn of its loss. */
  abstract readonly unflushed: boolean
  /** Gives the descriptor back. */
  abstract park(): void
  /** Has the device take what is not flushed. The file is busy meanwhile. */
  abstract settle(ended: () => void): void
  list: IdleList | null = null
  older: Pooled | null = null
  newer: Pooled | null = null
  idleTick = 0
}

/** Least recently used first. */
class IdleList {
  oldest: Pooled | null = null
  #newest: Pooled | null = null

  add(file: Pooled): void {
    file.list = this
    file.older = this.#newest
    if (this.#newest === null) this.oldest = file
    else this.#newest.newer = file
    this.#newest = file
  }

  remove(file: Pooled): void {
    if (file.older === null) this.oldest = file.newer
    else file.older.newer = file.newer
    if (file.newer === null) this.#newest = file.older
    else file.newer.older = file.older
    file.list = null
    file.older = null
    file.newer = null
  }
}

/**
 * The descriptors of this process. Files of logs are many more than may be open at once, and most are idle: they give
 * their descriptors back after a few seconds, or as soon as others need them, and get one again when they are used.
 */
export class DescriptorPool {
  readonly #usable: number
  readonly #logger: Logger | null
  readonly #tickMs: number
  readonly #clean = new IdleList()
  readonly #unflushed = new IdleList()
  #files = 0
  #sockets = 0
  #settling = 0
  #tick = 0
  #sweeping = false
  /** What waits for a descriptor, in order. */
  #waiting: (() => void)[] = []
  #retryAsked = false
  #wasShort = false
  #refusing = false

  /** `limit` is that of the process. */
  constructor(limit: number, logger: Logger | null = null, tickMs = TICK_MS) {
    this.#tickMs = tickMs
    this.#usable = limit - Math.min(RESERVED, Math.floor(limit / 4))
    this.#logger = logger
  }

  /** How many files may be open at once while no client is connected. */
  get maxFiles(): number {
    return this.#usable
  }

  get openFiles(): number {
    return this.#files
  }

  /** What clients do not have, and a part that they never get. */
  get #fileLimit(): number {
    return Math.max(this.#usable - this.#maxSockets, this.#usable - this.#sockets)
  }

  get #maxSockets(): number {
    return Math.floor(this.#usable * SOCKET_SHARE)
  }

  // --------------------------------------------------------------------------------------------------------- files

  /** Opens a file, if need be with the descriptor of another one. Throws what the system says. */
  open(path: string, flags: number): OpenedFile {
    if (this.#files >= this.#fileLimit) this.#makeRoom(1)
    return this.#open(path, flags)
  }

  /** As `open`, for a caller that can wait (`whenFree`): throws EMFILE while files have all descriptors they may have. */
  reopen(path: string, flags: number): OpenedFile {
    if (this.#files >= this.#fileLimit && !this.#makeRoom(1) && this.#files >= this.#fileLimit + HEADROOM)
      throw new DiskFailure('EMFILE', `EMFILE: all descriptors are in use, open '${path}'`)
    return this.#open(path, flags)
  }

  #open(path: string, flags: number): OpenedFile {
    const opened = this.retrying(() => openFile(path, flags))
    this.#files++
    return opened
  }

  /** Runs what takes a descriptor for a moment; again, with those of idle files, when the system has none left. */
  retrying<T>(run: () => T): T {
    try {
      return run()
    } catch (error) {
      if (!isShort(error) || !this.#makeRoom(PARKED_WHEN_SHORT)) throw toDiskFailure(error)
    }
    try {
      return run()
    } catch (error) {
      throw toDiskFailure(error)
    }
  }

  close(fd: number): void {
    this.#files--
    try {
      fs.closeSync(fd)
    } catch {
      // The descriptor is gone either way, and what had to be durable was synced before.
    }
    this.#askRetry(0)
  }

  /** A second descriptor of an open file was opened or closed. */
  counted(change: 1 | -1): void {
    this.#files += change
  }

  /** Calls `run` when there may be a descriptor. It asks again when there is none after all. */
  whenFree(run: () => void): void {
    this.#waiting.push(run)
    if (!this.#wasShort) {
      this.#wasShort = true
      this.#logger?.warn(
        { openFiles: this.#files, connections: this.#sockets },
        'no file descriptor is left: what needs one waits (ulimit -n)',
      )
    }
    this.#askRetry(RETRY_MS)
  }

  /** The file is open, and nothing is under way in it. */
  idle(file: Pooled): void {
    file.idleTick = this.#tick
    const list = file.unflushed ? this.#unflushed : this.#clean
    list.add(file)
    if (!this.#sweeping) {
      this.#tick = file.idleTick = Math.floor(performance.now() / this.#tickMs)
      this.#askSweep()
    }
    if (this.#waiting.length > 0) this.#askRetry(0)
  }

  busy(file: Pooled): void {
    file.list?.remove(file)
  }

  #park(file: Pooled): void {
    this.#clean.remove(file)
    file.park()
  }

  /** Takes the descriptors of files that were idle for longest. False: none has one to give now. */
  #makeRoom(count: number): boolean {
    let made = 0
    while (made < count && this.#clean.oldest !== null) {
      this.#park(this.#clean.oldest)
      made++
    }
    if (made === 0) this.#settleOldest(Infinity)
    return made > 0
  }

  #settleOldest(idleSince: number): void {
    while (this.#settling < MAX_SETTLING) {
      const file = this.#unflushed.oldest
      if (file === null || file.idleTick > idleSince) return
      this.#settling++
      file.settle(() => {
        this.#settling--
      })
    }
  }

  #askSweep(delayMs = this.#tickMs): void {
    this.#sweeping = true
    setTimeout(() => this.#sweep(), delayMs).unref()
  }

  #sweep(): void {
    this.#tick = Math.floor(performance.now() / this.#tickMs)
    const idleSince = this.#tick - IDLE_TICKS
    let parked = 0
    for (; parked < MAX_PARKED_AT_ONCE; parked++) {
      const file = this.#clean.oldest
      if (file === null || file.idleTick > idleSince) break
      this.#park(file)
    }
    this.#settleOldest(this.#tick - UNFLUSHED_IDLE_TICKS)
    this.#sweeping = false
    if (this.#clean.oldest === null && this.#unflushed.oldest === null) return
    this.#askSweep(parked === MAX_PARKED_AT_ONCE ? NEXT_PARKED_MS : this.#tickMs)
  }

  #askRetry(delayMs: number): void {
    if (this.#retryAsked || this.#waiting.length === 0) return
    this.#retryAsked = true
    const retry = (): void => {
      this.#retryAsked = false
      const waiting = this.#waiting
      this.#waiting = []
      for (const run of waiting) run()
      if (this.#waiting.length === 0) this.#wasShort = false
    }
    if (delayMs === 0) setImmediate(retry)
    else setTimeout(retry, delayMs)
  }

  // ------------------------------------------------------------------------------------------------------- sockets

  /** A client has connected. False: there is no room for it. */
  socketOpened(): boolean {
    if (this.#sockets >= this.#maxSockets) {
      if (!this.#refusing)
        this.#logger?.warn(
          { connections: this.#sockets },
          'connections are refused: descriptors are short (ulimit -n)',
        )
      this.#refusing = true
      return false
    }
    this.#refusing = false
    this.countSocket()
    return true
  }

  /** A connection of our own choice, for which there always is room: clients never get all descriptors. */
  countSocket(): void {
    this.#sockets++
    if (this.#files > this.#fileLimit) this.#makeRoom(this.#files - this.#fileLimit)
  }

  socketClosed(): void {
    this.#sockets--
    this.#askRetry(0)
  }
}

export function isShort(error: unknown): boolean {
  return isCode(error, 'EMFILE', 'ENFILE')
}
