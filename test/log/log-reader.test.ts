import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, test } from 'node:test'
import * as batch from '../../protocol/records/record-batch.ts'
import { readToSend } from '../../src/log/log-reader.ts'
import type { SendableRead } from '../../src/log/log-types.ts'
import { PooledBuffer, ReadBuffers } from '../../src/log/read-buffers.ts'
import type { ReadPiece } from '../../src/log/read-buffers.ts'
import { RecentSegments } from '../../src/log/segment-cache.ts'
import type { Disk, File, FileSlice, World } from '../../src/ports.ts'
import { createSystemWorld } from '../../src/system/system-world.ts'
import { Seeded } from '../support/seed.ts'
import { makeBatch, split, TestLog } from './log-fixture.ts'

/** What the disk says when it is asked for a slice, and when it is asked for bytes in memory. */
interface Policy {
  readonly slices: (random: Seeded) => boolean
  readonly cached: (random: Seeded) => boolean
}

const policies: Readonly<Record<string, Policy>> = {
  'always slices': { slices: () => true, cached: () => true },
  'never slices': { slices: () => false, cached: () => true },
  'slices by chance': {
    slices: (random) => random.between(0, 1) === 0,
    cached: (random) => random.between(0, 3) > 0,
  },
  'slices, and no byte in memory': { slices: () => true, cached: () => false },
  'nothing in memory': { slices: () => false, cached: () => false },
}

/** A stretch of a file that is read when it would be sent. */
class TestSlice implements FileSlice {
  static open = 0
  readonly length: number
  readonly #path: string
  readonly #position: number
  #released = false

  constructor(file: string, position: number, length: number) {
    assert.ok(position + length <= fs.statSync(file).size, 'a slice beyond the end of the file')
    this.#path = file
    this.#position = position
    this.length = length
    TestSlice.open++
  }

