import fs from 'node:fs'
import process from 'node:process'

/** Where nobody tells: what POSIX grants at least on the systems that Node.js runs on. */
const UNKNOWN_LIMIT = 1024

/**
 * How many descriptors this process may have open. Node.js has raised the limit as far as it could when it started
 * (`ulimit -Hn`).
 */
export function descriptorLimit(): number {
  try {
    const soft = /^Max open files\s+(\d+|unlimited)/m.exec(fs.readFileSync('/proc/self/limits', 'utf8'))?.[1]
    if (soft !== undefined) return soft === 'unlimited' ? Infinity : Number(soft)
  } catch {
    // No Linux.
  }
  const report: unknown = process.report?.getReport()
  const limit = fieldOf(fieldOf(fieldOf(report, 'userLimits'), 'open_files'), 'soft')
  if (limit === 'unlimited') return Infinity
  return typeof limit === 'number' && limit > 0 ? limit : UNKNOWN_LIMIT
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null
    ? Object.entries(value).find(([key]) => key === name)?.[1]
    : undefined
}
