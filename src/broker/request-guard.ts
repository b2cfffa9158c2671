/**
 * Code of a request that others call later: logs that have written, timers, promises. An exception in it ends that
 * request and its connection, and not whoever called. What does not go through it runs inside the handler's own call,
 * where the same holds.
 */
export interface RequestGuard {
  guard<Args extends readonly unknown[]>(run: (...args: Args) => void): (...args: Args) => void
  /** The request cannot be answered (an unexpected exception): says why and closes the connection. */
  fail(error: unknown): void
}
