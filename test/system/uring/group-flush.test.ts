import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { DiskError, File } from '../../../src/ports.ts'
import type { DirectAlignment, NativeAddon } from '../../../src/system/native-addon.ts'
import { RingEngine } from '../../../src/system/uring/ring-engine.ts'
import { SystemDisk } from '../../../src/system/disk/system-disk.ts'
import { Turn } from '../../../src/system/turn.ts'
import { makeImage, mountProblem } from '../../power/mounts.ts'
import { skipMissing } from '../../support/requirements.ts'
import { Seeded } from '../../support/seed.ts'
import { adversaryAddon } from './adversary-ring.ts'
import { difference, freshPaths, randomBytes, reserve, truncate, write } from '../disk/disk-fixture.ts'
import { faultyRing, quietLogger, ringMissing, ringOf, warningLogger } from './ring-fixture.ts'

const paths = freshPaths()
const ROOM_BYTES = 1 << 18
const FILES = 24

test('flushes for many writes are tested', (t) => {
  if (ringMissing !== null) skipMissing(t, `io_uring: ${ringMissing}`)
})

describe('one flush for many writes', { skip: ringMissing !== null }, () => {
  test('a write into reserved room is on the device when it is done, whatever order the device works in', async () => {
    const random = new Seeded()
    const { disk, ring } = adversary(random)
    const files = await prepared(disk, FILES)
    const contents = files.map(() => randomBytes(random, 60_000))
    await Promise.all(
      files.map(async (file, index) => {
        const { ino } = fs.statSync(file.path)
        for (let at = 0; at < 60_000;) {
          const length = Math.min(random.between(1, 9000), 60_000 - at)
          await write(file, at, [contents[index]!.subarray(at, at + length)], true)
          assert.ok(ring.onDevice(ino, at, at + length), `seed ${random.seed}: told before the flush`)
          at += length
        }
      }),
    )
    for (const [index, file] of files.entries()) {
      assert.equal(difference(file.path, contents[index]!), null)
      file.close()
    }
    const { plain, flushes } = ring.counts
    assert.ok(plain > 0 && flushes < plain, `${plain} writes, ${flushes} flushes`)
  })

  test('a write that makes the file longer, or stands alone, sees to itself', async () => {
    const random = new Seeded()
    const { disk, ring } = adversary(random)
    const files = await prepared(disk, FILES)
    await Promise.all(files.map((file) => truncate(file, 4096)))
    const before = ring.counts.plain
    await Promise.all(files.map((file) => write(file, 4096, [Buffer.alloc(5000, 1)], true)))
    assert.equal(ring.counts.plain, before)
    const [alone] = await prepared(disk, 1)
    const afterReserve = ring.counts.plain
    await write(alone!, 0, [Buffer.alloc(5000, 1)], true)
    assert.equal(ring.counts.plain, afterReserve)
    for (const file of [...files, alone!]) file.close()
  })

  test('room behind bytes that only the page cache has is flushed together with them', async () => {
    const { disk, ring } = adversary(new Seeded())
    for (const durable of [true, false]) {
      const file = disk.open(paths.next(), 'create')
      await write(file, 0, [Buffer.from('hello')], durable)
      await reserve(file, 5000)
      // The zeros alone see to themselves.
      assert.equal(ring.counts.flushes, durable ? 0 : 1)
      file.close()
    }
  })

  test('room of an earlier life of the file is as good, after one write that sees to itself', async () => {
    const random = new Seeded()
    const { disk, ring } = adversary(random)
    const before = await prepared(disk, FILES)
    for (const file of before) file.close()
    const files = before.map(({ path }) => disk.open(path, 'update'))
    const writeAll = (at: number): Promise<void[]> =>
      Promise.all(files.map((file) => write(file, at, [Buffer.alloc(5000, 1)], true)))
    await writeAll(0)
    assert.equal(ring.counts.plain, 0)
    await writeAll(5000)
    assert.ok(ring.counts.plain > 0)
    for (const file of files) file.close()
  })

  test('what the kernel does not tell of a file is not taken for granted', async () => {
    const { disk, ring } = adversary(new Seeded(), () => ({
      memoryBytes: 4096,
      offsetBytes: 4096,
      told: false,
    }))
    const files = await prepared(disk, FILES)
    await Promise.all(files.map((file) => write(file, 0, [Buffer.alloc(5000, 1)], true)))
    assert.deepEqual({ plain: ring.counts.plain, flushes: ring.counts.flushes }, { plain: 0, flushes: 0 })
    for (const file of files) file.close()
  })

  test('a file that is an exception on its file system is written by ordinary writes, and that is said', async () => {
    const warnings: string[] = []
    const exception = paths.next()
    const { disk, ring } = adversary(
      new Seeded(),
      (path) =>
        fs.readlinkSync(path) === exception ? null : { memoryBytes: 4096, offsetBytes: 4096, told: true },
      warningLogger(warnings),
    )
    const plain = disk.open(paths.next(), 'create')
    await write(plain, 0, [Buffer.from('hello')], true)
    assert.equal(ring.counts.durable, 1)
    const file = disk.open(exception, 'create')
    for (const text of ['hello', 'world']) await write(file, 0, [Buffer.from(text)], true)
    assert.equal(ring.counts.durable, 1)
    assert.equal(fs.readFileSync(exception, 'utf8'), 'world', 'no zeros up to the end of a block')
    assert.equal(warnings.length, 1)
    assert.match(warnings[0]!, /chattr \+j/)
    for (const one of [file, plain]) one.close()
  })

  test('ext4 with data=journal takes no writes past the page cache', async (t) => {
    const problem = await mountProblem()
    if (problem !== null) return skipMissing(t, problem)
    const point = paths.next()
    const image = paths.next()
    fs.mkdirSync(point)
    await makeImage(image, 32)
    const mounting = spawnSync('mount', ['-o', 'loop,data=journal', image, point])
    if (mounting.status !== 0) return skipMissing(t, 'mount -o data=journal')
    try {
      const warnings: string[] = []
      const disk = new SystemDisk(new Turn(), { ring: ringOf(new Turn(), warningLogger(warnings)) })
      const file = disk.open(join(point, 'file'), 'create')
      await write(file, 0, [Buffer.from('hello')], true)
      assert.equal(fs.readFileSync(file.path, 'utf8'), 'hello')
      assert.match(warnings.join(), /no writes past the page cache/)
      file.close()
    } finally {
      spawnSync('umount', ['-l', point])
    }
  })

  test('a flush that fails fails every write it was for', async () => {
    const { disk, ring } = adversary(new Seeded())
    const files = await prepared(disk, FILES)
    ring.flushAnswer = -os.constants.errno.EIO
    const failed = await failedInodes(files)
    assert.deepEqual(failed, ring.plainInodes, 'those without a flush of their own, and no others')
    assert.ok(failed.size > 1)
    for (const file of files) file.close()
  })

  test('a flush that the kernel fails, once', async () => {
    const turn = new Turn()
    const disk = new SystemDisk(turn, { ring: faultyRing(turn, 'fsync:EIO:after=0') })
    const files = await prepared(disk, FILES)
    const failed = await failedInodes(files)
    // How many completed before it began is up to the machine.
    assert.ok(failed.size > 0, `${failed.size} of ${FILES} writes failed`)
    for (const file of files) file.close()
  })
})

/** Writes to all files at once. The files whose writes were refused with EIO. */
async function failedInodes(files: readonly File[]): Promise<Set<number>> {
  const failed = new Set<number>()
  await Promise.all(
    files.map(async (file) => {
      try {
        await write(file, 0, [Buffer.alloc(5000, 1)], true)
      } catch (error) {
        assert.equal((error as DiskError).code, 'EIO')
        failed.add(fs.statSync(file.path).ino)
      }
    }),
  )
  return failed
}

function adversary(
  random: Seeded,
  directAlignment?: (path: string) => DirectAlignment | null,
  logger = quietLogger,
) {
  const { addon: plain, rings } = adversaryAddon(random)
  const addon: NativeAddon = { ...plain, ...(directAlignment === undefined ? {} : { directAlignment }) }
  const turn = new Turn()
  const disk = new SystemDisk(turn, { ring: new RingEngine(addon, turn, logger) })
  return { disk, ring: rings[0]! }
}

/** Open files with reserved room. */
async function prepared(disk: SystemDisk, count: number): Promise<File[]> {
  const files = Array.from({ length: count }, () => disk.open(paths.next(), 'create'))
  await Promise.all(files.map((file) => reserve(file, ROOM_BYTES)))
  return files
}
