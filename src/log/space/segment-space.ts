const BLOCK_BYTES = 4096
const FIRST_STEP_BYTES = 64 << 10
const MAX_AHEAD_BYTES = 64 << 20
/** How long what is reserved should last at the present rate. */
const AHEAD_MS = 1500
const WINDOW_MS = 1000
/** What a rate is judged by at least. */
const SHORTEST_LOOK_MS = 250
/** A log without appends for this long gives back what it holds beyond the first step. */
const IDLE_MS = 30_000
/** After the volume had no room for a reservation. */
const RETRY_MS = 30_000

/**
 * Decides how far the file of the active segment reaches ahead of the log, while every write has to be on the device.
 *
 * A write into blocks that hold written bytes (zeros will do) changes no metadata of the file system: one request to
 * the device instead of a commit of its journal, five times as many per second. So a log reserves what it will need
 * next. It begins with nothing, since most of ten thousand partitions stay silent, and goes on with about what it
 * wrote durably in the last second and a half.
 */
export class SegmentSpace {
  #windowStartMs = -Infinity
  #windowBytes = 0
  #lastWindowBytes = 0
  #lastWroteMs = -Infinity
  #writes = 0
  #notBeforeMs = -Infinity
  #refusals = 0

  /** A durable write is done. */
  wrote(nowMs: number, bytes: number): void {
    const elapsedMs = nowMs - this.#windowStartMs
    if (elapsedMs >= WINDOW_MS) {
      this.#lastWindowBytes = elapsedMs < 2 * WINDOW_MS ? this.#windowBytes : 0
      this.#windowBytes = 0
      this.#windowStartMs = nowMs
    }
    this.#windowBytes += bytes
    this.#lastWroteMs = nowMs
    this.#writes++
  }

  /**
   * The size the file should be brought to now; -1 when what it has is enough. `endBytes`: where the log ends in it,
   * `fileBytes`: what it has, `maxBytes`: what it will ever need.
   */
  wanted(nowMs: number, endBytes: number, fileBytes: number, maxBytes: number): number {
    // One record in a partition says nothing about a second.
    if (this.#writes < 2 || nowMs < this.#notBeforeMs) return -1
    const aheadBytes = this.#aheadBytes(nowMs)
    if (fileBytes - endBytes > aheadBytes / 2) return -1
    const sizeBytes = Math.min(roundUp(endBytes) + aheadBytes, maxBytes - (maxBytes % BLOCK_BYTES))
    return sizeBytes > fileBytes ? sizeBytes : -1
  }

  /** The volume has no room. True when that is news. */
  refused(nowMs: number): boolean {
    this.#notBeforeMs = nowMs + RETRY_MS
    return this.#refusals++ === 0
  }

  granted(): void {
    this.#refusals = 0
  }

  isIdle(nowMs: number): boolean {
    return nowMs - this.#lastWroteMs >= IDLE_MS
  }

  /** The size the file of an idle log should be cut to; -1 when it may stay as it is. */
  surplus(nowMs: number, endBytes: number, fileBytes: number): number {
    if (!this.isIdle(nowMs)) return -1
    // Not rounded up: an idle log holds no more than the first step.
    const keptBytes = endBytes - (endBytes % BLOCK_BYTES) + FIRST_STEP_BYTES
    return fileBytes > keptBytes ? keptBytes : -1
  }

  #aheadBytes(nowMs: number): number {
    const elapsedMs = nowMs - this.#windowStartMs
    const share = Math.max(0, 1 - elapsedMs / WINDOW_MS)
    const isNew = this.#lastWindowBytes === 0
    // Waiting for a whole window would let a burst into a fresh partition outrun every reservation.
    const scale = isNew ? WINDOW_MS / Math.min(WINDOW_MS, Math.max(elapsedMs, SHORTEST_LOOK_MS)) : 1
    const perWindow = this.#windowBytes * scale + this.#lastWindowBytes * share
    const bytes = roundUp((perWindow * AHEAD_MS) / WINDOW_MS)
    return Math.min(MAX_AHEAD_BYTES, Math.max(FIRST_STEP_BYTES, bytes))
  }
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES
}
