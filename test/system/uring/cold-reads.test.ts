import assert from 'node:assert/strict'
import fs from 'node:fs'
import { describe, test } from 'node:test'
import { dropCached } from '../../../src/log/files/disk-calls.ts'
import type { Disk, File } from '../../../src/ports.ts'
import { COLD_CHUNK_BYTES, MIN_COLD_READ_BYTES } from '../../../src/system/uring/cold-reads.ts'
import { loadNativeAddon } from '../../../src/system/native-addon.ts'
import { SystemDisk } from '../../../src/system/disk/system-disk.ts'
import { Turn } from '../../../src/system/turn.ts'
import { skipMissing } from '../../support/requirements.ts'
import { Seeded } from '../../support/seed.ts'
import { freshPaths, randomBytes, read, sync, truncate, write } from '../disk/disk-fixture.ts'
import { faultyRing, ringMissing, ringOf } from './ring-fixture.ts'
import { until } from '../../support/until.ts'

const MIB = 1 << 20
const paths = freshPaths()

test('large reads past the page cache are tested', (t) => {
  if (ringMissing !== null) skipMissing(t, `io_uring: ${ringMissing}`)
})

describe('large reads of what is not in memory', { skip: ringMissing !== null }, () => {
  test('the first reader leaves the page cache alone, the second one fills it for the others', async () => {
    const { disk } = ringDisk()
    const bytes = randomBytes(new Seeded(1), 6 * MIB)
    const file = await coldFile(disk, bytes)
    assert.deepEqual(await readThrough(file, bytes.length, 700_000), bytes)
    assert.equal(cachedBytes(file, bytes.length), 0)
    // Another file takes the memory over: two of its readers at once find all they want in it.
    const other = await coldFile(disk, randomBytes(new Seeded(2), 48 * MIB))
    await Promise.all([readThrough(other, 48 * MIB, MIB), readThrough(other, 48 * MIB, MIB)])
    assert.deepEqual(await readThrough(file, bytes.length, 700_000), bytes)
    assert.ok(cachedBytes(file, bytes.length) > bytes.length / 2)
    await dropCached(file)
    assert.deepEqual(await readThrough(file, bytes.length, 700_000), bytes)
    assert.equal(cachedBytes(file, bytes.length), 0)
    file.close()
    other.close()
  })

  test('what was read ahead is there at once', async () => {
    const { disk } = ringDisk()
    const bytes = randomBytes(new Seeded(3), 4 * MIB)
    const file = await coldFile(disk, bytes)
    await read(file, 0, COLD_CHUNK_BYTES)
    const into = Buffer.alloc(100_000)
    const isThere = (): boolean => file.readCached(2 * COLD_CHUNK_BYTES + 5, into) === into.length
    await until(isThere, nextTurn)
    assert.ok(into.equals(bytes.subarray(2 * COLD_CHUNK_BYTES + 5).subarray(0, into.length)))
    assert.equal(cachedBytes(file, bytes.length), 0)
    file.close()
  })

  test('readers see what was written and cut meanwhile, by either way of writing', async () => {
    const random = new Seeded()
    const { disk } = ringDisk()
    const file = disk.open(paths.next(), 'create')
    let content = Buffer.alloc(0)
    for (let round = 0; round < 60; round++) {
      if (content.length > MIB && random.between(0, 9) === 0) {
        content = content.subarray(0, random.between(0, content.length))
        await truncate(file, content.length)
      }
      const added = randomBytes(random, random.between(1, 600_000))
      const writing = write(file, content.length, [added], random.between(0, 1) === 0)
      const checks = Array.from({ length: 3 }, () => checkRead(random, file, content))
      await writing
      content = Buffer.concat([content, added])
      await Promise.all([...checks, checkRead(random, file, content)])
      if (random.between(0, 2) === 0) {
        await sync(file)
        await dropCached(file)
      }
    }
    file.close()
  })

  test('more readers than memory all get their bytes', async () => {
    const random = new Seeded(4)
    const { disk } = ringDisk()
    const contents = Array.from({ length: 12 }, () => randomBytes(random, 3 * MIB + random.between(1, 5000)))
    const files = await Promise.all(contents.map((bytes) => coldFile(disk, bytes)))
    const readers = Array.from({ length: 60 }, async (_, i) => {
      const index = i % files.length
      const bytes = contents[index]!
      const pieceBytes = MIN_COLD_READ_BYTES + 1000 * i
      assert.ok((await readThrough(files[index]!, bytes.length, pieceBytes)).equals(bytes), `reader ${i}`)
    })
    await Promise.all(readers)
    for (const file of files) file.close()
  })

  test('a file may take over its own last chunk', async () => {
    const { disk } = ringDisk()
    const bytes = randomBytes(new Seeded(8), 2 * MIB)
    const file = await coldFile(disk, bytes)
    await read(file, 4 * COLD_CHUNK_BYTES, COLD_CHUNK_BYTES)
    // That chunk is spent, and now the one that was used longest ago.
    const other = await coldFile(disk, randomBytes(new Seeded(9), COLD_CHUNK_BYTES))
    await read(other, 0, COLD_CHUNK_BYTES)
    for (let i = 0; i < 40; i++) assert.equal(other.readCached(i, Buffer.alloc(100)), 100)
    assert.ok((await read(file, 0, COLD_CHUNK_BYTES)).equals(bytes.subarray(0, COLD_CHUNK_BYTES)))
    assert.equal(cachedBytes(file, bytes.length), 0)
    file.close()
    other.close()
  })

  test('the end of the file ends the read', async () => {
    const { disk } = ringDisk()
    const bytes = randomBytes(new Seeded(5), MIB + 77)
    const file = await coldFile(disk, bytes)
    assert.ok((await read(file, MIB - 100_000, 400_000)).equals(bytes.subarray(MIB - 100_000)))
    assert.equal((await read(file, 3 * MIB, 100_000)).length, 0)
    file.close()
  })

  test('a file that is closed gives its descriptors back, when what is under way has ended', async () => {
    const { disk } = ringDisk()
    const file = await coldFile(disk, randomBytes(new Seeded(6), 8 * MIB))
    await read(file, 0, MIB)
    assert.equal(descriptorsOf(file.path), 2)
    const last = read(file, MIB, MIB)
    file.close()
    await last
    await until(() => descriptorsOf(file.path) === 0, nextTurn)
  })

  test('a chunk that the device does not give is asked for through the page cache, which has the last word', async () => {
    const bytes = randomBytes(new Seeded(7), 3 * MIB)
    for (const fault of ['read:EIO:after=0', 'read:EINVAL:after=3', 'read:SHORT:after=2']) {
      const turn = new Turn()
      const ring = faultyRing(turn, fault)
      const file = await coldFile(new SystemDisk(turn, { ring, addon: ring.addon }), bytes)
      assert.ok((await readThrough(file, bytes.length, MIB)).equals(bytes), fault)
      file.close()
    }
  })
})

