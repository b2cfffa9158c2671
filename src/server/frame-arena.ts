/** Frames up to this size share a chunk; larger ones get a buffer of their own. */
const SHARED_FRAME_LIMIT_BYTES = 256 * 1024
const CHUNK_BYTES = 1024 * 1024

/**
 * Hands out buffers for received frames from large chunks, so that a frame costs a view and not an allocation. A
 * chunk lives as long as any view of it: only for frames that are dropped soon (Produce), never for bytes that
 * some part of the broker keeps.
 */
export class FrameArena {
  #chunk: Buffer = Buffer.alloc(0)
  #used = 0

  /** The bytes are uninitialised: the caller overwrites all of them. */
  take(lengthBytes: number): Buffer {
    if (lengthBytes > SHARED_FRAME_LIMIT_BYTES) return Buffer.allocUnsafeSlow(lengthBytes)
    if (this.#used + lengthBytes > this.#chunk.length) {
      this.#chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES)
      this.#used = 0
    }
    const start = this.#used
    this.#used += lengthBytes
    return this.#chunk.subarray(start, this.#used)
  }
}
