import process from 'node:process'
import { isError } from '../core/is-error.ts'
import { printable, printableLines } from '../core/printable.ts'
import { SamsaError } from '../core/samsa-error.ts'
import { whoListensOn } from './port-owner.ts'

/** Tells a person on standard error why a command failed. */
export function reportFailure(error: unknown): void {
  process.stderr.write(`samsa: ${explain(error)}\n`)
}

/** The message and what to do about it. The stack only where nobody foresaw the error. */
export function explain(error: unknown): string {
  if (error instanceof SamsaError) {
    const busy = busyPort(error)
    if (busy !== null) return printable(error.message + whoHasIt(busy))
    const cause = isError(error.cause) ? error.cause.message : ''
    // The same in other words is told once: those of the system begin with their code.
    const told = error.message.includes(cause.replace(/^E[A-Z0-9]+: /, ''))
    return printable(told ? error.message : `${error.message}: ${cause}`)
  }
  if (isError(error) && 'code' in error && typeof error.code === 'string') return printable(error.message)
  return printableLines(isError(error) ? (error.stack ?? error.message) : String(error))
}

function whoHasIt(port: number): string {
  const owner = whoListensOn(port)
  return owner === null ? '' : ` (process ${owner.pid}, ${owner.command}, uses it)`
}

/** The port of an EADDRINUSE anywhere in the chain of causes. */
function busyPort(error: Error): number | null {
  for (let cause: unknown = error; isError(cause); cause = cause.cause)
    if ('code' in cause && cause.code === 'EADDRINUSE')
      return 'port' in cause && typeof cause.port === 'number' ? cause.port : portIn(cause)
  return null
}

function portIn(error: Error): number | null {
  const found = /:(\d{1,5})\s*$/.exec(error.message)
  return found === null ? null : Number(found[1])
}
