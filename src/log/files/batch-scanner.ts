import * as batch from '../../../protocol/records/record-batch.ts'
import type { File } from '../../ports.ts'
import { readAt } from './disk-calls.ts'

const CHUNK_BYTES = 1 << 20
/** Room before a chunk for what the chunk before it ended with: most batches fit, so chunks are seldom copied. */
const FIRST_HEADROOM_BYTES = 64 << 10
const MAX_HEADROOM_BYTES = 4 << 20
const NOTHING = Buffer.alloc(0)
/** Powers of two from here on; smaller buffers cost little. */
const MIN_KEPT_BYTES = 64 << 10
const MAX_KEPT_BYTES = 2 << 20
/** Of buffers for the next scanner, over all sizes: thousands of logs are scanned one behind the other. */
const MAX_IDLE_BYTES = 16 << 20
const idle = new Map<number, Buffer[]>()
let idleBytes = 0

/**
 * Steps over the batches of a file in order, reading a chunk at a time, the next one while this one is looked at:
 *
 *     while (await scanner.fill()) while (scanner.step()) use(scanner.buffer, scanner.at)
 *     scanner.problem, scanner.position
 *
 * Each `fill` waits for the disk, so other work goes on between chunks.
 */
export class BatchScanner {
  /** Holds the current batch from `at` on. Overwritten by the next `fill`. */
  buffer: Buffer
  at = 0
  /** Of the current batch in the file; at the end of the scan the first byte that belongs to no good batch. */
  position: number
  sizeBytes = 0
  /** What stopped the scan before the end; null while nothing did. */
  problem: string | null = null
  readonly #file: File
  readonly #end: number
  readonly #chunkBytes: number
  #filled = 0
  #stepped = false
  #headroom = FIRST_HEADROOM_BYTES
  /** Where the next chunk starts in the file. */
  #readPosition: number
  readonly #whole: boolean
  #ahead: Chunk | null = null
  /** The buffer for the chunk after that. */
  #free: Buffer | null = null

  constructor(file: File, start: number, end: number, chunkBytes = CHUNK_BYTES) {
    this.#file = file
    this.position = start
    this.#readPosition = start
    this.#end = end
    this.#chunkBytes = Math.max(batch.BATCH_OVERHEAD, chunkBytes)
    this.#whole = end - start <= this.#chunkBytes
    this.buffer = NOTHING
    this.#readAhead()
  }

  /** False when the scan is over. */
  async fill(): Promise<boolean> {
    if (this.#stepped) this.#leave()
    const ahead = this.#ahead
    if (this.problem !== null || ahead === null) {
      this.#giveBack()
      return false
    }
    this.#ahead = null
    const bytesRead = await ahead.bytesRead
    if (bytesRead < ahead.length) this.problem = 'the file ends early'
    this.#join(ahead, bytesRead)
    if (this.problem === null) this.#readAhead()
    return bytesRead > 0
  }

  /** On to the next batch that is in memory as a whole. False: fill again. */
  step(): boolean {
    if (this.#stepped) this.#leave()
    const have = this.#filled - this.at
    const left = this.#end - this.position
    if (left <= 0) return false
    if (have < batch.MAGIC_END) {
      if (have === left) this.problem = 'shorter than the start of a batch'
      return false
    }
    const problem = batch.frameProblem(this.buffer, this.at, this.at + left)
    if (problem !== null) {
      this.problem = problem
      return false
    }
    const size = batch.batchSizeBytes(this.buffer, this.at)
    if (size > have) return false
    this.sizeBytes = size
    this.#stepped = true
    return true
  }

  /** The current batch is not good: the scan ends before it. */
  reject(problem: string): void {
    this.problem = problem
    this.#stepped = false
  }

  #leave(): void {
    this.at += this.sizeBytes
    this.position += this.sizeBytes
    this.#stepped = false
  }

  /** The memory is for the next scanner, unless a read into it is still on its way. */
  #giveBack(): void {
    if (this.#free !== null) keepBuffer(this.#free)
    if (this.buffer !== this.#free) keepBuffer(this.buffer)
    this.#free = null
    this.buffer = NOTHING
    this.at = 0
    this.#filled = 0
  }

  /** Puts a chunk behind what the one before ended with. */
  #join(ahead: Chunk, bytesRead: number): void {
    const kept = this.#filled - this.at
    const end = ahead.headroom + bytesRead
    if (kept <= ahead.headroom) {
      this.buffer.copy(ahead.buffer, ahead.headroom - kept, this.at, this.#filled)
      this.#free = this.buffer
      this.buffer = ahead.buffer
      this.at = ahead.headroom - kept
      this.#filled = end
      return
    }
    this.#headroom = Math.max(this.#headroom, Math.min(kept, MAX_HEADROOM_BYTES))
    this.#free = ahead.buffer
    if (this.#filled + bytesRead > this.buffer.length) {
      // A batch of many chunks: room for all of it, so that it is copied once.
      const wanted = kept >= batch.MAGIC_END ? batch.batchSizeBytes(this.buffer, this.at) : 0
      const larger = Buffer.allocUnsafe(Math.max(wanted + this.#chunkBytes, kept + bytesRead))
      this.buffer.copy(larger, 0, this.at, this.#filled)
      this.buffer = larger
      this.at = 0
      this.#filled = kept
    }
    ahead.buffer.copy(this.buffer, this.#filled, ahead.headroom, end)
    this.#filled += bytesRead
  }

  #readAhead(): void {
    const left = this.#end - this.#readPosition
    if (left <= 0) return
    const length = Math.min(this.#chunkBytes, left)
    // A range of one chunk has nothing before it and nothing behind it.
    const headroom = this.#whole ? 0 : this.#headroom
    let buffer = this.#free
    this.#free = null
    if (buffer === null || buffer.length < headroom + length) buffer = takeBuffer(headroom + length)
    const bytesRead = readAt(this.#file, this.#readPosition, buffer.subarray(headroom, headroom + length))
    // Nobody waits for it when the scan ends before.
    bytesRead.catch(() => {})
    this.#readPosition += length
    this.#ahead = { buffer, headroom, length, bytesRead }
  }
}

function takeBuffer(length: number): Buffer {
  if (length < MIN_KEPT_BYTES || length > MAX_KEPT_BYTES) return Buffer.allocUnsafe(length)
  const size = 2 ** Math.ceil(Math.log2(length))
  const buffer = idle.get(size)?.pop()
  if (buffer === undefined) return Buffer.allocUnsafeSlow(size)
  idleBytes -= size
  return buffer
}

function keepBuffer(buffer: Buffer): void {
  const size = buffer.length
  const kept = size >= MIN_KEPT_BYTES && size <= MAX_KEPT_BYTES && (size & (size - 1)) === 0
  if (!kept || idleBytes + size > MAX_IDLE_BYTES) return
  const buffers = idle.get(size)
  if (buffers === undefined) idle.set(size, [buffer])
  else buffers.push(buffer)
  idleBytes += size
}

/** On its way into `buffer`, behind `headroom` bytes. */
interface Chunk {
  readonly buffer: Buffer
  readonly headroom: number
  readonly length: number
  readonly bytesRead: Promise<number>
}
