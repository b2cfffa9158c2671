import fs from 'node:fs'
import os from 'node:os'
import process from 'node:process'
import type { Disk, Done, File, Lock, LockEvents, OpenMode } from '../../ports.ts'
import { descriptorLimit } from './descriptor-limit.ts'
import { DescriptorPool, isShort } from './descriptor-pool.ts'
import { DirectoryLock } from './directory-lock.ts'
import { DIRECTORY_MODE, openFlags, readWholeFile } from './file-gate.ts'
import { FileNames } from './file-names.ts'
import { toDiskFailure } from '../disk-failure.ts'
import type { DiskFailure } from '../disk-failure.ts'
import type { NativeAddon } from '../native-addon.ts'
import { WriteClock } from './recent-writes.ts'
import type { RingEngine } from '../uring/ring-engine.ts'
import { StallGuard } from './stall-guard.ts'
import { SystemFile } from './system-file.ts'
import { ThreadShares } from './thread-shares.ts'
import type { PoolCall } from './thread-shares.ts'
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
  /** Directories that must not be gone near, and why (`checkDirectories`). */
  readonly unusable?: ReadonlyMap<string, DiskFailure>
  /** Where the data lies, as far as it can be used: what is known of files there by their names alone. */
  readonly directories?: readonly string[]
  /** Of the process: disks of one process share them. */
  readonly descriptors?: DescriptorPool
  /** Bytes written last (over all files) that reads may take from the page cache on the loop's own thread. */
  readonly cachedBytes?: number
}

/** What takes a thread, and a descriptor for a moment, and goes by a name. */
type NamedCall = (ended: (error: Error | null) => void) => void

/** What a device does not share with others, so that one that hangs stops its own files only. */
interface Device {
  readonly host: FileHost
  /** Null: each write that the loop does not do itself is a job of its own. */
  readonly turnWriter: TurnWriter | null
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
  readonly #shared: Pick<FileHost, 'addon' | 'clock' | 'descriptors' | 'names' | 'queue'>
  readonly #ring: RingEngine | null
  readonly #unusable: ReadonlyMap<string, DiskFailure>
  /** By number. */
  readonly #devices = new Map<number, Device>()
  readonly #threadShares = new ThreadShares()
  /** By log directory. */
  readonly #directoryDevices = new Map<string, Device>()
  #queued: FileChange[] = []
  #spare: FileChange[] = []
  readonly #pooledTurnBytes: number
  readonly #submitBound = (): void => this.#submit()

  constructor(turn: Turn, options: SystemDiskOptions = {}) {
    this.#turn = turn
    this.#guard = new StallGuard(options.syncBytesPerTurn ?? 16 * MIB, SLOW_WRITE_MS)
    this.#ring = options.ring ?? null
    this.#unusable = options.unusable ?? new Map()
    this.#shared = {
      clock: new WriteClock(options.cachedBytes ?? defaultCachedBytes()),
      addon: options.addon ?? options.ring?.addon ?? null,
      descriptors: options.descriptors ?? new DescriptorPool(descriptorLimit()),
      names: new FileNames(),
      queue: (change) => this.#queue(change),
    }
    for (const directory of options.directories ?? [])
      this.#directoryDevices.set(directory, this.#device(fs.statSync(directory).dev))
    this.#pooledTurnBytes = options.pooledTurnBytes ?? 64 * 1024
  }

  open(path: string, mode: OpenMode): File {
    if (mode === 'replace') this.#descriptors.retrying(() => fs.rmSync(path, { force: true }))
    const opened = this.#descriptors.open(path, openFlags(mode))
    return new SystemFile(path, opened, mode, this.#device(opened.stats.dev).host)
  }

  get #descriptors(): DescriptorPool {
    return this.#shared.descriptors
  }

  #device(number: number): Device {
    const known = this.#devices.get(number)
    if (known !== undefined) return known
    const { addon } = this.#shared
    const ring = this.#ring?.lane(number) ?? null
    const threads = this.#threadShares.share()
    const device = {
      host: { ...this.#shared, ring, filler: new ZeroFiller(), threads },
      turnWriter: addon === null ? null : new TurnWriter(addon, threads),
    }
    this.#devices.set(number, device)
    return device
  }

  get maxOpenFiles(): number {
    return this.#descriptors.maxFiles
  }

  list(directory: string): string[] {
    return this.#descriptors.retrying(() => fs.readdirSync(directory))
  }

  exists(path: string): boolean {
    this.#refuseUnusable(path)
    return fs.existsSync(path)
  }

  /** Not even to look there may be waited for. */
  #refuseUnusable(path: string): void {
    const failure = this.#unusable.get(path)
    if (failure !== undefined) throw failure
  }

  makeDirectory(path: string): void {
    this.#refuseUnusable(path)
    call(() => fs.mkdirSync(path, { recursive: true, mode: DIRECTORY_MODE }))
  }

  rename(from: string, to: string): void {
    call(() => fs.renameSync(from, to))
    this.#shared.names.renamed(from, to)
  }

  remove(path: string, done: Done): void {
    this.#patiently(path, (ended) => fs.rm(path, { recursive: true, force: true }, ended), done)
  }

  syncDirectory(path: string, done: Done): void {
    // Windows has no such thing as a directory one could open and flush.
    if (process.platform === 'win32') {
      process.nextTick(done, null)
      return
    }
    const openAndSync: NamedCall = (ended) =>
      fs.open(path, 'r', (openError, fd) => {
        if (openError !== null) ended(openError)
        else fs.fsync(fd, (syncError) => fs.close(fd, () => ended(syncError)))
      })
    this.#patiently(path, openAndSync, done)
  }

  /** Runs what needs descriptors for a moment; again and again while there is none. */
  #patiently(path: string, run: NamedCall, done: Done): void {
    this.#onThread(path, (threadEnded) =>
      run((error) => {
        threadEnded()
        if (error !== null && isShort(error))
          this.#descriptors.whenFree(() => this.#patiently(path, run, done))
        else done(error === null ? null : toDiskFailure(error))
      }),
    )
  }

  #onThread(path: string, call: PoolCall): void {
    for (const [directory, { host }] of this.#directoryDevices) {
      if (path !== directory && !path.startsWith(`${directory}/`)) continue
      host.threads.run(call)
      return
    }
    call(() => {})
  }

  readFile(path: string): Buffer {
    return this.#descriptors.retrying(() => readWholeFile(path))
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
    return DirectoryLock.acquire(directory, this.#shared.addon, events)
  }

  #queue(change: FileChange): void {
    if (this.#queued.length === 0) this.#turn.at('submit', this.#submitBound)
    this.#queued.push(change)
  }

  #submit(): void {
    const changes = this.#queued
    this.#queued = this.#spare
    let next = 0
    const pooled = this.#shared.addon !== null && bufferedBytes(changes) >= this.#pooledTurnBytes
    try {
      while (next < changes.length) {
        const change = changes[next++]
        if (change === undefined) continue
        if (pooled && change.file.mayWriteNow(change))
          this.#device(change.file.stalls.device).turnWriter?.add(change)
        else this.#start(change)
      }
    } finally {
      if (pooled) for (const { turnWriter } of this.#devices.values()) turnWriter?.submit()
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
