import assert from 'node:assert/strict'
import { ErrorCode } from '../../../protocol/errors.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import type { File, FileSlice, Logger } from '../../ports.ts'
import { diskProblem } from '../files/disk-problem.ts'
import type { ReadDone, SendableDone, SendableRead } from '../log-types.ts'
import type { PositionHints } from './position-hints.ts'
import type { PooledBuffer, ReadBuffers, ReadPiece } from './read-buffers.ts'
import type { HeldFile } from '../segment/segment-file.ts'
import type { Segment } from '../segment/segment.ts'

/** What a header search reads at once. */
const LOCATE_BYTES = 8 * 1024
/** Read at least, when one whole batch must come whatever the limit: often it fits. */
const FIRST_BATCH_BYTES = 4 * 1024
/** What is read into memory at once, unless a single batch is larger: a reader from the beginning gets a lot soon, and holds little. */
const MAX_READ_BYTES = 1024 * 1024
/** From here on a slice costs less than a copy. */
const MIN_SLICE_BYTES = 32 * 1024
/** Reads of it are over before the next begins. */
const HEADER = Buffer.alloc(batch.BATCH_OVERHEAD)
const NO_PIECES: readonly ReadPiece[] = []

export interface ReadSource {
  readonly segments: readonly Segment[]
  readonly writtenEndOffset: number
  readonly logStartOffset: number
  readonly logEndOffset: number
  /** Why nothing can be read any more, as an error code; 0 while it can. */
  readonly refusal: number
  /** How often the log was cut: what was read across a cut may be of two logs. */
  readonly cuts: number
  readonly logger: Logger
  /** Places of batches appended lately. */
  readonly appendHints: PositionHints
  /** Places where reads ended. */
  readonly readHints: PositionHints
  /** Of a segment, what lies below `writtenEndOffset`. */
  readableBytes(segment: Segment): number
  /** The disk failed while reading. */
  readFailed(error: unknown): void
  /** Something was not read for want of a descriptor. */
  noteShortage(what: string, error: unknown): void
}

/** Index of the segment that would contain `offset`. The list of them is replaced as a whole, so it fits this list only. */
export function floorSegment(segments: readonly Segment[], offset: number): number {
  let low = 0
  let high = segments.length - 1
  while (low < high) {
    const middle = (low + high + 1) >>> 1
    if ((segments[middle]?.baseOffset ?? 0) <= offset) low = middle
    else high = middle - 1
  }
  return low
}

/** Reads into buffers that belong to the caller. See `Log.read`. */
export function readLog(
  source: ReadSource,
  offset: number,
  maxBytes: number,
  maxOffset: number,
  minOneBatch: boolean,
  done: ReadDone,
): void {
  const deliver = (read: SendableRead): void => {
    const { errorCode, sizeBytes, nextOffset } = read
    done({ errorCode, buffers: read.pieces.map(asBuffer), sizeBytes, nextOffset })
  }
  new LogRead(source, offset, maxBytes, maxOffset, minOneBatch, null, false, deliver).start()
}

/** Reads for a connection: large stretches come as slices of the file where `slices` allows it, or in buffers of the pool. */
export function readToSend(
  source: ReadSource,
  offset: number,
  maxBytes: number,
  maxOffset: number,
  minOneBatch: boolean,
  buffers: ReadBuffers,
  slices: boolean,
  done: SendableDone,
): void {
  new LogRead(source, offset, maxBytes, maxOffset, minOneBatch, buffers, slices, done).start()
}

function asBuffer(piece: ReadPiece): Buffer {
  assert(Buffer.isBuffer(piece))
  return piece
}

/**
 * One read of the log. Completes before `start` returns as long as the bytes and the index are in memory; goes on by
 * callbacks where the device must be asked.
 *
 * Two steps: find where the batch that contains the offset starts (known for a reader at the tail and for one that
 * reads on; else from the index entry before it along the headers), then answer whole batches from there on. Where
 * the system can send them from the file, that is a slice whose end the index tells; else they are read into one
 * buffer.
 *
 * The file of the segment is held from the first step to the last. What happens to the log between two steps is looked
 * at before the next: when segments came or went, a place in the list means nothing any more, and when the log was cut,
 * bytes that were read mean nothing either. Then the read begins again.
 */
class LogRead {
  readonly #source: ReadSource
  readonly #offset: number
  readonly #maxBytes: number
  readonly #maxOffset: number
  readonly #minOneBatch: boolean
  /** Null: the answer must be buffers of the caller's own. */
  readonly #buffers: ReadBuffers | null
  readonly #slices: boolean
  readonly #done: SendableDone
  /** Reads end below. */
  #limit = 0
  #segments: readonly Segment[]
  #cuts = 0
  #index = 0
  #segment: Segment
  #held: HeldFile | null = null
  /** Of the segment, as far as it could be read when the read of it began. */
  #endPosition = 0
  #endOffset = 0
  /** Where the offset index led to in this segment; -1 when it was not asked. */
  #indexPosition = -1
  /** Where the reader of the slice found last reads on. */
  #sliceEndOffset = 0
  /** What is read into, until it is the answer or given back. */
  #pooled: PooledBuffer | null = null

