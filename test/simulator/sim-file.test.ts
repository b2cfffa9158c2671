import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Disk, DiskError, File, FileSlice } from '../../src/ports.ts'
import type { SimSocket } from './sim-network.ts'
import { seedsFromEnvironment } from './sim-random.ts'
import { SimWorld } from './sim-world.ts'
import type { SimProcess } from './sim-machine.ts'
import type { SimWorldOptions } from './sim-world.ts'

const PATH = '/data/t-0/00000000000000000000.log'

function write(file: File, position: number, bytes: Buffer, durable = false): Promise<DiskError | null> {
  return new Promise((resolve) => file.write(position, [bytes], durable, resolve))
}

function reserve(file: File, sizeBytes: number): Promise<DiskError | null> {
  return new Promise((resolve) => file.reserve(sizeBytes, resolve))
}

function syncDirectory(disk: Disk, path: string): Promise<DiskError | null> {
  return new Promise((resolve) => disk.syncDirectory(path, resolve))
}

const direct: SimWorldOptions = { disk: { durableWrites: 'direct' } }
const buffered: SimWorldOptions = { disk: { durableWrites: 'buffered' } }

/** A world with an empty file under a durable name. */
async function withFile(
  seed: number,
  options: SimWorldOptions,
  body: (sim: SimWorld, process: SimProcess, file: File) => Promise<void>,
): Promise<void> {
  const sim = new SimWorld(seed, options)
  await sim.run(async () => {
    const process = sim.start()
    const { disk } = process.world
    disk.makeDirectory('/data/t-0')
    const file = disk.open(PATH, 'create')
    for (const path of ['/', '/data', '/data/t-0']) assert.equal(await syncDirectory(disk, path), null)
    await body(sim, process, file)
  })
}

test('a reservation is zero and durable when it is done, and leaves what is there', async () => {
  for (const seed of seedsFromEnvironment(1, 20)) {
    await withFile(seed, buffered, async (sim, process, file) => {
      await write(file, 0, Buffer.from('data'), true)
      assert.equal(await reserve(file, 20_000), null)
      assert.equal(file.sizeBytes, 20_000)
      await sim.powerLoss(process)
      const bytes = sim.start().world.disk.readFile(PATH)
      assert.equal(bytes.length, 20_000)
      assert.equal(bytes.toString('latin1'), `data${'\0'.repeat(19_996)}`)
    })
  }
})

test('writes go on during a reservation and win over its zeros', async () => {
  const sizes = new Set<number>()
  for (const seed of seedsFromEnvironment(1, 40)) {
    await withFile(seed, seed % 2 === 0 ? direct : buffered, async (sim, process, file) => {
      let reserved = false
      const reserving = reserve(file, 60_000).then(() => (reserved = true))
      let end = 0
      while (!reserved) {
        const bytes = Buffer.alloc(700, 'w')
        assert.equal(await write(file, end, bytes, true), null)
        end += bytes.length
      }
      await reserving
      sizes.add(end)
      await sim.powerLoss(process)
      const bytes = sim.start().world.disk.readFile(PATH)
      assert.equal(bytes.subarray(0, end).toString(), 'w'.repeat(end))
      assert(bytes.subarray(end).every((byte) => byte === 0))
    })
  }
  assert(sizes.size > 5)
})

test('a power loss in a reservation leaves a part of it, now and then with what the blocks held before', async () => {
  const found = new Set<string>()
  for (const seed of seedsFromEnvironment(1, 150)) {
    await withFile(seed, buffered, async (sim, process, file) => {
      await write(file, 0, Buffer.from('data'), true)
      file.reserve(30_000, () => {})
      await sim.sleep(sim.random.fraction() * 6)
      await sim.powerLoss(process)
      const bytes = sim.start().world.disk.readFile(PATH)
      assert.equal(bytes.subarray(0, 4).toString(), 'data')
      const zeros = bytes.subarray(4).every((byte) => byte === 0)
      found.add(
        bytes.length === 4 ? 'nothing' : bytes.length === 30_000 ? 'all' : zeros ? 'a part' : 'garbage',
      )
    })
  }
  assert.deepEqual([...found].sort(), ['a part', 'all', 'garbage', 'nothing'])
})

