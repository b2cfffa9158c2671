import type { CachedSegment, SegmentCache } from '../log-types.ts'

/** Keeps the most recently used closed segments open, within a number of files and bytes of indexes. */
export class RecentSegments implements SegmentCache {
  readonly #maxSegments: number
  readonly #maxBytes: number
  /** Least recently used first; with the bytes counted for each. */
  readonly #segments = new Map<CachedSegment, number>()
  #bytes = 0
  #latest: CachedSegment | null = null

  constructor(maxSegments = 1024, maxBytes = 64 << 20) {
    this.#maxSegments = maxSegments
    this.#maxBytes = maxBytes
  }

  get size(): number {
    return this.#segments.size
  }

  touch(segment: CachedSegment): void {
    const bytes = segment.cachedBytes
    const counted = this.#segments.get(segment)
    if (segment === this.#latest && counted === bytes) return
    this.#segments.delete(segment)
    this.#segments.set(segment, bytes)
    this.#bytes += bytes - (counted ?? 0)
    this.#latest = segment
    if (this.#segments.size <= this.#maxSegments && this.#bytes <= this.#maxBytes) return
    for (const [oldest, oldestBytes] of this.#segments) {
      if (oldest === segment) return
      this.#segments.delete(oldest)
      this.#bytes -= oldestBytes
      oldest.evict()
      if (this.#segments.size <= this.#maxSegments && this.#bytes <= this.#maxBytes) return
    }
  }

  forget(segment: CachedSegment): void {
    const counted = this.#segments.get(segment)
    if (counted === undefined) return
    this.#bytes -= counted
    this.#segments.delete(segment)
    if (this.#latest === segment) this.#latest = null
  }
}
