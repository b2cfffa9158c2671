import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { SystemDisk } from '../../../src/system/disk/system-disk.ts'
import { ThreadShares } from '../../../src/system/disk/thread-shares.ts'
import { loadNativeAddon } from '../../../src/system/native-addon.ts'
import { Turn } from '../../../src/system/turn.ts'
import { freshPaths, read, sync, truncate, write } from './disk-fixture.ts'

const paths = freshPaths()

test('one device has all threads; of several none has so many that another one is left without', () => {
  for (const threads of [1, 2, 4, 16]) {
    const shares = new ThreadShares(threads)
    shares.share()
    assert.equal(shares.limit, Infinity)
    for (const devices of [2, 3, 4]) {
      shares.share()
      assert.ok(shares.limit >= 1)
      assert.ok(shares.limit < Math.max(threads, 2), `${shares.limit} of ${threads} for one of ${devices}`)
    }
  }
})

test('what a device has no thread for waits in its order, and holds up nobody else', () => {
  const shares = new ThreadShares(4)
  const [hung, other] = [shares.share(), shares.share()]
  const ran: string[] = []
  const ends: (() => void)[] = []
  for (const name of 'abcdef') {
    hung.run((ended) => {
      ran.push(name)
      ends.push(ended)
    })
  }
  assert.equal(ran.join(''), 'abc')
  other.run((ended) => {
    ran.push('x')
    ended()
  })
  assert.equal(ran.join(''), 'abcx')
  ends.shift()!()
  assert.equal(ran.join(''), 'abcxd')
  while (ends.length > 0) ends.shift()!()
  assert.equal(ran.join(''), 'abcxdef')
})

const isElsewhere = (directory: string): boolean =>
  fs.existsSync(directory) && fs.statSync(directory).dev !== fs.statSync(paths.directory).dev

const options = {
  skip: isElsewhere('/dev/shm') ? false : 'needs a second file system',
  timeout: 20_000,
}

/** Calls for files of one device take a thread of the pool each and do not come back until `end`. */
function hang(device: number): { end(): void } {
  const fifo = paths.next()
  execFileSync('mkfifo', [fifo])
  const fd = fs.openSync(fifo, fs.constants.O_RDWR)
  const real = {
    fdatasync: fs.fdatasync,
    writev: fs.writev,
    read: fs.read,
    ftruncate: fs.ftruncate,
    fsync: fs.fsync,
  }
  const blocked =
    (name: keyof typeof real) =>
    (...args: unknown[]): void => {
      const run = (): void => void Reflect.apply(real[name], fs, args)
      if (fs.fstatSync(args[0] as number).dev !== device) return run()
      real.read(fd, Buffer.alloc(1), 0, 1, null, run)
    }
  for (const name of ['fdatasync', 'writev', 'read', 'ftruncate', 'fsync'] as const)
    Object.assign(fs, { [name]: blocked(name) })
  return {
    end: () => {
      Object.assign(fs, real)
      fs.writeSync(fd, Buffer.alloc(1_000))
    },
  }
}

for (const addon of [null, loadNativeAddon().addon]) {
  const how = addon === null ? 'without the addon' : 'with the addon'
  test(`a disk that hangs leaves threads for the others, ${how}`, options, async () => {
    const elsewhere = fs.mkdtempSync('/dev/shm/samsa-hung-')
    const directories = [paths.directory, elsewhere]
    const turn = new Turn()
    const disk = new SystemDisk(turn, { addon, directories, syncBytesPerTurn: 0, pooledTurnBytes: 1 })
    const hung = hang(fs.statSync(elsewhere).dev)
    const stuck: Promise<unknown>[] = []
    try {
      for (let i = 0; i < 40; i++) {
        const file = disk.open(join(elsewhere, `f${i}`), 'create')
        stuck.push(write(file, 0, [Buffer.alloc(100, 1)], true))
        if (i % 4 === 0) stuck.push(sync(file), truncate(file, 50), read(file, 0, 10))
      }
      stuck.push(new Promise((resolve) => disk.syncDirectory(elsewhere, resolve)))
      const file = disk.open(paths.next(), 'create')
      await write(file, 0, [Buffer.from('abc')], true)
      await write(file, 3, [Buffer.from('def')], false)
      await sync(file)
      assert.equal((await read(file, 0, 6)).toString(), 'abcdef')
      await truncate(file, 3)
      await new Promise((resolve) => disk.syncDirectory(paths.directory, resolve))
      await new Promise((resolve) => disk.remove(paths.next(), resolve))
    } finally {
      hung.end()
      await Promise.all(stuck)
      fs.rmSync(elsewhere, { recursive: true })
    }
  })
}
