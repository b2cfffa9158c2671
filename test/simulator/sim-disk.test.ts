import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dropCached } from '../../src/log/files/disk-calls.ts'
import type { Disk, DiskError, File } from '../../src/ports.ts'
import { seedsFromEnvironment } from './sim-random.ts'
import { SimWorld } from './sim-world.ts'

function write(file: File, position: number, bytes: Buffer, durable = false): Promise<DiskError | null> {
  return new Promise((resolve) => file.write(position, [bytes], durable, resolve))
}

function sync(file: File): Promise<DiskError | null> {
  return new Promise((resolve) => file.sync(resolve))
}

function syncDirectory(disk: Disk, path: string): Promise<DiskError | null> {
  return new Promise((resolve) => disk.syncDirectory(path, resolve))
}

function truncate(file: File, sizeBytes: number): Promise<DiskError | null> {
  return new Promise((resolve) => file.truncate(sizeBytes, resolve))
}

function remove(disk: Disk, path: string): Promise<DiskError | null> {
  return new Promise((resolve) => disk.remove(path, resolve))
}

function read(file: File, position: number, length: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const into = Buffer.alloc(length)
    file.read(position, into, (error, count) =>
      error === null ? resolve(into.subarray(0, count)) : reject(error),
    )
  })
}

/** Direct writes have tests of their own. */
const buffered = { disk: { durableWrites: 'buffered' } } as const

/** A world with a durable directory `/data`. */
async function withData(seed: number, body: (sim: SimWorld, disk: Disk) => Promise<void>): Promise<void> {
  const sim = new SimWorld(seed, buffered)
  await sim.run(async () => {
    const disk = sim.start().world.disk
    disk.makeDirectory('/data')
    assert.equal(await syncDirectory(disk, '/'), null)
    await body(sim, disk)
  })
}

/** Runs `scenario`, cuts the power, and collects what the next process finds, over many seeds. */
async function afterPowerLoss(
  scenario: (disk: Disk) => Promise<void>,
  look: (disk: Disk) => string,
  seeds = 200,
): Promise<Map<string, number>> {
  const found = new Map<string, number>()
  for (const seed of seedsFromEnvironment(1, seeds)) {
    const sim = new SimWorld(seed, buffered)
    await sim.run(async () => {
      const process = sim.start()
      process.world.disk.makeDirectory('/data')
      await syncDirectory(process.world.disk, '/')
      await scenario(process.world.disk)
      await sim.powerLoss(process)
      const picture = look(sim.start().world.disk)
      found.set(picture, (found.get(picture) ?? 0) + 1)
    })
  }
  return found
}

const contents = (path: string) => (disk: Disk) =>
  disk.exists(path) ? disk.readFile(path).toString() : 'absent'

test('what was written can be read back, from the device and from memory', async () => {
  await withData(1, async (_sim, disk) => {
    const file = disk.open('/data/a', 'create')
    assert.equal(await write(file, 0, Buffer.from('hello')), null)
    assert.equal(await write(file, 8, Buffer.from('world')), null)
    assert.equal(file.sizeBytes, 13)
    assert.equal((await read(file, 3, 100)).toString(), 'lo\0\0\0world')
    const into = Buffer.alloc(2)
    const outcomes = new Set(Array.from({ length: 40 }, () => file.readCached(1, into)))
    assert.deepEqual(outcomes, new Set([-1, 2]))
    assert.equal(await truncate(file, 4), null)
    assert.equal(await write(file, 6, Buffer.from('!')), null)
    assert.equal(disk.readFile('/data/a').toString(), 'hell\0\0!')
  })
})

test('a file that was only extended reads as zeros', async () => {
  await withData(13, async (_sim, disk) => {
    const file = disk.open('/data/a', 'create')
    assert.equal(await truncate(file, 5000), null)
    assert((await read(file, 3000, 100)).equals(Buffer.alloc(100)))
    assert.equal((await read(file, 4990, 100)).length, 10)
  })
})

test('names: missing ones throw, directories rename with what they hold, remove takes everything', async () => {
  await withData(2, async (_sim, disk) => {
    assert.throws(() => disk.open('/data/none', 'update'), { code: 'ENOENT' })
    assert.throws(() => disk.list('/none'), { code: 'ENOENT' })
    assert.throws(() => disk.open('/none/a', 'create'), { code: 'ENOENT' })
    disk.makeDirectory('/data/t-0/deep')
    await write(disk.open('/data/t-0/deep/f', 'create'), 0, Buffer.from('x'))
    disk.rename('/data/t-0', '/data/t-0.gone')
    assert.deepEqual(disk.list('/data'), ['t-0.gone'])
    assert.equal(disk.readFile('/data/t-0.gone/deep/f').toString(), 'x')
    assert.equal(await remove(disk, '/data/t-0.gone'), null)
    assert.equal(await remove(disk, '/data/t-0.gone'), null)
    assert.deepEqual(disk.list('/data'), [])
  })
})

