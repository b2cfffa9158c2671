import { AssertionError } from 'node:assert/strict'
import { messageOf } from './is-error.ts'

/**
 * What must always hold does not hold: the state of the broker cannot be trusted any more, what is in its logs can. The
 * process ends and recovers, whoever's request met it first.
 */
export class BrokenInvariant extends Error {
  constructor(what: string, cause: unknown) {
    super(`${what}: ${messageOf(cause)}`, { cause })
    this.name = 'BrokenInvariant'
  }
}

/**
 * Whose an exception is that came up in the work for a client. A failed assertion, and whatever leaves a log that was
 * being changed, is the broker's. All others are the connection's: it is closed, and nobody else notices.
 */
export function isOfTheBroker(error: unknown): boolean {
  return error instanceof BrokenInvariant || error instanceof AssertionError
}
