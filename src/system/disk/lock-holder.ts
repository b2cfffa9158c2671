import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import process from 'node:process'
import { isCode } from '../disk-failure.ts'

/** Who holds a directory. `token` is fresh for every acquisition. */
export interface Holder {
  readonly token: string
  readonly pid: number
  /** Clock ticks after boot at which the process started: a reused pid has another one. Empty where there is no /proc. */
  readonly processStart: string
  readonly bootId: string
  /** Which set of process ids `pid` belongs to. */
  readonly pidNamespace: string
  readonly host: string
  /** It has the lock of the kernel too: where that is free, this holder is gone. */
  readonly kernelLock: boolean
}

/** `unseen`: it runs, or ran, where its process cannot be looked at: in another container, on another machine. */
export type Life = 'alive' | 'ending' | 'dead' | 'unseen'

export function thisProcess(kernelLock: boolean): Holder {
  return {
    token: randomUUID(),
    pid: process.pid,
    processStart: statOf('self')?.start ?? '',
    bootId: readProc('sys/kernel/random/boot_id').trim(),
    pidNamespace: pidNamespace(),
    host: os.hostname(),
    kernelLock,
  }
}

export function lifeOf(holder: Holder, me: Holder): Life {
  if (holder.pid === 0) return 'dead'
  // Another boot of this machine: the process is gone. Another machine (a shared disk): nobody here can tell.
  if (holder.bootId !== me.bootId) return holder.host === me.host || holder.host === '' ? 'dead' : 'unseen'
  if (holder.pidNamespace !== me.pidNamespace) return 'unseen'
  if (holder.pid === me.pid) return holder.processStart === me.processStart ? 'alive' : 'dead'
  return lifeOfProcess(holder.pid, holder.processStart)
}

const EXITING_FLAG = 0x4

/** Of a process of this namespace. `start` is empty when nobody knows it. */
export function lifeOfProcess(pid: number, start = ''): Life {
  try {
    process.kill(pid, 0)
  } catch (error) {
    // EPERM: it exists and belongs to somebody else.
    if (!isCode(error, 'EPERM')) return 'dead'
  }
  const stat = statOf(String(pid))
  if (stat === null) return 'alive'
  if (start !== '' && stat.start !== '' && start !== stat.start) return 'dead'
  // A zombie has ended, unless threads of it have not: then it still has its files.
  if (stat.state === 'Z' || stat.state === 'X') return threadsOf(pid) > 1 ? 'ending' : 'dead'
  return (stat.flags & EXITING_FLAG) !== 0 || isKilled(pid) ? 'ending' : 'alive'
}

/** Null when there is no file. One that is not ours to read (empty, foreign) has no living holder. */
export function readHolder(path: string): Holder | null {
  const text = readIfThere(path)
  if (text === null) return null
  const fields = parseFields(text)
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
    kernelLock: fields.get('kernelLock') === true,
  }
}

export function describeHolder(holder: Holder): string {
  return `process ${holder.pid} on ${holder.host}`
}

const MAX_HOLDER_BYTES = 4096

function readIfThere(path: string): string | null {
  let fd: number
  try {
    fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK)
  } catch (error) {
    if (isCode(error, 'ENOENT')) return null
    throw error
  }
  try {
    const bytes = Buffer.alloc(MAX_HOLDER_BYTES)
    return bytes.toString('utf8', 0, fs.readSync(fd, bytes, 0, MAX_HOLDER_BYTES, 0))
  } finally {
    fs.closeSync(fd)
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

function pidNamespace(): string {
  try {
    return fs.readlinkSync('/proc/self/ns/pid')
  } catch {
    return ''
  }
}

interface ProcessStat {
  readonly state: string
  readonly flags: number
  readonly start: string
}

/** Of /proc/<pid>/stat, counted behind the command name, which may hold blanks and parentheses; null without it. */
function statOf(pid: string): ProcessStat | null {
  const stat = readProc(`${pid}/stat`)
  if (stat === '') return null
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return { state: fields[0] ?? '', flags: Number(fields[6] ?? 0), start: fields[19] ?? '' }
}

function threadsOf(pid: number): number {
  try {
    return fs.readdirSync(`/proc/${pid}/task`).length
  } catch {
    return 0
  }
}

const SIGKILL_BIT = 1n << 8n

/** SIGKILL was sent to it and is not carried out yet. */
function isKilled(pid: number): boolean {
  const pending = /^ShdPnd:\s*([0-9a-f]+)$/m.exec(readProc(`${pid}/status`))?.[1]
  return pending !== undefined && (BigInt(`0x${pending}`) & SIGKILL_BIT) !== 0n
}

export function readProc(name: string): string {
  try {
    return fs.readFileSync(`/proc/${name}`, 'utf8')
  } catch {
    return ''
  }
}
