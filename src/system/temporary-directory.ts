import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { SamsaError } from '../core/samsa-error.ts'
import { lifeOf, readHolder, thisProcess } from './disk/lock-holder.ts'

const PREFIX = 'samsa-run-'
const OWNER = 'owner.json'
/** Everybody's permissions but the owner's. */
const FOR_OTHERS = 0o077

/**
 * A directory that only this user may enter, for as long as this process lives. It says whose it is, so that what a
 * kill -9 leaves behind is found by the next one (`removeLeftovers`).
 */
export class TemporaryDirectory {
  readonly path: string
  /** For the data of a broker; made by whoever uses it. */
  readonly dataDir: string

  constructor() {
    this.path = makeIn(os.tmpdir())
    this.dataDir = path.join(this.path, 'data')
    try {
      const owner = JSON.stringify(thisProcess(false))
      fs.writeFileSync(path.join(this.path, OWNER), owner, { flag: 'wx', mode: 0o600 })
    } catch (error) {
      this.removeNow()
      throw error
    }
  }

  async remove(): Promise<void> {
    await fs.promises.rm(this.path, { recursive: true, force: true })
  }

  removeNow(): void {
    fs.rmSync(this.path, { recursive: true, force: true })
  }
}

function makeIn(parent: string): string {
  try {
    return fs.mkdtempSync(path.join(parent, PREFIX))
  } catch (error) {
    throw new SamsaError('SAMSA_DISK_IO', `TMPDIR: no directory can be made in ${parent}`, error)
  }
}

/** Removes the temporary directories of this user whose processes are certainly dead. Never rejects. */
export async function removeLeftovers(): Promise<void> {
  const parent = os.tmpdir()
  const names = await fs.promises.readdir(parent).catch(() => [])
  for (const name of names) {
    if (!name.startsWith(PREFIX)) continue
    const directory = path.join(parent, name)
    try {
      if (isLeftover(directory)) await fs.promises.rm(directory, { recursive: true, force: true })
    } catch {
      // It went meanwhile, or it cannot be removed: whoever comes next tries again.
    }
  }
}

function isLeftover(directory: string): boolean {
  const found = fs.lstatSync(directory)
  if (!found.isDirectory() || found.uid !== process.geteuid?.() || (found.mode & FOR_OTHERS) !== 0)
    return false
  const owner = readHolder(path.join(directory, OWNER))
  // One that is not written to its end tells nothing.
  return owner !== null && owner.pid !== 0 && lifeOf(owner, thisProcess(false)) === 'dead'
}
