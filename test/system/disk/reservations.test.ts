import assert from 'node:assert/strict'
import fs from 'node:fs'
import { describe, test } from 'node:test'
import type { Disk, DiskError } from '../../../src/ports.ts'
import { SystemDisk } from '../../../src/system/disk/system-disk.ts'
import { Turn } from '../../../src/system/turn.ts'
import { RingEngine } from '../../../src/system/uring/ring-engine.ts'
import { skipMissing } from '../../support/requirements.ts'
import { Seeded } from '../../support/seed.ts'
import { adversaryAddon } from '../uring/adversary-ring.ts'
import { difference, freshPaths, randomBytes, reserve, truncate, write } from './disk-fixture.ts'
import { faultyRing, quietLogger, ringMissing, ringOf } from '../uring/ring-fixture.ts'

const MIB = 1 << 20
const paths = freshPaths()

const engines: [string, (turn: Turn) => Disk][] = [
  ['page-cache writes on the loop', (turn) => new SystemDisk(turn)],
  ['every write on the pool', (turn) => new SystemDisk(turn, { syncBytesPerTurn: 0 })],
]
if (ringMissing === null) engines.push(['io_uring', (turn) => new SystemDisk(turn, { ring: ringOf(turn) })])

test('reservations by io_uring are tested', (t) => {
  if (ringMissing !== null) skipMissing(t, `io_uring: ${ringMissing}`)
})

for (const [name, create] of engines) {
  describe(`reservations: ${name}`, () => {
    const disk = create(new Turn())

    test('what is reserved is zero and part of the file, and writes go into it', async () => {
      for (const durable of [false, true]) {
        const path = paths.next()
        const file = disk.open(path, 'create')
        await write(file, 0, [Buffer.from('hello')], durable)
        await reserve(file, 3 * MIB + 5)
        assert.equal(file.sizeBytes, 3 * MIB + 5)
        assert.ok(fs.statSync(path).size >= 3 * MIB + 5)
        assert.ok(fs.statSync(path).blocks * 512 >= 3 * MIB, 'no hole')
        await write(file, 5, [Buffer.from(' world')], durable)
        assert.equal(file.sizeBytes, 3 * MIB + 5)
        assert.equal(difference(path, Buffer.from('hello world')), null)
        await reserve(file, 100)
        assert.equal(file.sizeBytes, 3 * MIB + 5)
        await truncate(file, 11)
        assert.equal(fs.statSync(path).size, 11)
        file.close()
      }
    })

    test('a small one in a file whose end lies inside of a block', async () => {
      const path = paths.next()
      const file = disk.open(path, 'create')
      await write(file, 0, [Buffer.from('hello')], false)
      await reserve(file, 100)
      assert.equal(file.sizeBytes, 100)
      assert.ok(fs.statSync(path).size >= 100)
      assert.equal(difference(path, Buffer.from('hello')), null)
      file.close()
    })

    test('a truncation and a close end it early', async () => {
      const path = paths.next()
      const file = disk.open(path, 'create')
      const reserved = reserve(file, 64 * MIB)
      await write(file, 0, [Buffer.from('hello')], true)
      await truncate(file, 3)
      await reserved
      assert.equal(file.sizeBytes, 3)
      assert.equal(fs.statSync(path).size, 3)
      const again = reserve(file, 64 * MIB)
      file.close()
      await again
      assert.equal(difference(path, Buffer.from('hel')), null)
    })

    test('one that is asked for right behind a truncation begins where that cuts', async () => {
      const path = paths.next()
      const file = disk.open(path, 'create')
      await write(file, 0, [Buffer.alloc(MIB, 1)])
      for (const sizeBytes of [MIB / 2, 2 * MIB]) {
        const cut = truncate(file, 5)
        await reserve(file, sizeBytes)
        await cut
        assert.equal(file.sizeBytes, sizeBytes)
        assert.ok(fs.statSync(path).blocks * 512 >= sizeBytes, 'no hole')
        assert.equal(difference(path, Buffer.alloc(5, 1)), null)
      }
      file.close()
    })

    test('a close that ends one gives the descriptor back once', async () => {
      // As many as zeros are written for at once, so that one more has to wait.
      const others = Array.from({ length: 8 }, () => disk.open(paths.next(), 'create'))
      const reserved = others.map((other) => reserve(other, MIB))
      const file = disk.open(paths.next(), 'create')
      const taken = new Promise<number>((resolve) => {
        // Likely to get the very descriptor that was given back.
        file.reserve(MIB, () => resolve(fs.openSync(paths.next(), 'w')))
      })
      await new Promise<void>((resolve) => process.nextTick(resolve))
      file.close()
      const fd = await taken
      assert.equal(fs.fstatSync(fd).size, 0)
      fs.closeSync(fd)
      await Promise.all(reserved)
      for (const other of others) other.close()
    })

    test('one at a time', async () => {
      const file = disk.open(paths.next(), 'create')
      const reserved = reserve(file, MIB)
      await assert.rejects(reserve(file, 2 * MIB), /second reservation/)
      await reserved
      await reserve(file, 2 * MIB)
      file.close()
    })

    test('zeros never win over what is written meanwhile, in whatever order it happens', async () => {
      const random = new Seeded()
      await Promise.all(Array.from({ length: 6 }, (_, index) => interleave(disk, random, index)))
    })
  })
}

