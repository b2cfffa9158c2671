import fs from 'node:fs'
import type { DoneRead } from '../../ports.ts'
import { toDiskFailure } from '../disk-failure.ts'
import type { ThreadShare } from './thread-shares.ts'

/** Fills `into` by the thread pool; with fewer bytes only at the end of the file. */
export function readOnPool(
  threads: ThreadShare,
  fd: number,
  position: number,
  into: Buffer,
  done: DoneRead,
): void {
  let bytesRead = 0
  const next = (ended: () => void): void => {
    fs.read(fd, into, bytesRead, into.length - bytesRead, position + bytesRead, (error, count) => {
      bytesRead += count
      if (error === null && count > 0 && bytesRead < into.length) {
        next(ended)
        return
      }
      ended()
      done(error === null ? null : toDiskFailure(error), error === null ? bytesRead : 0)
    })
  }
  threads.run(next)
}

/** Errors, and a file that somebody cut from outside, are for the asynchronous read to report. */
export function readWhole(fd: number, position: number, into: Buffer, length: number): boolean {
  let bytesRead = 0
  try {
    while (bytesRead < length) {
      const count = fs.readSync(fd, into, bytesRead, length - bytesRead, position + bytesRead)
      if (count <= 0) return false
      bytesRead += count
    }
    return true
  } catch {
    return false
  }
}
