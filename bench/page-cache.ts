import { spawnSync } from 'node:child_process'
import { accessSync, constants, writeFileSync } from 'node:fs'

const DROP = '/proc/sys/vm/drop_caches'

/** Why the page cache cannot be emptied, which cold reads need; null when it can. */
export function dropProblem(): string | null {
  try {
    accessSync(DROP, constants.W_OK)
    return null
  } catch {
    return `cold reads need root: ${DROP} cannot be written`
  }
}

/** Writes back what is dirty and forgets all file contents that are in memory. */
export function dropPageCache(): void {
  spawnSync('sync', { stdio: 'ignore', timeout: 120_000 })
  writeFileSync(DROP, '1')
}
