import type { Clock, LogFields, Logger } from '../ports.ts'

const WINDOW_MS = 1_000
const LINES_PER_WINDOW = 10

type Level = 'info' | 'warn' | 'error'

/** Lines that clients can cause: a few per second are written, the rest is counted and told with the next line. */
export class RateLimitedLog {
  readonly #logger: Logger
  readonly #clock: Clock
  readonly #linesPerWindow: number
  #windowStartMs = -Infinity
  #lines = 0
  #suppressed = 0

  constructor(logger: Logger, clock: Clock, linesPerWindow: number = LINES_PER_WINDOW) {
    this.#logger = logger
    this.#clock = clock
    this.#linesPerWindow = linesPerWindow
  }

  warn(fields: LogFields, message: string): void {
    this.log('warn', fields, message)
  }

  log(level: Level, fields: LogFields, message: string): void {
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#windowStartMs >= WINDOW_MS) {
      this.#windowStartMs = nowMs
      this.#lines = 0
    }
    if (this.#lines >= this.#linesPerWindow) {
      this.#suppressed += 1
      return
    }
    this.#lines += 1
    const similar = this.#suppressed > 0 ? { suppressedLines: this.#suppressed } : {}
    this.#suppressed = 0
    this.#logger[level]({ ...fields, ...similar }, message)
  }
}
