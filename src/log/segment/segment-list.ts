import assert from 'node:assert/strict'
import type { Segment } from './segment.ts'

/**
 * The segments of one log, oldest first; the last is the active one. The list itself never changes, it is replaced as
 * a whole: whoever took it goes on with what it was.
 */
export class SegmentList {
  #all: readonly Segment[]
  #sizeBytes = 0

  constructor(segments: readonly Segment[]) {
    this.#all = segments
    this.recount()
  }

  get all(): readonly Segment[] {
    return this.#all
  }

  get active(): Segment {
    const active = this.#all.at(-1)
    assert(active !== undefined, 'a log has a segment')
    return active
  }

  get oldest(): Segment {
    const oldest = this.#all[0]
    assert(oldest !== undefined, 'a log has a segment')
    return oldest
  }

  get count(): number {
    return this.#all.length
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** The active segment has so many bytes more. */
  grew(bytes: number): void {
    this.#sizeBytes += bytes
  }

  /** A new active segment. */
  add(segment: Segment): void {
    this.#replace([...this.#all, segment])
  }

  /** Takes out the oldest. Not all of them. */
  removeOldest(count: number): void {
    assert(count < this.#all.length, 'the active segment stays')
    this.#replace(this.#all.slice(count))
  }

  /** Takes out all but the oldest `count`. */
  keepOldest(count: number): readonly Segment[] {
    assert(count > 0, 'a log has a segment')
    const removed = this.#all.slice(count)
    this.#replace(this.#all.slice(0, count))
    return removed
  }

  /** Puts one segment in the place of adjacent ones that are closed. */
  swap(replaced: readonly Segment[], by: Segment): void {
    const at = this.#all.indexOf(replaced[0]!)
    this.#replace([...this.#all.slice(0, at), by, ...this.#all.slice(at + replaced.length)])
  }

  /** All of it is another log now. */
  startOver(segment: Segment): void {
    this.#replace([segment])
  }

  /** Segments have other sizes than before. */
  recount(): void {
    this.#sizeBytes = this.#all.reduce((sum, segment) => sum + segment.sizeBytes, 0)
  }

  #replace(segments: readonly Segment[]): void {
    this.#all = segments
    this.recount()
  }
}
