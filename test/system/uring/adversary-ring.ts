import assert from 'node:assert/strict'
import fs from 'node:fs'
import type { NativeAddon, Ring } from '../../../src/system/native-addon.ts'
import { crc32c } from '../../../protocol/crc32c.ts'
import type { Seeded } from '../../support/seed.ts'

const BLOCK = 4096

interface Operation {
  readonly kind: 'write' | 'read' | 'flush' | 'other'
  readonly id: number
  readonly fd: number
  readonly inode: number
  readonly buffer: Uint8Array
  readonly offset: number
  readonly length: number
  readonly position: number
  /** Of the bytes to write, when they were handed over. */
  readonly checksum: number
  /** A write: durable by itself. */
  readonly durable: boolean
  /** A flush: what had ended when it began. */
  began: number
}

/** A write that ended in the cache of the device. */
interface Unflushed {
  readonly inode: number
  readonly position: number
  readonly end: number
  /** Its place among all writes that ended. */
  readonly place: number
}

/**
 * A kernel that uses every freedom it has: what is under way ends in any order, much later, and writes are short now
 * and then. It checks what a caller must keep to: whole aligned blocks, memory that nobody touches before the
 * completion, and never two writes under way to the same block of a file.
 */
export class AdversaryRing implements Ring {
  readonly completions = new Int32Array(2048)
  /** Writes that ended while an older one was still under way. */
  overtakings = 0
  /** Writes with a flush of their own, without one, and flushes. */
  readonly counts = { durable: 0, plain: 0, flushes: 0 }
  /** Files that were written without a flush of their own. */
  readonly plainInodes = new Set<number>()
  /** Of all flushes from now on. */
  flushAnswer = 0
  #unflushed: Unflushed[] = []
  #ends = 0
  readonly #random: Seeded
  readonly #onCompletions: (count: number) => void
  #queued: Operation[] = []
  #underWay: Operation[] = []
  #scheduled = false

  constructor(random: Seeded, onCompletions: (count: number) => void) {
    this.#random = random
    this.#onCompletions = onCompletions
  }

  write(
    id: number,
    fd: number,
    buffer: Uint8Array,
    offset: number,
    length: number,
    position: number,
    dsync: boolean,
  ): number {
    const inode = fs.fstatSync(fd).ino
    assert.ok(length > 0 && length % BLOCK === 0, `length ${length}`)
    assert.ok(offset % BLOCK === 0 && offset + length <= buffer.length, `memory at ${offset}`)
    assert.equal(position % BLOCK, 0, `position ${position}`)
    for (const other of [...this.#queued, ...this.#underWay]) {
      const apart = position >= other.position + other.length || other.position >= position + length
      assert.ok(other.kind !== 'write' || other.inode !== inode || apart, `two writes to ${position} at once`)
    }
    const checksum = crc32c(buffer.subarray(offset, offset + length), 0)
    const stretch = { fd, inode, buffer, offset, length, position, checksum }
    this.#queued.push({ kind: 'write', id, ...stretch, durable: dsync, began: 0 })
    return 0
  }

  read(id: number, fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number {
    this.#queued.push({
      kind: 'read',
      id,
      fd,
      inode: 0,
      buffer,
      offset,
      length,
      position,
      checksum: 0,
      durable: false,
      began: 0,
    })
    return 0
  }

  fdatasync(id: number, fd: number): number {
    return this.#other(id, fd, 'flush')
  }

  syncFileRange(id: number, fd: number): number {
    return this.#other(id, fd)
  }

  fadvise(id: number, fd: number): number {
    return this.#other(id, fd)
  }

  fallocate(id: number, fd: number): number {
    return this.#other(id, fd)
  }

  submit(): number {
    const count = this.#queued.length
    for (const operation of this.#queued) operation.began = this.#ends
    this.#underWay.push(...this.#queued)
    this.#queued = []
    this.#schedule()
    return count
  }

  /** As in a turn of which nobody knows what completed meanwhile. */
  reap(): number {
    return this.#take()
  }

  ref(): void {}
  unref(): void {}
  close(): void {}

  /** Nothing of these bytes would be lost with the power. */
  onDevice(inode: number, position: number, end: number): boolean {
    return !this.#unflushed.some(
      (write) => write.inode === inode && write.position < end && position < write.end,
    )
  }

