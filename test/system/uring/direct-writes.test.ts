import assert from 'node:assert/strict'
import fs from 'node:fs'
import { describe, test } from 'node:test'
import type { Disk, DiskError, File } from '../../../src/ports.ts'
import { RingEngine } from '../../../src/system/uring/ring-engine.ts'
import { SystemDisk } from '../../../src/system/disk/system-disk.ts'
import { Turn } from '../../../src/system/turn.ts'
import { skipMissing } from '../../support/requirements.ts'
import { Seeded } from '../../support/seed.ts'
import { adversaryAddon } from './adversary-ring.ts'
import {
  difference,
  freshPaths,
  inPieces,
  randomBytes,
  read,
  reserve,
  sync,
  truncate,
  write,
} from '../disk/disk-fixture.ts'
import { faultyRing, quietLogger, ringMissing, ringOf, warningLogger } from './ring-fixture.ts'

const BLOCK = 4096
const MIB = 1 << 20
const paths = freshPaths()
const code = (expected: string) => (error: DiskError) => error.code === expected && error.name === 'DiskError'

test('writes past the page cache are tested', (t) => {
  if (ringMissing !== null) skipMissing(t, `io_uring: ${ringMissing}`)
})

describe('durable writes by io_uring', { skip: ringMissing !== null }, () => {
  const turn = new Turn()
  const disk = new SystemDisk(turn, { ring: ringMissing === null ? ringOf(turn) : null })

  test('appends that end on, before and behind the ends of blocks', async () => {
    const random = new Seeded(1)
    for (const first of [1, 100, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK - 1, MIB - 1, MIB]) {
      for (const second of [1, BLOCK - 1, BLOCK, BLOCK + 1, first < BLOCK ? 3 * MIB : 2 * BLOCK]) {
        const path = paths.next()
        const file = disk.open(path, 'create')
        const bytes = randomBytes(random, first + second)
        await write(file, 0, [bytes.subarray(0, first)], true)
        await write(file, first, [bytes.subarray(first)], true)
        assert.equal(file.sizeBytes, bytes.length)
        assert.equal(difference(path, bytes), null, `${first} and ${second} bytes`)
        assert.equal(fs.statSync(path).size % BLOCK, 0)
        file.close()
        fs.rmSync(path)
      }
    }
  })

  test('the bytes before a write are kept: after opening again, after a page-cache write, in the last block', async () => {
    const path = paths.next()
    let file = disk.open(path, 'create')
    await write(file, 0, [Buffer.from('one,')], true)
    file.close()
    file = disk.open(path, 'update')
    await write(file, 4, [Buffer.from('two,')], true)
    await write(file, 8, [Buffer.from('three,')], false)
    await write(file, 14, [Buffer.from('four,')], true)
    assert.equal(difference(path, Buffer.from('one,two,three,four,')), null)
    // Again from the middle: what stood behind it may be gone, what stood before it may not.
    await write(file, 8, [Buffer.from('THREE,')], true)
    assert.equal(difference(path, Buffer.from('one,two,THREE,')), null)
    await truncate(file, 4)
    await write(file, 4, [Buffer.from('end')], true)
    assert.equal(difference(path, Buffer.from('one,end')), null)
    file.close()
  })

  test('a write behind the end leaves zeros between', async () => {
    const path = paths.next()
    const file = disk.open(path, 'create')
    await write(file, 10, [Buffer.from('x')], true)
    await write(file, 3 * BLOCK + 5, [Buffer.from('y')], true)
    const expected = Buffer.alloc(3 * BLOCK + 6)
    expected[10] = 0x78
    expected[3 * BLOCK + 5] = 0x79
    assert.equal(difference(path, expected), null)
    file.close()
  })

  test('a file that was renamed or removed is still the one that is written', async () => {
    const path = paths.next()
    const file = disk.open(path, 'create')
    fs.renameSync(path, `${path}.away`)
    fs.writeFileSync(path, 'another')
    await write(file, 0, [Buffer.from('mine')], true)
    assert.equal(difference(`${path}.away`, Buffer.from('mine')), null)
    assert.equal(fs.readFileSync(path, 'utf8'), 'another')
    file.close()
  })

  test('the tail is read at once although the page cache does not have it', async () => {
    const random = new Seeded(2)
    const file = disk.open(paths.next(), 'create')
    const bytes = randomBytes(random, 40_000)
    for (let at = 0; at < bytes.length; at += 5000) {
      await write(file, at, [bytes.subarray(at, at + 5000)], true)
    }
    const into = Buffer.alloc(bytes.length)
    assert.equal(file.readCached(0, into), bytes.length)
    assert.ok(into.equals(bytes))
    assert.equal(file.readCached(12_345, into.subarray(0, 10_000)), 10_000)
    assert.ok(into.subarray(0, 10_000).equals(bytes.subarray(12_345, 22_345)))
    await truncate(file, 20_000)
    assert.equal(file.readCached(19_990, into), 10)
    file.close()
  })
})