  bytes(): Buffer {
    assert.ok(!this.#released)
    const bytes = Buffer.alloc(this.length)
    assert.equal(readNow(this.#path, this.#position, bytes), this.length)
    return bytes
  }

  release(): void {
    assert.ok(!this.#released, 'released twice')
    this.#released = true
    TestSlice.open--
  }
}

function readNow(file: string, position: number, into: Buffer): number {
  const fd = fs.openSync(file, 'r')
  try {
    return fs.readSync(fd, into, 0, into.length, position)
  } finally {
    fs.closeSync(fd)
  }
}

/** The disk of the system with other answers to `slice` and `readCached`. */
function diskWith(policy: Policy, random: Seeded): Pick<World, 'clock' | 'disk' | 'logger'> {
  const world = createSystemWorld()
  const changed = (file: File): Partial<File> => ({
    slice: (position, length) => (policy.slices(random) ? new TestSlice(file.path, position, length) : null),
    readCached: (position, into) => (policy.cached(random) ? readNow(file.path, position, into) : -1),
  })
  const disk = overlay<Disk>(world.disk, {
    open: (name, mode) => {
      const file = world.disk.open(name, mode)
      return overlay<File>(file, changed(file))
    },
  })
  return { clock: world.clock, logger: world.logger, disk }
}

/** `target`, with some methods replaced. */
function overlay<T extends object>(target: T, replaced: Partial<T>): T {
  return new Proxy(target, {
    get(_, name) {
      const own: unknown = Reflect.get(replaced, name)
      if (own !== undefined) return own
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

interface Known {
  readonly baseOffset: number
  readonly lastOffset: number
  readonly bytes: Buffer
}

const LARGEST_BATCH_BYTES = 90_000
const INDEX_INTERVAL_BYTES = 4096

async function filledLog(random: Seeded, policy: Policy, directory: string) {
  const world = diskWith(policy, random)
  const config = { segmentBytes: 1_500_000, indexIntervalBytes: INDEX_INTERVAL_BYTES }
  const writer = await TestLog.open(world, directory, config)
  for (let i = 0; i < 250; i++) {
    const large = random.between(0, 2) === 0
    const bytes = makeBatch(random.between(1, 5), random.between(10, large ? 17_000 : 600))
    const { errorCode, lastOffset } = writer.log.append(bytes, 0)
    assert.equal(errorCode, 0)
    if (i % 10 === 0) await writer.reached(lastOffset + 1)
  }
  await writer.reached(writer.log.logEndOffset)
  const all = (await writer.readAll()).map((bytes): Known => {
    const baseOffset = batch.baseOffset(bytes, 0)
    return { baseOffset, lastOffset: batch.lastOffset(bytes, 0), bytes }
  })
  const recoveryPoint = writer.log.logEndOffset
  await writer.log.close(true)
  // Closed segments lose their index between the reads.
  const segmentCache = new RecentSegments(2, 1 << 20)
  const open = { cleanShutdown: true, recoveryPoint, segmentCache }
  const reader = await TestLog.open(world, directory, config, open)
  // The active segment after a start is a small one; make it worth slicing.
  for (let i = 0; i < 20; i++) {
    const bytes = makeBatch(3, 20_000)
    const baseOffset = await reader.append(bytes)
    all.push({ baseOffset, lastOffset: baseOffset + 2, bytes })
  }
  return { log: reader.log, all }
}

function bytesOf(pieces: readonly ReadPiece[]): Buffer {
  return Buffer.concat(
    pieces.map((piece) => {
      if (Buffer.isBuffer(piece)) return piece
      assert.ok(piece instanceof PooledBuffer || piece instanceof TestSlice)
      const bytes = piece instanceof PooledBuffer ? Buffer.from(piece.buffer) : piece.bytes()
      piece.release()
      return bytes
    }),
  )
}

for (const [name, policy] of Object.entries(policies)) {
  describe(`reading to send, on a disk that gives ${name}`, () => {
    test('whole batches from the offset on, within every limit', async (t) => {
      const random = new Seeded()
      t.diagnostic(`SAMSA_SEED=${random.seed}`)
      const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'samsa-reader-'))
      const { log, all } = await filledLog(random, policy, directory)
      const buffers = new ReadBuffers()
      const read = (offset: number, maxBytes: number, maxOffset: number, minOneBatch: boolean) =>
        new Promise<SendableRead>((resolve) =>
          readToSend(log, offset, maxBytes, maxOffset, minOneBatch, buffers, resolve),
        )
      let slices = 0
      const sizes = [1, 5_000, 33_000, 70_000, 200_000, 1 << 20, 5 << 20]
      for (let i = 0; i < 400; i++) {
        const offset = random.between(0, log.logEndOffset - 1)
        const maxBytes = sizes[random.between(0, sizes.length - 1)]!
        const maxOffset = random.between(0, 2) > 0 ? Infinity : random.between(0, log.logEndOffset)
        const minOneBatch = random.between(0, 3) > 0
        const result = await read(offset, maxBytes, maxOffset, minOneBatch)
        slices += result.pieces.filter((piece) => piece instanceof TestSlice).length
        const found = split(bytesOf(result.pieces))
        const where = `${offset} maxBytes ${maxBytes} maxOffset ${maxOffset}`

        assert.equal(result.errorCode, 0)
        const from = all.findLastIndex(({ baseOffset }) => baseOffset <= offset)
        const expected = all.slice(from, from + found.length)
        assert.deepEqual(
          found.map((bytes) => batch.baseOffset(bytes, 0)),
          expected.map(({ baseOffset }) => baseOffset),
          where,
        )
        assert.ok(found.every((bytes, at) => batch.crc(bytes, 0) === batch.crc(expected[at]!.bytes, 0)))
        const sizeBytes = found.reduce((sum, bytes) => sum + bytes.length, 0)
        assert.equal(result.sizeBytes, sizeBytes)
        assert.equal(result.nextOffset, found.length === 0 ? offset : expected.at(-1)!.lastOffset + 1)
        assert.ok(sizeBytes <= maxBytes || (found.length === 1 && minOneBatch), where)
        assert.ok(found.length === 0 || expected.at(-1)!.lastOffset < maxOffset, where)

        // As much as could be told, but for what lies between two entries of the index.
        const segmentEnd = log.segments.find(({ baseOffset }) => baseOffset > all[from]!.baseOffset)
        const last = Math.min(maxOffset, segmentEnd?.baseOffset ?? Infinity)
        const tellable = all.slice(from).filter(({ lastOffset }) => lastOffset < last)
        const first = tellable[0]
        if (first === undefined || (!minOneBatch && first.bytes.length > maxBytes)) continue
        assert.ok(found.length > 0, `nothing at ${where}`)
        const available = tellable.reduce((sum, { bytes }) => sum + bytes.length, 0)
        const atLeast = Math.min(available, maxBytes, 1 << 20)
        assert.ok(sizeBytes >= atLeast - LARGEST_BATCH_BYTES - 2 * INDEX_INTERVAL_BYTES, where)
      }
      assert.equal(TestSlice.open, 0)
      if (name === 'always slices' || name === 'slices by chance') assert.ok(slices > 20, `${slices} slices`)
      else assert.equal(slices, 0)

      for (const maxBytes of [60_000, 1 << 20]) {
        const seen: number[] = []
        for (let next = 0; next < log.logEndOffset;) {
          const result = await read(next, maxBytes, Infinity, true)
          for (const bytes of split(bytesOf(result.pieces))) seen.push(batch.baseOffset(bytes, 0))
          assert.ok(result.nextOffset > next)
          next = result.nextOffset
        }
        assert.deepEqual(
          seen,
          all.map(({ baseOffset }) => baseOffset),
        )
      }
      assert.equal(TestSlice.open, 0)
      await log.close(false)
      fs.rmSync(directory, { recursive: true })
    })
  })
}
