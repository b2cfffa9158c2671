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
  const busy = busyAddress(error)
  if (busy !== null) return printable(explainBusyPort(busy))
  if (error instanceof SamsaError) {
    const cause = isError(error.cause) ? error.cause.message : ''
    // The same in other words is told once: those of the system begin with their code.
    const told = error.message.includes(cause.replace(/^E[A-Z0-9]+: /, ''))
    return printable(told ? error.message : `${error.message}: ${cause}`)
  }
  if (isError(error) && 'code' in error && typeof error.code === 'string') return printable(error.message)
  return printableLines(isError(error) ? (error.stack ?? error.message) : String(error))
}

/** The port of an EADDRINUSE anywhere in the chain of causes. */
function busyAddress(error: unknown): { port: number } | null {
  for (let cause = error; isError(cause); cause = cause.cause) {
    if (!('code' in cause) || cause.code !== 'EADDRINUSE') continue
    const port = 'port' in cause && typeof cause.port === 'number' ? cause.port : portIn(cause)
    return port === null ? null : { port }
  }
  return null
}

function portIn(error: Error): number | null {
  const found = /:(\d{1,5})\s*$/.exec(error.message)
  return found === null ? null : Number(found[1])
}

function explainBusyPort({ port }: { port: number }): string {
  const owner = whoListensOn(port)
  const who = owner === null ? 'another process' : `process ${owner.pid} (${owner.command})`
  return (
    `port ${port} is in use by ${who}; stop it, or choose another port, ` +
    `for example --set listeners=PLAINTEXT://127.0.0.1:${port + 1}`
  )
}
