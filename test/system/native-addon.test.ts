import assert from 'node:assert/strict'
import { crc32c as reference } from '@node-rs/crc32'
import { execFile } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import fs from 'node:fs'
import { constants, tmpdir } from 'node:os'
import path from 'node:path'
import net from 'node:net'
import { after, before, describe, test } from 'node:test'
import type { TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { promisify } from 'node:util'
import { crc32c } from '../../protocol/crc32c.ts'
import { advise, allocate, loadNativeAddon, syncRange } from '../../src/system/native-addon.ts'
import type { NativeAddon, Ring } from '../../src/system/native-addon.ts'
import { addonFile } from '../../src/system/native/addon-file.ts'
import { skipMissing } from '../support/requirements.ts'
import { Seeded } from '../support/seed.ts'
import { until } from '../support/until.ts'

const { addon, reason } = loadNativeAddon()
const errno = constants.errno
const compiled = new URL('../../src/system/native-addon.js', import.meta.url).href
const run = promisify(execFile)

let directory: string
before(() => {
  directory = fs.mkdtempSync(path.join(tmpdir(), 'samsa-test-'))
})
after(() => fs.rmSync(directory, { recursive: true, force: true }))

/** The addon is for Linux; there, only a missing compiler excuses. */
function withAddon(name: string, body: (native: NativeAddon, t: TestContext) => void | Promise<void>): void {
  test(name, async (t) => {
    if (addon !== null) await body(addon, t)
    else if (process.platform === 'linux') skipMissing(t, `native addon: ${reason}`)
    else t.skip(`native addon: ${reason}`)
  })
}

function openNew(name: string, content: Uint8Array = Buffer.alloc(0)): number {
  fs.writeFileSync(path.join(directory, name), content)
  return fs.openSync(path.join(directory, name), 'r+')
}

/** A ring that keeps what it reports, as text: `id:result`. */
class Recorded {
  readonly ring: Ring
  readonly results: string[] = []

  constructor(native: NativeAddon, entries: number) {
    this.ring = new native.Ring(entries, (count) => {
      for (let i = 0; i < count; i++) {
        this.results.push(`${this.ring.completions[2 * i]}:${this.ring.completions[2 * i + 1]}`)
      }
    })
  }

  async reported(count: number): Promise<string[]> {
    await until(() => this.results.length >= count, nextTurn)
    return this.results.toSorted()
  }
}

/** What a program printed that has the addon as `addon`, the errno numbers and a directory of its own. */
async function child(program: string, options: { flags?: string[]; env?: NodeJS.ProcessEnv } = {}) {
  const work = fs.mkdtempSync(path.join(directory, 'child-'))
  const prelude = `
    import fs from 'node:fs'
    import os from 'node:os'
    import path from 'node:path'
    import { loadNativeAddon } from ${JSON.stringify(compiled)}
    const { addon, reason } = loadNativeAddon()
    const directory = ${JSON.stringify(work)}
    const errno = os.constants.errno
  `
  const { stdout } = await run(
    process.execPath,
    [...(options.flags ?? []), '--input-type=module', '-e', prelude + program],
    { env: { ...process.env, ...options.env }, timeout: 120_000 },
  )
  return stdout.trim()
}

describe('CRC-32C', () => {
  withAddon('is that of the npm package, for every method, length, alignment and seed', (native) => {
    const seeded = new Seeded()
    const data = randomFillSync(Buffer.alloc(200_000 + 64))
    assert.equal(native.crc32cMethods.at(-1), 'table')
    const check = (from: number, length: number, seed: number): void => {
      const part = data.subarray(from, from + length)
      const expected = reference(part, seed)
      const note = `length ${length}, from ${from}, seed ${seed}, SAMSA_SEED=${seeded.seed}`
      assert.equal(native.crc32c(part, seed), expected, note)
      for (const [method, name] of native.crc32cMethods.entries()) {
        assert.equal(native.crc32cBy(method, part, seed), expected, `${name}, ${note}`)
      }
      // In two pieces.
      const cut = length === 0 ? 0 : seeded.uint32() % length
      assert.equal(native.crc32c(part.subarray(cut), native.crc32c(part.subarray(0, cut), seed)), expected)
    }
    for (let length = 0; length <= 1200; length++) check(length % 64, length, seeded.uint32())
    for (let round = 0; round < 300; round++) {
      check(seeded.between(0, 64), seeded.between(0, 70_000), seeded.uint32())
    }
    check(3, 200_000, 0)
  })

  withAddon('is used by the protocol from then on, and refuses what is no buffer', (native) => {
    assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283)
    assert.equal(native.crc32c(Buffer.from('123456789'), 0), 0xe3069283)
    const call: (...wrong: unknown[]) => unknown = native.crc32c as (...wrong: unknown[]) => unknown
    for (const wrong of [
      ['text', 0],
      [new Uint16Array(2), 0],
      [Buffer.alloc(1)],
      [Buffer.alloc(1), 'x'],
      [],
    ]) {
      assert.throws(() => call(...wrong), TypeError)
    }
  })
})

