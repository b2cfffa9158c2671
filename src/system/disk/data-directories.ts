import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { isError } from '../../core/is-error.ts'
import { DiskFailure, isCode, toDiskFailure } from '../disk-failure.ts'
import { DIRECTORY_MODE } from './file-gate.ts'
import { mayHang } from './mounts.ts'

/** A file system that does not answer for so long is not there. */
const ANSWER_MS = 10_000

/**
 * Makes the directories of `log.dirs` where they are missing, and finds out which of them cannot be used, and why. Whoever
 * goes near those again may wait for ever, or have this process write where others want it to.
 */
export async function checkDirectories(
  directories: readonly string[],
  answerMs = ANSWER_MS,
): Promise<ReadonlyMap<string, DiskFailure>> {
  const unusable = new Map<string, DiskFailure>()
  await Promise.all(
    directories.map(async (directory) => {
      try {
        await withinTime(directory, answerMs)
      } catch (error) {
        unusable.set(directory, explain(directory, error))
      }
    }),
  )
  return unusable
}

async function withinTime(directory: string, answerMs: number): Promise<void> {
  // In a process that can be left behind: a thread that waits for a file system keeps this one from ending.
  if (mayHang(directory)) await answersChild(directory, answerMs)
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(noAnswer(answerMs)), answerMs)
  })
  try {
    await Promise.race([check(directory), late])
  } finally {
    clearTimeout(timer)
  }
}

async function check(directory: string): Promise<void> {
  await makeDurably(directory)
  const real = await fs.promises.realpath(directory)
  await refuseWritableByOthers(real)
  await tryWriting(real)
}

/** Creates what is missing of the path, and makes each new name durable in its parent. */
async function makeDurably(directory: string): Promise<void> {
  const parent = dirname(directory)
  try {
    if (!(await make(directory))) return
  } catch (error) {
    if (!isCode(error, 'ENOENT') || parent === directory) throw error
    await makeDurably(parent)
    // Once more, and not for ever, as Node.js does with `recursive` where a parent takes no new names (/proc).
    await make(directory)
  }
  if (process.platform === 'win32') return
  const handle = await fs.promises.open(parent, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** False when it is there already. */
async function make(directory: string): Promise<boolean> {
  try {
    await fs.promises.mkdir(directory, { mode: DIRECTORY_MODE })
    return true
  } catch (error) {
    if (isCode(error, 'ENOENT')) throw error
    const found = await fs.promises.stat(directory).catch((missing: unknown) => {
      // That it is not there is no reason why it could not be made.
      throw isCode(missing, 'ENOENT') ? error : missing
    })
    if (found.isDirectory()) return false
    throw error
  }
}

const OTHERS = 0o002
const GROUP = 0o020
const STICKY = 0o1000

/** Whoever may write there can put a link in the place of a file, or another directory in the place of this one. */
async function refuseWritableByOthers(real: string): Promise<void> {
  if (process.getuid === undefined) return
  for (let path = real; ; path = dirname(path)) {
    const { mode, gid } = await fs.promises.stat(path)
    const isParent = path !== real
    const who =
      (mode & OTHERS) !== 0 ? 'everybody' : (mode & GROUP) !== 0 && !isOurs(gid) ? `group ${gid}` : null
    // In a directory like /tmp nobody can rename what belongs to others.
    if (who !== null && !(isParent && (mode & STICKY) !== 0)) {
      const what = isParent ? `${path}, in which it lies,` : 'it'
      throw new DiskFailure(
        'EPERM',
        `${what} may be written by ${who}, who could lead the broker to files elsewhere: ${remedyFor(path, mode)}`,
      )
    }
    if (path === dirname(path)) return
  }
}

/** What is sticky was made for all to share: programs would fail without /tmp. */
function remedyFor(path: string, mode: number): string {
  if ((mode & STICKY) !== 0) return `use a directory in it, for example ${join(path, 'samsa-data')}`
  return `chmod ${(mode & OTHERS) !== 0 ? 'o-w' : 'g-w'} ${shellWord(path)}`
}

function isOurs(gid: number): boolean {
  return gid === process.getegid?.() || process.getgroups?.().includes(gid) === true
}

function shellWord(path: string): string {
  return /^[\w./@%+=:,-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
}

/** A full disk is no hindrance: it can be read. */
async function tryWriting(directory: string): Promise<void> {
  const path = join(directory, `.samsa-probe-${randomUUID()}.tmp`)
  try {
    const handle = await fs.promises.open(path, 'wx', 0o600)
    await handle.close()
  } catch (error) {
    if (!isCode(error, 'ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE')) throw error
  }
  await fs.promises.rm(path, { force: true })
}

/** Rejects when another process gets no answer from there. */
function answersChild(directory: string, answerMs: number): Promise<void> {
  const script = 'const fs = require("fs"); try { fs.readdirSync(process.argv[1]) } catch {}'
  return new Promise((resolve, reject) => {
    const options = { timeout: answerMs, killSignal: 'SIGKILL' } as const
    const child = execFile(process.execPath, ['-e', script, directory], options, (error) => {
      if (error?.killed === true) reject(noAnswer(answerMs))
      else resolve()
    })
    child.unref()
    // One that cannot even be killed is left behind.
    const left = setTimeout(() => reject(noAnswer(answerMs)), answerMs + 100)
    child.once('exit', () => clearTimeout(left))
  })
}

function noAnswer(answerMs: number): DiskFailure {
  return new DiskFailure(
    'ETIMEDOUT',
    `its file system has not answered for ${answerMs / 1000} s (is it a network mount?)`,
  )
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is mounted for reading only',
  ENOTDIR: 'it, or what it should lie in, is no directory',
  EEXIST: 'it is no directory',
  ENOENT: 'it cannot be made there',
  ELOOP: 'too many symbolic links',
  ENAMETOOLONG: 'the name is too long',
  EIO: 'the device reports an error',
}

function explain(directory: string, error: unknown): DiskFailure {
  if (error instanceof DiskFailure) return error
  const failure = toDiskFailure(error)
  const { code } = failure
  const who = code === 'EACCES' && process.getuid !== undefined ? ` for user ${os.userInfo().username}` : ''
  const path = isError(error) && 'path' in error && error.path !== directory ? ` (${String(error.path)})` : ''
  return new DiskFailure(code, `${REASONS[code] ?? failure.message}${who}: ${code}${path}`, error)
}