test('a reservation that finds no room loses nothing, and one at a time is allowed', async () => {
  await withFile(3, { ...buffered, capacityBytes: 20_000 }, async (_sim, process, file) => {
    await write(file, 0, Buffer.from('data'), true)
    assert.equal((await reserve(file, 60_000))?.code, 'ENOSPC')
    assert.equal(process.world.disk.readFile(PATH).subarray(0, 4).toString(), 'data')
    assert.equal(await write(file, 4, Buffer.from('more'), true), null)
    file.reserve(10_000, () => {})
    assert.throws(() => file.reserve(12_000, () => {}), /while another one is under way/)
    assert.equal(file.busy, true)
  })
})

test('a direct write fills its block with zeros, over stale bytes too, and does not count them', async () => {
  await withFile(4, direct, async (_sim, process, file) => {
    await write(file, 0, Buffer.alloc(8192, 's'))
    await write(file, 10, Buffer.from('new'), true)
    const { disk } = process.world
    assert.equal(
      disk.readFile(PATH).toString(),
      `${'s'.repeat(10)}new${'\0'.repeat(4083)}${'s'.repeat(4096)}`,
    )
    const other = disk.open('/data/t-0/other', 'create')
    await write(other, 0, Buffer.from('tail'), true)
    assert.equal(other.sizeBytes, 4)
    assert.equal(disk.readFile('/data/t-0/other').length, 4096)
  })
})

test('a power loss tears a direct write between sectors only, and spares what was acknowledged', async () => {
  const pictures = new Set<string>()
  for (const seed of seedsFromEnvironment(1, 200)) {
    await withFile(seed, direct, async (sim, process, file) => {
      await write(file, 0, Buffer.alloc(4096 * 2, 's'), true)
      await write(file, 0, Buffer.alloc(700, 'a'), true)
      file.write(700, [Buffer.alloc(1500, 'b')], true, () => {})
      await sim.sleep(sim.random.fraction() * 3)
      await sim.powerLoss(process)
      const bytes = sim.start().world.disk.readFile(PATH)
      assert.equal(bytes.subarray(0, 700).toString(), 'a'.repeat(700))
      // Sectors of the second write: the rest of 1, 2, 3, and of 4 what was written and the zeros behind it.
      const sectors = [700, 1024, 1536, 2048].map((start) =>
        bytes.subarray(start, Math.min(start + 152, 2200)),
      )
      for (const sector of sectors) assert.equal(new Set(sector).size, 1, 'half a sector')
      pictures.add(sectors.map((sector) => String.fromCharCode(sector[0] as number)).join(''))
    })
  }
  for (const picture of pictures) assert.match(picture, /^[b\0]{4}$/)
  assert(pictures.has('bbbb') && pictures.has('\0\0\0\0') && pictures.size > 4, [...pictures].join())
})

test('a misdirected write reports success, and is found in a block of some log', async () => {
  await withFile(5, buffered, async (sim, process, file) => {
    const { disk } = process.world
    const other = disk.open('/data/t-0/00000000000000000007.log', 'create')
    await write(other, 0, Buffer.alloc(9000, 'o'))
    sim.faults.add({ operation: 'misdirect', code: '', path: /0{20}\.log$/, count: 1 })
    assert.equal(await write(file, 0, Buffer.from('lost'), true), null)
    assert.equal(file.sizeBytes, 4)
    assert.equal(disk.readFile(PATH).toString(), '\0\0\0\0')
    const found = disk.readFile('/data/t-0/00000000000000000007.log').indexOf('lost')
    assert(found >= 0 && found % 4096 === 0)
    assert.equal(await write(file, 4, Buffer.from('fine'), true), null)
    assert.equal(disk.readFile(PATH).toString(), '\0\0\0\0fine')
  })
})

