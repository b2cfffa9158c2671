import fs from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'
import { isError } from '../../core/is-error.ts'
import type { Lock, LockEvents } from '../../ports.ts'
import { DiskFailure, isCode, toDiskFailure } from '../disk-failure.ts'
import type { NativeAddon } from '../native-addon.ts'
import { isLocked, lockByKernel, lockSeen, showsLocks } from './kernel-lock.ts'
import type { KernelLock } from './kernel-lock.ts'
import { describeHolder, lifeOf, lifeOfProcess, readHolder, thisProcess } from './lock-holder.ts'
import type { Holder } from './lock-holder.ts'

/** Apache Kafka's: what the kernel's lock is taken on. */
const KERNEL_LOCK_NAME = '.lock'
/** Says who has the directory. Without the addon it is all there is. */
const HOLDER_NAME = '.samsa.lock'

const HEARTBEAT_MS = 1000
/** For how long nobody may have touched the file of a holder that cannot be seen and has no lock of the kernel. */
const SILENT_MS = 30_000
/** However old the file looks, its time has to stand still for so long: the clocks of two machines differ. */
const WATCH_MS = 3000
/** A process that ends is waited for: closing many files takes a while, and io_uring keeps them a little longer. */
const ENDING_PATIENCE_MS = 10_000
/** One that lives might be about to end. */
const ALIVE_PATIENCE_MS = 1000
const RETRY_MS = 50

/** Why the directory cannot be had now. */
interface Obstacle {
  readonly who: string
  readonly patienceMs: number
  /** It does not touch its file any more, and cannot be seen otherwise. */
  readonly silent?: Holder
}

/** Directories held by this very process: its own lock file would always look alive to it. */
const heldHere = new Set<string>()

/**
 * Bars others from a directory, twice. The lock of the kernel, by the addon, goes with the process whatever happens to
 * it; Apache Kafka takes the same one. The file with the holder's identity says who it is, and serves systems without
 * the addon. It appears complete and at once (a hard link made of a finished file); the file of a dead holder is taken
 * over, with one claim per dead holder, made the same atomic way, so that of two who find it only one succeeds.
 */
export class DirectoryLock implements Lock {
  readonly #directory: string
  readonly #holder: Holder
  readonly #kernelLock: KernelLock | null
  readonly #heartbeat: NodeJS.Timeout
  #released = false
  #isBeating = false

  private constructor(directory: string, holder: Holder, kernelLock: KernelLock | null, events: LockEvents) {
    this.#directory = directory
    this.#holder = holder
    this.#kernelLock = kernelLock
    this.#heartbeat = setInterval(() => this.#beat(events), HEARTBEAT_MS)
    this.#heartbeat.unref()
  }

  /** Rejects with a DiskFailure EBUSY that names the holder. */
  static async acquire(path: string, addon: NativeAddon | null, events: LockEvents): Promise<DirectoryLock> {
    const directory = await fs.promises.realpath(path)
    if (heldHere.has(directory)) {
      throw busy(directory, `another broker in this process (pid ${process.pid})`)
    }
    heldHere.add(directory)
    try {
      return await DirectoryLock.#wait(directory, addon, events)
    } catch (error) {
      heldHere.delete(directory)
      // What has no code is no answer of the system.
      throw isError(error) && 'code' in error ? toDiskFailure(error) : error
    }
  }

