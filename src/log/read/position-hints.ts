import type { Segment } from '../segment/segment.ts'

const SIZE = 32

/**
 * Remembers where the batches that begin at some offsets lie: a reader at the tail, or one that reads on, finds its
 * place without a search. Takes no room before it has something to remember.
 */
export class PositionHints {
  readonly #offsets: number[] = []
  readonly #positions: number[] = []
  readonly #segments: Segment[] = []
  #next = 0

  add(offset: number, segment: Segment, position: number): void {
    const slot = this.#next
    this.#offsets[slot] = offset
    this.#positions[slot] = position
    this.#segments[slot] = segment
    this.#next = (slot + 1) % SIZE
  }

  /** Position of the batch that begins at `offset` in this segment, -1 when unknown. */
  find(offset: number, segment: Segment): number {
    const at = this.#offsets.indexOf(offset)
    return at >= 0 && this.#segments[at] === segment ? (this.#positions[at] ?? -1) : -1
  }

  clear(): void {
    this.#offsets.length = 0
    this.#positions.length = 0
    this.#segments.length = 0
    this.#next = 0
  }
}
