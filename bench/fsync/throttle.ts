import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Device } from '../device.ts'

/** Holds processes to a number of write operations per second on one device, through a control group of their own. */
export interface Throttle {
  readonly method: string
  limit(pid: number, writesPerSecond: number): void
  /** The process is as free as it was before. */
  release(pid: number): void
  remove(): void
}

interface Hierarchy {
  readonly method: string
  readonly root: string
  readonly file: string
  line(device: Device, writesPerSecond: number): string
}

const HIERARCHIES: readonly Hierarchy[] = [
  {
    method: 'cgroup v1, blkio.throttle.write_iops_device',
    root: '/sys/fs/cgroup/blkio',
    file: 'blkio.throttle.write_iops_device',
    line: ({ number }, rate) => `${number} ${rate}`,
  },
  {
    method: 'cgroup v2, io.max wiops',
    root: '/sys/fs/cgroup',
    file: 'io.max',
    line: ({ number }, rate) => `${number} wiops=${rate}`,
  },
]

const GROUP = `samsa-bench-${process.pid}`

/** The throttle, or why there is none. */
export function openThrottle(device: Device | null): Throttle | string {
  if (device === null) return 'not available: the data lies on no block device'
  let why = 'not available: no control group limits block devices here'
  for (const hierarchy of HIERARCHIES) {
    if (!existsSync(join(hierarchy.root, 'cgroup.procs'))) continue
    const group = join(hierarchy.root, GROUP)
    try {
      mkdirSync(group)
      if (!existsSync(join(group, hierarchy.file))) {
        rmdirSync(group)
        continue
      }
      // The root group of version 1 has this file as well; no limit there means no limit at all.
      writeFileSync(join(group, hierarchy.file), hierarchy.line(device, 1_000_000))
      return throttle(hierarchy, group, device)
    } catch (error) {
      if (existsSync(group)) rmdirSync(group)
      why = `not available: ${error instanceof Error ? error.message : String(error)}`
    }
  }
  return why
}

function throttle(hierarchy: Hierarchy, group: string, device: Device): Throttle {
  const before = new Map<number, string>()
  const release = (pid: number): void => {
    const home = before.get(pid)
    before.delete(pid)
    if (home === undefined) return
    try {
      writeFileSync(join(home, 'cgroup.procs'), String(pid))
    } catch {
      // It has ended.
    }
  }
  const remove = (): void => {
    process.removeListener('exit', remove)
    for (const pid of before.keys()) release(pid)
    removeGroup(group)
  }
  process.once('exit', remove)
  return {
    method: hierarchy.method,
    limit: (pid, writesPerSecond) => {
      before.set(pid, groupOf(hierarchy, pid))
      writeFileSync(join(group, hierarchy.file), hierarchy.line(device, writesPerSecond))
      writeFileSync(join(group, 'cgroup.procs'), String(pid))
    },
    release,
    remove,
  }
}

/** A process that has just left, or is just being killed, may still be counted in. */
function removeGroup(group: string): void {
  const never = new Int32Array(new SharedArrayBuffer(4))
  for (let tries = 0; tries < 50 && existsSync(group); tries++) {
    try {
      rmdirSync(group)
    } catch {
      Atomics.wait(never, 0, 0, 20)
    }
  }
}

/** Lines of /proc/PID/cgroup: id, controllers, path; version 2 has id 0 and no controllers. */
export function parseCgroup(text: string, controller: string): string {
  for (const line of text.split('\n')) {
    const [id, controllers, ...path] = line.split(':')
    const matches = controller === '' ? id === '0' : controllers?.split(',').includes(controller)
    if (matches === true) return path.join(':')
  }
  return '/'
}

function groupOf({ root }: Hierarchy, pid: number): string {
  const controller = root.endsWith('/blkio') ? 'blkio' : ''
  return join(root, parseCgroup(readFileSync(`/proc/${pid}/cgroup`, 'utf8'), controller))
}
