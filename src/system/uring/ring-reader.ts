import type { DoneRead } from '../../ports.ts'
import { fromErrno } from '../disk-failure.ts'
import type { Ring } from '../native-addon.ts'
import { advise } from '../native-addon.ts'
import type { RingDriver, RingOperation } from './ring-driver.ts'

const PIECE_BYTES = 1 << 20
/** From here on a read is not for the event loop's own thread. */
const ELSEWHERE_BYTES = 1 << 16
/** Over all files: readers of cold bytes must not fill the queue that the writes wait in. */
const MAX_UNDER_WAY = 32
/** How far ahead of a reader the device works. What it was told to read of all files, others have to wait behind. */
const AHEAD_BYTES = 1 << 20

/** Where somebody reads a file from one end to the other. One per file. */
export class ReadAhead {
  /** Of the last read. */
  #start = -1
  #end = -1
  /** Up to here the device was told to read. */
  #toldEnd = 0

  /** Returns the bytes that should be read in advance behind `end`, from there on; 0 for none. */
  next(position: number, length: number, sizeBytes: number): number {
    // What a reader gets ends with a whole batch, before the end of what was read for it.
    const sequential = position > this.#start && position <= this.#end
    this.#start = position
    this.#end = position + length
    if (!sequential) {
      this.#toldEnd = this.#end
      return 0
    }
    const told = Math.max(this.#toldEnd, this.#end)
    const wanted = Math.min(this.#end + AHEAD_BYTES, sizeBytes)
    // Half of it at a time, so that one piece of advice serves many reads.
    if (wanted - told < AHEAD_BYTES / 2) return 0
    this.#toldEnd = wanted
    return wanted - told
  }

  /** What is asked for now was to be read in advance, and nobody has had it yet. */
  expects(position: number): boolean {
    return position > this.#start && position <= this.#end && position < this.#toldEnd
  }

  get toldEnd(): number {
    return this.#toldEnd
  }
}

/** Reads through the page cache that neither the event loop nor the thread pool waits for. */
export class RingReader {
  readonly #driver: RingDriver
  readonly #free: PieceRead[] = []
  readonly #waiting: PieceRead[] = []
  #underWay = 0

  constructor(driver: RingDriver) {
    this.#driver = driver
  }

  read(fd: number, path: string, position: number, into: Buffer, done: DoneRead): void {
    const read = this.#free.pop() ?? new PieceRead(this.#driver, (ended) => this.#ended(ended))
    read.set(fd, path, position, into, done)
    if (this.#underWay >= MAX_UNDER_WAY) {
      this.#waiting.push(read)
      return
    }
    this.#underWay++
    this.#driver.start(read)
  }

  /** Only advice: whether it was taken does not matter. The descriptor must stay open until `ended`. */
  readAhead(fd: number, position: number, length: number, ended: () => void): void {
    this.#advise(fd, position, length, advise.willNeed, ended)
  }

  /** As `readAhead`, to forget the clean pages of the whole file. */
  dropCached(fd: number, ended: () => void): void {
    this.#advise(fd, 0, 0, advise.dontNeed, ended)
  }

  #advise(fd: number, position: number, length: number, advice: number, ended: () => void): void {
    this.#driver.start({ queue: (ring, id) => ring.fadvise(id, fd, position, length, advice), ended })
  }

  #ended(read: PieceRead): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#underWay--
    else this.#driver.start(next)
    this.#free.push(read)
  }
}

/** One read, a piece after the other. Used again and again. */
class PieceRead implements RingOperation {
  readonly #driver: RingDriver
  readonly #ended: (read: PieceRead) => void
  #fd = -1
  #path = ''
  #position = 0
  #into: Buffer | null = null
  #done: DoneRead | null = null
  #bytesRead = 0

  constructor(driver: RingDriver, ended: (read: PieceRead) => void) {
    this.#driver = driver
    this.#ended = ended
  }

  set(fd: number, path: string, position: number, into: Buffer, done: DoneRead): void {
    this.#fd = fd
    this.#path = path
    this.#position = position
    this.#into = into
    this.#done = done
    this.#bytesRead = 0
  }

  queue(ring: Ring, id: number): number {
    const into = this.#into!
    const length = Math.min(into.length - this.#bytesRead, PIECE_BYTES)
    const position = this.#position + this.#bytesRead
    return ring.read(id, this.#fd, into, this.#bytesRead, length, position, length >= ELSEWHERE_BYTES)
  }

  ended(result: number): void {
    if (result > 0) this.#bytesRead += result
    // Fewer bytes than asked for need not be the end of the file; none are.
    if (result > 0 && this.#bytesRead < this.#into!.length) {
      this.#driver.start(this)
      return
    }
    const done = this.#done!
    const bytesRead = this.#bytesRead
    const failure = result < 0 ? fromErrno(result, 'read', this.#path) : null
    this.#into = null
    this.#done = null
    this.#ended(this)
    done(failure, failure === null ? bytesRead : 0)
  }
}
