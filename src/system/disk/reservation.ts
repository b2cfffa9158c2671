import type { DiskFailure } from '../disk-failure.ts'
import type { Filling, ZeroFiller, ZeroWriter } from '../uring/zero-filler.ts'
import { ZERO_CHUNK_BYTES } from '../uring/zero-filler.ts'

/** The file that a reservation is made in. */
export interface ReservationOwner {
  /** False while something happens in the file that zeros must not meet. The file then calls `proceed` later. */
  mayFill(): boolean
  /**
   * The page cache may have bytes of the file that the device has not. What is reserved counts as prepared together
   * with all before it, so it ends with a flush then.
   */
  readonly unflushed: boolean
  /** Zeros that a write may have waited for are written. */
  chunkEnded(): void
  /** `complete`: and the file was not cut or closed meanwhile. */
  reservationEnded(failure: DiskFailure | null, complete: boolean): void
}

interface Chunk {
  readonly start: number
  readonly end: number
}

/**
 * Zeros on their way to the end of one file, a chunk at a time, while the file is written.
 *
 * A chunk begins behind everything that was written or handed over to be written before the chunk, and a write that
 * comes later and meets a chunk under way waits for it. So zeros never win over what was written.
 */
export class Reservation implements Filling {
  readonly #owner: ReservationOwner
  readonly #filler: ZeroFiller
  readonly #writer: ZeroWriter
  readonly #targetBytes: number
  #next: number
  readonly #chunks: Chunk[] = []
  /** The filler does not know it: it waits for its file. */
  #parked = false
  #started = false
  /** All of it was one chunk that is durable itself. */
  #durable = false
  /** It is allocating or flushing, and does nothing else meanwhile. */
  #alone = false
  #allocating = false
  #cancelled = false
  #failure: DiskFailure | null = null
  #ended = false

  /** `end` is where the file ends, with all that was handed over to be written. */
  constructor(
    owner: ReservationOwner,
    filler: ZeroFiller,
    writer: ZeroWriter,
    end: number,
    targetBytes: number,
  ) {
    this.#owner = owner
    this.#filler = filler
    this.#writer = writer
    this.#next = roundUp(end, writer.blockBytes)
    // A whole block at least: where the end lies inside of a block, its rest may not be part of the file yet.
    this.#targetBytes = roundUp(Math.max(targetBytes, this.#next + 1), writer.blockBytes)
  }

  start(): void {
    if (this.#owner.mayFill()) this.#allocateAll()
    else this.#filler.add(this)
  }

  get hasMore(): boolean {
    return (
      !this.#cancelled &&
      !this.#alone &&
      !this.#ended &&
      this.#failure === null &&
      this.#next < this.#targetBytes
    )
  }

  get underWay(): boolean {
    return this.#chunks.length > 0 || this.#alone
  }

  /** The file is being allocated: whatever goes to it now would only wait inside of the kernel, on a thread of its own. */
  get allocating(): boolean {
    return this.#allocating
  }

  /** Something up to `end` was handed over to be written. */
  raise(end: number): void {
    this.#next = Math.max(this.#next, roundUp(end, this.#writer.blockBytes))
  }

  /** A write of these bytes, rounded out to whole blocks, would meet zeros under way. */
  meets(position: number, length: number): boolean {
    const { blockBytes } = this.#writer
    const start = position - (position % blockBytes)
    const end = roundUp(position + length, blockBytes)
    return this.#chunks.some((chunk) => start < chunk.end && chunk.start < end)
  }

  /** What is under way still ends, nothing more begins: whoever reserved cuts or closes the file. */
  cancel(): void {
    this.#cancelled = true
    if (!this.underWay) this.#end()
  }

  /** The file has become free again. */
  proceed(): void {
    if (!this.#parked) return
    this.#parked = false
    this.#filler.add(this)
  }

  /** Starts what is next. Returns its bytes, or -1 when there is nothing to start now. `stepped` is called at its end. */
  step(stepped: () => void): number {
    if (this.#ended || this.#alone) return -1
    if (!this.hasMore) return this.underWay ? -1 : this.#sync(stepped)
    if (!this.#owner.mayFill()) {
      this.#parked = true
      return -1
    }
    return this.#writeChunk(stepped)
  }

  #writeChunk(stepped: () => void): number {
    const start = this.#next
    const end = Math.min(start + ZERO_CHUNK_BYTES, this.#targetBytes)
    const chunk = { start, end }
    this.#durable = !this.#started && end === this.#targetBytes && !this.#owner.unflushed
    this.#started = true
    this.#next = end
    this.#chunks.push(chunk)
    this.#writer.write(start, end - start, this.#durable, (failure) => {
      this.#chunks.splice(this.#chunks.indexOf(chunk), 1)
      this.#failure ??= failure
      this.#owner.chunkEnded()
      stepped()
      this.#afterStep()
    })
    return end - start
  }

  /** Zeros that make a file longer keep its writes out while they are written; those inside of it do not. */
  #allocateAll(): void {
    this.#alone = true
    this.#allocating = true
    this.#writer.allocate(this.#next, this.#targetBytes - this.#next, (failure) => {
      this.#alone = false
      this.#allocating = false
      this.#failure ??= failure
      this.#owner.chunkEnded()
      if (this.hasMore) this.#filler.add(this)
      else this.#afterStep()
    })
  }

  #afterStep(): void {
    if (this.underWay || this.hasMore || this.#ended) return
    if (this.#failure !== null || this.#durable || this.#cancelled) this.#end()
    // The flush is a step of its own, so that it counts among what is under way.
    else this.#filler.add(this)
  }

  #sync(stepped: () => void): number {
    this.#alone = true
    this.#writer.sync((failure) => {
      this.#alone = false
      this.#failure ??= failure
      stepped()
      this.#end()
    })
    return 0
  }

  #end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#owner.reservationEnded(this.#failure, !this.#cancelled)
  }
}

function roundUp(bytes: number, blockBytes: number): number {
  const rest = bytes % blockBytes
  return rest === 0 ? bytes : bytes + blockBytes - rest
}