describe('the ring', () => {
  withAddon('writes, syncs and reads', async (native) => {
    const fd = openNew('round-trip')
    const { ring, results, reported } = bound(new Recorded(native, 8))
    const text = Buffer.from('..hello..')
    assert.equal(ring.write(-1, fd, text, 2, 5, 3, true), 0)
    assert.equal(ring.submit(), 1)
    assert.deepEqual(results, [], 'nothing is reported before the loop turns')
    assert.deepEqual(await reported(1), ['-1:5'])
    const into = Buffer.alloc(12, '-')
    ring.fdatasync(2 ** 31 - 1, fd)
    ring.read(7, fd, into, 1, 11, 0, false)
    ring.syncFileRange(8, fd, 0, 0, syncRange.write)
    ring.fadvise(9, fd, 0, 0, advise.sequential)
    assert.equal(ring.submit(), 4)
    assert.deepEqual(await reported(5), ['-1:5', '2147483647:0', '7:8', '8:0', '9:0'])
    ring.fallocate(10, fd, allocate.keepSize, 0, 1 << 20)
    ring.submit()
    assert.match((await reported(6)).join(' '), new RegExp(`10:(0|-${errno.ENOTSUP})`))
    assert.equal(fs.fstatSync(fd).size, 8)
    assert.equal(into.toString('latin1'), '-\0\0\0hello---')
    assert.equal(ring.submit(), 0)
    ring.close()
    fs.closeSync(fd)
  })

  withAddon('reports short reads and errors as the kernel gives them', async (native) => {
    const fd = openNew('errors', Buffer.from('abc'))
    const readOnly = fs.openSync(path.join(directory, 'errors'), 'r')
    const { ring, reported } = bound(new Recorded(native, 8))
    ring.read(1, fd, Buffer.alloc(9), 0, 9, 2, true)
    ring.read(2, fd, Buffer.alloc(9), 0, 9, 1000, false)
    ring.write(3, readOnly, Buffer.from('x'), 0, 1, 0, false)
    ring.read(4, 9999, Buffer.alloc(1), 0, 1, 0, false)
    ring.fdatasync(5, -1)
    ring.submit()
    const bad = -errno.EBADF
    assert.deepEqual(await reported(5), ['1:1', '2:0', `3:${bad}`, `4:${bad}`, `5:${bad}`])
    ring.close()
    fs.closeSync(fd)
    fs.closeSync(readOnly)
  })

  withAddon('takes as many operations as it has entries, and then again', async (native) => {
    const fd = openNew('full')
    const { ring, reported } = bound(new Recorded(native, 4))
    for (let round = 1; round <= 3; round++) {
      for (let id = 0; id < 4; id++) assert.equal(ring.fdatasync(id, fd), 0)
      assert.equal(ring.fdatasync(4, fd), -errno.EBUSY)
      assert.equal(ring.submit(), 4)
      assert.equal(ring.fdatasync(4, fd), -errno.EBUSY, 'under way counts as well')
      await reported(4 * round)
    }
    ring.close()
    fs.closeSync(fd)
  })

  withAddon('refuses wrong arguments without using an entry', (native) => {
    const { ring } = new Recorded(native, 1)
    const call = ring as unknown as Record<string, (...wrong: unknown[]) => unknown>
    const buffer = Buffer.alloc(8)
    assert.throws(() => call['write']?.(1, 1, 'text', 0, 1, 0, false), TypeError)
    assert.throws(() => call['write']?.(1, 1, buffer, 0, 1, 0), TypeError)
    assert.throws(() => call['write']?.(1, 1, buffer, 0, 1, 0, 'yes'), TypeError)
    assert.throws(() => call['read']?.('1', 1, buffer, 0, 1, 0), TypeError)
    assert.throws(() => ring.read(1, 1, buffer, 5, 4, 0, false), RangeError)
    assert.throws(() => ring.read(1, 1, buffer, -1, 4, 0, false), RangeError)
    assert.throws(() => ring.read(1, 1, buffer, 0, -4, 0, false), RangeError)
    assert.throws(() => ring.write(1, 1, buffer, 0, 1, -1, false), RangeError)
    assert.throws(() => ring.syncFileRange(1, 1, 0, 2 ** 32, 0), RangeError)
    assert.equal(ring.fdatasync(1, 1), 0, 'the only entry is still free')
    assert.throws(() => Reflect.apply(call['submit']!, {}, []), TypeError)
    ring.close()
    for (const entries of [0, 4097]) assert.throws(() => new native.Ring(entries, () => {}), RangeError)
    assert.throws(() => Reflect.construct(native.Ring, [8, 'no function']), TypeError)
  })

  withAddon('brings thousands of writes of all sizes to where they belong', async (native) => {
    const seeded = new Seeded()
    const expected = randomFillSync(Buffer.alloc(8 << 20))
    const fd = openNew('many')
    const parts: [number, number][] = []
    for (let from = 0; from < expected.length;) {
      const length = Math.min(seeded.between(1, 8192), expected.length - from)
      parts.push([from, length])
      from += length
    }
    let next = 0
    let done = 0
    const start = (): void => {
      for (; next < parts.length; next++) {
        const [from, length] = parts[next]!
        if (ring.write(next, fd, expected, from, length, from, false) < 0) break
      }
      ring.submit()
    }
    const ring: Ring = new native.Ring(64, (count) => {
      for (let i = 0; i < count; i++) {
        const [, length] = parts[ring.completions[2 * i]!]!
        assert.equal(ring.completions[2 * i + 1], length)
      }
      done += count
      start()
    })
    start()
    await until(() => done >= parts.length, nextTurn)
    ring.close()
    fs.closeSync(fd)
    const found = fs.readFileSync(path.join(directory, 'many'))
    assert.ok(found.equals(expected), `SAMSA_SEED=${seeded.seed}`)
  })

  withAddon('ends what is under way when it is closed, and takes nothing more', async (native) => {
    const fd = openNew('closed')
    const { ring, reported } = bound(new Recorded(native, 16))
    const data = Buffer.alloc(1 << 20, 1)
    for (let id = 0; id < 8; id++) ring.write(id, fd, data, 0, data.length, id << 20, true)
    ring.submit()
    ring.write(8, fd, data, 0, 1, 0, false)
    ring.close()
    ring.close()
    assert.equal(ring.write(9, fd, data, 0, 1, 0, false), -errno.EBADF)
    const results = await reported(9)
    assert.deepEqual(
      results.slice(0, 8),
      Array.from({ length: 8 }, (_, id) => `${id}:${1 << 20}`),
    )
    assert.equal(results[8], `8:${-errno.ECANCELED}`)
    await nextTurn()
    await nextTurn()
    assert.equal(ring.submit(), -errno.EBADF)
    assert.equal(ring.fdatasync(9, fd), -errno.EBADF)
    ring.ref()
    ring.unref()
    fs.closeSync(fd)
  })

  withAddon('holds buffers that nobody else holds until they are written', async () => {
    const printed = await child(
      `
      const fd = fs.openSync(path.join(directory, 'f'), 'w+')
      const size = 64 * 1024
      let next = 0, done = 0
      const start = () => {
        // Memory of its own each, and garbage at once.
        const buffer = new Uint8Array(size).fill(next % 251)
        ring.write(next, fd, buffer, 0, size, next * size, true)
        next++
      }
      const ring = new addon.Ring(32, (count) => {
        done += count
        while (next < 400 && next - done < 32) start()
        ring.submit()
        globalThis.gc()
        // What was freed is used again.
        for (let i = 0; i < 16; i++) new Uint8Array(size).fill(255)
        if (done < 400) return
        const found = fs.readFileSync(path.join(directory, 'f'))
        for (let i = 0; i < 400; i++) {
          for (let at = 0; at < size; at++) {
            if (found[i * size + at] !== i % 251) throw new Error('block ' + i + ' holds ' + found[i * size + at])
          }
        }
        ring.close()
        console.log('intact')
      })
      for (let i = 0; i < 32; i++) start()
      ring.submit()
      globalThis.gc()
      `,
      { flags: ['--expose-gc'] },
    )
    assert.equal(printed, 'intact')
  })

  withAddon('keeps the process alive while something is under way, unless told otherwise', async () => {
    const program = (unref: string): string => `
      const fd = fs.openSync(path.join(directory, 'f'), 'w+')
      const ring = new addon.Ring(8, (count) => console.log('reported', count))
      ${unref}
      ring.fdatasync(1, fd)
      ring.submit()
    `
    assert.equal(await child(program('')), 'reported 1', 'and ends although the ring is open')
    assert.equal(await child(program('ring.unref()')), '', 'does not wait, and ends in good order')
  })

  withAddon('lets what its callback throws surface, and goes on', async () => {
    const printed = await child(`
      process.on('uncaughtException', (error) => console.log('caught', error.message))
      const fd = fs.openSync(path.join(directory, 'f'), 'w+')
      let calls = 0
      const ring = new addon.Ring(8, () => {
        process.nextTick(() => console.log('tick', calls))
        if (++calls === 1) {
          ring.fdatasync(2, fd)
          ring.submit()
          throw new Error('on purpose')
        }
        ring.close()
      })
      ring.fdatasync(1, fd)
      ring.submit()
    `)
    assert.equal(printed, 'caught on purpose\ntick 1\ntick 2')
    await assert.rejects(
      child(`
        const ring = new addon.Ring(8, () => { throw new Error('nobody catches') })
        ring.fdatasync(1, 0)
        ring.submit()
      `),
      /nobody catches/,
    )
  })

  withAddon('survives the end of a worker thread with writes under way', async () => {
    const printed = await child(`
      import { Worker } from 'node:worker_threads'
      const source = \`
        const { parentPort, workerData } = require('node:worker_threads')
        const fs = require('node:fs')
        import(workerData.compiled).then(({ loadNativeAddon }) => {
          const { addon } = loadNativeAddon()
          const fd = fs.openSync(workerData.file, 'w+')
          const start = () => {
            while (ring.write(1, fd, new Uint8Array(65536), 0, 65536, 0, true) === 0);
            ring.submit()
          }
          const ring = new addon.Ring(32, start)
          start()
          parentPort.postMessage('under way')
        })
      \`
      for (let round = 0; round < 10; round++) {
        const worker = new Worker(source, {
          eval: true,
          execArgv: [],
          workerData: { compiled: ${JSON.stringify(compiled)}, file: path.join(directory, 'f' + round % 2) },
        })
        worker.on('error', (error) => { throw error })
        await new Promise((resolve) => worker.once('message', resolve))
        if (round % 2 === 0) await new Promise((resolve) => setTimeout(resolve, round))
        await worker.terminate()
      }
      const own = new addon.Ring(8, (count) => { own.close(); console.log('own ring', count) })
      own.fdatasync(1, fs.openSync(path.join(directory, 'g'), 'w+'))
      own.submit()
    `)
    assert.equal(printed, 'own ring 1')
  })

  withAddon('fails on demand, once', async (native) => {
    const faulty = async (fault: string, use: (ring: Ring, fd: number) => void): Promise<string[]> => {
      process.env['SAMSA_RING_FAULT'] = fault
      try {
        const fd = openNew('faulty')
        const { ring, reported } = bound(new Recorded(native, 8))
        use(ring, fd)
        ring.submit()
        const results = await reported(4)
        ring.close()
        fs.closeSync(fd)
        return results
      } finally {
        delete process.env['SAMSA_RING_FAULT']
      }
    }
    const data = Buffer.from('abcd')
    const writes = (ring: Ring, fd: number): void => {
      for (let id = 0; id < 4; id++) ring.write(id, fd, data, 0, 4, 4 * id, false)
    }
    assert.deepEqual(await faulty('write:EIO:after=2', writes), ['0:4', '1:4', `2:${-errno.EIO}`, '3:4'])
    const found = fs.readFileSync(path.join(directory, 'faulty'))
    assert.equal(found.toString('latin1'), 'abcdabcd\0\0\0\0abcd', 'the failed write did nothing')
    assert.deepEqual(await faulty('write:SHORT', writes), ['0:2', '1:4', '2:4', '3:4'])
    const syncs = (ring: Ring, fd: number): void => {
      for (let id = 0; id < 4; id++) ring.fdatasync(id, fd)
    }
    assert.deepEqual(await faulty('fsync:ENOSPC:after=3', syncs), ['0:0', '1:0', '2:0', `3:${-errno.ENOSPC}`])
    await assert.rejects(faulty('setup:EPERM', syncs), { code: 'EPERM', message: /io_uring_setup/ })
    for (const nonsense of ['write', 'write:EFUNNY', 'erase:EIO', 'write:EIO:after=x']) {
      await assert.rejects(faulty(nonsense, syncs), /SAMSA_RING_FAULT/)
    }
  })
})

