import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { run, runOrThrow } from '../support/processes.ts'
import {
  makeImage,
  makeWorkDirectory,
  mountImage,
  mountTmpfs,
  removeWorkDirectory,
  resizeTmpfs,
  shutDown,
  unmount,
} from './mounts.ts'

/** How a file system goes wrong. */
export type Sickness =
  /** It promises more room than its device has: writes and flushes fail late, with EIO, and pages are dropped. */
  | 'thin device'
  /** It is full: ENOSPC. */
  | 'full'
  /** It is gone: every operation fails with EIO. */
  | 'dead'

const IMAGE_MB = { 'thin device': 200, full: 96, dead: 96 }
const THIN_MB = 24
const FILLER_MB = 64

/** A file system in a file that fails, and can be repaired without losing what the device took. */
export class SickDisk implements AsyncDisposable {
  readonly directory: string
  readonly #sickness: Sickness
  readonly #work: string
  readonly #device: string
  readonly #image: string

  private constructor(sickness: Sickness) {
    this.#sickness = sickness
    this.#work = makeWorkDirectory()
    this.#device = join(this.#work, 'device')
    this.#image = join(this.#device, 'disk.img')
    this.directory = join(this.#work, 'disk')
  }

  static async make(sickness: Sickness): Promise<SickDisk> {
    const disk = new SickDisk(sickness)
    try {
      mkdirSync(disk.#device)
      if (sickness === 'thin device') await mountTmpfs(disk.#device, THIN_MB)
      await makeImage(disk.#image, IMAGE_MB[sickness])
      await mountImage(disk.#image, disk.directory)
      if (sickness === 'full') await runOrThrow('fallocate', ['-l', `${FILLER_MB}M`, disk.#filler])
      return disk
    } catch (error) {
      await disk[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Where tests may put what has nothing to do with the sick file system. */
  get work(): string {
    return this.#work
  }

  get #filler(): string {
    return join(this.directory, 'filler')
  }

  /** The others fail by themselves when they are written to. */
  async fail(): Promise<void> {
    if (this.#sickness === 'dead') await shutDown(this.directory, { flush: true })
  }

  /** Nobody may use it. Afterwards it is mounted again, and has room. */
  async repair(): Promise<void> {
    await unmount(this.directory)
    if (this.#sickness === 'thin device') await resizeTmpfs(this.#device, IMAGE_MB['thin device'] + 8)
    // 1: errors were corrected.
    const { code, stdout } = await run('e2fsck', ['-f', '-y', this.#image])
    if (code === null || code > 1) throw new Error(`e2fsck ended with ${code}:\n${stdout}`)
    await mountImage(this.#image, this.directory)
    if (existsSync(this.#filler)) rmSync(this.#filler)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await unmount(this.directory)
    await unmount(this.#device)
    removeWorkDirectory(this.#work)
  }
}
