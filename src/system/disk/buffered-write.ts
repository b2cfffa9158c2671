import fs from 'node:fs'
import type { DiskFailure } from '../disk-failure.ts'
import { nothingWritten, toDiskFailure } from '../disk-failure.ts'
import type { ThreadShare } from './thread-shares.ts'

/** What one `writev` takes (IOV_MAX on Linux and macOS). */
const MAX_VECTORS = 1024

/** Into the page cache, on this thread. */
export function writeNow(
  fd: number,
  path: string,
  buffers: readonly Buffer[],
  position: number,
  lengthBytes: number,
): DiskFailure | null {
  let left = buffers
  let written = 0
  try {
    while (written < lengthBytes) {
      const only = left.length === 1 ? left[0] : undefined
      const count =
        only === undefined
          ? fs.writevSync(fd, left.slice(0, MAX_VECTORS), position + written)
          : fs.writeSync(fd, only, 0, only.length, position + written)
      if (count === 0) return nothingWritten(path)
      written += count
      if (written < lengthBytes) left = rest(left, count)
    }
    return null
  } catch (error) {
    return toDiskFailure(error)
  }
}

/** Into the page cache, and with `durable` from there to the device, on the thread pool. */
export function writeOnPool(
  threads: ThreadShare,
  fd: number,
  path: string,
  buffers: readonly Buffer[],
  position: number,
  lengthBytes: number,
  durable: boolean,
  done: (failure: DiskFailure | null) => void,
): void {
  const step = (
    left: readonly Buffer[],
    written: number,
    ended: (failure: DiskFailure | null) => void,
  ): void => {
    if (written < lengthBytes) {
      fs.writev(fd, left.slice(0, MAX_VECTORS), position + written, (error, count) => {
        if (error !== null) ended(toDiskFailure(error))
        else if (count === 0) ended(nothingWritten(path))
        else step(rest(left, count), written + count, ended)
      })
    } else if (!durable) ended(null)
    // Size is data that fdatasync flushes, so it is enough for a file that grew.
    else fs.fdatasync(fd, (error) => ended(error === null ? null : toDiskFailure(error)))
  }
  threads.run((threadEnded) =>
    step(buffers, 0, (failure) => {
      threadEnded()
      done(failure)
    }),
  )
}

/** What is left of `buffers` after their first `count` bytes. */
function rest(buffers: readonly Buffer[], count: number): readonly Buffer[] {
  let skip = count
  let index = 0
  for (; index < buffers.length; index++) {
    const length = buffers[index]?.length ?? 0
    if (length > skip) break
    skip -= length
  }
  const left = buffers.slice(index)
  const first = left[0]
  if (skip > 0 && first !== undefined) left[0] = first.subarray(skip)
  return left
}
