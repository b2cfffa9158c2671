import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { CompressionError } from '../../protocol/compression-error.ts'
import { Codec } from '../../protocol/compression.ts'
import { INPUT_BYTES, OUTPUT_BYTES, SLOTS } from '../../src/system/codec-slots.ts'
import { CodecThread } from '../../src/system/codec-thread.ts'
import { installedCodecs } from '../../src/system/native-codecs.ts'
import { SystemCodecs } from '../../src/system/system-codecs.ts'
import { until } from '../support/until.ts'

const FILE = new URL('../../lib/codec-thread.cjs', import.meta.url).pathname
const BY_CODEC = [Codec.GZIP, Codec.SNAPPY, Codec.LZ4, Codec.ZSTD]
const plain = new SystemCodecs()

/** Compresses some six times. */
function text(length: number, seed: number): Buffer {
  const words: string[] = []
  for (let bytes = 0, at = seed; bytes < length; at = (at * 48_271) % 2_147_483_647)
    bytes += words[words.push(`"customer ${at.toString(36)} paid", `) - 1]!.length
  return Buffer.from(words.join('')).subarray(0, length)
}

async function readyThread(t: TestContext): Promise<CodecThread> {
  const thread = new CodecThread(FILE, assert.ifError)
  t.after(() => thread.close())
  assert.equal(thread.hasRoom(1), false, 'nobody waits for its start')
  await until(() => thread.hasRoom(1))
  return thread
}

async function decoded(codecs: SystemCodecs, codec: number, data: Buffer): Promise<Buffer> {
  const pieces: Buffer[] = []
  await codecs.decompress(codec, data, (bytes) => pieces.push(Buffer.from(bytes)) > 0)
  return Buffer.concat(pieces)
}

test('the thread decodes what each codec made, job for job, more jobs than there are slots', async (t) => {
  const thread = await readyThread(t)
  const texts = Array.from({ length: 5 * SLOTS }, (_, i) => text(1 + i * 4_001, i + 1))
  const jobs = texts.map(async (each, i) => {
    const codec = BY_CODEC[i % 4]!
    const data = await plain.compress(codec, null, each)
    let shown = Buffer.alloc(0)
    const piece = (bytes: Buffer): boolean => (shown = Buffer.from(bytes)).length > 0
    await until(() => thread.decode(codec, data, piece))
    assert.deepEqual(shown, each)
  })
  await Promise.all(jobs)
})

test('it takes no more than there are slots for, and nothing that is too long', async (t) => {
  const thread = await readyThread(t)
  const data = await plain.compress(Codec.GZIP, null, text(300_000, 7))
  const jobs = Array.from({ length: 20 * SLOTS }, () => thread.decode(Codec.GZIP, data, () => true))
  assert.equal(thread.hasRoom(INPUT_BYTES + 1), false)
  const took = (await Promise.all(jobs)).filter(Boolean).length
  assert.ok(took >= SLOTS && took < jobs.length, `${took}`)
  assert.equal(thread.hasRoom(INPUT_BYTES), true)
})

test('damage, and what becomes longer than a slot, is left to the others, who say why', async (t) => {
  const thread = await readyThread(t)
  const codecs = new SystemCodecs(installedCodecs, thread)
  const long = text(OUTPUT_BYTES + 1, 3)
  for (const codec of BY_CODEC) {
    const data = await plain.compress(codec, null, long)
    if (data.length <= INPUT_BYTES) assert.equal(await thread.decode(codec, data, () => assert.fail()), false)
    assert.deepEqual(await decoded(codecs, codec, data), long)
    const damaged = Buffer.alloc(20_000, 0x55)
    data.copy(damaged, 0, 0, 64)
    await assert.rejects(decoded(codecs, codec, damaged), CompressionError)
  }
})

test('large batches are for the thread while it has room, and small ones are decoded at once', async (t) => {
  const thread = await readyThread(t)
  const codecs = new SystemCodecs(installedCodecs, thread)
  for (const codec of BY_CODEC) {
    const large = await plain.compress(codec, null, text(130_000, 5))
    assert.notEqual(plain.decompressNow(codec, large), null, 'without a thread, within a moment')
    assert.equal(codecs.decompressNow(codec, large), null)
    assert.notEqual(codecs.decompressNow(codec, await plain.compress(codec, null, text(2_000, 5))), null)
  }
})

test('a thread that ends, fails or never was leaves no batch undecoded', async (t) => {
  const data = await plain.compress(Codec.ZSTD, null, text(130_000, 9))
  const closed = await readyThread(t)
  const codecs = new SystemCodecs(installedCodecs, closed)
  const jobs = [1, 2, 3].map(() => decoded(codecs, Codec.ZSTD, data))
  closed.close()
  for (const each of await Promise.all(jobs)) assert.deepEqual(each, text(130_000, 9))
  assert.equal(closed.hasRoom(1), false)

  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'samsa-test-'))
  t.after(() => fs.rmSync(directory, { recursive: true }))
  const file = path.join(directory, 'fails.cjs')
  fs.writeFileSync(
    file,
    "const { parentPort } = require('node:worker_threads')\n" +
      "parentPort.on('message', () => { throw new Error('meant') })\nparentPort.postMessage(null)\n",
  )
  const failures: unknown[] = []
  const failing = new CodecThread(file, (error) => failures.push(error))
  failing.hasRoom(1)
  await until(() => failing.hasRoom(1))
  assert.equal(await failing.decode(Codec.ZSTD, data, () => true), false)
  assert.match(String(failures), /meant/)
  assert.equal(failing.hasRoom(1), false)
})

test('what looks at the records may fail, and the thread goes on', async (t) => {
  const thread = await readyThread(t)
  const data = await plain.compress(Codec.SNAPPY, null, text(9_000, 4))
  const looking = thread.decode(Codec.SNAPPY, data, () => {
    throw new Error('of the one who looks')
  })
  await assert.rejects(looking, /of the one who looks/)
  assert.equal(await thread.decode(Codec.SNAPPY, data, () => true), true)
})
