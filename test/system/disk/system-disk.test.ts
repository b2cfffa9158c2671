import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { dropCached } from '../../../src/log/files/disk-calls.ts'
import type { Disk, DiskError } from '../../../src/ports.ts'
import type { NativeAddon } from '../../../src/system/native-addon.ts'
import { SystemDisk } from '../../../src/system/disk/system-disk.ts'
import { Turn } from '../../../src/system/turn.ts'
import { skipMissing } from '../../support/requirements.ts'
import { Seeded } from '../../support/seed.ts'
import { adversaryAddon } from '../uring/adversary-ring.ts'
import { freshPaths, read, sync, write } from './disk-fixture.ts'
import { ringMissing, ringOf } from '../uring/ring-fixture.ts'

const paths = freshPaths()
const { directory } = paths
const freshPath = (): string => paths.next()
const code = (expected: string) => (error: DiskError) => error.code === expected && error.name === 'DiskError'

/** A durable write may leave zeros behind its end. */
const text = (bytes: Buffer): string => bytes.toString().replace(/\0+$/, '')
const contents = (path: string): string => text(fs.readFileSync(path))

const engines: [string, (turn: Turn) => Disk][] = [
  ['page-cache writes on the loop', (turn) => new SystemDisk(turn)],
  ['every write on the pool', (turn) => new SystemDisk(turn, { syncBytesPerTurn: 0 })],
]
if (ringMissing === null) {
  engines.push(['io_uring', (turn) => new SystemDisk(turn, { ring: ringOf(turn) })])
  engines.push([
    'io_uring, every page-cache write on the pool',
    (turn) => new SystemDisk(turn, { ring: ringOf(turn), syncBytesPerTurn: 0 }),
  ])
  engines.push([
    'io_uring, the page-cache writes of a turn as one job',
    (turn) => new SystemDisk(turn, { ring: ringOf(turn), pooledTurnBytes: 1 }),
  ])
}
test('io_uring is tested as well', (t) => {
  if (ringMissing !== null) skipMissing(t, `io_uring: ${ringMissing}`)
})

for (const [name, create] of engines) {
  describe(name, () => {
    const turn = new Turn()
    const disk = create(turn)

    test('what is written can be read, by this file and by the system', async () => {
      const path = freshPath()
      const file = disk.open(path, 'create')
      await write(file, 0, [Buffer.from('hello '), Buffer.alloc(0), Buffer.from('world')])
      await write(file, 11, [Buffer.from('!')], true)
      assert.equal(file.sizeBytes, 12)
      assert.equal(text(await read(file, 0, 100)), 'hello world!')
      assert.equal((await read(file, 6, 5)).toString(), 'world')
      assert.equal(text(await read(file, 12, 5)), '')
      assert.equal(contents(path), 'hello world!')
      file.close()
      const again = disk.open(path, 'update')
      assert.equal(Math.min(again.sizeBytes, 12), 12)
      again.close()
    })

    test('dropping what is cached loses no byte, synced or not', async () => {
      const path = freshPath()
      const file = disk.open(path, 'create')
      await write(file, 0, [Buffer.alloc(10_000, 'a')])
      await sync(file)
      await write(file, 10_000, [Buffer.alloc(10_000, 'b')])
      await dropCached(file)
      assert.equal(text(await read(file, 0, 30_000)), 'a'.repeat(10_000) + 'b'.repeat(10_000))
      const closing = dropCached(file)
      file.close()
      await closing
      assert.equal(contents(path).length, 20_000)
    })

    test('more buffers than one writev takes', async () => {
      const file = disk.open(freshPath(), 'create')
      const buffers = Array.from({ length: 3000 }, (_, i) => Buffer.from(`${i},`))
      for (const durable of [false, true]) {
        await write(file, 7, buffers, durable)
        assert.equal(text(await read(file, 7, 100_000)), Buffer.concat(buffers).toString())
      }
      file.close()
    })

    test('writes of one turn leave together, in order, when the turn ends', async () => {
      const path = freshPath()
      const file = disk.open(path, 'create')
      const done: number[] = []
      for (let i = 0; i < 5; i++)
        file.write(i * 3, [Buffer.from(`${i}${i}${i}`)], i === 2, () => done.push(i))
      assert.equal(fs.statSync(path).size, 0)
      await write(file, 15, [Buffer.from('end')])
      assert.deepEqual(done, [0, 1, 2, 3, 4])
      assert.equal(contents(path), '000111222333444end')
      file.close()
    })

    test('an empty write succeeds', async () => {
      const file = disk.open(freshPath(), 'create')
      await write(file, 0, [])
      await write(file, 0, [Buffer.alloc(0)], true)
      assert.equal(file.sizeBytes, 0)
      file.close()
    })

    test('truncate cuts and grows; sync succeeds', async () => {
      const file = disk.open(freshPath(), 'create')
      await write(file, 0, [Buffer.from('0123456789')])
      const truncate = (size: number): Promise<void> =>
        new Promise((resolve, reject) => {
          file.truncate(size, (error) => (error === null ? resolve() : reject(error)))
        })
      await truncate(4)
      assert.equal(file.sizeBytes, 4)
      assert.equal(file.readCached(4, Buffer.alloc(4)), 0)
      await truncate(6)
      assert.deepEqual(await read(file, 0, 10), Buffer.from('0123\0\0'))
      await new Promise<void>((resolve, reject) => {
        file.sync((error) => (error === null ? resolve() : reject(error)))
      })
      file.close()
    })

    test('a truncation keeps its place between the writes of its turn', async () => {
      const path = freshPath()
      const file = disk.open(path, 'create')
      const done: string[] = []
      file.write(0, [Buffer.from('0123456789')], false, () => done.push('write'))
      file.truncate(4, () => done.push('truncate'))
      file.write(4, [Buffer.from('abc')], false, () => done.push('write again'))
      await write(file, 7, [Buffer.from('!')], true)
      assert.deepEqual(done, ['write', 'truncate', 'write again'])
      assert.equal(contents(path), '0123abc!')
      file.close()
    })

    test('errors carry the code of the system and say so to every write', async () => {
      const path = freshPath()
      fs.writeFileSync(path, 'x')
      const readOnly = disk.open(path, 'read')
      await assert.rejects(write(readOnly, 0, [Buffer.from('y')]), code('EBADF'))
      await assert.rejects(write(readOnly, 0, [Buffer.from('y')], true), code('EBADF'))
      assert.equal(readOnly.sizeBytes, 1)
      readOnly.close()
      assert.throws(() => disk.open(join(directory, 'missing'), 'update'), code('ENOENT'))
      assert.throws(() => disk.open(join(directory, 'missing'), 'read'), code('ENOENT'))
      assert.throws(() => disk.list(join(directory, 'missing')), code('ENOENT'))
      assert.throws(() => disk.readFile(join(directory, 'missing')), code('ENOENT'))
    })

    test(
      'a full device is an error, whole or in the middle',
      { skip: !fs.existsSync('/dev/full') },
      async () => {
        const file = disk.open('/dev/full', 'update')
        await assert.rejects(write(file, 0, [Buffer.from('y')]), code('ENOSPC'))
        await assert.rejects(write(file, 0, [Buffer.from('y'), Buffer.from('z')], true), code('ENOSPC'))
        file.close()
      },
    )

    test('close lets what is under way finish, and refuses what comes later', async () => {
      const path = freshPath()
      const file = disk.open(path, 'create')
      const written = write(file, 0, [Buffer.from('last words')], true)
      file.close()
      file.close()
      assert.throws(() => file.sync(() => {}), code('EBADF'))
      await written
      assert.equal(contents(path), 'last words')
    })
  })
}

