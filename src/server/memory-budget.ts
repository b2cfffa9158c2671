/**
 * One budget of bytes over all connections, for requests that are being received or worked on (Kafka's
 * `queued.max.request.bytes`). Bytes are reserved as they arrive, never because a size prefix claims them.
 *
 * Who finds the budget spent stops reading and waits in line. If everything is held by requests that are not
 * complete yet, nobody would ever give anything back; so the first in line may overdraw, one connection at a time.
 * The bound is therefore the budget plus one request of the maximum size.
 */
export interface BudgetWaiter {
  /** There is room again: go on reading. */
  budgetAvailable(): void
}

export class MemoryBudget {
  readonly limitBytes: number
  #usedBytes = 0
  #overdrawing: BudgetWaiter | null = null
  readonly #waiting = new Set<BudgetWaiter>()

  readonly #onSpent: () => void

  /** `onSpent` is called when the budget has just been spent: time to stop reading everywhere. */
  constructor(limitBytes: number, onSpent: () => void) {
    this.limitBytes = limitBytes
    this.#onSpent = onSpent
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  get waitingCount(): number {
    return this.#waiting.size
  }

  /** False: the budget is spent and `waiter` stands in line; it must stop reading until `budgetAvailable`. */
  reserve(bytes: number, waiter: BudgetWaiter): boolean {
    const wasWithin = this.#usedBytes <= this.limitBytes
    this.#usedBytes += bytes
    if (this.#usedBytes <= this.limitBytes || this.#overdrawing === waiter) return true
    if (this.#overdrawing === null) this.#overdrawing = waiter
    if (wasWithin) this.#onSpent()
    return this.#overdrawing === waiter || !this.wait(waiter)
  }

  /** Stands in line, unless the waiter is the one that overdraws (false: it reads on). */
  wait(waiter: BudgetWaiter): boolean {
    if (this.#overdrawing === waiter) return false
    this.#waiting.add(waiter)
    return true
  }

  /** Memory that a request takes beyond its bytes: it is there already, so nobody waits for it, but reading stops. */
  take(bytes: number): void {
    const wasWithin = this.#usedBytes <= this.limitBytes
    this.#usedBytes += bytes
    if (wasWithin && this.#usedBytes > this.limitBytes) this.#onSpent()
  }

  release(bytes: number): void {
    this.#usedBytes -= bytes
    this.#admit()
  }

  /** The waiter's request is complete, or its connection is gone: it no longer overdraws and no longer waits. */
  settle(waiter: BudgetWaiter): void {
    const waited = this.#waiting.delete(waiter)
    if (this.#overdrawing === waiter) this.#overdrawing = null
    else if (!waited) return
    this.#admit()
  }

  #admit(): void {
    while (this.#waiting.size > 0) {
      const within = this.#usedBytes <= this.limitBytes
      if (!within && this.#overdrawing !== null) return
      const first = this.#waiting.values().next().value
      if (first === undefined) return
      this.#waiting.delete(first)
      if (!within) this.#overdrawing = first
      first.budgetAvailable()
    }
  }
}
