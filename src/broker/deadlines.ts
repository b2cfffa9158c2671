import type { Clock, Timer } from '../ports.ts'

/**
 * Deadlines of everything that waits in the broker: long polls, produce acknowledgements. Deadlines fall into
 * buckets of a few milliseconds and one timer runs for the earliest bucket, so that thousands of parked requests
 * cost one timer and removing a deadline costs one set operation.
 */

/** Width of a bucket: how late, at most, a deadline fires beyond the clock's own lateness. */
const BUCKET_MS = 4

export interface Expirable {
  /** The deadline passed and the entry is out of the queue. */
  expired(): void
}

interface Bucket {
  readonly dueMs: number
  readonly entries: Set<Expirable>
}

export class Deadlines {
  readonly #clock: Clock
  readonly #buckets = new Map<number, Bucket>()
  readonly #bucketOf = new Map<Expirable, Bucket>()
  #timer: Timer | null = null
  #timerDueMs = Infinity

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#bucketOf.size
  }

  /** Each entry has at most one deadline at a time. */
  add(entry: Expirable, delayMs: number): void {
    const dueMs = Math.ceil((this.#clock.monotonicMs() + Math.max(0, delayMs)) / BUCKET_MS) * BUCKET_MS
    let bucket = this.#buckets.get(dueMs)
    if (bucket === undefined) {
      bucket = { dueMs, entries: new Set() }
      this.#buckets.set(dueMs, bucket)
    }
    bucket.entries.add(entry)
    this.#bucketOf.set(entry, bucket)
    if (dueMs < this.#timerDueMs) this.#arm(dueMs)
  }

  remove(entry: Expirable): void {
    const bucket = this.#bucketOf.get(entry)
    if (bucket === undefined) return
    this.#bucketOf.delete(entry)
    bucket.entries.delete(entry)
    if (bucket.entries.size === 0) this.#buckets.delete(bucket.dueMs)
  }

  /** Expires everything at once: the broker stops and nobody may be left waiting. */
  expireAll(): void {
    const entries = [...this.#bucketOf.keys()]
    this.#buckets.clear()
    this.#bucketOf.clear()
    this.#timer?.cancel()
    this.#timer = null
    this.#timerDueMs = Infinity
    for (const entry of entries) entry.expired()
  }

  #arm(dueMs: number): void {
    this.#timer?.cancel()
    this.#timerDueMs = dueMs
    this.#timer = this.#clock.after(dueMs - this.#clock.monotonicMs(), () => this.#fire())
  }

  #fire(): void {
    this.#timer = null
    this.#timerDueMs = Infinity
    const nowMs = this.#clock.monotonicMs()
    const due = [...this.#buckets.values()].filter((bucket) => bucket.dueMs <= nowMs)
    due.sort((a, b) => a.dueMs - b.dueMs)
    for (const bucket of due) {
      this.#buckets.delete(bucket.dueMs)
      for (const entry of bucket.entries) this.#bucketOf.delete(entry)
    }
    for (const bucket of due) {
      for (const entry of bucket.entries) entry.expired()
    }
    let earliestMs = Infinity
    for (const dueMs of this.#buckets.keys()) earliestMs = Math.min(earliestMs, dueMs)
    if (earliestMs < this.#timerDueMs) this.#arm(earliestMs)
  }
}