describe('many files', { skip: ringMissing !== null }, () => {
  test('random appends agree with a plain copy, in memory that is too small for them', async () => {
    const random = new Seeded()
    const turn = new Turn()
    const disk = new SystemDisk(turn, { ring: ringOf(turn, undefined, 2 * MIB) })
    const cachedReads = await Promise.all(
      Array.from({ length: 8 }, (_, index) => appendAtRandom(disk, random, index)),
    )
    assert.ok(cachedReads.some((count) => count > 0))
  })

  test('and so they do when the device works in any order', async () => {
    const random = new Seeded()
    const { addon, rings } = adversaryAddon(random)
    const turn = new Turn()
    const disk = new SystemDisk(turn, { ring: new RingEngine(addon, turn, quietLogger, 2 * MIB) })
    await Promise.all(Array.from({ length: 6 }, (_, index) => appendAtRandom(disk, random, index)))
    assert.ok(rings[0]!.overtakings > 0)
  })

  test('both engines leave the same bytes', async () => {
    const random = new Seeded()
    const turn = new Turn()
    const disks = [new SystemDisk(turn), new SystemDisk(turn, { ring: ringOf(turn) })]
    const both = disks.map((disk) => {
      const path = paths.next()
      return { path, file: disk.open(path, 'create') }
    })
    let end = 0
    for (let step = 0; step < 120; step++) {
      const choice = random.between(0, 11)
      const more = randomBytes(random, random.between(1, 30_000))
      const cut = random.between(0, end)
      const ahead = end + random.between(1, 300_000)
      await Promise.all(
        both.map(({ file }) => {
          if (choice === 0) return truncate(file, cut)
          if (choice === 1) return sync(file)
          if (choice === 2) return reserve(file, ahead)
          return write(file, end, [more], choice > 4)
        }),
      )
      if (choice === 0) end = cut
      else if (choice > 2) end += more.length
      const [one, other] = both.map(({ path }) => fs.readFileSync(path).subarray(0, end))
      assert.ok(one!.equals(other!), `SAMSA_SEED=${random.seed}, step ${step}`)
    }
    for (const { file } of both) file.close()
  })
})

/** Appends, cuts, opens again and reads. Returns how many reads found all they wanted in memory. */
async function appendAtRandom(disk: Disk, random: Seeded, index: number): Promise<number> {
  const path = paths.next()
  let cachedReads = 0
  let file = disk.open(path, 'create')
  let bytes = Buffer.alloc(0)
  for (let step = 0; step < 20; step++) {
    const hint = `SAMSA_SEED=${random.seed}, file ${index}, step ${step}`
    const choice = random.between(0, 9)
    if (choice === 0) {
      file.close()
      file = disk.open(path, 'update')
    } else if (choice === 1) {
      bytes = bytes.subarray(0, random.between(0, bytes.length))
      await truncate(file, bytes.length)
    } else {
      const length = random.between(1, 4) === 1 ? random.between(1, 3 * MIB) : random.between(1, 20_000)
      const more = randomBytes(random, length)
      await write(file, bytes.length, inPieces(random, more), choice > 2)
      bytes = Buffer.concat([bytes, more])
    }
    cachedReads += checkRead(file, bytes, random, hint) ? 1 : 0
    if (step % 5 === 4) assert.equal(difference(path, bytes), null, hint)
  }
  assert.ok((await read(file, 0, bytes.length)).equals(bytes), `SAMSA_SEED=${random.seed}, file ${index}`)
  file.close()
  return cachedReads
}

/** Reads at once, somewhere. True when it was possible. */
function checkRead(file: File, bytes: Buffer, random: Seeded, hint: string): boolean {
  const position = random.between(0, bytes.length)
  const into = Buffer.alloc(random.between(1, 100_000))
  const count = file.readCached(position, into)
  if (count < 0) return false
  assert.equal(count, Math.min(into.length, Math.max(0, file.sizeBytes - position)), hint)
  const known = Math.min(count, bytes.length - position)
  assert.ok(into.subarray(0, known).equals(bytes.subarray(position, position + known)), hint)
  return count > 0
}

