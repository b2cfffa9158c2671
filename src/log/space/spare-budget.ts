/** Kafka's default `log.segment.bytes`: on a small volume one file kept back may be much already. */
const DEFAULT_MAX_BYTES = 1 << 30

/**
 * What the logs of one directory may keep back of files that retention deleted, for their next segments. Such a file
 * has its blocks, written once: to write over it changes no metadata of the file system.
 */
export class SpareBudget {
  /** The volume is filling up: nothing is kept back and nothing reserved, so that what has to be written finds room. */
  scarce = false
  readonly #maxBytes: number
  #usedBytes = 0

  /** 0: no file is kept. */
  constructor(maxBytes = DEFAULT_MAX_BYTES) {
    this.#maxBytes = maxBytes
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /** False: it would be too much, and the file has to go. */
  take(bytes: number): boolean {
    if (this.scarce || bytes <= 0 || this.#usedBytes + bytes > this.#maxBytes) return false
    this.#usedBytes += bytes
    return true
  }

  /** The file is used, or gone. */
  give(bytes: number): void {
    this.#usedBytes -= bytes
  }
}
