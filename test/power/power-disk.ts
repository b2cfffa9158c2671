import { execFileSync } from 'node:child_process'
import { rmdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Seeded } from '../support/seed.ts'
import {
  makeImage,
  makeWorkDirectory,
  mountImage,
  removeWorkDirectory,
  shutDown,
  unmount,
  writeBack,
} from './mounts.ts'

export interface PowerDiskOptions {
  readonly sizeMb: number
  /**
   * `none`: the device keeps every write it was given; what the kernel had not written yet is lost. `volatile`: the
   * device has a write cache, and a cut also loses writes that no flush followed: any of them, in pieces of 4 KiB.
   */
  readonly cache: 'none' | 'volatile'
  /** How often the file system flushes its journal by the clock; default as ext4. */
  readonly commitSeconds?: number
}

interface Layer {
  readonly image: string
  readonly point: string
}

const LARGEST_STRETCH_LOG2 = 5
const PAGE_BYTES = 4096

/**
 * An ext4 file system whose power can be cut. With a volatile cache it lies in a file of a second ext4: the page cache
 * of that one is the cache of the device, and an fsync down there is the flush up here.
 */
export class PowerDisk implements AsyncDisposable {
  /** Where the file system is mounted. */
  readonly directory: string
  readonly cache: PowerDiskOptions['cache']
  readonly #work: string
  readonly #sizeMb: number
  readonly #commitSeconds: number | undefined
  /** The outermost first. */
  readonly #layers: readonly Layer[]

  private constructor(options: PowerDiskOptions) {
    this.#work = makeWorkDirectory()
    this.#sizeMb = options.sizeMb
    this.#commitSeconds = options.commitSeconds
    this.cache = options.cache
    const names = options.cache === 'volatile' ? ['device', 'disk'] : ['disk']
    let within = this.#work
    this.#layers = names.map((name) => {
      const layer = { image: join(within, `${name}.img`), point: join(this.#work, name) }
      within = layer.point
      return layer
    })
    this.directory = join(this.#work, 'disk')
  }

  static async make(options: PowerDiskOptions): Promise<PowerDisk> {
    const disk = new PowerDisk(options)
    try {
      for (const [depth, { image, point }] of disk.#layers.entries()) {
        const isInner = depth === disk.#layers.length - 1
        const isInside = depth > 0
        await makeImage(image, isInner ? options.sizeMb : options.sizeMb + 96, isInside)
        await mountImage(image, point, options.commitSeconds)
        // Apache Kafka takes every directory for a partition.
        rmdirSync(join(point, 'lost+found'))
      }
      disk.sync()
      return disk
    } catch (error) {
      await disk[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Everything written so far is on the device. */
  sync(): void {
    for (const { point } of this.#layers.toReversed()) execFileSync('sync', ['-f', point])
  }

  /** Whoever writes must have been stopped before, or it would see a device that answers wrongly. */
  async cut(random: Seeded): Promise<void> {
    const [device, inner] = this.#layers
    if (inner !== undefined) await writeBack(inner.image, this.#someStretches(random))
    await shutDown(device!.point, { flush: false })
  }

  /** Power is back: the journal is replayed. Whoever held files must be gone or on its way. */
  async restore(): Promise<void> {
    await this.#unmount()
    for (const { image, point } of this.#layers) await mountImage(image, point, this.#commitSeconds)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#unmount()
    removeWorkDirectory(this.#work)
  }

  async #unmount(): Promise<void> {
    for (const { point } of this.#layers.toReversed()) await unmount(point)
  }

  /** What the device had taken out of its cache on its own: much or little of it, in no order. */
  #someStretches(random: Seeded): [number, number][] {
    const stretches: [number, number][] = []
    const end = this.#sizeMb << 20
    const oneIn = 1 + 2 ** random.between(1, 6)
    for (let position = 0; position < end;) {
      const length = PAGE_BYTES << random.between(0, LARGEST_STRETCH_LOG2)
      if (random.between(1, oneIn) === 1) stretches.push([position, Math.min(length, end - position)])
      position += length
    }
    return stretches
  }
}
