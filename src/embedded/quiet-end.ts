import type { LogFields, Logger } from '../ports.ts'

/** Passes on what is said until it ends; then only what went wrong for good: brokers that end together miss each other. */
export class QuietEnd {
  #hasEnded = false

  end(): void {
    this.#hasEnded = true
  }

  logger(inner: Logger): Logger {
    const say = (level: 'debug' | 'info' | 'warn') => (fields: LogFields, message: string) => {
      if (!this.#hasEnded) inner[level](fields, message)
    }
    return {
      debug: say('debug'),
      info: say('info'),
      warn: say('warn'),
      error: (fields, message) => inner.error(fields, message),
      child: (fields) => this.logger(inner.child(fields)),
    }
  }
}
