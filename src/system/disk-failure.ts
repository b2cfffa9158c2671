import { getSystemErrorName } from 'node:util'
import { codeOf, isError } from '../core/is-error.ts'
import type { DiskError } from '../ports.ts'

/** What the system answered to a file operation, with its code. */
export class DiskFailure extends Error implements DiskError {
  readonly code: string

  constructor(code: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'DiskError'
    this.code = code
  }
}

export function toDiskFailure(error: unknown): DiskFailure {
  if (error instanceof DiskFailure) return error
  if (isError(error)) {
    const code: unknown = 'code' in error ? error.code : undefined
    return new DiskFailure(typeof code === 'string' ? code : 'EIO', error.message, error)
  }
  return new DiskFailure('EIO', String(error), error)
}

/** `result` is a negative errno, as the kernel gives it. */
export function fromErrno(result: number, what: string, path: string): DiskFailure {
  const code = errnoName(result)
  return new DiskFailure(code, `${code}: ${what} '${path}'`)
}

export function errnoName(result: number): string {
  try {
    return getSystemErrorName(result)
  } catch {
    return 'EIO'
  }
}

export function nothingWritten(path: string): DiskFailure {
  return new DiskFailure('EIO', `EIO: the device took no byte of a write to '${path}'`)
}

/** What Node.js threw has this code of the system's. */
export function isCode(error: unknown, ...codes: readonly string[]): boolean {
  return codes.includes(codeOf(error))
}
