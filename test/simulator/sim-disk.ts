import { strict as assert } from 'node:assert'
import { crc32 } from 'node:zlib'
import type { Disk, DiskError, Done, DoneRead, File, FileSlice, Lock, OpenMode } from '../../src/ports.ts'
import { SimDiskError, UNBOUNDED_BYTES } from './sim-disk-image.ts'
import type { SimDiskImage, SimDirectoryNode, SimFileNode } from './sim-disk-image.ts'
import type { SimRandom } from './sim-random.ts'
import type { SimEvent, SimOwner, SimScheduler } from './sim-scheduler.ts'

/**
 * The disk as one process sees it, over an image that outlives the process.
 *
 * Operations are queued until the `submit` stage, then each completes in a later turn, after a delay of its own:
 * completions of different files (and of a read, a write and a sync of one file) come in any order. A write becomes
 * visible to readers when it completes. A sync covers what had completed when it was submitted, and no more.
 *
 * Faults: an operation can be made to fail by rule (`SimDiskFaults`), writing nothing or only a part. A sync that
 * fails drops what it should have saved for good, and the next sync succeeds: that is what Linux does. The disk
 * runs full at its capacity. When the process dies, a write under way is applied in full, in part or not at all, a
 * removal gets part of the way, and no completion is delivered.
 *
 * It also holds the broker to the contract of `ports.ts`: two writes of one file never overlap in time, buffers of
 * a write do not change until it is done, nothing is asked of a closed file. A breach fails the test.
 */

export type FaultyOperation =
  | 'open'
  | 'read'
  | 'write'
  | 'sync'
  | 'truncate'
  | 'remove'
  | 'syncDirectory'
  | 'rename'

export interface DiskFault {
  readonly operation: FaultyOperation
  readonly code: string
  /** Which paths; all when absent. */
  readonly path?: RegExp
  /** Matching operations that still succeed before it begins. */
  readonly after?: number
  /** How many fail then; all when absent. */
  readonly count?: number
}

/** Rules for failing operations. Shared by the processes that use one image, one after the other. */
export class SimDiskFaults {
  private rules: { fault: DiskFault; seen: number; failed: number }[] = []

  add(fault: DiskFault): void {
    this.rules.push({ fault, seen: 0, failed: 0 })
  }

  clear(): void {
    this.rules = []
  }

  check(operation: FaultyOperation, path: string): SimDiskError | null {
    for (const rule of this.rules) {
      if (rule.fault.operation !== operation || rule.fault.path?.test(path) === false) continue
      if (rule.seen++ < (rule.fault.after ?? 0) || rule.failed >= (rule.fault.count ?? Infinity)) continue
      rule.failed += 1
      return new SimDiskError(rule.fault.code, operation, path)
    }
    return null
  }
}

export interface SimDiskOptions {
  /** Shortest and longest time of an ordinary operation. */
  readonly minDelayMs: number
  readonly maxDelayMs: number
  /** Now and then one takes up to `slowMs`. */
  readonly slowChance: number
  readonly slowMs: number
}

const ORDINARY: SimDiskOptions = { minDelayMs: 0.02, maxDelayMs: 3, slowChance: 0.01, slowMs: 100 }

interface Operation {
  readonly label: string
  readonly path: string
  /** Called when it leaves for the device. */
  submitted?: () => void
  /** Does it and answers. */
  complete(): void
  /** The process died first: what was done all the same. */
  abandon?: (random: SimRandom) => void
}

export class SimDisk implements Disk {
  private readonly image: SimDiskImage
  private readonly faults: SimDiskFaults
  private readonly scheduler: SimScheduler
  private readonly owner: SimOwner
  private readonly random: SimRandom
  private readonly options: SimDiskOptions
  private readonly locks: Map<string, SimOwner>
  private queued: Operation[] = []
  private readonly underWay = new Map<Operation, SimEvent>()
  /** Operations submitted so far, for tests that count flushes. */
  readonly counts: Record<string, number> = {}

  constructor(parts: {
    image: SimDiskImage
    faults: SimDiskFaults
    locks: Map<string, SimOwner>
    scheduler: SimScheduler
    owner: SimOwner
    random: SimRandom
    options?: Partial<SimDiskOptions> | undefined
  }) {
    this.image = parts.image
    this.faults = parts.faults
    this.locks = parts.locks
    this.scheduler = parts.scheduler
    this.owner = parts.owner
    this.random = parts.random
    this.options = { ...ORDINARY, ...parts.options }
  }

