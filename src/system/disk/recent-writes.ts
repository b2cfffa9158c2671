/**
 * Knows which bytes of a file the page cache surely still holds: those this process wrote not long ago, "long"
 * counted in bytes written to all files since. One `WriteClock` per disk, one `RecentWrites` per file.
 */
export class WriteClock {
  /** Bytes written to all files since the start. */
  totalBytes = 0
  readonly budgetBytes: number

  constructor(budgetBytes: number) {
    this.budgetBytes = budgetBytes
  }
}

const MARK_BYTES = 1 << 20

/**
 * A run of contiguous bytes up to `#end`, with marks: from position p on, bytes were written when the clock showed
 * at least t. One mark per MiB that went by, so a mark is at most that much too pessimistic.
 */
export class RecentWrites {
  readonly #clock: WriteClock
  readonly #positions: number[] = []
  readonly #totals: number[] = []
  #end = -1

  constructor(clock: WriteClock) {
    this.#clock = clock
  }

  wrote(position: number, length: number): void {
    const total = this.#clock.totalBytes
    this.#clock.totalBytes = total + length
    const first = this.#positions[0]
    if (first === undefined || position > this.#end || position < first) {
      this.#positions.length = 0
      this.#totals.length = 0
      this.#mark(position, total)
      this.#end = position + length
      return
    }
    if (position + length <= this.#end) return
    if (total - (this.#totals.at(-1) ?? 0) >= MARK_BYTES) this.#mark(this.#end, total)
    this.#end = position + length
    this.#expire()
  }

  truncated(sizeBytes: number): void {
    if (sizeBytes >= this.#end) return
    this.#end = sizeBytes
    while ((this.#positions.at(-1) ?? -1) >= sizeBytes) {
      this.#positions.pop()
      this.#totals.pop()
    }
    if (this.#positions.length === 0) this.#end = -1
  }

  covers(position: number, length: number): boolean {
    this.#expire()
    const first = this.#positions[0]
    return first !== undefined && position >= first && position + length <= this.#end
  }

  #mark(position: number, total: number): void {
    this.#positions.push(position)
    this.#totals.push(total)
  }

  #expire(): void {
    const horizon = this.#clock.totalBytes - this.#clock.budgetBytes
    let expired = 0
    while (expired < this.#totals.length && (this.#totals[expired] ?? 0) < horizon) expired++
    if (expired === 0) return
    this.#positions.splice(0, expired)
    this.#totals.splice(0, expired)
  }
}