  constructor(
    source: ReadSource,
    offset: number,
    maxBytes: number,
    maxOffset: number,
    minOneBatch: boolean,
    buffers: ReadBuffers | null,
    slices: boolean,
    done: SendableDone,
  ) {
    this.#source = source
    this.#offset = offset
    this.#maxBytes = maxBytes
    this.#maxOffset = maxOffset
    this.#minOneBatch = minOneBatch
    this.#buffers = buffers
    this.#slices = slices
    this.#done = done
    this.#segments = source.segments
    this.#segment = source.segments[0]!
  }

  start(): void {
    const { logStartOffset, logEndOffset, writtenEndOffset } = this.#source
    this.#limit = Math.min(this.#maxOffset, writtenEndOffset)
    this.#segments = this.#source.segments
    this.#cuts = this.#source.cuts
    if (this.#source.refusal !== ErrorCode.NONE) {
      this.#refuse(this.#source.refusal)
    } else if (this.#offset < logStartOffset || this.#offset > logEndOffset) {
      this.#refuse(ErrorCode.OFFSET_OUT_OF_RANGE)
    } else if (this.#offset >= this.#limit || (this.#maxBytes <= 0 && !this.#minOneBatch)) {
      this.#empty()
    } else {
      this.#enter(floorSegment(this.#segments, this.#offset))
    }
  }

