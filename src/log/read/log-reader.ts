import assert from 'node:assert/strict'
import { ErrorCode } from '../../../protocol/errors.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import type { FileSlice, Logger } from '../../ports.ts'
import type { ReadDone, SendableDone, SendableRead } from '../log-types.ts'
import type { PositionHints } from './position-hints.ts'
import type { PooledBuffer, ReadBuffers, ReadPiece } from './read-buffers.ts'
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
  readonly failed: boolean
  readonly logger: Logger
  /** Places of batches appended lately. */
  readonly appendHints: PositionHints
  /** Places where reads ended. */
  readonly readHints: PositionHints
  /** Of a segment, what lies below `writtenEndOffset`. */
  readableBytes(segment: Segment): number
  /** The disk failed while reading. */
  readFailed(error: unknown): void
}

/** Index of the segment that would contain `offset`. */
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
  #index = 0
  #segment: Segment
  /** Of the segment, as far as it could be read when the read of it began. */
  #endPosition = 0
  #endOffset = 0
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
    this.#segment = source.segments[0]!
  }

  start(): void {
    const { logStartOffset, logEndOffset, writtenEndOffset } = this.#source
    this.#limit = Math.min(this.#maxOffset, writtenEndOffset)
    if (this.#source.failed) {
      this.#refuse(ErrorCode.KAFKA_STORAGE_ERROR)
    } else if (this.#offset < logStartOffset || this.#offset > logEndOffset) {
      this.#refuse(ErrorCode.OFFSET_OUT_OF_RANGE)
    } else if (this.#offset >= this.#limit || (this.#maxBytes <= 0 && !this.#minOneBatch)) {
      this.#empty()
    } else {
      this.#enter(floorSegment(this.#source.segments, this.#offset))
    }
  }

  /** Looks for the offset in segment `index`. */
  #enter(index: number): void {
    const { writtenEndOffset } = this.#source
    const segments = this.#source.segments
    const segment = segments[index]
    if (segment === undefined || segment.baseOffset >= this.#limit) {
      this.#empty()
      return
    }
    this.#index = index
    this.#segment = segment
    this.#endPosition = this.#source.readableBytes(segment)
    this.#endOffset = Math.min(segments[index + 1]?.baseOffset ?? writtenEndOffset, writtenEndOffset)
    if (this.#offset <= segment.baseOffset) {
      this.#read(0, this.#maxBytes)
      return
    }
    let position = this.#source.appendHints.find(this.#offset, segment)
    if (position < 0) position = this.#source.readHints.find(this.#offset, segment)
    if (position >= 0) this.#read(position, this.#maxBytes)
    else if (segment.indexed) this.#locate(segment.offsetIndex?.positionBefore(this.#offset) ?? 0)
    else this.#load()
  }

  #load(): void {
    this.#segment.load().then(
      () => this.#locate(this.#segment.offsetIndex?.positionBefore(this.#offset) ?? 0),
      (error: unknown) => this.#failed(error),
    )
  }

  /** Goes along the headers from `position` on. */
  #locate(position: number): void {
    if (position >= this.#endPosition) {
      this.#enter(this.#index + 1)
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
        if (batch.lastOffset(buffer, at) >= this.#offset) {
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
      this.#enter(this.#index + 1)
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
        : this.#segment.file.slice(position, MIN_SLICE_BYTES)
    } catch (error) {
      this.#failed(error)
      return true
    }
    if (slice === null) return false
    if (this.#segment.indexed) {
      this.#segment.sliced = true
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
        if (!this.#segment.indexed || !this.#slice(position, maxBytes)) this.#copyFrom(position, maxBytes)
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
    const slice = segment.file.slice(position, end - position)
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

  #headerAt(position: number): boolean {
    return (
      this.#segment.file.readCached(position, HEADER) === HEADER.length &&
      batch.frameProblem(HEADER, 0, this.#endPosition - position) === null
    )
  }

  // ---------------------------------------------------------------------------------------------------------- copies

  #copy(position: number, length: number): void {
    this.#giveBack()
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
    this.#pooled?.release()
    this.#pooled = null
  }

  #empty(): void {
    this.#refuse(ErrorCode.NONE)
  }

  #refuse(errorCode: number): void {
    this.#giveBack()
    this.#done({ errorCode, pieces: NO_PIECES, sizeBytes: 0, nextOffset: this.#offset })
  }

  #corrupt(position: number, problem: string): void {
    this.#source.logger.error(
      { segment: this.#segment.path, position, problem },
      'a stored batch does not read back',
    )
    this.#refuse(ErrorCode.CORRUPT_MESSAGE)
  }

  #bytes(position: number, into: Buffer, use: (buffer: Buffer, bytesRead: number) => void): void {
    let bytesRead: number
    try {
      const { file } = this.#segment
      bytesRead = file.readCached(position, into)
      if (bytesRead < 0) {
        file.read(position, into, (error, length) => {
          if (error !== null) this.#failed(error)
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

  /** A file shorter than what was written to it has been cut under the reader, or is damaged. */
  #short(
    position: number,
    into: Buffer,
    length: number,
    use: (buffer: Buffer, bytesRead: number) => void,
  ): void {
    if (length === into.length) use(into, length)
    else if (this.#segment.writtenBytes < position + into.length) this.#empty()
    else this.#corrupt(position + length, 'the file ends early')
  }

  #failed(error: unknown): void {
    if (this.#source.failed) {
      this.#refuse(ErrorCode.KAFKA_STORAGE_ERROR)
    } else if (this.#segment.retired) {
      // Deleted or compacted meanwhile: its successor has the answer.
      if (this.#offset < this.#source.logStartOffset) this.#refuse(ErrorCode.OFFSET_OUT_OF_RANGE)
      else this.start()
    } else {
      this.#source.readFailed(error)
      this.#refuse(ErrorCode.KAFKA_STORAGE_ERROR)
    }
  }
}
