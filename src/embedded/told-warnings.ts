import process from 'node:process'
import type { LogLevel } from '../core/options/log-level.ts'
import { printable } from '../core/printable.ts'
import type { Logger } from '../ports.ts'

const toldWarnings = new Set<string>()

/** A broker that nobody hears still must not take a configuration other than it was meant. */
export function tell(warnings: readonly string[], logger: Logger, level: LogLevel): void {
  for (const warning of warnings) {
    if (level !== 'error' && level !== 'silent') logger.warn({}, warning)
    else if (!toldWarnings.has(warning))
      process.emitWarning(printable(warning), { type: 'SamsaWarning', code: 'SAMSA_CONFIG' })
    toldWarnings.add(warning)
  }
}