// ---------------------------------------------------------------------------------------------------------- slices

/** A slice, however often the bytes are said not to be in memory. */
function sliceOf(file: File, position: number, length: number): FileSlice {
  for (;;) {
    const slice = file.slice(position, length)
    if (slice !== null) return slice
  }
}

/** A client that is sent `pieces` upon connecting. */
async function connected(
  sim: SimWorld,
  process: SimProcess,
  pieces: () => (Buffer | FileSlice)[],
): Promise<{ socket: SimSocket; received: () => string }> {
  const listener = await process.world.network.listen({ host: '127.0.0.1', port: 0 }, (connection) => {
    connection.write(pieces())
    return { bytes: () => {}, drained: () => {}, closed: () => {}, failed: assert.fail }
  })
  const socket = sim.connect(listener.address.port)
  assert(socket !== null)
  const chunks: Buffer[] = []
  socket.onBytes = (bytes) => chunks.push(Buffer.from(bytes))
  return { socket, received: () => Buffer.concat(chunks).toString() }
}

test('a slice travels between buffers, and is released when it was sent', async () => {
  await withFile(6, { network: { windowBytes: 100 } }, async (sim, process, file) => {
    await write(file, 0, Buffer.from('head-' + 's'.repeat(1000) + '-tail'))
    const { received } = await connected(sim, process, () => [
      Buffer.from('<'),
      sliceOf(file, 5, 1000),
      Buffer.from('>'),
    ])
    await sim.sleep(200)
    assert.equal(received(), `<${'s'.repeat(1000)}>`)
    assert.equal(process.disk.slices.size, 0)
    assert.equal(file.busy, false)
  })
})

test('what is sent of a slice is what the file holds by then', async () => {
  await withFile(7, { network: { windowBytes: 100 } }, async (sim, process, file) => {
    await write(file, 0, Buffer.alloc(1000, 'o'))
    const { socket, received } = await connected(sim, process, () => [sliceOf(file, 0, 1000)])
    socket.pause()
    await sim.sleep(20)
    assert.equal(process.disk.slices.size, 1)
    assert.equal(file.busy, true)
    await write(file, 0, Buffer.alloc(1000, 'n'))
    socket.resume()
    await sim.sleep(200)
    assert.match(received(), /^o+n+$/)
    assert.equal(received().length, 1000)
  })
})

test('a slice is released with its connection, and a file that was cut under it resets the connection', async () => {
  await withFile(8, { network: { windowBytes: 100 } }, async (sim, process, file) => {
    await write(file, 0, Buffer.alloc(1000, 'o'))
    const gone = await connected(sim, process, () => [sliceOf(file, 0, 1000)])
    await sim.sleep(20)
    gone.socket.destroy()
    await sim.sleep(20)
    assert.equal(process.disk.slices.size, 0)
    const cut = await connected(sim, process, () => [sliceOf(file, 0, 1000)])
    const closed: string[] = []
    cut.socket.onClosed = (reason) => closed.push(reason)
    cut.socket.pause()
    await sim.sleep(20)
    assert.equal(await new Promise((resolve) => file.truncate(200, resolve)), null)
    cut.socket.resume()
    await sim.sleep(200)
    assert.deepEqual(closed, ['reset'])
    assert.equal(process.disk.slices.size, 0)
  })
})

test('a slice that is released twice fails the test; one that never is can be counted', async () => {
  await withFile(9, {}, async (_sim, process, file) => {
    await write(file, 0, Buffer.alloc(1000, 'o'))
    const slice = sliceOf(file, 0, 10)
    sliceOf(file, 10, 10)
    slice.release()
    assert.throws(() => slice.release(), /released twice/)
    assert.equal(process.disk.slices.size, 1)
  })
})
