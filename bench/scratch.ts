import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'

const directories = new Set<string>()
let watchingExit = false

/** A new directory that does not outlive this process, whatever ends it. */
export async function scratchDirectory(parent: string, prefix: string): Promise<string> {
  await mkdir(parent, { recursive: true })
  const directory = await mkdtemp(join(parent, prefix))
  directories.add(directory)
  return directory
}

export async function removeScratch(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  directories.delete(directory)
}

/**
 * Listeners run in the order they were added, and processes must be gone before their files can be: to be called
 * when the first of them has been adopted.
 */
export function removeScratchAtExit(): void {
  if (watchingExit) return
  watchingExit = true
  process.once('exit', () => {
    for (const directory of directories) {
      rmSync(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
    }
  })
}