describe('a device that fails', { skip: ringMissing !== null }, () => {
  for (const fault of ['EIO', 'ENOSPC']) {
    test(`${fault} is told to the write that got it, and to no other`, async () => {
      const turn = new Turn()
      const disk = new SystemDisk(turn, { ring: faultyRing(turn, `write:${fault}:after=1`) })
      const path = paths.next()
      const file = disk.open(path, 'create')
      await write(file, 0, [Buffer.from('first')], true)
      const other = disk.open(paths.next(), 'create')
      await assert.rejects(write(file, 5, [Buffer.from('second')], true), code(fault))
      await write(other, 0, [Buffer.from('third')], true)
      assert.equal(file.sizeBytes, 5)
      assert.equal((await read(file, 0, 5)).toString(), 'first')
      file.close()
      other.close()
    })
  }

  test('one part of a large write fails: the write does', async () => {
    const turn = new Turn()
    const disk = new SystemDisk(turn, { ring: faultyRing(turn, 'write:EIO:after=2', 2 * MIB) })
    const file = disk.open(paths.next(), 'create')
    await assert.rejects(write(file, 0, [Buffer.alloc(7 * MIB)], true), code('EIO'))
    assert.equal(file.sizeBytes, 0)
    await write(file, 0, [Buffer.from('goes on')], true)
    file.close()
  })

  test('a write queued behind a large one that fails begins with the block as it is', async () => {
    const turn = new Turn()
    const path = paths.next()
    fs.writeFileSync(path, 'from before')
    const disk = new SystemDisk(turn, { ring: faultyRing(turn, 'write:EIO:after=1', 2 * MIB) })
    const file = disk.open(path, 'update')
    // Has half of the staging memory, so that the large one gets no further than its first part.
    const other = disk.open(paths.next(), 'create')
    const beside = write(other, 0, [Buffer.alloc(MIB, 1)], true)
    const large = write(file, 4096, [Buffer.alloc(7 * MIB, 1)], true)
    const behind = write(file, 11, [Buffer.from('!')], true)
    // Both first parts have ended when the loop looks: the memory is free again before the block was read back.
    setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100))
    await assert.rejects(large, code('EIO'))
    await Promise.all([beside, behind])
    assert.equal((await read(file, 0, 12)).toString(), 'from before!')
    assert.equal(fs.readFileSync(path, 'latin1').slice(0, 12), 'from before!')
    file.close()
    other.close()
  })

  test('a short write is continued, and counts only when it is whole', async () => {
    const random = new Seeded(3)
    for (const bytes of [randomBytes(random, 100_000), randomBytes(random, 3 * MIB)]) {
      const turn = new Turn()
      const disk = new SystemDisk(turn, { ring: faultyRing(turn, 'write:SHORT:after=0') })
      const path = paths.next()
      const file = disk.open(path, 'create')
      await write(file, 0, [bytes], true)
      assert.equal(difference(path, bytes), null)
      file.close()
    }
  })

  test('a block that is read back in two goes is whole', async () => {
    const turn = new Turn()
    const path = paths.next()
    fs.writeFileSync(path, 'from before')
    const disk = new SystemDisk(turn, { ring: faultyRing(turn, 'read:SHORT:after=0') })
    const file = disk.open(path, 'update')
    await write(file, 11, [Buffer.from('!')], true)
    assert.equal(difference(path, Buffer.from('from before!')), null)
    file.close()
  })

  test('a block that cannot be read back fails the write that begins in it', async () => {
    const turn = new Turn()
    const path = paths.next()
    fs.writeFileSync(path, 'from before')
    const disk = new SystemDisk(turn, { ring: faultyRing(turn, 'read:EIO:after=0') })
    const file = disk.open(path, 'update')
    await assert.rejects(write(file, 11, [Buffer.from('!')], true), code('EIO'))
    await write(file, 11, [Buffer.from('!')], true)
    assert.equal(difference(path, Buffer.from('from before!')), null)
    file.close()
  })
})

test('without writes past the page cache, durable ones go through it, and the log says so once', async (t) => {
  if (ringMissing !== null) {
    skipMissing(t, `io_uring: ${ringMissing}`)
    return
  }
  const warnings: string[] = []
  const turn = new Turn()
  const ring = ringOf(turn, warningLogger(warnings))
  const disk = new SystemDisk(turn, { ring })
  const path = paths.next()
  fs.writeFileSync(path, '')
  ring.note(path, fs.statSync(path).dev, { blockBytes: null, reason: 'the test says so' })
  for (let i = 0; i < 2; i++) {
    const file = disk.open(path, 'update')
    await write(file, i * 5, [Buffer.from('hello')], true)
    await reserve(file, 100_000)
    assert.equal(file.readCached(0, Buffer.alloc(5)), 5)
    file.close()
  }
  assert.equal(fs.statSync(path).size, 100_000)
  assert.equal(difference(path, Buffer.from('hellohello')), null)
  assert.equal(warnings.length, 1)
  assert.match(warnings[0] ?? '', /past the page cache.*the test says so/)
})
