import { ReadBuffers } from '../log/read/read-buffers.ts'

/** Frames up to this size share a chunk; larger ones get a buffer of their own. */
export const SHARED_FRAME_LIMIT_BYTES = 256 * 1024
const CHUNK_BYTES = 1024 * 1024
/** Chunks kept for the next frames. */
const MAX_SPARE_CHUNKS = 32
/** Buffers of large frames come in multiples of this, so that one fits the next frame too. */
const LARGE_STEP_BYTES = 128 * 1024
/** Larger ones are rare: they are left to the collector. */
const MAX_KEPT_FRAME_BYTES = 4 * 1024 * 1024
/** Of large frames kept for the next ones: they come in many at a time, when a flush has ended. */
const MAX_IDLE_LARGE_BYTES = 32 * 1024 * 1024
/** Of pieces of frames that are not complete. */
const MAX_IDLE_PIECES_BYTES = 16 * 1024 * 1024
/** Each frame that is not complete may keep a chunk from being used again. */
const MAX_INCOMPLETE_FRAMES = 64

/** A large buffer that frames share, or that of one large frame. Only the arena looks inside. */
export interface ArenaChunk {
  readonly buffer: Buffer
  readonly isLarge: boolean
  usedBytes: number
  /** Frames taken and not given back. */
  frames: number
}

/**
 * Hands out memory for received frames from large chunks, and uses a chunk again when all its frames were given
 * back. Besides the allocation this saves garbage collections: V8 starts one for every few dozen MiB of buffers that
 * were made, however small its own heap is, and at 500 MB/s they took a third of the time.
 *
 * A frame that is never given back (its request failed, its connection is gone, somebody may still hold a view) costs
 * nothing but that: its chunk is not used again and goes when its last view goes.
 */
export class FrameArena {
  /** What incomplete frames are collected in. */
  readonly pieces = new ReadBuffers(MAX_IDLE_PIECES_BYTES)
  #chunk: ArenaChunk = newChunk(CHUNK_BYTES, false)
  #taken: ArenaChunk | null = null
  readonly #spare: ArenaChunk[] = []
  /** So many were never needed since the last look. */
  #leastSpare = 0
  /** Of large frames, the one given back last at the end. */
  readonly #large: ArenaChunk[] = []
  #largeBytes = 0
  #leastLargeBytes = 0
  #incomplete = 0

  get spareChunks(): number {
    return this.#spare.length
  }

  /** Bytes of buffers kept for large frames. */
  get idleLargeBytes(): number {
    return this.#largeBytes
  }

  /** Of the frame taken last: what to give back; null when it has a buffer of its own that is not used again. */
  get taken(): ArenaChunk | null {
    return this.#taken
  }

  /** The bytes are uninitialised: the caller overwrites all of them. */
  take(lengthBytes: number): Buffer {
    if (lengthBytes > SHARED_FRAME_LIMIT_BYTES) return this.#takeLarge(lengthBytes)
    let chunk = this.#chunk
    if (chunk.usedBytes + lengthBytes > CHUNK_BYTES) {
      this.#chunk = this.#spare.pop() ?? newChunk(CHUNK_BYTES, false)
      this.#leastSpare = Math.min(this.#leastSpare, this.#spare.length)
      if (chunk.frames === 0) this.#keep(chunk)
      chunk = this.#chunk
    }
    const start = chunk.usedBytes
    chunk.usedBytes += lengthBytes
    chunk.frames += 1
    this.#taken = chunk
    return chunk.buffer.subarray(start, chunk.usedBytes)
  }

  /**
   * For a frame of which the rest has not arrived. Null: too many lie in chunks already, or it is too large for that.
   * Else `incompleteEnds` is called when it is complete or moves.
   */
  takeIncomplete(lengthBytes: number): Buffer | null {
    if (lengthBytes > SHARED_FRAME_LIMIT_BYTES || this.#incomplete >= MAX_INCOMPLETE_FRAMES) return null
    this.#incomplete += 1
    return this.take(lengthBytes)
  }

  incompleteEnds(): void {
    this.#incomplete -= 1
  }

  #takeLarge(lengthBytes: number): Buffer {
    if (lengthBytes > MAX_KEPT_FRAME_BYTES) {
      this.#taken = null
      return Buffer.allocUnsafeSlow(lengthBytes)
    }
    const wantedBytes = Math.ceil(lengthBytes / LARGE_STEP_BYTES) * LARGE_STEP_BYTES
    const at = this.#large.findLastIndex(
      ({ buffer }) => buffer.length >= wantedBytes && buffer.length <= wantedBytes + LARGE_STEP_BYTES,
    )
    const chunk = at < 0 ? newChunk(wantedBytes, true) : this.#large.splice(at, 1)[0]!
    if (at >= 0) this.#largeBytes -= chunk.buffer.length
    this.#leastLargeBytes = Math.min(this.#leastLargeBytes, this.#largeBytes)
    chunk.frames = 1
    this.#taken = chunk
    return chunk.buffer.subarray(0, lengthBytes)
  }

  /** One frame of the chunk is done with: nobody reads or writes its bytes any more. */
  giveBack(chunk: ArenaChunk): void {
    chunk.frames -= 1
    if (chunk.frames > 0) return
    if (chunk === this.#chunk) chunk.usedBytes = 0
    else this.#keep(chunk)
  }

  /** Called about once a second: half of what the load of that time did not need goes. */
  shrink(): void {
    this.pieces.shrink()
    this.#spare.length -= Math.ceil(this.#leastSpare / 2)
    this.#leastSpare = this.#spare.length
    for (let excessBytes = this.#leastLargeBytes / 2; excessBytes > 0;) {
      const { length } = this.#large.shift()!.buffer
      this.#largeBytes -= length
      excessBytes -= length
    }
    this.#leastLargeBytes = this.#largeBytes
  }

  #keep(chunk: ArenaChunk): void {
    if (chunk.isLarge) {
      if (this.#largeBytes + chunk.buffer.length > MAX_IDLE_LARGE_BYTES) return
      this.#large.push(chunk)
      this.#largeBytes += chunk.buffer.length
      return
    }
    if (this.#spare.length >= MAX_SPARE_CHUNKS) return
    chunk.usedBytes = 0
    this.#spare.push(chunk)
  }
}

function newChunk(lengthBytes: number, isLarge: boolean): ArenaChunk {
  return { buffer: Buffer.allocUnsafeSlow(lengthBytes), isLarge, usedBytes: 0, frames: 0 }
}
