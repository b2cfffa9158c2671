import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import type { Lock } from '../../ports.ts'
import { DiskFailure } from '../disk-failure.ts'

const LOCK_NAME = '.lock'

/**
 * Containers on one volume cannot see each other's processes. There the only sign of life is the time of the lock
 * file, which the holder keeps fresh.
 */
const HEARTBEAT_MS = 1000
const DEAD_AFTER_MS = 5000

/** Who holds a directory. `token` is fresh for every acquisition. */
interface Holder {
  readonly token: string
  readonly pid: number
  /** Clock ticks after boot at which the process started: a reused pid has another one. Empty where there is no /proc. */
  readonly processStart: string
  readonly bootId: string
  /** Which set of process ids `pid` belongs to. */
  readonly pidNamespace: string
  readonly host: string
}

/** Directories held by this very process: its own lock file would always look alive to it. */
const heldHere = new Set<string>()

/**
 * A lock file with the holder's identity, since Node.js offers no `flock`. It appears complete and at once (a hard
 * link made of a finished file). The file of a dead process is taken over: one claim per dead holder, made the
 * same atomic way, so of two processes that start at once only one gets the directory.
 */
export class DirectoryLock implements Lock {
  readonly #directory: string
  readonly #holder: Holder
  readonly #heartbeat: NodeJS.Timeout
  #released = false

