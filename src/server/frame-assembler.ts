import { SIZE_BYTES } from '../../protocol/frame.ts'
import { ApiKey } from '../../protocol/keys.ts'
import { type ArenaChunk, type FrameArena, SHARED_FRAME_LIMIT_BYTES } from './frame-arena.ts'

/** Size and API key: what decides where a frame is collected. */
const PREAMBLE_BYTES = SIZE_BYTES + 2

/** What a frame's buffer starts with; it grows only as bytes arrive, whatever the size prefix claims. */
const FIRST_CAPACITY_BYTES = 64 * 1024

/**
 * Collects one frame that did not arrive whole. The buffer includes the size prefix; its capacity follows the
 * bytes received (a 100 MiB claim followed by silence costs 64 KiB), and the last growth is to the exact size. A
 * Produce request that fits is collected in the arena, where it stays.
 */
export class FrameAssembler {
  readonly #arena: FrameArena
  readonly #preamble: Buffer = Buffer.alloc(PREAMBLE_BYTES)
  #buffer: Buffer = this.#preamble
  #filled = 0
  /** Null while the size prefix is incomplete. Any other value is what the client claims, also a negative one. */
  #claimedBytes: number | null = null
  #chunk: ArenaChunk | null = null

  constructor(arena: FrameArena) {
    this.#arena = arena
  }

  get idle(): boolean {
    return this.#filled === 0
  }

  get receivedBytes(): number {
    return this.#filled
  }

  /**
   * What the size prefix claims of the bytes behind it; null while it is incomplete. Whoever feeds the assembler judges
   * the claim, each time it may have become known, and takes nothing more of a frame that cannot be.
   */
  get claimedBytes(): number | null {
    return this.#claimedBytes
  }

  /** Takes what belongs to this frame and returns how many bytes that was. */
  take(source: Buffer, start: number, end: number): number {
    let at = start
    if (this.#filled < SIZE_BYTES) {
      const count = Math.min(SIZE_BYTES - this.#filled, end - at)
      source.copy(this.#buffer, this.#filled, at, at + count)
      this.#filled += count
      at += count
      if (this.#filled < SIZE_BYTES) return at - start
      this.#claimedBytes = this.#buffer.readInt32BE(0)
      return at - start
    }
    const totalBytes = this.#totalBytes
    // The API key first: it decides where the rest is collected.
    if (this.#filled < PREAMBLE_BYTES)
      at += this.#copy(source, at, Math.min(end, at + PREAMBLE_BYTES - this.#filled), totalBytes)
    if (at < end) at += this.#copy(source, at, end, totalBytes)
    return at - start
  }

  /** Size of the frame with its prefix. */
  get #totalBytes(): number {
    if (this.#claimedBytes === null || this.#claimedBytes < 0) throw new Error('no frame has a negative size')
    return SIZE_BYTES + this.#claimedBytes
  }

  #copy(source: Buffer, start: number, end: number, totalBytes: number): number {
    const count = Math.min(totalBytes - this.#filled, end - start)
    this.#ensureCapacity(this.#filled + count, totalBytes)
    source.copy(this.#buffer, this.#filled, start, start + count)
    this.#filled += count
    return count
  }

  get complete(): boolean {
    return this.#claimedBytes !== null && this.#filled === SIZE_BYTES + this.#claimedBytes
  }

  /** The first bytes of the frame that have arrived, prefix included. */
  peek(): Buffer {
    return this.#buffer.subarray(0, this.#filled)
  }

  /** Of the arena, when the frame lies in it. */
  get chunk(): ArenaChunk | null {
    return this.#chunk
  }

  /** The complete frame, which from here on belongs to the caller. */
  release(): Buffer {
    const totalBytes = this.#totalBytes
    const frame =
      this.#buffer === this.#preamble
        ? Buffer.from(this.#preamble.subarray(0, totalBytes))
        : this.#buffer.subarray(0, totalBytes)
    this.#buffer = this.#preamble
    this.#filled = 0
    this.#claimedBytes = null
    this.#chunk = null
    return frame
  }

  #ensureCapacity(neededBytes: number, totalBytes: number): void {
    if (neededBytes <= this.#buffer.length) return
    if (this.#buffer === this.#preamble && this.#buffer.readInt16BE(SIZE_BYTES) === ApiKey.Produce) {
      if (totalBytes <= SHARED_FRAME_LIMIT_BYTES) {
        this.#buffer = this.#arena.take(totalBytes)
        this.#chunk = this.#arena.taken
        this.#preamble.copy(this.#buffer)
        return
      }
    }
    const wanted = Math.max(neededBytes, this.#buffer.length * 2, FIRST_CAPACITY_BYTES)
    const grown = Buffer.allocUnsafeSlow(Math.min(wanted, totalBytes))
    this.#buffer.copy(grown, 0, 0, this.#filled)
    this.#buffer = grown
  }
}
