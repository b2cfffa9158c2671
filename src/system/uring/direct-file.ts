import fs from 'node:fs'
import type { DiskFailure } from '../disk-failure.ts'
import { fromErrno } from '../disk-failure.ts'
import type { OpenFile } from '../native-addon.ts'
import type { GroupFlush } from './group-flush.ts'
import type { RingDriver, RingOperation } from './ring-driver.ts'
import type { StagingChunk } from './staging-ring.ts'
import { TailCache } from './tail-cache.ts'

/** Called once per write, when all of it has ended. */
export type DirectDone = (failure: DiskFailure | null) => void

/**
 * One file whose durable writes bypass the page cache, and the one such write that is under way.
 *
 * The device takes whole blocks only. A write that begins inside of a block brings along what stands before it
 * there, from a copy of the file's last block, and one that ends inside of a block is followed by zeros.
 */
export class DirectFile {
  /** Opened past the page cache; -1 while it is given back. */
  fd: number
  readonly path: string
  readonly blockBytes: number
  readonly tail = new TailCache()
  /** Null: each write has to see to its own durability. */
  readonly flush: GroupFlush | null
  /** Below this the file holds written blocks, and the device knows where: a write there changes no metadata. */
  preparedBytes = 0
  /**
   * As `preparedBytes`, of what was in the file when it was opened, so that the device may not know of it yet. The first
   * write that sees to its own durability tells it.
   */
  #foundBytes = 0
  /** The write under way is made durable by `flush`, together with others. */
  grouped = false
  /** Through the page cache, for reading a block back. */
  readonly #buffered: OpenFile
  /** The last block: its first `#keptBytes` are what the file holds at `#keptPosition`, the rest does not count. */
  #kept: Buffer | null = null
  #keptPosition = -1
  #keptBytes = 0

  // The write under way.
  position = 0
  #buffers: readonly Buffer[] = []
  #lengthBytes = 0
  #done: DirectDone = ignore
  /** What goes to the device: whole blocks from `#startPosition` on. */
  #startPosition = 0
  #blocksBytes = 0
  #stagedBytes = 0
  #bufferIndex = 0
  #bufferOffset = 0
  #partsUnderWay = 0
  #failure: DiskFailure | null = null

  constructor(fd: number, buffered: OpenFile, path: string, blockBytes: number, flush: GroupFlush | null) {
    this.flush = flush
    this.fd = fd
    this.path = path
    this.blockBytes = blockBytes
    this.#buffered = buffered
  }

