import fs from 'node:fs'
import { listOrEmpty, readOrEmpty } from './proc-files.ts'

export interface PortOwner {
  readonly pid: number
  readonly command: string
}

/** State of a listening socket in /proc/net/tcp. */
const LISTENING = '0A'

/** Who has a TCP port open for listening; null where the system does not tell (no /proc, another user's process). */
export function whoListensOn(port: number): PortOwner | null {
  const inodes = new Set(
    ['tcp', 'tcp6'].flatMap((table) => listeningInodes(readOrEmpty(`/proc/net/${table}`, 'utf8'), port)),
  )
  if (inodes.size === 0) return null
  for (const pid of listOrEmpty('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    for (const fd of listOrEmpty(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(linkOrEmpty(`/proc/${pid}/fd/${fd}`))?.[1]
      if (inode !== undefined && inodes.has(inode)) {
        return { pid: Number(pid), command: readOrEmpty(`/proc/${pid}/comm`, 'utf8').trim() }
      }
    }
  }
  return null
}

/** `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ...`, addresses in hexadecimal. */
function listeningInodes(table: string, port: number): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return table
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === LISTENING && (fields[1] ?? '').endsWith(suffix))
    .flatMap((fields) => (fields[9] === undefined ? [] : [fields[9]]))
}

function linkOrEmpty(path: string): string {
  try {
    return fs.readlinkSync(path)
  } catch {
    return ''
  }
}
