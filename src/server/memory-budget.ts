/**
 * One budget of bytes over all connections, for requests that are being received or worked on (Kafka's
 * `queued.max.request.bytes`). Bytes are reserved as they arrive, never because a size prefix claims them.
 *
 * Who finds the budget spent stops reading and waits in line. If everything is held by requests that are not
 * complete yet, nobody would ever give anything back; so the first in line may overdraw, one connection at a time, and as
 * long as what was overdrawn so has come back but for a quarter of the budget: who overdraws may wait for a disk as well.
 * The bound is therefore the budget, that quarter, and one request of the maximum size.
 */
export interface BudgetWaiter {
  /** Bytes that it was refused and keeps. */
  readonly refusedBytes: number
  /** There is room again: go on reading. */
  budgetAvailable(): void
}

/** Part of the budget that may be overdrawn before the next one does so. */
const OVERDRAFT_SHARE = 1 / 4

export class MemoryBudget {
  readonly limitBytes: number
  #usedBytes = 0
  #movedBytes = 0
  #overdrawing: BudgetWaiter | null = null
  /** It has taken nothing since it may. */
  #isIdle = false
  /** What was overdrawn, without what came back since. */
  #overdrawnBytes = 0
  /** Who was refused something; then who was told to stop before. */
  readonly #refused = new Set<BudgetWaiter>()
  readonly #stopped = new Set<BudgetWaiter>()
  /** Those in line are being admitted. */
  #admitting = false

  readonly #onSpent: () => void

  /** `onSpent` is called when the budget has just been spent: time to stop reading everywhere. */
  constructor(limitBytes: number, onSpent: () => void) {
    this.limitBytes = limitBytes
    this.#onSpent = onSpent
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /** All that was ever reserved or given back. */
  get movedBytes(): number {
    return this.#movedBytes
  }

  get isSpent(): boolean {
    return this.#usedBytes > this.limitBytes
  }

  get waitingCount(): number {
    return this.#refused.size + this.#stopped.size
  }

  /** Others were refused bytes, and wait. */
  get anyRefused(): boolean {
    return this.#refused.size > 0
  }

  /** False: the budget is spent and `waiter` stands in line; it must stop reading until `budgetAvailable`. */
  reserve(bytes: number, waiter: BudgetWaiter): boolean {
    const wasWithin = !this.isSpent
    this.#usedBytes += bytes
    this.#movedBytes += bytes
    if (!this.isSpent) return true
    if (this.#mayOverdraw) this.#overdrawing = waiter
    const overdraws = this.#overdrawing === waiter
    if (overdraws) {
      this.#isIdle = false
      this.#overdrawnBytes += Math.min(bytes, this.#usedBytes - this.limitBytes)
    } else this.#refused.add(waiter)
    this.#stopped.delete(waiter)
    if (wasWithin) this.#onSpent()
    return overdraws
  }

  get #mayOverdraw(): boolean {
    return this.#overdrawing === null && this.#overdrawnBytes <= this.limitBytes * OVERDRAFT_SHARE
  }

  /** Stands in line, unless the waiter is the one that overdraws (false: it reads on). */
  wait(waiter: BudgetWaiter): boolean {
    if (this.#overdrawing === waiter) return false
    if (!this.#refused.has(waiter)) this.#stopped.add(waiter)
    return true
  }

  /** Memory that a request takes beyond its bytes: it is there already, so nobody waits for it, but reading stops. */
  take(bytes: number): void {
    const wasWithin = !this.isSpent
    this.#usedBytes += bytes
    if (wasWithin && this.isSpent) this.#onSpent()
  }

  release(bytes: number): void {
    this.#usedBytes -= bytes
    this.#movedBytes += bytes
    this.#overdrawnBytes = this.isSpent ? Math.max(0, this.#overdrawnBytes - bytes) : 0
    this.#admit()
  }

  /** All that the waiter sent of requests is complete: it no longer overdraws. */
  completed(waiter: BudgetWaiter): void {
    if (this.#overdrawing !== waiter) return
    this.#overdrawing = null
    this.#admit()
  }

  /** The waiter's connection is gone. */
  leave(waiter: BudgetWaiter): void {
    this.#refused.delete(waiter)
    this.#stopped.delete(waiter)
    this.completed(waiter)
  }

  /** Called about once a second: who may overdraw and has nothing to send gives way. */
  rotate(): void {
    if (this.#overdrawing !== null && this.#isIdle) this.completed(this.#overdrawing)
    else this.#isIdle = true
  }

  #admit(): void {
    if (this.#admitting) return
    this.#admitting = true
    for (;;) {
      const line = this.#refused.size > 0 ? this.#refused : this.#stopped
      const first = line.values().next().value
      if (first === undefined || (this.isSpent && !this.#mayOverdraw)) break
      line.delete(first)
      if (this.isSpent) {
        this.#overdrawing = first
        this.#isIdle = line === this.#stopped
        this.#overdrawnBytes += first.refusedBytes
      }
      first.budgetAvailable()
    }
    this.#admitting = false
  }
}
