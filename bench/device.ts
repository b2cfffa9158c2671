import { existsSync, readFileSync, readdirSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import type { BlockIo } from './load/spec.ts'

/** The block device under a directory, as Linux describes it; what it does not say is an empty string. */
export interface Device {
  readonly name: string
  /** Its counters. */
  readonly statPath: string
  readonly model: string
  /** `major:minor`, by which the kernel's limits name it. */
  readonly number: string
  /** `write back`: it has a volatile cache that a flush empties. */
  readonly writeCache: string
  /** Whether one write can bypass that cache without a flush. */
  readonly forcedUnitAccess: string
  readonly scheduler: string
}

export interface Mount {
  /** `major:minor` */
  readonly number: string
  readonly mountPoint: string
  readonly type: string
  readonly source: string
  readonly options: string
}

/** The lines of `/proc/self/mountinfo`: id parent major:minor root mount-point options [tags] - type source super-options. */
export function parseMountInfo(text: string): Mount[] {
  const mounts: Mount[] = []
  for (const line of text.split('\n')) {
    const [before, after] = line.split(' - ')
    const fields = before?.split(' ') ?? []
    const [type, source, superOptions] = after?.split(' ') ?? []
    if (fields.length < 6 || type === undefined || source === undefined) continue
    mounts.push({
      number: fields[2]!,
      mountPoint: unescaped(fields[4]!),
      type,
      source: unescaped(source),
      options: [...new Set(`${fields[5]!},${superOptions ?? ''}`.split(','))]
        .filter((each) => each !== '')
        .join(','),
    })
  }
  return mounts
}

/** Spaces and the like are written as octal numbers. */
function unescaped(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)))
}

/** The mount a path lies on: the longest mount point above it, the last of equal ones, which covers the others. */
export function mountOf(mounts: readonly Mount[], path: string): Mount | null {
  let found: Mount | null = null
  for (const mount of mounts) {
    const { mountPoint } = mount
    const above = mountPoint === '/' || path === mountPoint || path.startsWith(`${mountPoint}/`)
    if (above && mountPoint.length >= (found?.mountPoint.length ?? 0)) found = mount
  }
  return found
}

/**
 * Counters of a block device: sectors of 512 bytes read (3rd), writes completed (5th), sectors written (7th), flushes
 * completed (16th; since Linux 5.5).
 */
export function parseBlockStat(text: string): BlockIo {
  const fields = text.trim().split(/\s+/)
  return {
    writes: Number(fields[4] ?? NaN),
    flushes: Number(fields[15] ?? 0),
    writtenBytes: Number(fields[6] ?? NaN) * 512,
    readBytes: Number(fields[2] ?? NaN) * 512,
  }
}

/** Linux packs both numbers into one: 12 bits of major, 20 of minor whose upper 12 lie above the major. */
export function deviceNumber(dev: number): string {
  const low = dev % 0x1_0000_0000
  const minor = (low & 0xff) | ((low >>> 12) & 0xfff00)
  return `${(low >>> 8) & 0xfff}:${minor}`
}

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return ''
  }
}

export function mountUnder(directory: string): Mount | null {
  return mountOf(parseMountInfo(text('/proc/self/mountinfo')), existingPath(directory))
}

function existingPath(directory: string): string {
  const path = resolve(directory)
  return existsSync(path) || path === dirname(path) ? realpathSync(path) : existingPath(dirname(path))
}

/** The device that counts what is written below a directory; null where there is none, as on a tmpfs. */
export function deviceUnder(directory: string): Device | null {
  const path = existingPath(directory)
  let sys: string
  try {
    sys = realpathSync(`/sys/dev/block/${deviceNumber(statSync(path).dev)}`)
  } catch {
    // btrfs and overlays have device numbers of their own; the mount says where they lie.
    const source = mountUnder(path)?.source ?? ''
    if (!source.startsWith('/dev/') || !existsSync(source)) return null
    const named = `/sys/class/block/${basename(realpathSync(source))}`
    if (!existsSync(named)) return null
    sys = realpathSync(named)
  }
  sys = physical(sys)
  const statPath = join(sys, 'stat')
  if (text(statPath) === '') return null
  return {
    name: basename(sys),
    statPath,
    number: text(join(sys, 'dev')),
    model: text(join(sys, 'device/model')),
    writeCache: text(join(sys, 'queue/write_cache')),
    forcedUnitAccess: text(join(sys, 'queue/fua')),
    scheduler: /\[(.*)\]/.exec(text(join(sys, 'queue/scheduler')))?.[1] ?? '',
  }
}

/** Flushes are counted by whole disks only: neither by their partitions nor by what is mapped onto them. */
function physical(sys: string): string {
  if (existsSync(join(sys, 'partition'))) return physical(dirname(sys))
  const slaves = existsSync(join(sys, 'slaves')) ? readdirSync(join(sys, 'slaves')) : []
  return slaves.length === 1 ? physical(realpathSync(join(sys, 'slaves', slaves[0]!))) : sys
}
