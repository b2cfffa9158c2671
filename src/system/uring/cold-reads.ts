import fs from 'node:fs'
import type { DoneRead } from '../../ports.ts'
import { forAll } from '../for-all.ts'
import type { OpenFile, Ring } from '../native-addon.ts'
import type { RingDriver, RingOperation } from './ring-driver.ts'
import type { RingReader } from './ring-reader.ts'

/** Reads past the page cache begin and end at multiples of it. */
export const COLD_CHUNK_BYTES = 1 << 18
/** Less than this is read through the page cache: a whole chunk would be too much for it. */
export const MIN_COLD_READ_BYTES = 1 << 16
/** Memory for all files of a disk: 32 MiB. */
const MAX_CHUNKS = 128
/** At the device at once: enough for its full rate, and little for a write or a small read to wait behind. */
const MAX_UNDER_WAY = 16
/** Chunks used lately are kept although they were read to their end: a batch that goes beyond it is read again, whole. */
const KEPT_USES = 32
/** How far ahead of a reader the device works. */
const AHEAD_CHUNKS = 8

/**
 * Large reads of what the page cache does not hold.
 *
 * A reader that goes through a topic from the beginning reads most bytes once. Brought into the page cache they would
 * push out what others need, and the event loop would stop for every page that is found and copied there; so they come
 * past it, into memory that is used again and again, a few chunks ahead of the reader, and leave by one copy.
 * Readers that follow each other closely share chunks. What is asked for a second time when its chunk is gone has more
 * than one reader: that goes through the page cache, which then has it for all others, or is too small for it: every
 * other time.
 */
export class ColdReads {
  readonly driver: RingDriver
  readonly #allocate: (bytes: number) => Buffer
  readonly #chunks: ColdChunk[] = []
  /** Reads that found no chunk to be had. */
  #stalled: ColdRead[] = []
  #underWay = 0
  #uses = 0

  /** `allocate` gives memory that begins at a multiple of 4 KiB. */
  constructor(driver: RingDriver, allocate: (bytes: number) => Buffer) {
    this.driver = driver
    this.#allocate = allocate
  }