  open(path: string, mode: OpenMode): File {
    this.throwFault('open', path)
    const found = this.image.find(path)
    if (found?.kind === 'directory') throw new SimDiskError('EISDIR', 'open', path)
    if (found === null && mode !== 'create') throw new SimDiskError('ENOENT', 'open', path)
    const node = found ?? (this.owner.alive ? this.image.createFile(path) : null)
    if (node === null) throw new SimDiskError('EIO', 'open after the end of the process', path)
    return new SimFile(this, node, path, mode !== 'read')
  }

  list(directory: string): string[] {
    return [...this.image.directory(directory, 'list').cached.keys()]
  }

  exists(path: string): boolean {
    return this.image.find(path) !== null
  }

  makeDirectory(path: string): void {
    if (this.owner.alive) this.image.makeDirectory(path)
  }

  rename(from: string, to: string): void {
    if (!this.owner.alive) return
    this.throwFault('rename', from)
    this.scheduler.trace(`rename ${from} ${to}`, 0)
    this.image.rename(from, to)
  }

  remove(path: string, done: Done): void {
    this.enqueue({
      label: 'remove',
      path,
      complete: () => this.answer(done, this.faults.check('remove', path), () => this.image.remove(path)),
      abandon: (random) => this.image.remove(path, random.below(8)),
    })
  }

  syncDirectory(path: string, done: Done): void {
    let directory: SimDirectoryNode | null = null
    let covered = 0
    this.enqueue({
      label: 'syncDirectory',
      path,
      submitted: () => {
        const node = this.image.find(path)
        directory = node?.kind === 'directory' ? node : null
        covered = this.image.nameChanges
      },
      complete: () => {
        const error = directory === null ? new SimDiskError('ENOENT', 'syncDirectory', path) : null
        this.answer(done, error ?? this.faults.check('syncDirectory', path), () => {
          if (directory !== null) this.image.hardenNames(directory, covered)
        })
      },
    })
  }

  readFile(path: string): Buffer {
    const file = this.image.file(path, 'readFile')
    this.throwFault('read', path)
    return file.cached.all()
  }

  freeBytes(_directory: string): number {
    return Math.max(0, this.image.capacityBytes - this.image.usedBytes())
  }

  totalBytes(_directory: string): number {
    return this.image.capacityBytes
  }

  lock(directory: string): Lock {
    this.image.directory(directory, 'lock')
    if (this.locks.get(directory)?.alive === true) throw new SimDiskError('EBUSY', 'lock', directory)
    if (!this.exists(`${directory}/.lock`)) this.image.createFile(`${directory}/.lock`)
    this.locks.set(directory, this.owner)
    return {
      release: () => {
        if (this.locks.get(directory) === this.owner) this.locks.delete(directory)
      },
    }
  }

  /** Ends all that is under way, because the process died. */
  abandon(random: SimRandom): void {
    const submitted = [...this.underWay.keys()]
    for (const event of this.underWay.values()) this.scheduler.cancel(event)
    this.underWay.clear()
    this.queued = []
    for (const operation of submitted) operation.abandon?.(random)
  }

  enqueue(operation: Operation): void {
    if (!this.owner.alive) return
    if (this.queued.push(operation) > 1) return
    this.scheduler.atEndOfTurn('submit', this.owner, () => this.submit())
  }

  hit(operation: FaultyOperation, path: string): SimDiskError | null {
    return this.faults.check(operation, path)
  }

  /** Whether a read finds its bytes in memory this time. */
  cacheHit(): boolean {
    return this.random.chance(0.5)
  }

  roomFor(extraBytes: number): number {
    return this.image.capacityBytes === UNBOUNDED_BYTES
      ? extraBytes
      : Math.min(extraBytes, this.freeBytes('/'))
  }

  partOf(length: number): number {
    return this.random.below(length + 1)
  }

  note(label: string, value: number): void {
    this.scheduler.trace(label, value)
  }

  answer(done: Done, error: DiskError | null, act: () => void): void {
    if (error === null) act()
    done(error)
  }

  private submit(): void {
    const operations = this.queued
    this.queued = []
    for (const operation of operations) {
      operation.submitted?.()
      this.counts[operation.label] = (this.counts[operation.label] ?? 0) + 1
      const event = this.scheduler.schedule(
        this.delayMs(),
        `disk ${operation.label} ${operation.path}`,
        this.owner,
        () => {
          this.underWay.delete(operation)
          operation.complete()
        },
      )
      this.underWay.set(operation, event)
    }
  }

  private delayMs(): number {
    const { minDelayMs, maxDelayMs, slowChance, slowMs } = this.options
    const worstMs = this.random.chance(slowChance) ? slowMs : maxDelayMs
    return minDelayMs + this.random.fraction() * (worstMs - minDelayMs)
  }

