/** Frames up to this size share a chunk; larger ones get a buffer of their own. */
export const SHARED_FRAME_LIMIT_BYTES = 256 * 1024
const CHUNK_BYTES = 1024 * 1024
/** Chunks kept for the next frames. */
const MAX_SPARE_CHUNKS = 32

/** A large buffer that frames share. Only the arena looks inside. */
export interface ArenaChunk {
  readonly buffer: Buffer
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
  #chunk: ArenaChunk = newChunk()
  #taken: ArenaChunk | null = null
  readonly #spare: ArenaChunk[] = []
  /** So many were never needed since the last look. */
  #leastSpare = 0

  get spareChunks(): number {
    return this.#spare.length
  }

  /** Of the frame taken last: what to give back; null when it has a buffer of its own. */
  get taken(): ArenaChunk | null {
    return this.#taken
  }

  /** The bytes are uninitialised: the caller overwrites all of them. */
  take(lengthBytes: number): Buffer {
    if (lengthBytes > SHARED_FRAME_LIMIT_BYTES) {
      this.#taken = null
      return Buffer.allocUnsafeSlow(lengthBytes)
    }
    let chunk = this.#chunk
    if (chunk.usedBytes + lengthBytes > CHUNK_BYTES) {
      this.#chunk = this.#spare.pop() ?? newChunk()
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

  /** One frame of the chunk is done with: nobody reads or writes its bytes any more. */
  giveBack(chunk: ArenaChunk): void {
    chunk.frames -= 1
    if (chunk.frames > 0) return
    if (chunk === this.#chunk) chunk.usedBytes = 0
    else this.#keep(chunk)
  }

  /** Called about once a second: half of what the load of that time did not need goes. */
  shrink(): void {
    this.#spare.length -= Math.ceil(this.#leastSpare / 2)
    this.#leastSpare = this.#spare.length
  }

  #keep(chunk: ArenaChunk): void {
    if (this.#spare.length >= MAX_SPARE_CHUNKS) return
    chunk.usedBytes = 0
    this.#spare.push(chunk)
  }
}

function newChunk(): ArenaChunk {
  return { buffer: Buffer.allocUnsafeSlow(CHUNK_BYTES), usedBytes: 0, frames: 0 }
}
