import { ThreadShares } from '../../../src/system/disk/thread-shares.ts'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { after, describe, test } from 'node:test'
import type { TestContext } from 'node:test'
import type { CloseReason, Connection, Listener } from '../../../src/ports.ts'
import { sliceOf } from '../../../src/system/disk/file-slice.ts'
import type { DescriptorSlice } from '../../../src/system/disk/file-slice.ts'
import { advise, loadNativeAddon } from '../../../src/system/native-addon.ts'
import type { NativeAddon } from '../../../src/system/native-addon.ts'
import { NetSockets } from '../../../src/system/network/net-sockets.ts'
import { Turn } from '../../../src/system/turn.ts'
import { skipMissing } from '../../support/requirements.ts'
import { until } from '../../support/until.ts'

const MIB = 1 << 20
const FILE_BYTES = 8 * MIB
/** Tells where it stands. */
const CONTENT = Buffer.allocUnsafe(FILE_BYTES)
for (let at = 0; at < FILE_BYTES; at += 4) CONTENT.writeUInt32LE(at, at)
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'samsa-socket-'))
const listeners: Listener[] = []
after(async () => {
  await Promise.all(listeners.map((listener) => listener.close()))
  fs.rmSync(directory, { recursive: true })
})

/** Null: the machine cannot do it, and the test is skipped. */
function addonOf(t: TestContext): NativeAddon | null {
  const { addon, reason } = loadNativeAddon()
  if (addon === null) skipMissing(t, `no sendfile: ${reason}`)
  return addon
}

let files = 0

/** A file, and how many slices of it are not released. */
class SlicedFile {
  readonly path = path.join(directory, `file-${files++}`)
  readonly fd = fs.openSync(this.path, 'w+')
  open = 0
  made = 0

  constructor() {
    fs.writeSync(this.fd, CONTENT)
  }

  slice(position: number, length: number): DescriptorSlice {
    const slice = sliceOf(
      loadNativeAddon().addon,
      new ThreadShares().share(),
      this.fd,
      position,
      length,
      () => true,
      () => this.open--,
    )
    assert.ok(slice !== null, 'the bytes were just written')
    this.open++
    this.made++
    return slice
  }
}

interface Accepted {
  readonly connection: Connection
  readonly client: net.Socket
  drained: number
  readonly failures: unknown[]
  readonly closed: Promise<CloseReason>
}

/** A connection with both of its ends. The client does not read until it is told to. */
async function connected(): Promise<Accepted> {
  let accepted: (accepted: Omit<Accepted, 'client'>) => void = () => {}
  const server = new Promise<Omit<Accepted, 'client'>>((resolve) => (accepted = resolve))
  const listener = await new NetSockets(new Turn()).listen({ host: '127.0.0.1', port: 0 }, (connection) => {
    let closed: (reason: CloseReason) => void = () => {}
    const one = {
      connection,
      drained: 0,
      failures: [] as unknown[],
      closed: new Promise<CloseReason>((resolve) => (closed = resolve)),
    }
    accepted(one)
    return {
      bytes: () => {},
      drained: () => {
        one.drained++
        assert.equal(connection.unsentBytes, 0)
      },
      closed,
      failed: (error) => one.failures.push(error),
    }
  })
  listeners.push(listener)
  const client = net.connect({ port: listener.address.port, host: listener.address.host })
  client.on('error', () => {})
  client.pause()
  await once(client, 'connect')
  return Object.assign(await server, { client })
}

function received(client: net.Socket, bytes: number): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let total = 0
    client.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      total += chunk.length
      if (total >= bytes) resolve(Buffer.concat(chunks))
    })
    client.resume()
  })
}

/** More than the socket takes, so that the rest waits. */
function writeMuch(connection: Connection, file: SlicedFile): number {
  for (let i = 0; i < 4; i++) connection.write([Buffer.from(`part ${i}`), file.slice(0, FILE_BYTES)])
  return 4 * (6 + FILE_BYTES)
}

