/**
 * What the tests bring from package registries, kept between runs: jars, Python packages, Go programs, a newer
 * Node.js. `npm test` on a user's machine only uses what is here already; CI and `SAMSA_DOWNLOAD=1` fetch it.
 */
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'

export const cacheDirectory: string = process.env['SAMSA_CACHE'] ?? join(homedir(), '.cache', 'samsa')

/** In CI nothing may be missing, so a missing part fails there instead of being skipped. */
export const requireAll: boolean = process.env['SAMSA_REQUIRE_ALL'] === '1'

export const mayDownload: boolean = requireAll || process.env['SAMSA_DOWNLOAD'] === '1'

const marker = '.complete'

/**
 * The directory `name` of the cache, filled by `fill` when it is not there. Filling happens beside it and ends
 * with a rename, so neither a crash nor a second process leaves half of it behind. Null when it is missing and
 * may not be downloaded.
 */
export async function cached(
  name: string,
  download: boolean,
  fill: (directory: string) => Promise<void>,
): Promise<string | null> {
  const directory = join(cacheDirectory, name)
  if (existsSync(join(directory, marker))) return directory
  if (!download) return null
  await mkdir(cacheDirectory, { recursive: true })
  const work = await mkdtemp(join(cacheDirectory, `.${name}-`))
  try {
    await fill(work)
    await writeFile(join(work, marker), '')
    await rename(work, directory).catch((error: unknown) => {
      // Another process was faster: its result is as good as ours.
      if (!existsSync(join(directory, marker))) throw error
    })
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  return directory
}
