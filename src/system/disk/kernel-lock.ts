import fs from 'node:fs'
import os from 'node:os'
import type { NativeAddon } from '../native-addon.ts'
import { readProc } from './lock-holder.ts'

const { EACCES, EAGAIN } = os.constants.errno

/** An open file with a lock that the kernel drops with the process. */
export interface KernelLock {
  release(): void
}

/** Somebody has the lock: a process id, where the kernel tells one. */
export interface LockedBy {
  readonly pid: number
}

/**
 * Takes the kernel's lock on a file, which is made when it is missing and stays: the file that Apache Kafka locks, so
 * that one of the two has the directory. Null where the kernel or the file system has no such lock.
 */
export function lockByKernel(addon: NativeAddon, path: string): KernelLock | LockedBy | null {
  const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = fs.constants
  const fd = fs.openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600)
  let result = 0
  try {
    result = addon.lockFile(fd)
    if (result === 0) return { release: () => fs.closeSync(fd) }
    if (result !== -EAGAIN && result !== -EACCES) return null
    return { pid: addon.lockOwner(fd) }
  } finally {
    if (result !== 0) fs.closeSync(fd)
  }
}

/** Without the addon: what the kernel tells of locks of others. Null: nobody has one, as far as can be seen. */
export function lockSeen(path: string): LockedBy | null {
  const stats = fs.statSync(path, { bigint: true, throwIfNoEntry: false })
  if (stats === undefined) return null
  const hex = (value: bigint): string => value.toString(16).padStart(2, '0')
  // As the kernel writes it: major and minor number of the device, and the number of the file.
  const major = ((stats.dev >> 8n) & 0xfffn) | ((stats.dev >> 32n) & ~0xfffn)
  const minor = (stats.dev & 0xffn) | ((stats.dev >> 12n) & ~0xffn)
  const file = `${hex(major)}:${hex(minor)}:${stats.ino}`
  for (const line of readProc('locks').split('\n')) {
    const [, kind, , access, pid, where] = line.replace('-> ', '').trim().split(/\s+/)
    if (where === file && access === 'WRITE' && (kind === 'OFDLCK' || kind === 'POSIX'))
      return { pid: Math.max(0, Number(pid)) }
  }
  return null
}

/** Whether the kernel shows locks at all, so that one it does not show is not there. */
export function showsLocks(): boolean {
  return fs.existsSync('/proc/locks')
}

export function isLocked(lock: KernelLock | LockedBy | null): lock is LockedBy {
  return lock !== null && 'pid' in lock
}
