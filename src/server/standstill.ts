import type { MemoryBudget } from './memory-budget.ts'

/** So long it may last. */
const STANDSTILL_MS = 3_000
/** Of the budget: what moves less than this in that time stands still, and who holds less is not the reason. */
const MOVING_SHARE = 1 / 64
/** Of the budget: what requests that have not arrived whole must hold of it to be the reason. */
const HELD_SHARE = 1 / 2

/** A connection, as far as it may be the reason. */
export interface IncompleteRequest {
  /** Bytes of a request that has not arrived whole. */
  readonly incompleteBytes: number
  abort(reason: string, fields: { readonly receivedBytes: number }): void
}

/**
 * Requests that never become whole may hold all the memory for requests, and then nobody is served: the first in line reads
 * on, but at the pace of a client that means no good. When others are not read for it, next to nothing comes or is given back
 * for some seconds, and half of it or more is held by such requests, they go.
 *
 * A disk that is slow keeps requests that are whole, and a large request over a link of a megabyte a second moves.
 */
export class Standstill {
  readonly #budget: MemoryBudget
  #sinceMs = Infinity
  #movedBytes = 0

  constructor(budget: MemoryBudget) {
    this.#budget = budget
  }

  /** Called about once a second. */
  look(nowMs: number, connections: Iterable<IncompleteRequest>): void {
    const { isSpent, limitBytes, movedBytes, waitingCount } = this.#budget
    const moves = movedBytes - this.#movedBytes >= limitBytes * MOVING_SHARE
    const wait = isSpent && waitingCount > 0
    if (!wait || moves || this.#sinceMs === Infinity) {
      this.#sinceMs = wait ? nowMs : Infinity
      this.#movedBytes = movedBytes
    } else if (nowMs - this.#sinceMs >= STANDSTILL_MS) {
      this.#sinceMs = nowMs
      this.#end(connections)
    }
  }

  #end(connections: Iterable<IncompleteRequest>): void {
    const leastBytes = this.#budget.limitBytes * MOVING_SHARE
    const incomplete = [...connections].filter(({ incompleteBytes }) => incompleteBytes > leastBytes)
    const held = incomplete.reduce((sum, { incompleteBytes }) => sum + incompleteBytes, 0)
    if (held < this.#budget.limitBytes * HELD_SHARE) return
    // All of them, or the next one would take what this one leaves.
    for (const each of incomplete) {
      const receivedBytes = each.incompleteBytes
      each.abort('its request does not arrive whole, and others wait for the memory', { receivedBytes })
    }
  }
}
