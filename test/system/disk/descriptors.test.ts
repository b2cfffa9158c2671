import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { DiskError, File } from '../../../src/ports.ts'
import { DescriptorPool } from '../../../src/system/disk/descriptor-pool.ts'
import { SystemDisk } from '../../../src/system/disk/system-disk.ts'
import { Turn } from '../../../src/system/turn.ts'
import { ringMissing, ringOf } from '../uring/ring-fixture.ts'
import { freshPaths, read, reserve, sync, truncate, write } from './disk-fixture.ts'
import { until } from '../../support/until.ts'

const paths = freshPaths()

const engines: [string, (turn: Turn, descriptors: DescriptorPool) => SystemDisk][] = [
  ['threads', (turn, descriptors) => new SystemDisk(turn, { descriptors })],
]
if (ringMissing === null) {
  engines.push(['io_uring', (turn, descriptors) => new SystemDisk(turn, { ring: ringOf(turn), descriptors })])
  engines.push([
    'io_uring, the page-cache writes of a turn as one job',
    (turn, descriptors) => new SystemDisk(turn, { ring: ringOf(turn), descriptors, pooledTurnBytes: 1 }),
  ])
}

/** Of files below the tests' directory. */
function descriptorsHere(): number {
  let count = 0
  for (const fd of fs.readdirSync('/proc/self/fd')) {
    try {
      if (fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith(paths.directory)) count++
    } catch {
      // The one that listed the directory.
    }
  }
  return count
}

const linux = process.platform === 'linux'
const untilIdle = (): Promise<void> => until(() => descriptorsHere() === 0)

for (const [name, create] of engines) {
  describe(name, { skip: !linux }, () => {
    const few = (): { readonly disk: SystemDisk; readonly descriptors: DescriptorPool } => {
      // 30 for files.
      const descriptors = new DescriptorPool(40, null, 50)
      return { disk: create(new Turn(), descriptors), descriptors }
    }

    test('many more files than descriptors are written and read, all at once', async () => {
      const { disk } = few()
      const files = Array.from({ length: 500 }, () => disk.open(paths.next(), 'create'))
      let most = descriptorsHere()
      for (const durable of [false, true]) {
        await Promise.all(
          files.map(async (file, index) => {
            await write(file, 0, [Buffer.from(`file ${index} `)], durable)
            if (index % 10 === 0) most = Math.max(most, descriptorsHere())
            if (index % 3 === 0) await sync(file)
            if (index % 7 === 0) await reserve(file, 20_000)
            await write(file, 10, [Buffer.from('and more')], durable)
            if (index % 5 === 0) await truncate(file, 18)
          }),
        )
      }
      const texts = await Promise.all(files.map((file) => read(file, 0, 18)))
      for (const [index, bytes] of texts.entries())
        assert.equal(
          bytes.toString().replaceAll('\0', ' '),
          `file ${index} `.padEnd(10).slice(0, 10) + 'and more',
        )
      for (const file of files) file.close()
      // Those that may be gone beyond, and a second one for what goes past the page cache.
      assert.ok(most <= 2 * (30 + 64), `${most} descriptors at once`)
    })

    test('an idle file has no descriptor, and is as it was when it is used again', async () => {
      const { disk, descriptors } = few()
      const file = disk.open(paths.next(), 'create')
      await write(file, 0, [Buffer.from('hello')], true)
      const untouched = disk.open(paths.next(), 'create')
      await untilIdle()
      assert.equal(descriptors.openFiles, 0)
      assert.equal(file.busy, false)
      const into = Buffer.alloc(5)
      const cached = file.readCached(0, into)
      assert.ok(cached === -1 || into.toString() === 'hello')
      assert.equal((await read(file, 0, 5)).toString(), 'hello')
      file.slice(0, 5)?.release()
      await write(untouched, 0, [Buffer.from('world')])
      assert.equal(fs.readFileSync(untouched.path, 'utf8'), 'world')
      for (const one of [file, untouched]) one.close()
      assert.equal(descriptors.openFiles, 0)
    })

    test('a file without a descriptor goes by the name it has now', async () => {
      const { disk } = few()
      const directory = paths.next()
      disk.makeDirectory(directory)
      const file = disk.open(join(directory, 'a'), 'create')
      const other = disk.open(join(directory, 'c'), 'create')
      await write(file, 0, [Buffer.from('hello')], true)
      disk.rename(join(directory, 'a'), join(directory, 'b'))
      await untilIdle()
      disk.rename(directory, `${directory}-deleted`)
      assert.equal((await read(file, 0, 5)).toString(), 'hello')
      await untilIdle()
      disk.rename(`${directory}-deleted/b`, `${directory}-deleted/a`)
      await write(file, 5, [Buffer.from('!')], true)
      assert.match(fs.readFileSync(`${directory}-deleted/a`, 'utf8'), /^hello!/)
      await untilIdle()
      // Another file under its name is not it.
      fs.writeFileSync(`${directory}-deleted/new`, 'other')
      fs.renameSync(`${directory}-deleted/new`, `${directory}-deleted/a`)
      fs.rmSync(`${directory}-deleted/c`)
      const gone = (error: DiskError): boolean => error.code === 'ENOENT'
      await assert.rejects(read(file, 0, 5), gone)
      await assert.rejects(write(other, 0, [Buffer.from('x')]), gone)
      await assert.rejects(sync(other), gone)
      for (const one of [file, other]) one.close()
    })

    test('what the device has not taken is told to whoever comes next', async () => {
      const { disk } = few()
      // Takes every write, and cannot be flushed.
      const bad = disk.open('/dev/null', 'update')
      await write(bad, 0, [Buffer.from('lost')])
      const others: File[] = []
      // Its descriptor is wanted, so it is flushed.
      for (let i = 0; i < 60; i++) {
        const file = disk.open(paths.next(), 'create')
        others.push(file)
        await write(file, 0, [Buffer.from('x')])
      }
      await assert.rejects(
        async () => {
          for (;;) await write(bad, 0, [Buffer.from('x')])
        },
        (error: DiskError) => error.code === 'EINVAL',
      )
      for (const file of [bad, ...others]) file.close()
    })
  })
}

test('clients do not take the last descriptors from the files, nor files from clients', () => {
  const pool = new DescriptorPool(1024)
  assert.equal(pool.maxFiles, 768)
  let connections = 0
  while (pool.socketOpened()) connections++
  assert.equal(connections, 576)
  pool.socketClosed()
  assert.equal(pool.socketOpened(), true)
  assert.equal(pool.socketOpened(), false)
})
