/** A frame is an int32 size and that many bytes. */
export const SIZE_PREFIX_BYTES = 4

/** What a frame's buffer starts with; it grows only as bytes arrive, whatever the size prefix claims. */
const FIRST_CAPACITY_BYTES = 64 * 1024

/**
 * Collects one frame that did not arrive whole. The buffer includes the size prefix; its capacity follows the
 * bytes received (a 100 MiB claim followed by silence costs 64 KiB), and the last growth is to the exact size.
 */
export class FrameAssembler {
  #buffer: Buffer = Buffer.alloc(SIZE_PREFIX_BYTES)
  #filled = 0
  #totalBytes = -1

  get idle(): boolean {
    return this.#filled === 0
  }

  get receivedBytes(): number {
    return this.#filled
  }

  /** Size of the frame with its prefix, or -1 while the prefix itself is incomplete. */
  get totalBytes(): number {
    return this.#totalBytes
  }

  /** Takes what belongs to this frame and returns how many bytes that was. */
  take(source: Buffer, start: number, end: number): number {
    let at = start
    if (this.#filled < SIZE_PREFIX_BYTES) {
      const count = Math.min(SIZE_PREFIX_BYTES - this.#filled, end - at)
      source.copy(this.#buffer, this.#filled, at, at + count)
      this.#filled += count
      at += count
      if (this.#filled < SIZE_PREFIX_BYTES) return at - start
      this.#totalBytes = SIZE_PREFIX_BYTES + this.#buffer.readInt32BE(0)
      return at - start
    }
    const count = Math.min(this.#totalBytes - this.#filled, end - at)
    this.#ensureCapacity(this.#filled + count)
    source.copy(this.#buffer, this.#filled, at, at + count)
    this.#filled += count
    return count
  }

  get complete(): boolean {
    return this.#filled === this.#totalBytes
  }

  /** The first bytes of the frame that have arrived, prefix included. */
  peek(): Buffer {
    return this.#buffer.subarray(0, this.#filled)
  }

  /** The complete frame, which from here on belongs to the caller. */
  release(): Buffer {
    const frame = this.#buffer.subarray(0, this.#totalBytes)
    this.#buffer = Buffer.alloc(SIZE_PREFIX_BYTES)
    this.#filled = 0
    this.#totalBytes = -1
    return frame
  }

  #ensureCapacity(neededBytes: number): void {
    if (neededBytes <= this.#buffer.length) return
    const wanted = Math.max(neededBytes, this.#buffer.length * 2, FIRST_CAPACITY_BYTES)
    const grown = Buffer.allocUnsafeSlow(Math.min(wanted, this.#totalBytes))
    this.#buffer.copy(grown, 0, 0, this.#filled)
    this.#buffer = grown
  }
}
