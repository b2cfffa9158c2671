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
  if (error instanceof Error) {
    const code: unknown = 'code' in error ? error.code : undefined
    return new DiskFailure(typeof code === 'string' ? code : 'EIO', error.message, error)
  }
  return new DiskFailure('EIO', String(error), error)
}