test('a process kill keeps the caches, whatever was not synced', async () => {
  await withData(3, async (sim, disk) => {
    const process = sim.start()
    const file = process.world.disk.open('/data/a', 'create')
    await write(file, 0, Buffer.from('unsynced'))
    await sim.kill(process)
    assert.equal(disk.readFile('/data/a').toString(), 'unsynced')
  })
})

test('a synced file under a synced name survives every power loss', async () => {
  const found = await afterPowerLoss(async (disk) => {
    const file = disk.open('/data/a', 'create')
    await write(file, 0, Buffer.from('safe'))
    await sync(file)
    await syncDirectory(disk, '/data')
  }, contents('/data/a'))
  assert.deepEqual([...found.keys()], ['safe'])
})

test('a durable write survives, also over an unsynced one', async () => {
  const found = await afterPowerLoss(async (disk) => {
    const file = disk.open('/data/a', 'create')
    await syncDirectory(disk, '/data')
    await write(file, 0, Buffer.from('old!'))
    await write(file, 0, Buffer.from('safe'), true)
  }, contents('/data/a'))
  assert.deepEqual([...found.keys()], ['safe'])
})

test('unsynced bytes are kept, lost, cut and torn', async () => {
  const found = await afterPowerLoss(
    async (disk) => {
      const file = disk.open('/data/a', 'create')
      await write(file, 0, Buffer.alloc(1024, 'a'))
      await sync(file)
      await syncDirectory(disk, '/data')
      await write(file, 1024, Buffer.alloc(1024, 'b'))
      await write(file, 2048, Buffer.alloc(1024, 'c'))
    },
    (disk) => {
      const bytes = disk.readFile('/data/a')
      assert.equal(bytes.subarray(0, 1024).toString(), 'a'.repeat(1024))
      const sectors = Array.from({ length: Math.ceil(bytes.length / 512) }, (_, index) =>
        String.fromCharCode(bytes[index * 512] as number).replace(/[^abc\0]/, '?'),
      )
      return sectors.join('')
    },
  )
  assert(found.has('aa'), 'all lost')
  assert(found.has('aabbcc'), 'all kept')
  assert(
    [...found.keys()].some((picture) => picture.startsWith('aa\0\0c')),
    'a later write without an earlier one',
  )
  assert(
    [...found.keys()].some((picture) => picture.includes('?')),
    'garbage in a torn sector',
  )
  assert(
    [...found.keys()].some((picture) => /^aa(b\0|\0b)/.test(picture)),
    'a torn write',
  )
})

test('unsynced names are kept or undone one by one', async () => {
  const found = await afterPowerLoss(
    async (disk) => {
      for (const name of ['a', 'b'])
        await write(disk.open(`/data/${name}`, 'create'), 0, Buffer.from('x'), true)
    },
    (disk) => disk.list('/data').sort().join(),
  )
  assert.deepEqual([...found.keys()].sort(), ['', 'a', 'a,b', 'b'])
})

test('an unsynced rename is kept or undone as a whole, an unsynced removal too', async () => {
  const renamed = await afterPowerLoss(
    async (disk) => {
      await write(disk.open('/data/final', 'create'), 0, Buffer.from('old'), true)
      await write(disk.open('/data/final.tmp', 'create'), 0, Buffer.from('new'), true)
      await syncDirectory(disk, '/data')
      disk.rename('/data/final.tmp', '/data/final')
    },
    (disk) => `${disk.list('/data').sort().join()}=${disk.readFile('/data/final').toString()}`,
  )
  assert.deepEqual([...renamed.keys()].sort(), ['final,final.tmp=old', 'final=new'])
  const removed = await afterPowerLoss(async (disk) => {
    await write(disk.open('/data/marker', 'create'), 0, Buffer.from('here'), true)
    await syncDirectory(disk, '/data')
    await remove(disk, '/data/marker')
  }, contents('/data/marker'))
  assert.deepEqual([...removed.keys()].sort(), ['absent', 'here'])
})

test('a sync covers what completed before it was issued, not what comes after', async () => {
  const found = await afterPowerLoss(async (disk) => {
    const file = disk.open('/data/a', 'create')
    await syncDirectory(disk, '/data')
    await write(file, 0, Buffer.from('first'))
    await Promise.all([sync(file), write(file, 0, Buffer.from('later'))])
  }, contents('/data/a'))
  assert(found.has('first') && found.has('later'), [...found.keys()].join())
  assert(!found.has('') && !found.has('absent'))
})