test('reads at once what was written here, and nothing else', async () => {
  const path = freshPath()
  fs.writeFileSync(path, 'from before')
  const disk = new SystemDisk(new Turn(), { cachedBytes: 2 << 20 })
  const file = disk.open(path, 'update')
  assert.equal(file.readCached(0, Buffer.alloc(4)), -1)
  await write(file, 11, [Buffer.from(', and from now')])
  const into = Buffer.alloc(100)
  assert.equal(file.readCached(11, into), 14)
  assert.equal(into.toString('utf8', 0, 14), ', and from now')
  assert.equal(file.readCached(10, into), -1)
  assert.equal(file.readCached(25, into), 0)
  const other = disk.open(freshPath(), 'create')
  await write(other, 0, [Buffer.alloc(4 << 20)])
  assert.equal(file.readCached(11, into), -1)
  assert.equal(other.readCached(0, Buffer.alloc(4 << 20)), -1)
  file.close()
  assert.throws(() => file.readCached(0, into), code('EBADF'))
  other.close()
})

test('a callback that throws does not take those of the other files of its job along', async () => {
  const told: string[] = []
  const { addon } = adversaryAddon(new Seeded())
  const finish = await new Promise<() => void>((resolve) => {
    const turn = new Turn()
    const writeAll: NativeAddon['writeAll'] = (fds, _positions, _counts, _buffers, done) =>
      resolve(() => done(Array.from(fds, () => 1)))
    const disk = new SystemDisk(turn, { addon: { ...addon, writeAll }, pooledTurnBytes: 1 })
    for (const name of ['first', 'second']) {
      const file = disk.open(freshPath(), 'create')
      file.write(0, [Buffer.from('x')], false, () => {
        file.close()
        told.push(name)
        throw new Error(name)
      })
    }
  })
  assert.throws(finish, /first/)
  assert.deepEqual(told, ['first', 'second'])
})

test('directories: make, list, rename, remove, sync, free space', async () => {
  const disk = new SystemDisk(new Turn())
  const base = join(directory, 'tree/of/folders')
  disk.makeDirectory(base)
  disk.makeDirectory(base)
  disk.open(join(base, 'a'), 'create').close()
  disk.open(join(base, 'b'), 'create').close()
  disk.rename(join(base, 'a'), join(base, 'b'))
  assert.deepEqual(disk.list(base), ['b'])
  assert.equal(disk.exists(join(base, 'b')), true)
  disk.rename(base, join(directory, 'moved'))
  const finished = (run: (done: (error: DiskError | null) => void) => void): Promise<DiskError | null> =>
    new Promise((resolve) => run(resolve))
  assert.equal(await finished((done) => disk.syncDirectory(directory, done)), null)
  assert.equal((await finished((done) => disk.syncDirectory(base, done)))?.code, 'ENOENT')
  assert.equal(await finished((done) => disk.remove(join(directory, 'moved'), done)), null)
  assert.equal(await finished((done) => disk.remove(join(directory, 'moved'), done)), null)
  assert.equal(disk.exists(join(directory, 'moved')), false)
  assert.ok(disk.freeBytes(directory) > 0)
})
