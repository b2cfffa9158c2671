import fs from 'node:fs'
import { dirname, join, resolve } from 'node:path'

/** File systems whose answers come from somebody else, or not at all. */
const REMOTE =
  /^(?:nfs|nfs4|cifs|smb3|smbfs|9p|virtiofs|fuse|fuseblk|fuse\..*|ceph|glusterfs|lustre|beegfs|afs|autofs)$/
const MAX_LINKS = 40

export interface Mount {
  readonly type: string
  /** Of the file system, `data=journal` for one. */
  readonly options: readonly string[]
  /** `major:minor` of the device. */
  readonly device: string
}

/** By mount point; of several at one point the last, which hides the others. Empty where the system does not tell. */
export function readMounts(): ReadonlyMap<string, Mount> {
  const mounts = new Map<string, Mount>()
  let text = ''
  try {
    text = fs.readFileSync('/proc/self/mountinfo', 'utf8')
  } catch {
    return mounts
  }
  for (const line of text.split('\n')) {
    const [place, rest] = line.split(' - ')
    const fields = place?.split(' ') ?? []
    const [type, , options] = rest?.split(' ') ?? []
    const [, , device, , point] = fields
    if (point === undefined || device === undefined || type === undefined) continue
    const name = point.replace(/\\([0-7]{3})/g, (_all, octal: string) =>
      String.fromCharCode(parseInt(octal, 8)),
    )
    mounts.set(name, { type, options: options?.split(',') ?? [], device })
  }
  return mounts
}

/** Whether a path leads into a file system that may never answer. Asks none of those. */
export function mayHang(path: string): boolean {
  const mounts = readMounts()
  const isRemote = (at: string): boolean => REMOTE.test(mounts.get(at)?.type ?? '')
  let links = 0
  let left = resolve(path).split('/').filter(Boolean)
  let at = '/'
  for (let name = left.shift(); name !== undefined; name = left.shift()) {
    at = join(at, name)
    if (isRemote(at)) return true
    const target = linkTarget(at)
    if (target === null) continue
    if (++links > MAX_LINKS) return false
    left = [...resolve(dirname(at), target).split('/').filter(Boolean), ...left]
    at = '/'
  }
  return isRemote('/')
}

/** Null for what is no link, or not there. */
function linkTarget(path: string): string | null {
  try {
    return fs.readlinkSync(path)
  } catch {
    return null
  }
}
