import assert from 'node:assert/strict'
import fs from 'node:fs'
import { describe, test } from 'node:test'
import type { DiskError, File } from '../../../src/ports.ts'
import { RingEngine } from '../../../src/system/uring/ring-engine.ts'
import { SystemDisk } from '../../../src/system/disk/system-disk.ts'
import { Turn } from '../../../src/system/turn.ts'
import { skipMissing } from '../../support/requirements.ts'
import { Seeded } from '../../support/seed.ts'
import { adversaryAddon } from './adversary-ring.ts'
import { difference, freshPaths, randomBytes, reserve, truncate, write } from '../disk/disk-fixture.ts'
import { faultyRing, quietLogger, ringMissing } from './ring-fixture.ts'

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

  test('a flush that fails fails every write it was for', async () => {
    const turn = new Turn()
    const disk = new SystemDisk(turn, { ring: faultyRing(turn, 'fsync:EIO:after=0') })
    const files = await prepared(disk, FILES)
    const results = await Promise.allSettled(
      files.map((file) => write(file, 0, [Buffer.alloc(5000, 1)], true)),
    )
    const failed = results.filter(({ status }) => status === 'rejected')
    assert.ok(failed.length > 1, `${failed.length} of ${FILES} writes failed`)
    for (const { reason } of failed as PromiseRejectedResult[]) {
      assert.equal((reason as DiskError).code, 'EIO')
    }
    for (const file of files) file.close()
  })
})

function adversary(random: Seeded) {
  const { addon, rings } = adversaryAddon(random)
  const turn = new Turn()
  const disk = new SystemDisk(turn, { ring: new RingEngine(addon, turn, quietLogger) })
  return { disk, ring: rings[0]! }
}

/** Open files with reserved room. */
async function prepared(disk: SystemDisk, count: number): Promise<File[]> {
  const files = Array.from({ length: count }, () => disk.open(paths.next(), 'create'))
  await Promise.all(files.map((file) => reserve(file, ROOM_BYTES)))
  return files
}
