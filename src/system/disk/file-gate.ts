import fs from 'node:fs'
import type { OpenMode } from '../../ports.ts'
import { DiskFailure, isCode } from '../disk-failure.ts'

/** Nobody else's business: what lies in a data directory may be anything that clients sent. */
const FILE_MODE = 0o600
export const DIRECTORY_MODE = 0o700

export interface OpenedFile {
  readonly fd: number
  readonly stats: fs.Stats
}

// Windows has neither.
const NO_LINKS = (fs.constants.O_NOFOLLOW ?? 0) | (fs.constants.O_NOCTTY ?? 0)

export function openFlags(mode: OpenMode): number {
  if (mode === 'read') return fs.constants.O_RDONLY
  const { O_CREAT, O_EXCL, O_RDWR } = fs.constants
  if (mode === 'update') return O_RDWR
  return mode === 'create' ? O_RDWR | O_CREAT : O_RDWR | O_CREAT | O_EXCL
}

/**
 * The one door to the files of data directories. A link is not followed, or whoever may make one there has this process
 * write to a file elsewhere; and what is no file is not waited for.
 */
export function openFile(path: string, flags: number): OpenedFile {
  const fd = openNoLink(path, flags)
  try {
    const stats = fs.fstatSync(fd)
    if (stats.isFIFO()) throw noFile(path)
    // What is read from it would fail without a name.
    if (stats.isDirectory()) throw new DiskFailure('EISDIR', `EISDIR: ${path} is a directory, and no file`)
    return { fd, stats }
  } catch (error) {
    fs.closeSync(fd)
    throw error
  }
}

export function readWholeFile(path: string): Buffer {
  const { fd } = openFile(path, fs.constants.O_RDONLY)
  try {
    return fs.readFileSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}

function openNoLink(path: string, flags: number): number {
  try {
    // To open a pipe for reading only waits until somebody writes.
    if ((flags & fs.constants.O_RDWR) === 0 && fs.lstatSync(path).isFIFO()) throw noFile(path)
    return fs.openSync(path, flags | NO_LINKS, FILE_MODE)
  } catch (error) {
    if (isCode(error, 'ELOOP'))
      throw new DiskFailure('ELOOP', `ELOOP: ${path} is a symbolic link, and is not followed`, error)
    throw error
  }
}

function noFile(path: string): DiskFailure {
  return new DiskFailure('EINVAL', `EINVAL: ${path} is no regular file`)
}