/** Writes, cuts and reserves without waiting for one another, as far as the contract lets it. */
async function interleave(disk: Disk, random: Seeded, index: number): Promise<void> {
  const path = paths.next()
  const file = disk.open(path, 'create')
  let expected = Buffer.alloc(0)
  let reserving = false
  let failure: unknown = null
  const pending = new Set<Promise<void>>()
  const follow = (promise: Promise<void>, then: () => void = () => {}): void => {
    const followed = promise.then(then, (error: unknown) => {
      failure ??= error
    })
    pending.add(followed)
    void followed.then(() => pending.delete(followed))
  }
  for (let step = 0; step < 60; step++) {
    const choice = random.between(0, 19)
    if (choice < 4 && !reserving) {
      reserving = true
      follow(reserve(file, file.sizeBytes + random.between(1, 2 * MIB)), () => {
        reserving = false
      })
    } else if (choice === 4) {
      expected = expected.subarray(0, random.between(0, expected.length))
      follow(truncate(file, expected.length))
    } else if (choice < 14) {
      const long = random.between(0, 5) === 0
      const bytes = randomBytes(random, random.between(1, long ? 300_000 : 9000))
      follow(write(file, expected.length, [bytes], random.between(0, 3) > 0))
      expected = Buffer.concat([expected, bytes])
    } else if (choice < 17) {
      // Over what was written: nothing may come behind it meanwhile.
      const from = random.between(0, expected.length)
      const bytes = randomBytes(random, expected.length - from + 1)
      follow(write(file, from, [bytes], random.between(0, 1) === 0))
      expected = Buffer.concat([expected.subarray(0, from), bytes])
    } else if (choice < 19) {
      await new Promise((resolve) => setTimeout(resolve, random.between(0, 3)))
    } else {
      await Promise.all(pending)
    }
  }
  await Promise.all(pending)
  const hint = `SAMSA_SEED=${random.seed}, file ${index}`
  assert.equal(failure, null, hint)
  assert.equal(difference(path, expected), null, hint)
  file.close()
}

test('zeros never win, and no write meets another, whatever order the device works in', async (t) => {
  if (process.platform !== 'linux') {
    skipMissing(t, 'writes past the page cache: Linux only')
    return
  }
  const random = new Seeded()
  const { addon, rings } = adversaryAddon(random)
  const turn = new Turn()
  const ring = new RingEngine(addon, turn, quietLogger, 2 * MIB)
  const disk = new SystemDisk(turn, { ring, syncBytesPerTurn: random.between(0, 1) * MIB })
  await Promise.all(Array.from({ length: 8 }, (_, index) => interleave(disk, random, index)))
  assert.ok(rings[0]!.overtakings > 0)
})

describe('reservations that fail', () => {
  test(
    'without room, less is reserved and the file goes on',
    { skip: !fs.existsSync('/dev/full') },
    async () => {
      // The only device that is always full takes no write at all.
      const full = new SystemDisk(new Turn()).open('/dev/full', 'update')
      await assert.rejects(reserve(full, MIB), (error: DiskError) => error.code === 'ENOSPC')
      full.close()
    },
  )

  for (const fault of ['write:ENOSPC:after=3', 'fsync:EIO:after=0', 'write:SHORT:after=1']) {
    test(`by io_uring: ${fault}`, { skip: ringMissing !== null }, async () => {
      const turn = new Turn()
      const file = new SystemDisk(turn, { ring: faultyRing(turn, fault) }).open(paths.next(), 'create')
      await write(file, 0, [Buffer.from('hello')], true)
      const reserved = reserve(file, 3 * MIB).then(
        () => 'ok',
        (error: DiskError) => error.code,
      )
      assert.equal(await reserved, { ENOSPC: 'ENOSPC', EIO: 'EIO', SHORT: 'ok' }[fault.split(':')[1]!])
      await write(file, 5, [Buffer.from(' world')], true)
      await reserve(file, 4 * MIB)
      assert.equal(file.sizeBytes, 4 * MIB)
      assert.equal(difference(file.path, Buffer.from('hello world')), null)
      file.close()
    })
  }
})
