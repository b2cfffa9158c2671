import process from 'node:process'
import type { LogLevel } from '../core/options/log-level.ts'
import { printable } from '../core/printable.ts'
import type { Logger } from '../ports.ts'

/** What is odd about a configuration is always told: where the log is quieter than that, on standard error. */
export function tellWarnings(warnings: readonly string[], logger: Logger, level: LogLevel): void {
  for (const warning of warnings) {
    if (level === 'error' || level === 'silent')
      process.stderr.write(`samsa: warning: ${printable(warning)}\n`)
    else logger.warn({}, warning)
  }
}
