import type { Disk, DiskError, Done, File, Lock, OpenMode } from '../../src/ports.ts'
import type { FaultyOperation, SimDiskFaults } from './sim-disk-faults.ts'
import { SimDiskError, UNBOUNDED_BYTES } from './sim-disk-image.ts'
import type { SimDiskImage, SimDirectoryNode, SimFileNode } from './sim-disk-image.ts'
import { BLOCK_BYTES, SimFile } from './sim-file.ts'
import type { SimFileSlice } from './sim-file.ts'
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
 * Durable writes go through the page cache and an fsync (`buffered`), or past it in whole blocks (`direct`): then zeros
 * follow them up to the end of the block, and a power loss in the middle leaves each sector old or new.
 *
 * It also holds the broker to the contract of `ports.ts`: two writes of one file never overlap in time, buffers of
 * a write do not change until it is done, nothing is asked of a closed file. A breach fails the test.
 */

export interface SimDiskOptions {
  /** Shortest and longest time of an ordinary operation. */
  readonly minDelayMs: number
  readonly maxDelayMs: number
  /** Now and then one takes up to `slowMs`, and a sync up to `slowSyncMs`. */
  readonly slowChance: number
  readonly slowMs: number
  readonly slowSyncMs: number
  /** Of reads. */
  readonly slowReadChance: number
  /** `either`: each process finds the one or the other. */
  readonly durableWrites: 'buffered' | 'direct' | 'either'
}

const ORDINARY: SimDiskOptions = {
  minDelayMs: 0.02,
  maxDelayMs: 3,
  slowChance: 0.01,
  slowMs: 100,
  slowSyncMs: 100,
  slowReadChance: 0.01,
  durableWrites: 'buffered',
}

/** The log files of partitions. */
const SEGMENT = /\/\d{20}\.log$/

export interface SimOperation {
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
  readonly maxOpenFiles = 1_000_000
  private readonly image: SimDiskImage
  private readonly faults: SimDiskFaults
  private readonly scheduler: SimScheduler
  private readonly owner: SimOwner
  private readonly random: SimRandom
  private readonly options: SimDiskOptions
  private readonly locks: Map<string, SimOwner>
  private queued: SimOperation[] = []
  private readonly underWay = new Map<SimOperation, SimEvent>()
  /** Operations submitted so far, for tests that count flushes. */
  readonly counts: Record<string, number> = {}
  /** Given out and neither sent nor released. */
  readonly slices = new Set<SimFileSlice>()
  /** Whether durable writes go past the page cache. */
  readonly direct: boolean
  /** What was under way when the process died. */
  dyingOperations: string[] = []

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
    const { durableWrites } = this.options
    this.direct = durableWrites === 'either' ? this.random.chance(0.5) : durableWrites === 'direct'
  }

  open(path: string, mode: OpenMode): File {
    this.throwFault('open', path)
    if (mode === 'replace' && this.owner.alive) this.image.remove(path)
    const found = this.image.find(path)
    if (found?.kind === 'directory') throw new SimDiskError('EISDIR', 'open', path)
    if (found === null && mode !== 'create' && mode !== 'replace')
      throw new SimDiskError('ENOENT', 'open', path)
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
    const node = this.image.find(from)
    this.image.rename(from, to)
    if (node?.kind === 'file' && from.endsWith('.spare') && to.endsWith('.log')) {
      node.recycled = true
      this.counts['recycle'] = (this.counts['recycle'] ?? 0) + 1
    }
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

  async lock(directory: string): Promise<Lock> {
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
    this.dyingOperations = submitted.map(({ label }) => label)
    for (const operation of submitted) operation.abandon?.(random)
    for (const slice of this.slices) slice.forget()
    this.slices.clear()
  }

  enqueue(operation: SimOperation): void {
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

  /** Where a write to `path` lands that the device misdirects: a block of some log; null when it does as it is told. */
  misdirected(path: string): { node: SimFileNode; position: number } | null {
    if (this.faults.check('misdirect', path) === null) return null
    const logs = [...this.image.walk('/')].filter(
      ([name, { cached }]) => SEGMENT.test(name) && cached.size > 0,
    )
    const [to, node] = this.random.pick(logs)
    this.faults.misdirected = { from: path, to }
    return { node, position: BLOCK_BYTES * this.random.below(Math.ceil(node.cached.size / BLOCK_BYTES)) }
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
        this.delayMs(operation.label),
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

  private delayMs(label: string): number {
    const { minDelayMs, maxDelayMs, slowMs, slowSyncMs } = this.options
    const slowChance = label === 'read' ? this.options.slowReadChance : this.options.slowChance
    const slowestMs = label === 'sync' ? slowSyncMs : slowMs
    const worstMs = this.random.chance(slowChance) ? slowestMs : maxDelayMs
    return minDelayMs + this.random.fraction() * (worstMs - minDelayMs)
  }

  private throwFault(operation: FaultyOperation, path: string): void {
    const error = this.faults.check(operation, path)
    if (error !== null) throw error
  }
}
