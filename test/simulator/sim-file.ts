import { strict as assert } from 'node:assert'
import { crc32 } from 'node:zlib'
import type { DiskError, Done, DoneRead, File, FileSlice } from '../../src/ports.ts'
import type { SimDisk, SimOperation } from './sim-disk.ts'
import { SimDiskError, startOf } from './sim-disk-image.ts'
import type { SimFileNode, SimWriteWay } from './sim-disk-image.ts'
import type { SimRandom } from './sim-random.ts'

/** What a direct write covers is a multiple of this. */
export const BLOCK_BYTES = 4096

/** A reservation is written in pieces; other work of the disk goes on between them. */
const RESERVE_STEP_BYTES = 2 * BLOCK_BYTES

/** An open file of a `SimDisk`. */
export class SimFile implements File {
  readonly path: string
  sizeBytes: number
  private readonly disk: SimDisk
  private readonly node: SimFileNode
  private readonly writable: boolean
  private closed = false
  private changing = false
  private underWay = 0
  /** While a reservation is under way: where was written since it began. */
  private reserved: [start: number, end: number][] | null = null

  constructor(disk: SimDisk, node: SimFileNode, path: string, writable: boolean) {
    this.disk = disk
    this.node = node
    this.path = path
    this.writable = writable
    this.sizeBytes = node.cached.size
  }

  get busy(): boolean {
    return this.underWay > 0
  }

