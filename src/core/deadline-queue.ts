import assert from 'node:assert/strict'

/** Where time stands: `monotonicMs` for deadlines, `wallMs` for timestamps that go into records. */
export interface Now {
  readonly monotonicMs: number
  readonly wallMs: number
}

export interface Expirable {
  /** The deadline passed, and is out of the queue. */
  expired(now: Now): void
}

/** Something that happens unless it is put off. Belongs to one queue. */
export class Deadline {
  readonly owner: Expirable
  /** When it is due. Infinity: not armed. */
  dueMs = Infinity
  /** The due time under which it sits in the heap: never later than `dueMs`. */
  queuedMs = Infinity
  /** Position in the heap, -1 when it is not in there. */
  index = -1

  constructor(owner: Expirable) {
    this.owner = owner
  }

  get armed(): boolean {
    return this.dueMs !== Infinity
  }
}

/**
 * A heap of deadlines. Putting one off, which every heartbeat does, only writes its due time: it moves within the
 * heap when it would have fired. Cancelling takes it out at once, so that members who come and go leave nothing.
 */
export class DeadlineQueue {
  readonly #heap: Deadline[] = []

  get size(): number {
    return this.#heap.length
  }

  /** When `expire` wants to be called next; Infinity when nothing is armed. */
  get nextMs(): number {
    return this.#heap[0]?.queuedMs ?? Infinity
  }

  arm(deadline: Deadline, dueMs: number): void {
    assert.ok(Number.isFinite(dueMs))
    deadline.dueMs = dueMs
    if (deadline.index === -1) {
      deadline.queuedMs = dueMs
      deadline.index = this.#heap.length
      this.#heap.push(deadline)
      this.#up(deadline)
    } else if (dueMs < deadline.queuedMs) {
      deadline.queuedMs = dueMs
      this.#up(deadline)
    }
  }

  cancel(deadline: Deadline): void {
    deadline.dueMs = Infinity
    const index = deadline.index
    if (index === -1) return
    deadline.index = -1
    const last = this.#heap.pop()
    if (last === undefined || last === deadline) return
    last.index = index
    this.#heap[index] = last
    this.#up(last)
    this.#down(last)
  }

  /** Runs everything that is due, in order. What these arm anew for a time not past `now` runs as well. */
  expire(now: Now): void {
    for (;;) {
      const first = this.#heap[0]
      if (first === undefined || first.queuedMs > now.monotonicMs) return
      if (first.dueMs > first.queuedMs) {
        first.queuedMs = first.dueMs
        this.#down(first)
        continue
      }
      this.cancel(first)
      first.owner.expired(now)
    }
  }

  /** Takes all of them out, in no order. */
  drain(): Deadline[] {
    const drained = this.#heap.splice(0)
    for (const deadline of drained) {
      deadline.dueMs = Infinity
      deadline.index = -1
    }
    return drained
  }

  #up(deadline: Deadline): void {
    const heap = this.#heap
    while (deadline.index > 0) {
      const parent = heap[(deadline.index - 1) >> 1]!
      if (parent.queuedMs <= deadline.queuedMs) return
      this.#swap(parent, deadline)
    }
  }

  #down(deadline: Deadline): void {
    const heap = this.#heap
    for (;;) {
      const left = heap[2 * deadline.index + 1]
      const right = heap[2 * deadline.index + 2]
      const child = right !== undefined && right.queuedMs < left!.queuedMs ? right : left
      if (child === undefined || child.queuedMs >= deadline.queuedMs) return
      this.#swap(deadline, child)
    }
  }

  #swap(a: Deadline, b: Deadline): void {
    const index = a.index
    a.index = b.index
    b.index = index
    this.#heap[a.index] = a
    this.#heap[b.index] = b
  }
}