describe('slices of files to sockets', () => {
  test('buffers and slices leave in their order', async (t) => {
    if (addonOf(t) === null) return
    const file = new SlicedFile()
    const { connection, client } = await connected()
    const expected: Buffer[] = []
    for (let i = 0; i < 50; i++) {
      const position = i * 10_007
      const length = 1 + ((i * 65_537) % 300_000)
      const header = Buffer.alloc(1 + ((i * 37) % 5_000), i)
      connection.write([header, Buffer.alloc(0), file.slice(position, length)])
      expected.push(header, CONTENT.subarray(position, position + length))
      if (i % 3 === 0) {
        connection.write([file.slice(length, 1), Buffer.from('tail')])
        expected.push(CONTENT.subarray(length, length + 1), Buffer.from('tail'))
      }
      if (i % 10 === 0) await pause(1)
    }
    const all = Buffer.concat(expected)
    assert.ok(all.equals(await received(client, all.length)))
    await until(() => connection.unsentBytes === 0)
    assert.equal(file.open, 0)
    client.destroy()
  })

  test('an answer of very many pieces takes no longer than its bytes', async (t) => {
    if (addonOf(t) === null) return
    const file = new SlicedFile()
    const { connection, client } = await connected()
    const PAIRS = 120_000
    const pieces = Array.from({ length: PAIRS }, () => [Buffer.from('header'), file.slice(0, 8)]).flat()
    const startedMs = performance.now()
    connection.write(pieces)
    const all = await received(client, PAIRS * 14)
    const took = performance.now() - startedMs
    const pair = Buffer.concat([Buffer.from('header'), CONTENT.subarray(0, 8)])
    for (let i = 0; i < PAIRS; i += 997) assert.ok(pair.equals(all.subarray(i * 14, i * 14 + 14)))
    assert.ok(took < 20_000, `${Math.round(took)} ms`)
    assert.equal(file.open, 0)
    await until(() => connection.sentBytes === PAIRS * 14)
    client.destroy()
  })

  test('an exception while it sends ends that connection, and no other', async (t) => {
    if (addonOf(t) === null) return
    const file = new SlicedFile()
    const [bad, good] = [await connected(), await connected()]
    const slice = file.slice(0, 100_000)
    slice.sendTo = () => {
      throw new RangeError('expected by this test')
    }
    bad.connection.write([slice])
    good.connection.write([Buffer.from('good')])
    assert.equal(String(await received(good.client, 4)), 'good')
    assert.equal(await bad.closed, 'reset')
    assert.equal(bad.failures.length, 1)
    assert.equal(file.open, 0)
    good.client.destroy()
    bad.client.destroy()
  })

  test('a slow reader gets all of it; what is not sent counts as unsent', async (t) => {
    if (addonOf(t) === null) return
    const file = new SlicedFile()
    const one = await connected()
    const total = writeMuch(one.connection, file)
    assert.equal(one.connection.unsentBytes, total)
    await pause(30)
    assert.ok(one.connection.unsentBytes > FILE_BYTES && one.connection.unsentBytes < total)
    assert.equal(one.drained, 0)
    const all = await received(one.client, total)
    assert.equal(all.length, total)
    for (let i = 0; i < 4; i++) {
      const start = i * (6 + FILE_BYTES)
      assert.equal(all.toString('latin1', start, start + 6), `part ${i}`)
      assert.ok(CONTENT.equals(all.subarray(start + 6, start + 6 + FILE_BYTES)))
    }
    await until(() => one.drained > 0)
    assert.equal(one.drained, 1)
    assert.equal(file.open, 0)
    one.client.destroy()
  })

  test('end sends what is queued first', async (t) => {
    if (addonOf(t) === null) return
    const file = new SlicedFile()
    const { connection, client, closed } = await connected()
    const total = writeMuch(connection, file)
    connection.end()
    const refused = file.slice(0, 1000)
    connection.write([refused])
    assert.equal(file.open, 4, 'what comes after the end is released at once')
    const all = received(client, total)
    await once(client, 'end')
    assert.equal((await all).length, total)
    client.end()
    assert.equal(await closed, 'ended')
    assert.equal(file.open, 0)
  })

  const endings: Readonly<Record<string, (one: Accepted) => void>> = {
    'the connection is destroyed': ({ connection }) => connection.destroy(),
    'the client leaves': ({ client }) => client.destroy(),
    'the client resets': ({ client }) => client.resetAndDestroy(),
    'the client closes its side': ({ client }) => client.end(),
  }
  for (const [name, end] of Object.entries(endings)) {
    test(`all slices are released when ${name} before anything is flushed, or in the middle`, async (t) => {
      if (addonOf(t) === null) return
      for (const flushed of [false, true]) {
        const file = new SlicedFile()
        const one = await connected()
        writeMuch(one.connection, file)
        if (flushed) await until(() => one.connection.unsentBytes < 4 * FILE_BYTES)
        end(one)
        one.client.resume()
        await one.closed
        one.connection.write([file.slice(0, 1000)])
        assert.equal(file.open, 0)
        assert.equal(file.made, 5)
        one.client.destroy()
      }
    })
  }

  test('bytes that left the page cache are read, and the rest follows', async (t) => {
    const addon = addonOf(t)
    if (addon === null) return
    const file = new SlicedFile()
    fs.fsyncSync(file.fd)
    const { connection, client } = await connected()
    const total = writeMuch(connection, file)
    await pause(30)
    if (!(await evict(t, addon, file.fd))) return
    const all = await received(client, total)
    for (let i = 0; i < 4; i++) {
      const start = i * (6 + FILE_BYTES) + 6
      assert.ok(CONTENT.equals(all.subarray(start, start + FILE_BYTES)))
    }
    await until(() => connection.unsentBytes === 0)
    assert.equal(file.open, 0)
    client.destroy()
  })

  test('a slice is refused when its bytes are not in memory', async (t) => {
    const addon = addonOf(t)
    if (addon === null) return
    const file = new SlicedFile()
    fs.fsyncSync(file.fd)
    if (!(await evict(t, addon, file.fd))) return
    assert.equal(
      sliceOf(
        loadNativeAddon().addon,
        new ThreadShares().share(),
        file.fd,
        0,
        FILE_BYTES,
        () => false,
        () => assert.fail('never made'),
      ),
      null,
    )
    assert.equal(
      sliceOf(
        loadNativeAddon().addon,
        new ThreadShares().share(),
        file.fd,
        FILE_BYTES - 10,
        20,
        () => false,
        () => assert.fail('never made'),
      ),
      null,
    )
  })

  test('a file that was cut closes its connection, and no other', async (t) => {
    if (addonOf(t) === null) return
    const file = new SlicedFile()
    const [cut, other] = await Promise.all([connected(), connected()])
    writeMuch(cut.connection, file)
    await pause(30)
    fs.ftruncateSync(file.fd, 1000)
    cut.client.resume()
    assert.equal(await cut.closed, 'reset')
    assert.equal(file.open, 0)
    other.connection.write([Buffer.from('alive'), file.slice(0, 1000)])
    assert.equal((await received(other.client, 1005)).toString('latin1', 0, 5), 'alive')
    other.client.destroy()
  })
})

/** False: nothing leaves the memory of this file system, or the kernel does not tell. */
async function evict(t: TestContext, addon: NativeAddon, fd: number): Promise<boolean> {
  await new Promise<void>((resolve) => {
    const ring = new addon.Ring(4, () => {
      ring.close()
      resolve()
    })
    ring.fadvise(1, fd, 0, 0, advise.dontNeed)
    ring.submit()
  })
  const cachedBytes = addon.cachedBytes(fd, 0, FILE_BYTES)
  if (cachedBytes >= 0 && cachedBytes < FILE_BYTES) return true
  t.skip(`${directory} cannot be evicted from memory`)
  return false
}
