import type { Clock, Timer } from '../../ports.ts'

/** Flushes under way at a time: each waits for the device in a thread that readers want as well. */
const MAX_AT_ONCE = 4

/** A flush that is due at some time. */
export interface DueFlush {
  /** Monotonic milliseconds. Does not change while it is scheduled. */
  readonly dueMs: number
  /** Taken back: `run` is not called any more. */
  cancelled: boolean
  /** Calls `done` once, in a later turn. False: there is nothing to do after all. */
  run(done: () => void): boolean
}

/**
 * When the logs of one directory are to be flushed: each at its own time, with one timer for all of them. Many that
 * are due together go a few at a time, the longest overdue first.
 */
export class FlushSchedule {
  readonly #clock: Clock
  /** A binary heap, the earliest on top. */
  readonly #heap: DueFlush[] = []
  #timer: Timer | null = null
  #timerDueMs = Infinity
  #running = 0
  readonly #doneBound = (): void => {
    this.#running--
    this.#run()
  }

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(flush: DueFlush): void {
    this.#push(flush)
    this.#arm()
  }

  #run(): void {
    while (this.#running < MAX_AT_ONCE) {
      const first = this.#heap[0]
      if (first === undefined) break
      if (first.cancelled) {
        this.#pop()
        continue
      }
      if (first.dueMs > this.#clock.monotonicMs()) break
      this.#pop()
      if (first.run(this.#doneBound)) this.#running++
    }
    this.#arm()
  }

  #arm(): void {
    const first = this.#heap[0]
    // At the limit, the end of one that runs starts the next.
    if (first === undefined || this.#running >= MAX_AT_ONCE || first.dueMs >= this.#timerDueMs) return
    this.#timer?.cancel()
    this.#timerDueMs = first.dueMs
    this.#timer = this.#clock.after(Math.max(0, first.dueMs - this.#clock.monotonicMs()), () => {
      this.#timer = null
      this.#timerDueMs = Infinity
      this.#run()
    })
  }

  #push(flush: DueFlush): void {
    const heap = this.#heap
    let at = heap.push(flush) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (heap[parent]!.dueMs <= flush.dueMs) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = flush
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && heap[child + 1]!.dueMs < heap[child]!.dueMs) child++
      if (heap[child]!.dueMs >= last.dueMs) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
  }
}