  private constructor(directory: string, holder: Holder) {
    this.#directory = directory
    this.#holder = holder
    const path = join(directory, LOCK_NAME)
    this.#heartbeat = setInterval(() => {
      const now = new Date()
      // Where this fails (the directory is gone, the disk is), the lock is the least of the troubles.
      fs.utimes(path, now, now, () => {})
    }, HEARTBEAT_MS)
    this.#heartbeat.unref()
  }

  /** Throws a DiskFailure EBUSY that names the holder. */
  static acquire(path: string): DirectoryLock {
    const directory = fs.realpathSync(path)
    if (heldHere.has(directory)) {
      throw busy(directory, `another broker in this process (pid ${process.pid})`)
    }
    const holder = thisProcess()
    const mine = join(directory, `${LOCK_NAME}.${holder.token}`)
    fs.writeFileSync(mine, JSON.stringify(holder), { flag: 'wx', mode: 0o644 })
    try {
      for (let attempt = 0; attempt < 3; attempt++) {
        if (createLinked(mine, join(directory, LOCK_NAME)) || takeOver(directory, mine, holder)) {
          heldHere.add(directory)
          return new DirectoryLock(directory, holder)
        }
      }
    } finally {
      fs.rmSync(mine, { force: true })
    }
    throw busy(directory, 'another process that is starting at this moment')
  }

  release(): void {
    if (this.#released) return
    this.#released = true
    clearInterval(this.#heartbeat)
    heldHere.delete(this.#directory)
    const path = join(this.#directory, LOCK_NAME)
    try {
      if (readHolder(path)?.token === this.#holder.token) fs.rmSync(path, { force: true })
    } catch {
      // The disk failed. Without its process the file that stays bars nobody.
    }
  }
}

/** False: the lock changed hands meanwhile, look again. Throws when a living process holds it. */
function takeOver(directory: string, mine: string, me: Holder): boolean {
  const lockPath = join(directory, LOCK_NAME)
  const dead = readHolder(lockPath)
  if (dead === null) return false
  if (isAlive(dead, lockPath)) throw busy(directory, describe(dead))
  // No second process can claim the succession of the same dead holder while this name exists ...
  const claim = join(directory, `${LOCK_NAME}.after-${dead.token}`)
  if (!createLinked(mine, claim)) {
    const claimant = readHolder(claim)
    if (claimant !== null && isAlive(claimant, claim)) throw busy(directory, describe(claimant))
    fs.rmSync(claim, { force: true })
    return false
  }
  try {
    // ... and whoever gets the name after the succession is over sees here that it is.
    if (readHolder(lockPath)?.token !== dead.token) return false
    const next = join(directory, `${LOCK_NAME}.next-${me.token}`)
    fs.copyFileSync(mine, next)
    fs.renameSync(next, lockPath)
    return true
  } finally {
    fs.rmSync(claim, { force: true })
  }
}

/** Creates `path` with the content of `source`, atomically. False when there is one. */
function createLinked(source: string, path: string): boolean {
  try {
    fs.linkSync(source, path)
    return true
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : ''
    if (code === 'EEXIST') return false
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'EOPNOTSUPP' && code !== 'ENOSYS') throw error
    return createWithoutLinks(source, path)
  }
}

/** For file systems without hard links: exclusive, though readers may see it half written for a moment. */
function createWithoutLinks(source: string, path: string): boolean {
  try {
    fs.copyFileSync(source, path, fs.constants.COPYFILE_EXCL)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}

/** Null when there is no file. A file that is not ours to read (empty, foreign) has no living holder. */
function readHolder(path: string): Holder | null {
  let text: Buffer
  try {
    text = fs.readFileSync(path)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
  const fields = parseFields(text.toString('utf8'))
  const field = (name: string): string => {
    const value = fields.get(name)
    return typeof value === 'string' ? value : ''
  }
  const pid = fields.get('pid')
  return {
    token: field('token').replace(/[^0-9a-f-]/g, '') || 'unknown',
    pid: typeof pid === 'number' && Number.isSafeInteger(pid) && pid > 0 ? pid : 0,
    processStart: field('processStart'),
    bootId: field('bootId'),
    pidNamespace: field('pidNamespace'),
    host: field('host'),
  }
}

function parseFields(text: string): Map<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(text)
    return new Map(typeof parsed === 'object' && parsed !== null ? Object.entries(parsed) : [])
  } catch {
    return new Map()
  }
}

function isAlive(holder: Holder, path: string): boolean {
  const me = thisProcess()
  if (holder.pid === 0) return false
  // Another boot of this machine: the process is gone. Another machine (a shared disk): nobody here can tell.
  if (holder.bootId !== me.bootId) return holder.host !== me.host && holder.host !== ''
  if (holder.pidNamespace !== me.pidNamespace) return wasTouchedLately(path)
  if (holder.pid === me.pid) return holder.processStart === me.processStart
  try {
    process.kill(holder.pid, 0)
  } catch (error) {
    // EPERM: it exists and belongs to somebody else.
    if (!(error instanceof Error && 'code' in error && error.code === 'EPERM')) return false
  }
  const start = processStart(String(holder.pid))
  return start === '' || holder.processStart === '' || start === holder.processStart
}

function wasTouchedLately(path: string): boolean {
  try {
    return Date.now() - fs.statSync(path).mtimeMs < DEAD_AFTER_MS
  } catch {
    return false
  }
}

function thisProcess(): Holder {
  return {
    token: randomUUID(),
    pid: process.pid,
    processStart: processStart('self'),
    bootId: readProc('sys/kernel/random/boot_id').trim(),
    pidNamespace: pidNamespace(),
    host: os.hostname(),
  }
}

function pidNamespace(): string {
  try {
    return fs.readlinkSync('/proc/self/ns/pid')
  } catch {
    return ''
  }
}

/** Field 22 of /proc/<pid>/stat, counted behind the command name, which may hold blanks and parentheses. */
function processStart(pid: string): string {
  const stat = readProc(`${pid}/stat`)
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
}

function readProc(name: string): string {
  try {
    return fs.readFileSync(`/proc/${name}`, 'utf8')
  } catch {
    return ''
  }
}

function describe(holder: Holder): string {
  return `process ${holder.pid} on ${holder.host}`
}

function busy(directory: string, who: string): DiskFailure {
  return new DiskFailure('EBUSY', `EBUSY: ${directory} is in use by ${who}`)
}
