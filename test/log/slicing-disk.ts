import assert from 'node:assert/strict'
import fs from 'node:fs'
import type { Disk, File, FileSlice, World } from '../../src/ports.ts'
import { silentLogger } from '../../src/system/pino-logger.ts'
import { SystemClock } from '../../src/system/system-clock.ts'
import { SystemDisk } from '../../src/system/disk/system-disk.ts'
import { Turn } from '../../src/system/turn.ts'
import type { Seeded } from '../support/seed.ts'

/** What the disk says when it is asked for a slice, and when it is asked for bytes in memory. */
export interface Policy {
  readonly slices: (random: Seeded) => boolean
  readonly cached: (random: Seeded) => boolean
}

/** A stretch of a file that is read when it would be sent. */
export class TestSlice implements FileSlice {
  static open = 0
  readonly length: number
  readonly #path: string
  readonly #position: number
  #released = false

  constructor(file: string, position: number, length: number) {
    assert.ok(position + length <= fs.statSync(file).size, 'a slice beyond the end of the file')
    this.#path = file
    this.#position = position
    this.length = length
    TestSlice.open++
  }

  bytes(): Buffer {
    assert.ok(!this.#released)
    const bytes = Buffer.alloc(this.length)
    assert.equal(readNow(this.#path, this.#position, bytes), this.length)
    return bytes
  }

  release(): void {
    assert.ok(!this.#released, 'released twice')
    this.#released = true
    TestSlice.open--
  }
}

function readNow(file: string, position: number, into: Buffer): number {
  const fd = fs.openSync(file, 'r')
  try {
    return fs.readSync(fd, into, 0, into.length, position)
  } finally {
    fs.closeSync(fd)
  }
}

/** The disk of the system with other answers to `slice` and `readCached`. */
export function diskWith(policy: Policy, random: Seeded): Pick<World, 'clock' | 'disk' | 'logger'> {
  const turn = new Turn()
  const real = new SystemDisk(turn)
  const changed = (file: File): Partial<File> => ({
    slice: (position, length) => (policy.slices(random) ? new TestSlice(file.path, position, length) : null),
    readCached: (position, into) => (policy.cached(random) ? readNow(file.path, position, into) : -1),
  })
  const disk = overlay<Disk>(real, {
    open: (name, mode) => {
      const file = real.open(name, mode)
      return overlay<File>(file, changed(file))
    },
  })
  return { clock: new SystemClock(turn), logger: silentLogger, disk }
}

/** `target`, with some methods replaced. */
function overlay<T extends object>(target: T, replaced: Partial<T>): T {
  return new Proxy(target, {
    get(_, name) {
      const own: unknown = Reflect.get(replaced, name)
      if (own !== undefined) return own
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
