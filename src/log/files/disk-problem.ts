import { codeOf, isError } from '../../core/is-error.ts'
import { SamsaError } from '../../core/samsa-error.ts'
import type { Clock } from '../../ports.ts'

/**
 * What an error of the disk means. The one place that decides it, for all of `src/log`:
 *
 * `gone`: the file is not there (any more). Where that may be so, the reader hears that the segment or topic is gone.
 * `short`: the process or the system has no descriptor left. Nothing happened to the data: what was asked for is
 * refused or tried again, and the directory lives.
 * `device`: the directory is not to be trusted any more.
 * `invariant`: no error of the disk at all, but a mistake in this program.
 */
export type DiskProblem = 'gone' | 'short' | 'device' | 'invariant'

/** Between two tries of something there was no descriptor for. */
export const RETRY_MS = 100

/** A segment that left the log: whoever has not got hold of its file yet does not get it. */
export class SegmentGone extends Error {
  readonly code = 'ENOENT'

  constructor(path: string) {
    super(`${path} is not part of the log any more`)
  }
}

const PROBLEMS: Readonly<Record<string, DiskProblem>> = {
  EMFILE: 'short',
  ENFILE: 'short',
  ENOENT: 'gone',
  ENOTDIR: 'gone',
}

export function diskProblem(error: unknown): DiskProblem {
  if (!isError(error)) return 'invariant'
  // What the room says about an error of the disk carries the error as its cause.
  if (error.cause !== undefined) return diskProblem(error.cause)
  if (error instanceof SamsaError) return error.code === 'SAMSA_DISK_IO' ? 'device' : 'invariant'
  const code = 'code' in error ? error.code : undefined
  // Node.js's own, which says nothing of a disk: ERR_ASSERTION, ERR_OUT_OF_RANGE.
  if (typeof code !== 'string' || code.startsWith('ERR_')) return 'invariant'
  return PROBLEMS[code] ?? 'device'
}

/** The volume, or a quota, takes no more bytes. */
export function isNoRoom(error: unknown): boolean {
  return hasCode(error, 'ENOSPC', 'EDQUOT')
}

/** The file, or the directory, is somebody else's. */
export function isDenied(error: unknown): boolean {
  return hasCode(error, 'EACCES', 'EPERM')
}

/** What stands where a file should be is a link, or a directory: nothing is wrong with the device. */
export function isNoFile(error: unknown): boolean {
  return hasCode(error, 'ELOOP', 'EISDIR')
}

/** The error of the system below what the rooms said about it. */
function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return isError(error) && (codes.includes(codeOf(error)) || hasCode(error.cause, ...codes))
}

/**
 * `run`, again and again while there is no descriptor for it. It may be begun again wherever it stopped. `mayWait` is
 * asked before each further try; without it the shortage is the answer.
 */
export async function patiently<T>(clock: Clock, mayWait: () => boolean, run: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await run()
    } catch (error) {
      if (diskProblem(error) !== 'short' || !mayWait()) throw error
    }
    await new Promise<void>((resolve) => void clock.after(RETRY_MS, resolve))
  }
}
