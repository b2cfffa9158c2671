import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, test } from 'node:test'
import * as batch from '../../../protocol/records/record-batch.ts'
import { readToSend } from '../../../src/log/read/log-reader.ts'
import type { SendableRead } from '../../../src/log/log-types.ts'
import { PooledBuffer, ReadBuffers } from '../../../src/log/read/read-buffers.ts'
import type { ReadPiece } from '../../../src/log/read/read-buffers.ts'
import { RecentSegments } from '../../../src/log/segment/segment-cache.ts'
import { Seeded } from '../../support/seed.ts'
import { makeBatch, split, TestLog } from '../log-fixture.ts'
import { diskWith, TestSlice } from '../slicing-disk.ts'
import type { Policy } from '../slicing-disk.ts'

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
          readToSend(log, offset, maxBytes, maxOffset, minOneBatch, buffers, true, resolve),
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

test('a batch longer than what is read at once holds no memory, even for a client that prefers memory', async () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'samsa-reader-'))
  const policy: Policy = { slices: () => true, cached: () => true }
  const writer = await TestLog.open(diskWith(policy, new Seeded()), directory, {
    maxMessageBytes: 8 << 20,
  })
  const batches = [makeBatch(1, 2 << 20), makeBatch(3, 1 << 20), makeBatch(1, 100_000)]
  for (const bytes of batches) await writer.append(bytes)
  const { log } = writer
  const read = (offset: number, maxOffset: number, buffers: ReadBuffers) =>
    new Promise<SendableRead>((resolve) =>
      readToSend(log, offset, 4_096, maxOffset, true, buffers, false, resolve),
    )
  const buffers = new ReadBuffers()
  for (const [offset, nextOffset, index] of [
    [0, 1, 0],
    [2, 4, 1],
    [4, 5, 2],
  ] as const) {
    const result = await read(offset, Infinity, buffers)
    assert.equal(result.nextOffset, nextOffset)
    assert.equal(result.sizeBytes, batches[index]!.length)
    assert.equal(result.pieces[0] instanceof TestSlice, index < 2)
    const [found] = split(bytesOf(result.pieces))
    assert.equal(batch.crc(found!, 0), batch.crc(batches[index]!, 0))
  }
  // What is not there for everybody yet stays where it is.
  assert.equal((await read(1, 3, buffers)).pieces.length, 0)
  assert.equal(TestSlice.open, 0)
  await log.close(true)
  fs.rmSync(directory, { recursive: true })
})