/** Its fields, with the method bound. */
function bound(recorded: Recorded) {
  return {
    ring: recorded.ring,
    results: recorded.results,
    reported: (count: number): Promise<string[]> => recorded.reported(count),
  }
}

describe('files', () => {
  withAddon('go to a socket without passing through this process', async (native) => {
    // More than the buffers of two sockets hold: nobody reads until this thread lets go.
    const content = randomFillSync(Buffer.alloc(24 << 20))
    const fd = openNew('sent', content)
    const chunks: Buffer[] = []
    const server = net.createServer((socket) => {
      socket.on('data', (chunk) => chunks.push(chunk))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    assert.ok(address !== null && typeof address === 'object')
    const client = net.connect(address.port, '127.0.0.1')
    await new Promise((resolve) => client.once('connect', resolve))
    const { fd: socketFd } = (client as unknown as { _handle: { fd: number } })._handle
    let position = 1000
    let refused = 0
    while (position < content.length) {
      const sent = native.sendfile(socketFd, fd, position, content.length - position)
      if (sent > 0) position += sent
      else {
        assert.equal(sent, -errno.EAGAIN)
        refused++
        await nextTurn()
      }
    }
    assert.ok(refused > 0, 'a full socket takes nothing, and does not wait')
    assert.equal(native.sendfile(socketFd, fd, content.length, 10), 0)
    assert.equal(native.sendfile(socketFd, 9999, 0, 10), -errno.EBADF)
    client.end()
    await new Promise((resolve) => client.once('close', resolve))
    server.close()
    assert.ok(Buffer.concat(chunks).equals(content.subarray(1000)))
    fs.closeSync(fd)
  })

  withAddon('tell what of them is in the page cache', async (native, t) => {
    const fd = openNew('cached', Buffer.alloc(1 << 20, 7))
    const into = Buffer.alloc(100)
    assert.equal(native.readNow(fd, into, 10, 90, 5), 90)
    assert.deepEqual([into[9], into[10], into[99]], [0, 7, 7])
    assert.equal(native.readNow(fd, into, 0, 100, (1 << 20) - 3), 3)
    assert.equal(native.readNow(fd, into, 0, 100, 1 << 20), 0)
    assert.equal(native.readNow(9999, into, 0, 100, 0), -errno.EBADF)
    assert.throws(() => native.readNow(fd, into, 50, 51, 0), RangeError)

    const whole = native.cachedBytes(fd, 0, 1 << 20)
    if (whole === -errno.ENOSYS) return t.skip('cachestat is there since Linux 6.5')
    assert.equal(whole, 1 << 20)
    assert.equal(native.cachedBytes(fd, 4000, 200), 200)
    assert.equal(native.cachedBytes(fd, 0, 0), 0)
    assert.equal(native.cachedBytes(-1, 0, 1), -errno.EBADF)
    const tmpfs = 0x01021994
    if (fs.statfsSync(directory).type === tmpfs) return t.skip('tmpfs is all page cache')
    const { ring, reported } = bound(new Recorded(native, 8))
    fs.fdatasyncSync(fd)
    ring.fadvise(1, fd, 0, 0, advise.dontNeed)
    ring.submit()
    await reported(1)
    assert.equal(native.cachedBytes(fd, 0, 1 << 20), 0)
    assert.equal(native.readNow(fd, into, 0, 100, 0), -errno.EAGAIN)
    fs.readSync(fd, into, 0, 100, 0)
    assert.equal(native.cachedBytes(fd, 0, 100), 100)
    ring.close()
    fs.closeSync(fd)
  })

  withAddon('are allocated, punched and written back', async (native, t) => {
    const fd = openNew('allocated', Buffer.alloc(8192, 1))
    const { ring, results, reported } = bound(new Recorded(native, 8))
    const answer = async (queued: number): Promise<number> => {
      assert.equal(queued, 0)
      ring.submit()
      await reported(results.length + 1)
      return Number(results.at(-1)?.split(':')[1])
    }
    if ((await answer(ring.fallocate(1, fd, 0, 0, 1 << 20))) === -errno.ENOTSUP)
      return t.skip('no fallocate on this file system')
    assert.equal(fs.fstatSync(fd).size, 1 << 20)
    assert.equal(await answer(ring.fallocate(1, fd, allocate.keepSize, 0, 2 << 20)), 0)
    assert.equal(fs.fstatSync(fd).size, 1 << 20)
    const punch = allocate.punchHole | allocate.keepSize
    assert.equal(await answer(ring.fallocate(1, fd, punch, 0, 4096)), 0)
    assert.deepEqual([...fs.readFileSync(path.join(directory, 'allocated')).subarray(4095, 4097)], [0, 1])
    assert.equal(await answer(ring.fallocate(1, 9999, 0, 0, 1)), -errno.EBADF)
    const flags = syncRange.waitBefore | syncRange.write | syncRange.waitAfter
    assert.equal(await answer(ring.syncFileRange(1, fd, 0, 1 << 20, flags)), 0)
    assert.equal(await answer(ring.syncFileRange(1, fd, 0, 1, 0x100)), -errno.EINVAL)
    ring.close()
    fs.closeSync(fd)
  })

  withAddon('say how much of a file was written, and is its own', (native) => {
    const file = path.join(directory, 'extents')
    const fd = fs.openSync(file, 'w+')
    assert.equal(native.writtenBytes(fd), 0)
    fs.writeSync(fd, Buffer.alloc(100_000, 1), 0, 100_000, 0)
    fs.writeSync(fd, Buffer.alloc(100_000, 1), 0, 100_000, 1 << 20)
    fs.fsyncSync(fd)
    const written = native.writtenBytes(fd)
    // Not every file system tells.
    if (written >= 0) assert.ok(written >= 100_000 && written < 1 << 20, String(written))
    fs.closeSync(fd)
    assert.equal(native.writtenBytes(fd), -errno.EBADF)
  })

  withAddon('lock a file for whoever has it open', (native) => {
    const file = path.join(directory, 'locked')
    const first = fs.openSync(file, 'w+')
    const second = fs.openSync(file, 'r+')
    for (let again = 0; again < 2; again++) assert.equal(native.lockFile(first), 0)
    assert.equal(native.lockFile(second), -errno.EAGAIN)
    assert.equal(native.lockOwner(second), 0, 'no process, but a descriptor')
    fs.closeSync(first)
    assert.equal(native.lockFile(second), 0)
    fs.closeSync(second)
    assert.equal(native.lockFile(second), -errno.EBADF)
  })

  withAddon('say how O_DIRECT wants its memory, and aligned memory is that', (native, t) => {
    const file = path.join(directory, 'direct')
    fs.writeFileSync(file, Buffer.alloc(16_384, 5))
    const buffer = native.alignedBuffer(12_288)
    assert.equal(buffer.length, 12_288)
    assert.ok(buffer.equals(Buffer.alloc(12_288)), 'zeroed')
    assert.throws(() => native.alignedBuffer(0), RangeError)
    assert.throws(() => native.alignedBuffer(2 ** 33), RangeError)
    assert.equal(native.directAlignment(path.join(directory, 'nowhere')), null)
    const alignment = native.directAlignment(file)
    if (alignment === null) {
      const flags = fs.constants.O_RDONLY | fs.constants.O_DIRECT
      assert.throws(() => fs.closeSync(fs.openSync(file, flags)), { code: 'EINVAL' })
      return t.skip('no O_DIRECT on this file system')
    }
    for (const bytes of [alignment.memoryBytes, alignment.offsetBytes]) {
      assert.ok(bytes > 0 && bytes <= 4096 && (bytes & (bytes - 1)) === 0, String(bytes))
    }
    const fd = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_DIRECT)
    assert.equal(fs.readSync(fd, buffer, 4096, 8192, 4096), 8192)
    assert.deepEqual([buffer[4095], buffer[4096], buffer[12_287]], [0, 5, 5])
    assert.throws(() => fs.readSync(fd, buffer, 1, 4096, 0), { code: 'EINVAL' })
    fs.closeSync(fd)
  })
})

describe('the loader', () => {
  test('says why there is no addon', async () => {
    const off = await child('console.log(addon, reason)', { env: { SAMSA_NATIVE: 'off' } })
    assert.equal(off, 'null it is turned off by SAMSA_NATIVE=off')
  })

  test('does without a file that is missing, or is none', async (t) => {
    if (process.platform !== 'linux') return t.skip('the addon is for Linux')
    const copy = path.join(directory, 'copy')
    const from = new URL('../../', import.meta.url)
    const needed = ['system/native-addon.js', 'system/native/addon-file.js', 'core/is-error.js']
    for (const file of [...needed.map((name) => `src/${name}`), 'protocol/crc32c.js']) {
      fs.mkdirSync(path.dirname(path.join(copy, file)), { recursive: true })
      fs.copyFileSync(new URL(file, from), path.join(copy, file))
    }
    fs.writeFileSync(path.join(copy, 'package.json'), '{"type":"module"}')
    const packages = import.meta.resolve('@node-rs/crc32').split('@node-rs')[0]!
    fs.symlinkSync(new URL(packages), path.join(copy, 'node_modules'))
    const entry = path.join(copy, 'src/system/native-addon.js')
    const program = `
      const { loadNativeAddon } = await import(${JSON.stringify(entry)})
      const { crc32c } = await import(${JSON.stringify(path.join(copy, 'protocol/crc32c.js'))})
      const { addon, reason } = loadNativeAddon()
      console.log(addon, crc32c(Buffer.from('123456789')).toString(16), reason)
    `
    const load = async (): Promise<string> =>
      (await run(process.execPath, ['--input-type=module', '-e', program])).stdout.trim()
    assert.match(await load(), /^null e3069283 linux-[\w-]+\.node is not in this installation/)
    fs.mkdirSync(path.join(copy, 'native'))
    fs.writeFileSync(path.join(copy, 'native', addonFile()), 'not a library')
    assert.match(await load(), /^null e3069283 linux-[\w-]+\.node cannot be loaded: /)
  })
})