  private throwFault(operation: FaultyOperation, path: string): void {
    const error = this.faults.check(operation, path)
    if (error !== null) throw error
  }
}

class SimFile implements File {
  readonly path: string
  sizeBytes: number
  private readonly disk: SimDisk
  private readonly node: SimFileNode
  private readonly writable: boolean
  private closed = false
  private changing = false

  constructor(disk: SimDisk, node: SimFileNode, path: string, writable: boolean) {
    this.disk = disk
    this.node = node
    this.path = path
    this.writable = writable
    this.sizeBytes = node.cached.size
  }

  write(position: number, buffers: readonly Buffer[], durable: boolean, done: Done): void {
    this.mayChange('write')
    assert(position >= 0 && Number.isSafeInteger(position), `write at ${position} of ${this.path}`)
    const lent = [...buffers]
    const bytes = Buffer.concat(lent)
    this.disk.enqueue({
      label: 'write',
      path: this.path,
      complete: () => {
        this.changing = false
        assert(
          Buffer.concat(lent).equals(bytes),
          `${this.path}: buffers changed while they belonged to the disk`,
        )
        done(this.applyWrite(position, bytes, durable))
      },
      abandon: (random) => {
        const part = random.pick([0, bytes.length, random.below(bytes.length + 1)])
        if (part > 0) this.node.write(position, bytes.subarray(0, part), false)
      },
    })
  }

  sync(done: Done): void {
    this.mustBeOpen('sync')
    let covered = 0
    this.disk.enqueue({
      label: 'sync',
      path: this.path,
      submitted: () => (covered = this.node.changes),
      complete: () => {
        const error = this.disk.hit('sync', this.path)
        if (error === null) this.node.harden(covered)
        else this.node.forget(covered)
        done(error)
      },
    })
  }

  read(position: number, into: Buffer, done: DoneRead): void {
    this.mustBeOpen('read')
    assert(position >= 0, `read at ${position} of ${this.path}`)
    this.disk.enqueue({
      label: 'read',
      path: this.path,
      complete: () => {
        const error = this.disk.hit('read', this.path)
        if (error === null) done(null, this.node.cached.read(position, into))
        else done(error, 0)
      },
    })
  }

  readCached(position: number, into: Buffer): number {
    this.mustBeOpen('readCached')
    return this.disk.cacheHit() ? this.node.cached.read(position, into) : -1
  }

  truncate(sizeBytes: number, done: Done): void {
    this.mayChange('truncate')
    this.disk.enqueue({
      label: 'truncate',
      path: this.path,
      complete: () => {
        this.changing = false
        const error = this.disk.hit('truncate', this.path)
        if (error === null) {
          this.node.truncate(sizeBytes)
          this.sizeBytes = sizeBytes
        }
        done(error)
      },
      abandon: (random) => {
        if (random.chance(0.5)) this.node.truncate(sizeBytes)
      },
    })
  }

  slice(_position: number, _length: number): FileSlice | null {
    return null
  }

  reserve(sizeBytes: number, done: Done): void {
    this.mustBeOpen('reserve')
    const start = this.sizeBytes
    this.sizeBytes = Math.max(start, sizeBytes)
    this.disk.enqueue({
      label: 'reserve',
      path: this.path,
      complete: () => {
        const error = this.disk.hit('write', this.path)
        if (error === null && sizeBytes > start) this.node.write(start, Buffer.alloc(sizeBytes - start), true)
        done(error)
      },
    })
  }

  close(): void {
    this.closed = true
  }

  private applyWrite(position: number, bytes: Buffer, durable: boolean): DiskError | null {
    const growth = Math.max(0, position + bytes.length - this.node.cached.size)
    const full = growth > this.disk.roomFor(growth) ? new SimDiskError('ENOSPC', 'write', this.path) : null
    const error = this.disk.hit('write', this.path) ?? full
    if (error !== null) {
      const part = this.disk.partOf(full === null ? bytes.length : bytes.length - growth)
      if (part > 0) this.node.write(position, bytes.subarray(0, part), false)
      return error
    }
    this.disk.note(this.path, crc32(bytes))
    if (bytes.length > 0) this.node.write(position, Buffer.from(bytes), durable)
    this.sizeBytes = Math.max(this.sizeBytes, position + bytes.length)
    return null
  }

  private mayChange(operation: string): void {
    this.mustBeOpen(operation)
    assert(this.writable, `${operation} of ${this.path}, which was opened for reading`)
    assert(!this.changing, `${operation} of ${this.path} while another write of it is under way`)
    this.changing = true
  }

  private mustBeOpen(operation: string): void {
    assert(!this.closed, `${operation} of ${this.path} after close`)
  }
}
