/** What the staging memory grows by. A region never spans two chunks. */
export const CHUNK_BYTES = 1 << 20
/** Up to here a write is not cut in two where a chunk ends; the rest of the chunk stays unused instead. */
const WHOLE_BYTES = 1 << 18

export class StagingChunk {
  readonly memory: Buffer
  /** Grows when the chunk is used anew: what somebody remembers of an earlier generation is gone. */
  generation = 0
  /** Regions that the device still reads from. */
  writing = 0

  constructor(memory: Buffer) {
    this.memory = memory
  }
}

/**
 * The memory that durable writes leave from: aligned chunks, filled one after the other and used again in the same
 * order, so that what was written last stays readable for as long as possible.
 */
export class StagingRing {
  /** Where the region lies that `take` gave. */
  offset = 0
  readonly #allocate: (bytes: number) => Buffer
  readonly #maxChunks: number
  readonly #chunks: StagingChunk[] = []
  #current = -1
  #used = CHUNK_BYTES

  /** `allocate` gives memory that begins at a multiple of 4 KiB. */
  constructor(allocate: (bytes: number) => Buffer, maxBytes: number) {
    this.#allocate = allocate
    this.#maxChunks = Math.max(2, Math.floor(maxBytes / CHUNK_BYTES))
  }

  /** The chunk that the region of the last `take` lies in. */
  get chunk(): StagingChunk {
    const chunk = this.#chunks[this.#current]
    if (chunk === undefined) throw new Error('no region was taken yet')
    return chunk
  }

  /**
   * Takes a region of up to `bytes`, at `offset` of `chunk`. Returns its length; 0 when the device still reads from
   * the chunk that is next. `bytes` are whole blocks, and so is what is taken, whatever the blocks of other devices.
   */
  take(bytes: number, blockBytes: number): number {
    let room = CHUNK_BYTES - this.#used
    room -= room % blockBytes
    if (room < Math.min(bytes, WHOLE_BYTES)) {
      if (!this.#advance()) return 0
      room = CHUNK_BYTES
    }
    const length = Math.min(bytes, room)
    this.offset = this.#used
    this.#used += length
    return length
  }

  #advance(): boolean {
    if (this.#chunks.length < this.#maxChunks) {
      this.#current = this.#chunks.push(new StagingChunk(this.#allocate(CHUNK_BYTES))) - 1
    } else {
      const next = (this.#current + 1) % this.#chunks.length
      const chunk = this.#chunks[next]
      if (chunk === undefined || chunk.writing > 0) return false
      chunk.generation++
      this.#current = next
    }
    this.#used = 0
    return true
  }
}
