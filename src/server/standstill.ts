import type { MemoryBudget } from './memory-budget.ts'

/** So long it may last. */
const STANDSTILL_MS = 3_000
/** Of the budget: what moves less than this in that time stands still. */
const MOVING_SHARE = 1 / 64
/** Of the budget: who holds less is not the reason. */
const SMALL_SHARE = 1 / 1024
/** Of the budget: where requests that are whole hold so much, those that are not are not the reason. */
const WHOLE_SHARE = 1 / 4

/** A connection, as far as it may be the reason. */
export interface IncompleteRequest {
  /** Bytes of a request that has not arrived whole. */
  readonly incompleteBytes: number
  abort(reason: string, fields: { readonly receivedBytes: number }): void
}

/**
 * Requests that never become whole may hold all the memory for requests, and then nobody is served: the first in line reads
 * on, but at the pace of a client that means no good. When others are not read for it, next to nothing comes or is given back
 * for some seconds, and hardly anything else holds the memory, they go.
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
    const { limitBytes, usedBytes } = this.#budget
    const all = [...connections]
    const wholeBytes = all.reduce((left, { incompleteBytes }) => left - incompleteBytes, usedBytes)
    if (wholeBytes >= limitBytes * WHOLE_SHARE) return
    // All of them, or the next one would take what this one leaves.
    for (const each of all) {
      const receivedBytes = each.incompleteBytes
      if (receivedBytes > limitBytes * SMALL_SHARE)
        each.abort('its request does not arrive whole, and others wait for the memory', { receivedBytes })
    }
  }
}
