import { readdirSync } from 'node:fs'
import process from 'node:process'

/** The addon's file for the Node.js that runs this. One that was linked with another libc cannot be loaded. */
export function addonFile(): string {
  return `linux-${process.arch}-${isMusl() ? 'musl' : 'glibc'}.node`
}

/** A report of the process would tell as well, but takes tens of milliseconds: it is asked only in doubt. */
function isMusl(): boolean {
  return hasMuslLoader() && !runsOnGlibc()
}

function hasMuslLoader(): boolean {
  try {
    return readdirSync('/lib').some((name) => name.startsWith('ld-musl-'))
  } catch {
    return false
  }
}

/** Both can be installed side by side. */
function runsOnGlibc(): boolean {
  const report: unknown = process.report?.getReport()
  if (typeof report !== 'object' || report === null || !('header' in report)) return false
  const { header } = report
  return typeof header === 'object' && header !== null && 'glibcVersionRuntime' in header
}
