import { ErrorCode } from '../../protocol/errors.ts'
import * as batch from '../../protocol/records/record-batch.ts'
import type { Logger } from '../ports.ts'
import type { ReadDone } from './log-types.ts'
import type { PositionHints } from './position-hints.ts'
import type { Segment } from './segment.ts'

/** What a header search reads at once. */
const LOCATE_BYTES = 8 * 1024
/** Read at least, when one whole batch must come whatever the limit: often it fits. */
const FIRST_BATCH_BYTES = 4 * 1024

export interface ReadSource {
  readonly segments: readonly Segment[]
  readonly writtenEndOffset: number
  readonly logStartOffset: number
  readonly failed: boolean
  readonly logger: Logger
  /** Places of batches appended lately. */
  readonly tailHints: PositionHints
  /** Places where reads ended. */
  readonly readHints: PositionHints
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

/**
 * One read of the log. Completes before `start` returns as long as the bytes and the index are in memory; goes on by
 * callbacks where the device must be asked.
 *
 * Two steps: find where the batch that contains the offset starts (known for a reader at the tail and for one that
 * reads on; else from the index entry before it along the headers), then read whole batches from there into one
 * buffer, which is the answer.
 */
export class LogRead {
  readonly #source: ReadSource
  readonly #offset: number
  readonly #maxBytes: number
  readonly #limit: number
  readonly #minOneBatch: boolean
  readonly #done: ReadDone
  #index = 0
  #segment: Segment
  /** Of the segment, as far as it could be read when the read of it began. */
  #endPosition = 0
  #endOffset = 0

  constructor(
    source: ReadSource,
    offset: number,
    maxBytes: number,
    maxOffset: number,
    minOneBatch: boolean,
    done: ReadDone,
  ) {
    this.#source = source
    this.#offset = offset
    this.#maxBytes = maxBytes
    this.#limit = Math.min(maxOffset, source.writtenEndOffset)
    this.#minOneBatch = minOneBatch
    this.#done = done
    this.#segment = source.segments[0]!
  }

  start(): void {
    if (this.#offset >= this.#limit || (this.#maxBytes <= 0 && !this.#minOneBatch)) {
      this.#empty()
      return
    }
    this.#enter(floorSegment(this.#source.segments, this.#offset))
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
    this.#endPosition = segment.writtenBytes
    this.#endOffset = Math.min(segments[index + 1]?.baseOffset ?? writtenEndOffset, writtenEndOffset)
    if (this.#offset <= segment.baseOffset) {
      this.#read(0, this.#maxBytes)
      return
    }
    let position = this.#source.tailHints.find(this.#offset, segment)
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

  /** Reads from `position`, where a batch starts. */
  #read(position: number, maxBytes: number): void {
    const available = this.#endPosition - position
    if (available <= 0) {
      this.#enter(this.#index + 1)
      return
    }
    const wanted = Math.min(available, this.#minOneBatch ? Math.max(maxBytes, FIRST_BATCH_BYTES) : maxBytes)
    this.#bytes(position, Buffer.allocUnsafe(wanted), (buffer, bytesRead) =>
      this.#answer(position, buffer, bytesRead),
    )
  }

  #answer(position: number, buffer: Buffer, bytesRead: number): void {
    const wholeSegment = position + bytesRead === this.#endPosition && bytesRead <= this.#maxBytes
    if (wholeSegment && this.#limit >= this.#endOffset) {
      this.#deliver(position, buffer, bytesRead, this.#endOffset)
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
        this.#read(position, size)
        return
      }
      const lastOffset = batch.lastOffset(buffer, end)
      if (lastOffset >= this.#limit) break
      end += size
      next = lastOffset + 1
    }
    if (end === 0) this.#empty()
    else this.#deliver(position, buffer, end, next)
  }

  #deliver(position: number, buffer: Buffer, length: number, nextOffset: number): void {
    this.#source.readHints.add(nextOffset, this.#segment, position + length)
    this.#done({
      errorCode: ErrorCode.NONE,
      buffers: [length === buffer.length ? buffer : buffer.subarray(0, length)],
      sizeBytes: length,
      nextOffset,
    })
  }

  #empty(): void {
    this.#done({ errorCode: ErrorCode.NONE, buffers: [], sizeBytes: 0, nextOffset: this.#offset })
  }

  #refuse(errorCode: number): void {
    this.#done({ errorCode, buffers: [], sizeBytes: 0, nextOffset: this.#offset })
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