test('a directory sync covers the names of its directory only', async () => {
  const found = await afterPowerLoss(
    async (disk) => {
      disk.makeDirectory('/data/one')
      disk.makeDirectory('/data/two')
      await syncDirectory(disk, '/data')
      await write(disk.open('/data/one/a', 'create'), 0, Buffer.from('x'), true)
      await write(disk.open('/data/two/b', 'create'), 0, Buffer.from('x'), true)
      await syncDirectory(disk, '/data/one')
    },
    (disk) => [...disk.list('/data/one'), ...disk.list('/data/two')].join(),
  )
  assert.deepEqual([...found.keys()].sort(), ['a', 'a,b'])
})

test('a failed sync loses the data for good although the next one succeeds', async () => {
  await withData(5, async (sim) => {
    const process = sim.start()
    const file = process.world.disk.open('/data/a', 'create')
    await syncDirectory(process.world.disk, '/data')
    await write(file, 0, Buffer.from('gone'))
    sim.faults.add({ operation: 'sync', code: 'EIO', count: 1 })
    assert.equal((await sync(file))?.code, 'EIO')
    assert.equal(await sync(file), null)
    assert.equal((await read(file, 0, 4)).toString(), 'gone')
    await sim.powerLoss(process)
    assert.equal(sim.start().world.disk.readFile('/data/a').length, 0)
  })
})

test('what a failed sync lost is seen until the cache is dropped, which spares unsynced bytes', async () => {
  await withData(5, async (sim) => {
    const process = sim.start()
    const file = process.world.disk.open('/data/a', 'create')
    await write(file, 0, Buffer.from('kept'))
    assert.equal(await sync(file), null)
    await write(file, 4, Buffer.from('gone'))
    sim.faults.add({ operation: 'sync', code: 'EIO', count: 1 })
    assert.equal((await sync(file))?.code, 'EIO')
    await write(file, 6, Buffer.from('new'))
    await sim.kill(process)
    const again = sim.start().world.disk.open('/data/a', 'update')
    assert.equal((await read(again, 0, 20)).toString(), 'keptgonew')
    await dropCached(again)
    assert.equal((await read(again, 0, 20)).toString(), 'kept\0\0new')
    assert.equal(await sync(again), null)
    await dropCached(again)
    assert.equal((await read(again, 0, 20)).toString(), 'kept\0\0new')
  })
})

test('operations fail by rule, and the disk runs full', async () => {
  const sim = new SimWorld(6, { ...buffered, capacityBytes: 100 })
  await sim.run(async () => {
    const disk = sim.start().world.disk
    disk.makeDirectory('/data')
    const file = disk.open('/data/a', 'create')
    assert.equal(await write(file, 0, Buffer.alloc(60)), null)
    assert.equal(disk.freeBytes('/data'), 40)
    assert.equal((await write(file, 60, Buffer.alloc(60)))?.code, 'ENOSPC')
    assert.equal(await write(file, 0, Buffer.alloc(60)), null)
    sim.faults.add({ operation: 'read', code: 'EIO', path: /a$/, after: 1 })
    assert.equal((await read(file, 0, 10)).length, 10)
    await assert.rejects(read(file, 0, 10), { code: 'EIO' })
  })
})

test('completions of different files come in any order', async () => {
  const orders = new Set<string>()
  for (const seed of seedsFromEnvironment(1, 20)) {
    await withData(seed, async (_sim, disk) => {
      const order: string[] = []
      await Promise.all(
        ['a', 'b', 'c'].map(async (name) => {
          await write(disk.open(`/data/${name}`, 'create'), 0, Buffer.from(name))
          order.push(name)
        }),
      )
      orders.add(order.join(''))
    })
  }
  assert(orders.size >= 4, [...orders].join())
})

test('a breach of the contract fails the test', async () => {
  await assert.rejects(
    withData(7, async (_sim, disk) => {
      const file = disk.open('/data/a', 'create')
      await Promise.all([write(file, 0, Buffer.from('a')), write(file, 1, Buffer.from('b'))])
    }),
    /while another write of it is under way/,
  )
  await assert.rejects(
    withData(8, async (_sim, disk) => {
      const bytes = Buffer.from('mine')
      const written = write(disk.open('/data/a', 'create'), 0, bytes)
      bytes.fill(0)
      await written
    }),
    /buffers changed/,
  )
})

const ignored = { waiting: () => {}, lost: () => {} }

test('a directory is locked by one living process at a time', async () => {
  await withData(9, async (sim, disk) => {
    const other = sim.start()
    await other.world.disk.lock('/data', ignored)
    await assert.rejects(disk.lock('/data', ignored), { code: 'EBUSY' })
    await sim.kill(other)
    const lock = await disk.lock('/data', ignored)
    lock.release()
    await disk.lock('/data', ignored)
  })
})