  /** All over again, in the log as it is now. */
  #restart(): void {
    this.#giveBack()
    this.start()
  }

  /** The segment has nothing at or above the offset. */
  #next(): void {
    if (this.#segments !== this.#source.segments) this.#restart()
    else this.#enter(this.#index + 1)
  }

  get #file(): File {
    assert(this.#held !== null)
    return this.#held.file
  }

  /** Looks for the offset in segment `index`. */
  #enter(index: number): void {
    const { writtenEndOffset } = this.#source
    const segments = this.#segments
    const segment = segments[index]
    if (segment === undefined || segment.baseOffset >= this.#limit) {
      this.#empty()
      return
    }
    this.#index = index
    this.#segment = segment
    this.#indexPosition = -1
    this.#letGo()
    try {
      this.#held = segment.hold()
    } catch (error) {
      this.#failed(error)
      return
    }
    this.#endPosition = this.#source.readableBytes(segment)
    this.#endOffset = Math.min(segments[index + 1]?.baseOffset ?? writtenEndOffset, writtenEndOffset)
    if (this.#offset <= segment.baseOffset) {
      this.#read(0, this.#maxBytes)
      return
    }
    let position = this.#source.appendHints.find(this.#offset, segment)
    if (position < 0) position = this.#source.readHints.find(this.#offset, segment)
    if (position >= 0) this.#read(position, this.#maxBytes)
    else if (segment.indexed) this.#locateByIndex()
    else this.#load()
  }

  #load(): void {
    this.#segment.load().then(
      () => {
        if (this.#wasCut()) this.#restart()
        else this.#locateByIndex()
      },
      (error: unknown) => this.#failed(error),
    )
  }

  #locateByIndex(): void {
    this.#indexPosition = this.#segment.offsetIndex?.positionBefore(this.#offset) ?? 0
    this.#locate(this.#indexPosition)
  }

  /** Goes along the headers from `position` on. */
  #locate(position: number): void {
    if (position >= this.#endPosition) {
      this.#next()
      return
    }
    const length = Math.min(LOCATE_BYTES, this.#endPosition - position)
    this.#bytes(position, Buffer.allocUnsafe(length), (buffer, bytesRead) => {
      let at = 0
      while (bytesRead - at >= Math.min(batch.BATCH_OVERHEAD, this.#endPosition - position - at)) {
        if (position + at >= this.#endPosition) break
        const problem = batch.frameProblem(buffer, at, at + this.#endPosition - position - at)
        if (problem !== null) {
          this.#corrupt(position + at, problem)
          return
        }
        const lastOffset = batch.lastOffset(buffer, at)
        if (lastOffset > this.#offset && position + at === this.#indexPosition && this.#indexPosition > 0) {
          this.#corrupt(position, 'the index leads beyond the offset')
          return
        }
        if (lastOffset >= this.#offset) {
          this.#read(position + at, this.#maxBytes)
          return
        }
        at += batch.batchSizeBytes(buffer, at)
      }
      this.#locate(position + at)
    })
  }

  /** Answers from `position` on, where a batch starts. */
  #read(position: number, maxBytes: number): void {
    const available = this.#endPosition - position
    if (available <= 0) {
      this.#next()
      return
    }
    const large = Math.min(available, maxBytes) >= MIN_SLICE_BYTES
    if (!large || !this.#slice(position, maxBytes)) this.#copyFrom(position, maxBytes)
  }

  #copyFrom(position: number, maxBytes: number): void {
    const wanted = Math.min(
      this.#minOneBatch ? Math.max(maxBytes, FIRST_BATCH_BYTES) : maxBytes,
      MAX_READ_BYTES,
    )
    this.#copy(position, Math.min(wanted, this.#endPosition - position))
  }

  // ---------------------------------------------------------------------------------------------------------- slices

  /** True: the answer is under way. False: nothing happened, the bytes have to be read. */
  #slice(position: number, maxBytes: number): boolean {
    if (!this.#slices) return false
    let slice: FileSlice | null
    try {
      slice = this.#segment.indexed
        ? this.#sliceWithIndex(position, maxBytes)
        : this.#file.slice(position, MIN_SLICE_BYTES)
    } catch (error) {
      this.#failed(error)
      return true
    }
    if (slice === null) return false
    if (this.#segment.indexed) {
      this.#segment.noteSlice()
      this.#deliver(position, slice, this.#sliceEndOffset)
    } else {
      // The bytes can be sent, so it is worth it to get the index of the closed segment from its file.
      slice.release()
      this.#loadToSlice(position, maxBytes)
    }
    return true
  }

  #loadToSlice(position: number, maxBytes: number): void {
    this.#segment.load().then(
      () => {
        if (this.#wasCut()) this.#restart()
        else if (!this.#segment.indexed || !this.#slice(position, maxBytes))
          this.#copyFrom(position, maxBytes)
      },
      (error: unknown) => this.#failed(error),
    )
  }

  #sliceWithIndex(position: number, maxBytes: number): FileSlice | null {
    const segment = this.#segment
    const toEnd = this.#endPosition - position <= maxBytes && this.#limit >= this.#endOffset
    const end = toEnd
      ? this.#endPosition
      : (segment.offsetIndex?.boundaryBefore(position + maxBytes, this.#limit) ?? 0)
    if (end - position < MIN_SLICE_BYTES) return null
    const slice = this.#file.slice(position, end - position)
    if (slice === null) return null
    let endOffset = -1
    try {
      if (this.#holdsOffset(position)) endOffset = toEnd ? this.#endOffset : this.#baseOffsetAt(end)
    } finally {
      if (endOffset <= this.#offset || endOffset > this.#limit) slice.release()
    }
    if (endOffset <= this.#offset || endOffset > this.#limit) return null
    this.#sliceEndOffset = endOffset
    return slice
  }

  /** Whether a batch starts at `position` that ends at or above the offset asked for. */
  #holdsOffset(position: number): boolean {
    return this.#headerAt(position) && batch.lastOffset(HEADER, 0) >= this.#offset
  }

  /** Of the batch that starts there; -1 when it cannot be told without asking the device. */
  #baseOffsetAt(position: number): number {
    // What stands in an old message set is the last offset.
    return this.#headerAt(position) && batch.magic(HEADER, 0) >= 2 ? batch.baseOffset(HEADER, 0) : -1
  }

  /**
   * A single batch that is longer than what is read into memory, whatever the client prefers: some readers of such
   * batches who take their time would hold all the memory there is for answers. `header`: what was read of it.
   */
  #sliceOfOne(position: number, size: number, header: Buffer, bytesRead: number): boolean {
    if (this.#buffers === null || bytesRead < batch.BATCH_OVERHEAD) return false
    const lastOffset = batch.lastOffset(header, 0)
    if (lastOffset >= this.#limit) return false
    let slice: FileSlice | null
    try {
      slice = this.#file.slice(position, size)
    } catch (error) {
      this.#failed(error)
      return true
    }
    if (slice === null) return false
    this.#segment.noteSlice()
    this.#deliver(position, slice, lastOffset + 1)
    return true
  }

  #headerAt(position: number): boolean {
    return (
      this.#file.readCached(position, HEADER) === HEADER.length &&
      batch.frameProblem(HEADER, 0, this.#endPosition - position) === null
    )
  }

  // ---------------------------------------------------------------------------------------------------------- copies

  #copy(position: number, length: number): void {
    this.#giveBackBuffer()
    this.#pooled = this.#buffers?.take(length) ?? null
    const into = this.#pooled?.buffer ?? Buffer.allocUnsafe(length)
    this.#bytes(position, into, (buffer, bytesRead) => this.#answer(position, buffer, bytesRead))
  }

  #answer(position: number, buffer: Buffer, bytesRead: number): void {
    const wholeSegment = position + bytesRead === this.#endPosition && bytesRead <= this.#maxBytes
    if (wholeSegment && this.#limit >= this.#endOffset) {
      this.#deliver(position, this.#buffer(buffer, bytesRead), this.#endOffset)
      return
    }
    let end = 0
    let next = this.#offset
    while (bytesRead - end >= batch.MAGIC_END) {
      const problem = batch.frameProblem(buffer, end, end + this.#endPosition - position - end)
      if (problem !== null) {
        if (end === 0) {
          this.#corrupt(position, problem)
          return
        }
        break
      }
      const size = batch.batchSizeBytes(buffer, end)
      if (end + size > this.#maxBytes && !(end === 0 && this.#minOneBatch)) break
      if (end + size > bytesRead) {
        if (end > 0) break
        // Longer than what is read at once, or than the limit: it comes alone.
        if (size <= MAX_READ_BYTES || !this.#sliceOfOne(position, size, buffer, bytesRead))
          this.#copy(position, size)
        return
      }
      const lastOffset = batch.lastOffset(buffer, end)
      if (lastOffset >= this.#limit) break
      end += size
      next = lastOffset + 1
    }
    if (end === 0) this.#empty()
    else this.#deliver(position, this.#buffer(buffer, end), next)
  }

  /** The first bytes of what was read, as they are sent. */
  #buffer(buffer: Buffer, length: number): ReadPiece {
    const pooled = this.#pooled
    if (pooled === null) return length === buffer.length ? buffer : buffer.subarray(0, length)
    pooled.shorten(length)
    this.#pooled = null
    return pooled
  }

  #deliver(position: number, piece: ReadPiece, nextOffset: number): void {
    const sizeBytes = piece.length
    this.#source.readHints.add(nextOffset, this.#segment, position + sizeBytes)
    this.#giveBack()
    this.#done({ errorCode: ErrorCode.NONE, pieces: [piece], sizeBytes, nextOffset })
  }

  #giveBack(): void {
    this.#letGo()
    this.#giveBackBuffer()
  }

  #giveBackBuffer(): void {
    this.#pooled?.release()
    this.#pooled = null
  }

  #letGo(): void {
    this.#held?.release()
    this.#held = null
  }

  #wasCut(): boolean {
    return this.#cuts !== this.#source.cuts
  }

  #empty(): void {
    this.#refuse(ErrorCode.NONE)
  }

  #refuse(errorCode: number): void {
    this.#giveBack()
    this.#done({ errorCode, pieces: NO_PIECES, sizeBytes: 0, nextOffset: this.#offset })
  }

  /** Nothing to be read stands where the index led to, or behind: the log is to blame when the index is not. */
  #corrupt(position: number, problem: string): void {
    if (this.#indexPosition > 0 && !this.#segment.indexesChecked) {
      this.#repairIndexes(problem)
      return
    }
    this.#source.logger.error(
      { segment: this.#segment.path, position, problem },
      'a stored batch does not read back',
    )
    this.#refuse(ErrorCode.CORRUPT_MESSAGE)
  }

  #repairIndexes(problem: string): void {
    const segment = this.#segment
    segment.repairIndexes().then(
      (made) => {
        if (made)
          this.#source.logger.warn(
            { segment: segment.path, problem },
            'index does not lead to what was asked for: made anew from the log',
          )
        this.#restart()
      },
      (error: unknown) => this.#failed(error),
    )
  }

  #bytes(position: number, into: Buffer, use: (buffer: Buffer, bytesRead: number) => void): void {
    let bytesRead: number
    try {
      const file = this.#file
      bytesRead = file.readCached(position, into)
      if (bytesRead < 0) {
        file.read(position, into, (error, length) => {
          if (error !== null) this.#failed(error)
          else if (this.#wasCut()) this.#restart()
          else this.#short(position, into, length, use)
        })
        return
      }
    } catch (error) {
      this.#failed(error)
      return
    }
    this.#short(position, into, bytesRead, use)
  }

  /** A file shorter than what was written to it is damaged. */
  #short(
    position: number,
    into: Buffer,
    length: number,
    use: (buffer: Buffer, bytesRead: number) => void,
  ): void {
    if (length === into.length) use(into, length)
    else this.#corrupt(position + length, 'the file ends early')
  }

  #failed(error: unknown): void {
    const { refusal } = this.#source
    if (refusal !== ErrorCode.NONE) {
      this.#refuse(refusal)
    } else if (this.#segment.retired) {
      // Deleted or compacted meanwhile: its successor has the answer.
      this.#restart()
    } else {
      if (diskProblem(error) === 'short') this.#source.noteShortage('a read was refused', error)
      else this.#source.readFailed(error)
      this.#refuse(ErrorCode.KAFKA_STORAGE_ERROR)
    }
  }
}
