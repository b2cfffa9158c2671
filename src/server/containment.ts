import { RateLimitedLog } from '../broker/rate-limited-log.ts'
import { isOfTheBroker } from '../core/broken-invariant.ts'
import type { Clock, Counter, LogFields, Logger, Metrics } from '../ports.ts'

/**
 * The one gate for exceptions in the work for clients. Every way into a connection leads through it: bytes and events
 * of the socket, budgets that have room again, timers, answers of handlers, whenever they come. See ARCHITECTURE.md.
 */
export class Containment {
  readonly #log: RateLimitedLog
  readonly #failures: Counter

  constructor(logger: Logger, clock: Clock, metrics: Metrics) {
    this.#log = new RateLimitedLog(logger, clock)
    this.#failures = metrics.counter(
      'samsa_server_connection_failures_total',
      'Connections closed because of an unexpected exception.',
    )
  }

  /** Says once who caused it and with what. Throws what is the broker's and not a connection's. */
  report(error: unknown, fields: LogFields): void {
    if (isOfTheBroker(error)) throw error
    this.#failures.add(1)
    this.#log.log('error', { ...fields, err: error }, 'connection closed: its request failed unexpectedly')
  }
}
