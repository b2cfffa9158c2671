import { SIZE_BYTES } from '../../protocol/frame.ts'
import { ApiKey } from '../../protocol/keys.ts'
import type { PooledBuffer } from '../log/read/read-buffers.ts'
import type { ArenaChunk, FrameArena } from './frame-arena.ts'

/** Size and API key: what decides where a frame is collected. */
const PREAMBLE_BYTES = SIZE_BYTES + 2

/** A frame is collected in pieces of this size; one that is not larger gets its buffer at once. */
const PIECE_BYTES = 64 * 1024
/**
 * A larger frame, which is left to the collector, moves to its buffer when an eighth of it is there: its pieces are garbage from
 * then on, and of a buffer only what was written takes memory.
 */
const MAX_FRAME_OF_PIECES_BYTES = 4 * 1024 * 1024

/**
 * Collects one frame that did not arrive whole. The buffer includes the size prefix. The memory follows the bytes
 * received (a 100 MiB claim followed by silence costs 64 KiB): pieces that are used again, and a buffer of the exact
 * size in the end. A Produce request that fits is collected in the arena, where it stays.
 */
export class FrameAssembler {
  readonly #arena: FrameArena
  readonly #preamble: Buffer = Buffer.alloc(PREAMBLE_BYTES)
  /** Where the frame lies, once that is known. */
  #whole: Buffer | null = null
  /** Until then: each but the last is full. */
  #pieces: PooledBuffer[] = []
  #filled = 0
  /** Null while the size prefix is incomplete. Any other value is what the client claims, also a negative one. */
  #claimedBytes: number | null = null
  #chunk: ArenaChunk | null = null
  /** It takes up one of the places that incomplete frames have in the arena. */
  #inArena = false

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
      at += this.#fillPreamble(source, at, count)
      if (this.#filled === SIZE_BYTES) this.#claimedBytes = this.#preamble.readInt32BE(0)
      return at - start
    }
    const totalBytes = this.#totalBytes
    const stop = Math.min(end, at + totalBytes - this.#filled)
    // The API key first: it decides where the rest is collected.
    if (this.#filled < PREAMBLE_BYTES)
      at += this.#fillPreamble(source, at, Math.min(stop - at, PREAMBLE_BYTES - this.#filled))
    while (at < stop) at += this.#copy(source, at, stop, totalBytes)
    return at - start
  }

  /** Size of the frame with its prefix. */
  get #totalBytes(): number {
    if (this.#claimedBytes === null || this.#claimedBytes < 0) throw new Error('no frame has a negative size')
    return SIZE_BYTES + this.#claimedBytes
  }

  #fillPreamble(source: Buffer, start: number, count: number): number {
    source.copy(this.#preamble, this.#filled, start, start + count)
    this.#filled += count
    return count
  }

  #copy(source: Buffer, start: number, stop: number, totalBytes: number): number {
    if (this.#whole === null && this.#pieces.length === 0) this.#begin(totalBytes)
    let at = this.#filled
    let target = this.#whole
    if (target === null) {
      if (this.#filled === this.#pieces.length * PIECE_BYTES) this.#pieces.push(this.#newPiece())
      target = this.#pieces.at(-1)!.buffer
      at -= (this.#pieces.length - 1) * PIECE_BYTES
    }
    const count = Math.min(stop - start, target.length - at)
    source.copy(target, at, start, start + count)
    this.#filled += count
    if (this.#whole === null) this.#join(totalBytes)
    return count
  }

  #begin(totalBytes: number): void {
    if (this.#preamble.readInt16BE(SIZE_BYTES) === ApiKey.Produce) {
      this.#whole = this.#arena.takeIncomplete(totalBytes)
      this.#inArena = this.#whole !== null
      if (this.#inArena) this.#chunk = this.#arena.taken
    }
    if (this.#whole === null && totalBytes <= PIECE_BYTES) this.#whole = Buffer.allocUnsafeSlow(totalBytes)
    if (this.#whole === null) this.#pieces.push(this.#newPiece())
    this.#preamble.copy(this.#whole ?? this.#pieces[0]!.buffer)
  }

  #newPiece(): PooledBuffer {
    const piece = this.#arena.pieces.take(PIECE_BYTES)
    if (piece === null) throw new Error('a piece of a frame is of a size that is kept')
    return piece
  }

  /** Of pieces one buffer, when it is time. */
  #join(totalBytes: number): void {
    const enough = totalBytes > MAX_FRAME_OF_PIECES_BYTES ? totalBytes / 8 : totalBytes
    if (this.#filled < enough) return
    const isShared = this.#preamble.readInt16BE(SIZE_BYTES) === ApiKey.Produce
    const whole = isShared ? this.#arena.take(totalBytes) : Buffer.allocUnsafeSlow(totalBytes)
    this.#chunk = isShared ? this.#arena.taken : null
    let at = 0
    for (const piece of this.#pieces) at += piece.buffer.copy(whole, at, 0, this.#filled - at)
    this.#whole = whole
    this.#releasePieces()
  }

  #releasePieces(): void {
    for (const piece of this.#pieces) piece.release()
    this.#pieces = []
  }

  get complete(): boolean {
    return this.#claimedBytes !== null && this.#filled === SIZE_BYTES + this.#claimedBytes
  }

  /** The first bytes of the frame that have arrived, prefix included; of no more than the API key is anything asked. */
  peek(): Buffer {
    return this.#preamble.subarray(0, Math.min(this.#filled, PREAMBLE_BYTES))
  }

  /** Of the arena, when the frame lies in it. */
  get chunk(): ArenaChunk | null {
    return this.#chunk
  }

  /** The complete frame, which from here on belongs to the caller. */
  release(): Buffer {
    const frame = this.#whole ?? Buffer.from(this.#preamble.subarray(0, this.#totalBytes))
    this.#leavesArena()
    this.#forget()
    return frame
  }

  /** The rest is a long time coming: the frame makes room in the arena for those that arrive. */
  lingers(): void {
    if (!this.#inArena || this.#whole === null || this.#chunk === null) return
    const own = Buffer.allocUnsafeSlow(this.#whole.length)
    this.#whole.copy(own, 0, 0, this.#filled)
    this.#leavesArena()
    this.#arena.giveBack(this.#chunk)
    this.#chunk = null
    this.#whole = own
  }

  /** The rest will not come. Nobody else has seen these bytes: their memory is used again. */
  abandon(): void {
    this.#leavesArena()
    this.#releasePieces()
    if (this.#chunk !== null) this.#arena.giveBack(this.#chunk)
    this.#forget()
  }

  #leavesArena(): void {
    if (this.#inArena) this.#arena.incompleteEnds()
    this.#inArena = false
  }

  #forget(): void {
    this.#whole = null
    this.#filled = 0
    this.#claimedBytes = null
    this.#chunk = null
  }
}