  static async #wait(
    directory: string,
    addon: NativeAddon | null,
    events: LockEvents,
  ): Promise<DirectoryLock> {
    const startMs = performance.now()
    const watched = new WatchedFile(join(directory, HOLDER_NAME))
    let said = false
    for (;;) {
      const attempt = attemptLock(directory, addon, watched.presumedDead)
      if ('holder' in attempt) return new DirectoryLock(directory, attempt.holder, attempt.kernelLock, events)
      const silent = attempt.silent !== undefined && watched.isSilent(attempt.silent)
      const patienceMs = attempt.silent !== undefined && !silent ? ALIVE_PATIENCE_MS : attempt.patienceMs
      if (performance.now() - startMs >= patienceMs) throw busy(directory, attempt.who)
      if (!said && patienceMs > ALIVE_PATIENCE_MS) {
        said = true
        events.waiting(attempt.who, patienceMs)
      }
      await delay(RETRY_MS)
    }
  }

  release(): void {
    if (this.#released) return
    this.#released = true
    clearInterval(this.#heartbeat)
    heldHere.delete(this.#directory)
    const path = join(this.#directory, HOLDER_NAME)
    try {
      if (readHolder(path)?.token === this.#holder.token) fs.rmSync(path, { force: true })
    } catch {
      // The disk failed. Without its process the file that stays bars nobody.
    }
    this.#kernelLock?.release()
  }

  #beat(events: LockEvents): void {
    // A disk that hangs keeps one thread of the pool, not one for each beat.
    if (this.#isBeating) return
    this.#isBeating = true
    const path = join(this.#directory, HOLDER_NAME)
    const now = new Date()
    fs.utimes(path, now, now, (error) => {
      this.#isBeating = false
      if (error !== null || this.#kernelLock !== null || this.#released) return
      // This process may have stood still for so long that another one took it for dead.
      const holder = readHolder(path)
      if (holder === null || holder.token === this.#holder.token) return
      clearInterval(this.#heartbeat)
      events.lost(busy(this.#directory, `${describeHolder(holder)}, which took this one for dead`))
    })
  }
}

/** The file of a holder that cannot be seen, over the tries to get the directory. */
class WatchedFile {
  readonly #path: string
  #token = ''
  #touchedMs = -1
  #sinceMs = 0
  /** Whose file stood still for long enough. */
  presumedDead = ''

  constructor(path: string) {
    this.#path = path
  }

  /** False: its holder has touched it while it was watched. */
  isSilent(holder: Holder): boolean {
    const touchedMs = fs.statSync(this.#path, { throwIfNoEntry: false })?.mtimeMs ?? -1
    if (holder.token !== this.#token) {
      this.#token = holder.token
      this.#touchedMs = touchedMs
      this.#sinceMs = performance.now()
      return true
    }
    if (touchedMs !== this.#touchedMs) return false
    const stillMs = performance.now() - this.#sinceMs
    const silentMs = Math.max(stillMs, Date.now() - touchedMs)
    if (stillMs >= WATCH_MS && (holder.kernelLock || silentMs >= SILENT_MS)) this.presumedDead = holder.token
    return true
  }
}

/** One try. `presumedDead`: the token of a holder that was watched for long enough. */
function attemptLock(
  directory: string,
  addon: NativeAddon | null,
  presumedDead: string,
): { readonly holder: Holder; readonly kernelLock: KernelLock | null } | Obstacle {
  const holderPath = join(directory, HOLDER_NAME)
  const lockPath = join(directory, KERNEL_LOCK_NAME)
  const kernelLock = addon === null ? lockSeen(lockPath) : lockByKernel(addon, lockPath)
  if (isLocked(kernelLock)) return lockedByKernel(kernelLock.pid, readHolder(holderPath))
  const holder = thisProcess(kernelLock !== null)
  // Where the kernel tells of its locks, a holder that has one is gone when there is none.
  const kernelTells = kernelLock !== null || (addon === null && showsLocks())
  let taken = false
  try {
    const obstacle = takeHolderFile(directory, holder, kernelTells, presumedDead)
    if (obstacle !== null) return obstacle
    taken = true
    return { holder, kernelLock }
  } finally {
    if (!taken) kernelLock?.release()
  }
}

function lockedByKernel(pid: number, holder: Holder | null): Obstacle {
  if (pid > 0) {
    const patienceMs = lifeOfProcess(pid) === 'alive' ? ALIVE_PATIENCE_MS : ENDING_PATIENCE_MS
    return { who: `process ${pid}, which has locked ${KERNEL_LOCK_NAME}`, patienceMs }
  }
  if (holder === null || holder.pid === 0)
    return { who: 'another process, which has locked it', patienceMs: ALIVE_PATIENCE_MS }
  // Its lock is there although it is dead: what it had open is being closed.
  const life = lifeOf(holder, thisProcess(false))
  if (life === 'alive') return { who: describeHolder(holder), patienceMs: ALIVE_PATIENCE_MS }
  if (life === 'unseen') return { who: describeHolder(holder), patienceMs: WATCH_MS }
  return { who: `${describeHolder(holder)}, which is ending`, patienceMs: ENDING_PATIENCE_MS }
}

/** Null when the file names `me` now. */
function takeHolderFile(
  directory: string,
  me: Holder,
  kernelTells: boolean,
  presumedDead: string,
): Obstacle | null {
  const barrier = (holder: Holder): Obstacle | null => {
    if (holder.token === presumedDead) return null
    if (holder.kernelLock && kernelTells && holder.bootId === me.bootId) return null
    const who = describeHolder(holder)
    const life = lifeOf(holder, me)
    if (life === 'alive') return { who, patienceMs: ALIVE_PATIENCE_MS }
    if (life === 'ending') return { who: `${who}, which is ending`, patienceMs: ENDING_PATIENCE_MS }
    if (life === 'dead') return null
    const patienceMs = holder.kernelLock ? 2 * WATCH_MS : SILENT_MS + 2 * WATCH_MS
    return { who: `${who}, which cannot be seen from here`, patienceMs, silent: holder }
  }
  const known = readHolder(join(directory, HOLDER_NAME))
  const obstacle = known === null ? null : barrier(known)
  if (obstacle !== null) return obstacle
  const mine = join(directory, `${HOLDER_NAME}.${me.token}`)
  fs.writeFileSync(mine, JSON.stringify(me), { flag: 'wx', mode: 0o600 })
  try {
    for (let attempt = 0; attempt < 3; attempt++) {
      if (createLinked(mine, join(directory, HOLDER_NAME))) return null
      const outcome = takeOver(directory, mine, me, barrier)
      if (outcome !== 'again') return outcome
    }
  } finally {
    fs.rmSync(mine, { force: true })
  }
  return { who: 'another process that is starting at this moment', patienceMs: ALIVE_PATIENCE_MS }
}

/** Null when it succeeded; 'again': the lock changed hands meanwhile. */
function takeOver(
  directory: string,
  mine: string,
  me: Holder,
  barrier: (holder: Holder) => Obstacle | null,
): Obstacle | null | 'again' {
  const path = join(directory, HOLDER_NAME)
  const dead = readHolder(path)
  if (dead === null) return 'again'
  const obstacle = barrier(dead)
  if (obstacle !== null) return obstacle
  // No second process can claim the succession of the same dead holder while this name exists ...
  const claim = join(directory, `${HOLDER_NAME}.after-${dead.token}`)
  if (!createLinked(mine, claim)) {
    const claimant = readHolder(claim)
    const other = claimant === null ? null : barrier(claimant)
    if (other !== null) return other
    fs.rmSync(claim, { force: true })
    return 'again'
  }
  try {
    // ... and whoever gets the name after the succession is over sees here that it is.
    if (readHolder(path)?.token !== dead.token) return 'again'
    const next = join(directory, `${HOLDER_NAME}.next-${me.token}`)
    fs.copyFileSync(mine, next, fs.constants.COPYFILE_EXCL)
    fs.renameSync(next, path)
    return null
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
    if (isCode(error, 'EEXIST')) return false
    if (!isCode(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS')) throw error
    return createWithoutLinks(source, path)
  }
}

/** For file systems without hard links: exclusive, though readers may see it half written for a moment. */
function createWithoutLinks(source: string, path: string): boolean {
  try {
    fs.copyFileSync(source, path, fs.constants.COPYFILE_EXCL)
    return true
  } catch (error) {
    if (isCode(error, 'EEXIST')) return false
    throw error
  }
}

function busy(directory: string, who: string): DiskFailure {
  return new DiskFailure('EBUSY', `EBUSY: ${directory} is in use by ${who}`)
}