  #other(id: number, fd: number, kind: 'other' | 'flush' = 'other'): number {
    const buffer = new Uint8Array(0)
    this.#queued.push({
      kind,
      id,
      fd,
      inode: 0,
      buffer,
      offset: 0,
      length: 0,
      position: 0,
      checksum: 0,
      durable: false,
      began: 0,
    })
    return 0
  }

  #schedule(): void {
    if (this.#scheduled || this.#underWay.length === 0) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#complete()
      this.#schedule()
    })
  }

  #complete(): void {
    const count = this.#take()
    if (count > 0) this.#onCompletions(count)
  }

  #take(): number {
    const random = this.#random
    let count = 0
    while (this.#underWay.length > 0 && random.between(0, 2) === 0) {
      const index = random.between(0, this.#underWay.length - 1)
      const [operation] = this.#underWay.splice(index, 1)
      if (operation!.kind === 'write' && index > 0) this.overtakings++
      this.completions[2 * count] = operation!.id
      this.completions[2 * count + 1] = this.#run(operation!)
      count++
    }
    return count
  }

  #run(operation: Operation): number {
    const { kind, fd, length, position, began } = operation
    if (kind === 'other' || kind === 'flush') {
      fs.fstatSync(fd)
      if (kind === 'other') return 0
      this.counts.flushes++
      if (this.flushAnswer < 0) return this.flushAnswer
      this.#unflushed = this.#unflushed.filter(({ place }) => place >= began)
      return 0
    }
    if (kind === 'read') return this.#read(operation)
    if (operation.durable) this.counts.durable++
    else {
      this.counts.plain++
      this.plainInodes.add(operation.inode)
      const end = position + length
      this.#unflushed.push({ inode: operation.inode, position, end, place: this.#ends++ })
    }
    return this.#write(operation)
  }

  #read({ fd, buffer, offset, length, position }: Operation): number {
    // As for writes: an O_DIRECT descriptor wants aligned memory.
    const plain = fs.openSync(`/proc/self/fd/${fd}`, 'r')
    try {
      return fs.readSync(plain, buffer, offset, length, position)
    } finally {
      fs.closeSync(plain)
    }
  }

  #write({ fd, buffer, offset, length, position, checksum }: Operation): number {
    const bytes = buffer.subarray(offset, offset + length)
    assert.equal(crc32c(bytes, 0), checksum, 'the memory of a write changed before its completion')
    // The descriptor is open for O_DIRECT, which this memory is not good enough for.
    const plain = fs.openSync(`/proc/self/fd/${fd}`, 'r+')
    try {
      const blocks = length / BLOCK
      const short = blocks > 1 && this.#random.between(0, 9) === 0
      return fs.writeSync(
        plain,
        bytes,
        0,
        short ? this.#random.between(1, blocks - 1) * BLOCK : length,
        position,
      )
    } finally {
      fs.closeSync(plain)
    }
  }
}

/** An addon with such a ring, and nothing else of note. */
export function adversaryAddon(random: Seeded): {
  readonly addon: NativeAddon
  readonly rings: AdversaryRing[]
} {
  const rings: AdversaryRing[] = []
  const addon: NativeAddon = {
    crc32c,
    crc32cMethods: ['table'],
    crc32cBy: (_method, data, seed) => crc32c(data, seed),
    sendfile: () => -1,
    cachedBytes: () => -1,
    readNow: () => -1,
    summarize: () => false,
    trimMemory: () => {},
    writeAll: (fds, positions, counts, buffers, done) => {
      let next = 0
      const results = Array.from(fds, (fd, i) => {
        const own = buffers.slice(next, (next += counts[i] ?? 0))
        return fs.writevSync(fd, own, positions[i])
      })
      setImmediate(done, results)
    },
    directAlignment: () => ({ memoryBytes: BLOCK, offsetBytes: BLOCK, told: true }),
    writtenBytes: (fd) => fs.fstatSync(fd).size,
    lockFile: () => 0,
    lockOwner: () => 0,
    alignedBuffer: (bytes) => Buffer.alloc(bytes),
    Ring: class extends AdversaryRing {
      constructor(_entries: number, onCompletions: (count: number) => void) {
        super(random, onCompletions)
        rings.push(this)
      }
    },
  }
  return { addon, rings }
}