  /** Starts to fill a chunk; null when none can be had now. Reading ahead never takes one that waits for its reader. */
  load(file: ColdFile, index: number, ahead: boolean): ColdChunk | null {
    if (this.#underWay >= MAX_UNDER_WAY) return null
    const chunk = this.#free(ahead)
    if (chunk === null) return null
    this.#underWay++
    chunk.begin(file, index)
    return chunk
  }

  #free(ahead: boolean): ColdChunk | null {
    let best: ColdChunk | null = null
    for (const chunk of this.#chunks) {
      if (chunk.reading || (ahead && !chunk.spent)) continue
      if (best === null || (chunk.spent && !best.spent)) best = chunk
      else if (chunk.spent === best.spent && chunk.lastUse < best.lastUse) best = chunk
    }
    const stale = best !== null && best.spent && this.#uses - best.lastUse >= KEPT_USES
    if (!stale && this.#chunks.length < MAX_CHUNKS) {
      best = new ColdChunk(this, this.#allocate(COLD_CHUNK_BYTES))
      this.#chunks.push(best)
    }
    return best
  }

  stall(read: ColdRead): void {
    this.#stalled.push(read)
  }

  used(chunk: ColdChunk): void {
    chunk.lastUse = ++this.#uses
  }

  chunkEnded(): void {
    this.#underWay--
  }

  /** A chunk has become free, or its readers have what they wanted of it. */
  resume(): void {
    if (this.#stalled.length === 0) return
    const stalled = this.#stalled
    this.#stalled = []
    forAll(stalled, (read) => read.advance())
  }
}

/** A stretch of a file in memory, or on its way there. Used again and again. */
class ColdChunk implements RingOperation {
  readonly memory: Buffer
  file: ColdFile | null = null
  reading = false
  /** Somebody has read up to its end, or it holds nothing. */
  spent = true
  lastUse = 0
  index = 0
  /** What it holds, from its start on. */
  validBytes = 0
  readonly #reads: ColdReads
  /** The file was written behind here since the read began. */
  #limitBytes = 0
  #waiting: ColdRead[] = []

  constructor(reads: ColdReads, memory: Buffer) {
    this.#reads = reads
    this.memory = memory
  }

  begin(file: ColdFile, index: number): void {
    // In this order: a file that takes over its own last chunk stays open.
    file.adopt(index, this)
    this.drop()
    this.file = file
    this.index = index
    this.reading = true
    this.spent = false
    this.validBytes = 0
    this.#limitBytes = COLD_CHUNK_BYTES
    this.#reads.used(this)
    this.#reads.driver.start(this)
  }

  /** `read` goes on when the chunk is here. */
  wait(read: ColdRead): void {
    this.#waiting.push(read)
  }

  /** The file was changed from this byte of the chunk on. */
  cut(bytes: number): void {
    this.#limitBytes = Math.min(this.#limitBytes, bytes)
    this.validBytes = Math.min(this.validBytes, bytes)
  }

  /** Holds nothing any more. */
  drop(): void {
    this.file?.forget(this)
    this.file = null
    this.spent = true
  }

  queue(ring: Ring, id: number): number {
    const position = this.index * COLD_CHUNK_BYTES
    return ring.read(id, this.file!.fd, this.memory, 0, COLD_CHUNK_BYTES, position, false)
  }

  ended(result: number): void {
    this.reading = false
    this.#reads.chunkEnded()
    this.validBytes = Math.min(Math.max(result, 0), this.#limitBytes)
    const waiting = this.#waiting
    this.#waiting = []
    try {
      forAll(waiting, (read) => read.advance())
    } finally {
      // What could not be read is not kept: whoever comes next tries again. It may be under way for another already.
      if (!this.reading && (this.validBytes === 0 || this.file?.closed === true)) this.drop()
      this.#reads.resume()
    }
  }
}

/**
 * One file, open past the page cache while chunks of it are in memory. It sees what is written through the same `File`;
 * a second `File` of the path is only good for reading what does not change any more.
 */
export class ColdFile {
  fd = -1
  closed = false
  readonly path: string
  /** Through the page cache: what cannot be read past it, and errors, come by this one. */
  readonly buffered: OpenFile
  readonly reads: ColdReads
  readonly reader: RingReader
  readonly #chunks = new Map<number, ColdChunk>()
  /** A bit per chunk: somebody has read of it. */
  #seen = new Uint8Array(8)

  constructor(reads: ColdReads, reader: RingReader, buffered: OpenFile, path: string) {
    this.reads = reads
    this.reader = reader
    this.buffered = buffered
    this.path = path
  }

  /** As `File.read`. False: nothing happened, the bytes have to come through the page cache. */
  read(position: number, into: Buffer, sizeBytes: number, done: DoneRead): boolean {
    const first = chunkOf(position)
    const last = chunkOf(position + into.length - 1)
    if (this.#comesAgain(first, last) || !this.#open()) return false
    const goesOn = position === 0 || this.#chunks.has(first) || this.#chunks.has(first - 1)
    for (let index = first; index <= last; index++) if (this.#load(index, false) === null) break
    if (goesOn) this.#readAhead(last + 1, sizeBytes)
    new ColdRead(this, position, into, done).advance()
    return true
  }

  /** Copies the bytes when all of them are here. */
  copy(position: number, into: Buffer, length: number, sizeBytes: number): boolean {
    if (this.#chunks.size === 0) return false
    const end = position + length
    for (let at = position; at < end; at = (chunkOf(at) + 1) * COLD_CHUNK_BYTES) {
      const chunk = this.#chunks.get(chunkOf(at))
      if (chunk === undefined) return false
      if (chunk.validBytes < Math.min(end - chunk.index * COLD_CHUNK_BYTES, COLD_CHUNK_BYTES)) return false
    }
    for (let at = position; at < end;) at += this.take(at, into, at - position, end - at)
    this.#readAhead(chunkOf(end - 1) + 1, sizeBytes)
    return true
  }

  /** Copies what is here of [position, position + length), up to the end of a chunk. Returns how much that was. */
  take(position: number, into: Buffer, at: number, length: number): number {
    const index = chunkOf(position)
    const chunk = this.#chunks.get(index)
    const from = position - index * COLD_CHUNK_BYTES
    if (chunk === undefined || chunk.validBytes <= from) return 0
    const end = Math.min(chunk.validBytes, from + length)
    chunk.memory.copy(into, at, from, end)
    this.#markSeen(index)
    if (end === chunk.validBytes) chunk.spent = true
    this.reads.used(chunk)
    return end - from
  }

  /** The chunk around a position, on its way or here; null when there is no room for it now. */
  chunkAt(position: number): ColdChunk | null {
    return this.#load(chunkOf(position), false)
  }

  /** The file was written or cut from `position` on. */
  changed(position: number): void {
    if (this.#chunks.size === 0) return
    for (const [index, chunk] of this.#chunks) {
      const bytes = position - index * COLD_CHUNK_BYTES
      if (bytes < COLD_CHUNK_BYTES) chunk.cut(Math.max(0, bytes))
    }
  }

  adopt(index: number, chunk: ColdChunk): void {
    this.#chunks.set(index, chunk)
  }

  /** Its memory is for another one. */
  forget(chunk: ColdChunk): void {
    if (this.#chunks.get(chunk.index) === chunk) this.#chunks.delete(chunk.index)
    if (this.#chunks.size === 0) this.#closeDescriptor()
  }

  /** What is under way still ends. */
  close(): void {
    this.closed = true
    for (const chunk of this.#chunks.values()) if (!chunk.reading) chunk.drop()
  }

  /** Its descriptor is for others, unless the device reads by it. What is here stays. */
  giveBack(): void {
    for (const chunk of this.#chunks.values()) if (chunk.reading) return
    this.#closeDescriptor()
  }

  #load(index: number, ahead: boolean): ColdChunk | null {
    const known = this.#chunks.get(index)
    if (known !== undefined) return known
    return this.#open() ? this.reads.load(this, index, ahead) : null
  }

  #readAhead(from: number, sizeBytes: number): void {
    const end = Math.min(from + AHEAD_CHUNKS, Math.ceil(sizeBytes / COLD_CHUNK_BYTES))
    for (let index = from; index < end; index++) if (this.#load(index, true) === null) return
  }

  #open(): boolean {
    if (this.fd >= 0) return true
    try {
      this.fd = fs.openSync(
        `/proc/self/fd/${this.buffered.fd}`,
        fs.constants.O_RDONLY | fs.constants.O_DIRECT,
      )
      return true
    } catch {
      // Descriptors are short, for example. The page cache serves as well.
      return false
    }
  }

  #closeDescriptor(): void {
    if (this.fd < 0) return
    fs.closeSync(this.fd)
    this.fd = -1
  }

  /** Chunks that are gone were read before. If the page cache does not keep them either, their turn is past it again. */
  #comesAgain(first: number, last: number): boolean {
    let again = false
    for (let index = first; index <= last; index++) {
      const bit = 1 << (index & 7)
      if (this.#chunks.has(index) || ((this.#seen[index >> 3] ?? 0) & bit) === 0) continue
      this.#seen[index >> 3]! &= ~bit
      again = true
    }
    return again
  }

  #markSeen(index: number): void {
    const byte = index >> 3
    if (byte >= this.#seen.length) {
      const grown = new Uint8Array(Math.max(byte + 1, this.#seen.length * 2))
      grown.set(this.#seen)
      this.#seen = grown
    }
    this.#seen[byte]! |= 1 << (index & 7)
  }
}

/** One read of a file, a chunk after the other. */
class ColdRead {
  readonly #file: ColdFile
  readonly #position: number
  readonly #into: Buffer
  readonly #done: DoneRead
  #copied = 0

  constructor(file: ColdFile, position: number, into: Buffer, done: DoneRead) {
    this.#file = file
    this.#position = position
    this.#into = into
    this.#done = done
  }

  /** Takes what is here and waits for the next chunk; one that was read and has nothing for it ends the waiting. */
  advance(): void {
    while (this.#take());
    if (this.#copied === this.#into.length) {
      this.#done(null, this.#copied)
      return
    }
    const chunk = this.#file.chunkAt(this.#position + this.#copied)
    if (chunk?.reading === true) chunk.wait(this)
    else if (chunk === null && this.#file.fd >= 0) this.#file.reads.stall(this)
    else this.#finishBuffered()
  }

  #take(): boolean {
    const left = this.#into.length - this.#copied
    const count =
      left === 0 ? 0 : this.#file.take(this.#position + this.#copied, this.#into, this.#copied, left)
    this.#copied += count
    return count > 0
  }

  /** The rest: the end of the file, a short read, an error, which this read will meet and tell. */
  #finishBuffered(): void {
    const { buffered, path, reader } = this.#file
    const rest = this.#into.subarray(this.#copied)
    reader.read(buffered.fd, path, this.#position + this.#copied, rest, (error, bytesRead) =>
      this.#done(error, error === null ? this.#copied + bytesRead : 0),
    )
  }
}

function chunkOf(position: number): number {
  return Math.floor(position / COLD_CHUNK_BYTES)
}
