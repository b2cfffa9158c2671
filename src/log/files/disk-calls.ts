import { messageOf } from '../../core/is-error.ts'
import { SamsaError } from '../../core/samsa-error.ts'
import type { Disk, File } from '../../ports.ts'
import { isDenied } from './disk-problem.ts'

/** The Disk port's callbacks as promises, for what is not on the way of a request. */

export function writeAt(
  file: File,
  position: number,
  buffers: readonly Buffer[],
  durable: boolean,
): Promise<void> {
  return new Promise((resolve, reject) => {
    file.write(position, buffers, durable, (error) => (error === null ? resolve() : reject(error)))
  })
}

export function syncFile(file: File): Promise<void> {
  return new Promise((resolve, reject) => {
    file.sync((error) => (error === null ? resolve() : reject(error)))
  })
}

export function dropCached(file: File): Promise<void> {
  return new Promise((resolve) => {
    file.dropCached(resolve)
  })
}

export function truncateFile(file: File, sizeBytes: number): Promise<void> {
  return new Promise((resolve, reject) => {
    file.truncate(sizeBytes, (error) => (error === null ? resolve() : reject(error)))
  })
}

export function syncDirectory(disk: Disk, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    disk.syncDirectory(path, (error) => (error === null ? resolve() : reject(error)))
  })
}

export function removePath(disk: Disk, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    disk.remove(path, (error) => (error === null ? resolve() : reject(error)))
  })
}

/** Copying that much out of memory takes no longer than handing the read to somebody else. */
const MAX_CACHED_READ_BYTES = 256 << 10

/** Resolves to the number of bytes read: less than asked for only at the end of the file. */
export function readAt(file: File, position: number, into: Buffer): Promise<number> {
  if (into.length === 0) return Promise.resolve(0)
  const cached = into.length <= MAX_CACHED_READ_BYTES ? file.readCached(position, into) : -1
  if (cached >= 0) return Promise.resolve(cached)
  return new Promise((resolve, reject) => {
    file.read(position, into, (error, bytesRead) => (error === null ? resolve(bytesRead) : reject(error)))
  })
}

/** A whole small file, at once; null when there is none. */
export function readSmall(disk: Disk, path: string): Buffer | null {
  return disk.exists(path) ? disk.readFile(path) : null
}

/** A whole file of any size; null when there is none. */
export async function readWhole(disk: Disk, path: string): Promise<Buffer | null> {
  if (!disk.exists(path)) return null
  const file = disk.open(path, 'read')
  try {
    const bytes = Buffer.allocUnsafe(file.sizeBytes)
    const length = await readAt(file, 0, bytes)
    return bytes.subarray(0, length)
  } finally {
    file.close()
  }
}

const COPY_BYTES = 1 << 20

/** Makes `to` what the first bytes of `from` are, durably. */
export async function copyBytes(from: File, to: File, sizeBytes: number): Promise<void> {
  const chunk = Buffer.allocUnsafe(Math.min(COPY_BYTES, sizeBytes))
  for (let copied = 0; copied < sizeBytes;) {
    const length = await readAt(from, copied, chunk.subarray(0, Math.min(chunk.length, sizeBytes - copied)))
    if (length === 0) throw new Error(`${from.path} ends at ${copied}`)
    await writeAt(to, copied, [chunk.subarray(0, length)], false)
    copied += length
  }
  if (to.sizeBytes > sizeBytes) await truncateFile(to, sizeBytes)
  await syncFile(to)
}

/**
 * Opens a file whose content does not matter any more. What somebody else put in its place goes: Kafka's own tools make the
 * index that they miss, as whoever runs them.
 */
async function openAnew(disk: Disk, path: string, mode: 'create' | 'replace'): Promise<File> {
  try {
    return disk.open(path, mode)
  } catch (error) {
    if (!isDenied(error)) throw error
    await removePath(disk, path)
    return disk.open(path, mode)
  }
}

/** Overwrites a file that nobody reads meanwhile. */
export async function writeWhole(
  disk: Disk,
  path: string,
  bytes: Buffer,
  durable: boolean,
  mode: 'create' | 'replace' = 'create',
): Promise<void> {
  const file = await openAnew(disk, path, mode)
  try {
    if (file.sizeBytes > bytes.length) await truncateFile(file, bytes.length)
    if (bytes.length > 0) await writeAt(file, 0, [bytes], false)
    // Not a durable write: the truncation of a longer file has to be on the device too.
    if (durable) await syncFile(file)
  } finally {
    file.close()
  }
}

/** Replaces a file so that a crash leaves the old or the new content. The name is durable after `syncDirectory`. */
export async function replaceWhole(disk: Disk, path: string, bytes: Buffer, durable: boolean): Promise<void> {
  const temporary = `${path}.tmp`
  await writeWhole(disk, temporary, bytes, durable, 'replace')
  disk.rename(temporary, path)
}

export function diskError(what: string, cause: unknown): SamsaError {
  if (cause instanceof SamsaError) return cause
  const detail = messageOf(cause)
  return new SamsaError('SAMSA_DISK_IO', `${what}: ${detail}`, cause)
}