  write(position: number, buffers: readonly Buffer[], durable: boolean, done: Done): void {
    this.mayChange('write')
    assert(position >= 0 && Number.isSafeInteger(position), `write at ${position} of ${this.path}`)
    const lent = [...buffers]
    const bytes = Buffer.concat(lent)
    const direct = durable && this.disk.direct
    this.reserved?.push([position, direct ? blockEnd(position + bytes.length) : position + bytes.length])
    this.enqueue({
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
        if (part === 0) return
        // What a device has begun it finishes, whatever becomes of the process.
        const written = direct
          ? withPadding(position, bytes)
          : startOf({ position, bytes }, part, this.node.recycled)
        if (written.length > 0) this.node.write(position, written, false, direct)
      },
    })
  }

  sync(done: Done): void {
    this.mustBeOpen('sync')
    let covered = 0
    this.enqueue({
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

  dropCached(done: () => void): void {
    this.mustBeOpen('dropCached')
    this.enqueue({
      label: 'dropCached',
      path: this.path,
      complete: () => {
        this.node.dropCached()
        done()
      },
    })
  }

  read(position: number, into: Buffer, done: DoneRead): void {
    this.mustBeOpen('read')
    assert(position >= 0, `read at ${position} of ${this.path}`)
    this.enqueue({
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

  slice(position: number, length: number): FileSlice | null {
    this.mustBeOpen('slice')
    assert(position >= 0 && length > 0, `slice of ${length} at ${position} of ${this.path}`)
    if (position + length > this.node.cached.size || !this.disk.cacheHit()) return null
    this.underWay += 1
    const released = (): void => void (this.underWay -= 1)
    return new SimFileSlice(this.disk, this.node, this.path, position, length, released)
  }

  truncate(sizeBytes: number, done: Done): void {
    this.mayChange('truncate')
    this.enqueue({
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

  reserve(sizeBytes: number, done: Done): void {
    this.mustBeOpen('reserve')
    assert(this.writable, `reserve of ${this.path}, which was opened for reading`)
    assert(this.reserved === null, `reserve of ${this.path} while another one is under way`)
    this.reserved = []
    this.reserveFrom(this.node.cached.size, sizeBytes, { durable: false, direct: this.disk.direct }, done)
  }

  close(): void {
    this.closed = true
  }

  private enqueue(operation: SimOperation): void {
    this.underWay += 1
    this.disk.enqueue({
      ...operation,
      complete: () => {
        this.underWay -= 1
        operation.complete()
      },
    })
  }

  /** Writes zeros in steps. They count as durable once all of them are written. */
  private reserveFrom(start: number, sizeBytes: number, way: SimWriteWay, done: Done): void {
    const end = Math.min(sizeBytes, start + RESERVE_STEP_BYTES)
    this.enqueue({
      label: 'reserve',
      path: this.path,
      complete: () => {
        const growth = Math.max(0, end - this.node.cached.size)
        const full =
          growth > this.disk.roomFor(growth) ? new SimDiskError('ENOSPC', 'reserve', this.path) : null
        const error = full ?? this.disk.hit('reserve', this.path)
        if (error === null) this.zero(start, end, way)
        if (error === null && end < sizeBytes) return this.reserveFrom(end, sizeBytes, way, done)
        this.reserved = null
        if (error === null) this.reservationDone(sizeBytes, way)
        done(error)
      },
      abandon: (random) => this.reservationDied(start, end, random),
    })
  }

  private reservationDone(sizeBytes: number, way: SimWriteWay): void {
    way.durable = true
    this.node.settleDurable()
    this.sizeBytes = Math.max(this.sizeBytes, sizeBytes)
  }

  /** A part of the zeros is there. Or the file has its new size, and its blocks hold what was there before. */
  private reservationDied(start: number, end: number, random: SimRandom): void {
    if (end <= start) return
    if (random.chance(0.2)) {
      const from = Math.max(start, this.node.cached.size)
      if (end > from) this.node.write(from, random.bytes(end - from), false)
    } else {
      this.zero(start, start + random.below(end - start + 1), { durable: false, direct: false })
    }
  }

  /** Zeros for [start, end), but not where somebody wrote meanwhile. */
  private zero(start: number, end: number, way: SimWriteWay): void {
    let free: [number, number][] = end > start ? [[start, end]] : []
    for (const [from, to] of this.reserved ?? []) {
      free = free.flatMap(([low, high]): [number, number][] =>
        to <= low || from >= high
          ? [[low, high]]
          : [
              [low, Math.min(high, from)],
              [Math.max(low, to), high],
            ],
      )
    }
    for (const [low, high] of free) if (high > low) this.node.writeBy(low, Buffer.alloc(high - low), way)
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
    this.sizeBytes = Math.max(this.sizeBytes, position + bytes.length)
    if (bytes.length === 0) return null
    const elsewhere = this.disk.misdirected(this.path)
    if (elsewhere !== null) {
      elsewhere.node.write(elsewhere.position, Buffer.from(bytes), durable)
      if (growth > 0) this.node.write(position + bytes.length - 1, Buffer.alloc(1), durable)
      return null
    }
    const direct = durable && this.disk.direct
    this.node.write(position, direct ? withPadding(position, bytes) : Buffer.from(bytes), durable, direct)
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

/**
 * A stretch of a file on its way out, as sendfile has it: nobody made a copy, so what goes out is what the file holds
 * when it goes. Whoever writes over it, cuts it or gives the file to somebody else before that changes what is sent.
 */
export class SimFileSlice implements FileSlice {
  readonly length: number
  private readonly disk: SimDisk
  private readonly node: SimFileNode
  private readonly path: string
  private readonly position: number
  private readonly whenReleased: () => void
  private released = false

  constructor(
    disk: SimDisk,
    node: SimFileNode,
    path: string,
    position: number,
    length: number,
    whenReleased: () => void,
  ) {
    this.disk = disk
    this.node = node
    this.path = path
    this.position = position
    this.length = length
    this.whenReleased = whenReleased
    disk.slices.add(this)
    disk.counts['slice'] = (disk.counts['slice'] ?? 0) + 1
  }

  release(): void {
    assert(!this.released, `a slice of ${this.path} was released twice`)
    this.released = true
    this.disk.slices.delete(this)
    this.whenReleased()
  }

  /** The process died, and its descriptors with it. */
  forget(): void {
    this.released = true
  }

  /** Bytes from `from` on; fewer than `length` when the file has been cut. */
  take(from: number, length: number): Buffer {
    assert(!this.released, `a slice of ${this.path} was sent after its release`)
    const bytes = Buffer.alloc(length)
    return bytes.subarray(0, this.node.cached.read(this.position + from, bytes))
  }
}

export function blockEnd(position: number): number {
  return Math.ceil(position / BLOCK_BYTES) * BLOCK_BYTES
}

/** A direct write ends with its block: zeros behind the bytes. */
function withPadding(position: number, bytes: Buffer): Buffer {
  const padded = Buffer.alloc(blockEnd(position + bytes.length) - position)
  bytes.copy(padded)
  return padded
}