  /** Takes on a write. Whether the block it begins in is known; otherwise it has to be read back first. */
  begin(position: number, buffers: readonly Buffer[], lengthBytes: number, done: DirectDone): boolean {
    const { blockBytes } = this
    this.position = position
    this.#buffers = buffers
    this.#lengthBytes = lengthBytes
    this.#done = done
    const headBytes = position % blockBytes
    this.#startPosition = position - headBytes
    this.#blocksBytes = Math.ceil((headBytes + lengthBytes) / blockBytes) * blockBytes
    this.#stagedBytes = 0
    this.#bufferIndex = 0
    this.#bufferOffset = 0
    this.#failure = null
    this.grouped = false
    return headBytes === 0 || (this.#keptPosition === this.#startPosition && this.#keptBytes >= headBytes)
  }

  /** The write under way only overwrites: a flush of the device makes it durable. */
  get mayBeGrouped(): boolean {
    return this.flush !== null && this.#startPosition + this.#blocksBytes <= this.preparedBytes
  }

  get failed(): boolean {
    return this.#failure !== null
  }

  /** Everything that goes to the device was staged, or the write has failed and the rest need not be. */
  get staged(): boolean {
    return this.#stagedBytes === this.#blocksBytes
  }

  /** Nothing of the write was staged yet. */
  get untouched(): boolean {
    return this.#stagedBytes === 0
  }

  get unstagedBytes(): number {
    return this.#blocksBytes - this.#stagedBytes
  }

  /** The file was changed from `position` on by other means than a write through here. */
  changed(position: number): void {
    this.tail.cut(position)
    if (this.#keptPosition + this.#keptBytes > position) this.#keptPosition = -1
  }

  truncated(sizeBytes: number): void {
    this.changed(sizeBytes)
    this.preparedBytes = Math.min(this.preparedBytes, sizeBytes)
    this.#foundBytes = Math.min(this.#foundBytes, sizeBytes)
  }

  /** The file has blocks up to here that were written before it was opened. */
  found(bytes: number): void {
    this.#foundBytes = bytes
  }

  /** Gives the descriptor back, when nothing is under way. */
  close(): void {
    if (this.fd < 0) return
    try {
      fs.closeSync(this.fd)
    } catch {
      // The descriptor is gone either way, and what was written is on the device.
    }
    this.fd = -1
  }

  // ------------------------------------------------------------------------------------------------------- staging

  /** Fills a region with the next blocks. Returns the position in the file where they go. */
  stage(chunk: StagingChunk, offset: number, length: number): number {
    const { memory } = chunk
    const position = this.#startPosition + this.#stagedBytes
    const end = offset + length
    let at = offset
    if (this.#stagedBytes === 0 && this.position > position) {
      const headBytes = this.position - position
      this.#kept!.copy(memory, at, 0, headBytes)
      at += headBytes
    }
    const dataPosition = position + (at - offset)
    const filled = this.#fill(memory, at, end)
    this.tail.add(dataPosition, filled - at, chunk, offset + (dataPosition - position))
    if (filled < end) memory.fill(0, filled, end)
    this.#stagedBytes += length
    if (this.#stagedBytes === this.#blocksBytes) this.#keepLastBlock(memory, end)
    this.#partsUnderWay++
    return position
  }

  /** Copies what is left of the buffers, up to `end`. */
  #fill(memory: Buffer, start: number, end: number): number {
    const buffers = this.#buffers
    let at = start
    while (at < end && this.#bufferIndex < buffers.length) {
      const buffer = buffers[this.#bufferIndex]!
      const count = Math.min(end - at, buffer.length - this.#bufferOffset)
      buffer.copy(memory, at, this.#bufferOffset, this.#bufferOffset + count)
      at += count
      this.#bufferOffset += count
      if (this.#bufferOffset < buffer.length) break
      this.#bufferIndex++
      this.#bufferOffset = 0
    }
    return at
  }

  #keepLastBlock(memory: Buffer, end: number): void {
    // Counts again when the write has succeeded.
    this.#keptPosition = -1
    this.#keptBytes = (this.position + this.#lengthBytes) % this.blockBytes
    if (this.#keptBytes === 0) return
    this.#kept ??= Buffer.allocUnsafeSlow(this.blockBytes)
    const start = end - this.blockBytes
    memory.copy(this.#kept, 0, start, start + this.#keptBytes)
  }

  /** A region was written, or could not be. True when it was the last of the write. */
  partEnded(failure: DiskFailure | null): boolean {
    this.#partsUnderWay--
    if (failure !== null) {
      this.#failure ??= failure
      this.#stagedBytes = this.#blocksBytes
    }
    return this.#partsUnderWay === 0 && this.staged
  }

  /** The write is on the device, or has failed: itself, or the flush behind it. */
  end(flushFailure: DiskFailure | null): void {
    this.#failure ??= flushFailure
    if (this.#foundBytes > 0 && !this.grouped && this.#failure === null) {
      this.preparedBytes = Math.max(this.preparedBytes, this.#foundBytes)
      this.#foundBytes = 0
    }
    if (this.#failure !== null) this.changed(this.#startPosition)
    else if (this.#keptBytes > 0) {
      this.#keptPosition = this.position + this.#lengthBytes - this.#keptBytes
    }
    this.#finish(this.#failure)
  }

  #finish(failure: DiskFailure | null): void {
    const done = this.#done
    this.#buffers = []
    this.#done = ignore
    done(failure)
  }

  // ---------------------------------------------------------------------------------------------------- reading back

  /** Reads back the block in which the write begins; `known` is called when it is there. */
  readBack(driver: RingDriver, known: () => void): void {
    const kept = (this.#kept ??= Buffer.allocUnsafeSlow(this.blockBytes))
    this.#keptPosition = -1
    const headBytes = this.position - this.#startPosition
    let bytesRead = 0
    const read: RingOperation = {
      queue: (ring, id) => {
        const position = this.#startPosition + bytesRead
        return ring.read(id, this.#buffered.fd, kept, bytesRead, headBytes - bytesRead, position, false)
      },
      ended: (result) => {
        if (result < 0) {
          this.#finish(fromErrno(result, 'read', this.path))
          return
        }
        bytesRead += result
        // Fewer bytes than asked for need not be the end of the file; none are.
        if (result > 0 && bytesRead < headBytes) {
          driver.start(read)
          return
        }
        // A hole between the end of the file and the write reads as zeros.
        kept.fill(0, bytesRead, headBytes)
        known()
      },
    }
    driver.start(read)
  }
}

function ignore(): void {}