function ringDisk(): { disk: Disk } {
  const turn = new Turn()
  const ring = ringOf(turn)
  return { disk: new SystemDisk(turn, { ring, addon: ring.addon }) }
}

/** A file with these bytes, of which none are in the page cache. */
async function coldFile(disk: Disk, bytes: Buffer): Promise<File> {
  const path = paths.next()
  fs.writeFileSync(path, bytes)
  const file = disk.open(path, 'update')
  await sync(file)
  await dropCached(file)
  assert.equal(cachedBytes(file, bytes.length), 0)
  return file
}

function cachedBytes(file: File, length: number): number {
  const fd = fs.openSync(file.path, 'r')
  try {
    return loadNativeAddon().addon!.cachedBytes(fd, 0, length)
  } finally {
    fs.closeSync(fd)
  }
}

/** As the log reads: what is in memory at once, else when the disk has it. */
async function readThrough(file: File, sizeBytes: number, pieceBytes: number): Promise<Buffer> {
  const pieces: Buffer[] = []
  for (let at = 0; at < sizeBytes; at += pieceBytes) pieces.push(await readOnce(file, at, pieceBytes))
  return Buffer.concat(pieces)
}

async function readOnce(file: File, position: number, length: number): Promise<Buffer> {
  const into = Buffer.alloc(length)
  const count = file.readCached(position, into)
  return count < 0 ? read(file, position, length) : into.subarray(0, count)
}

async function checkRead(random: Seeded, file: File, content: Buffer): Promise<void> {
  if (content.length === 0) return
  const position = random.between(0, content.length - 1)
  const length = Math.min(random.between(1, 900_000), content.length - position)
  const expected = content.subarray(position, position + length)
  const got = await readOnce(file, position, length)
  assert.ok(got.equals(expected), `seed ${random.seed}: ${length} bytes at ${position}`)
}

function descriptorsOf(path: string): number {
  return fs.readdirSync('/proc/self/fd').filter((fd) => linkOf(fd) === path).length
}

function linkOf(fd: string): string {
  try {
    return fs.readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return ''
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
