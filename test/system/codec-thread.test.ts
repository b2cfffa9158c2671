import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { Codec } from '../../protocol/compression.ts'
import * as batch from '../../protocol/records/record-batch.ts'
import { buildBatch } from '../../protocol/records/record-builder.ts'
import type { RecordsSummary } from '../../protocol/records/records-summary.ts'
import { INPUT_BYTES, SLOTS } from '../../src/system/codec-slots.ts'
import { CodecThread } from '../../src/system/codec-thread.ts'
import { loadNativeAddon } from '../../src/system/native-addon.ts'
import { SystemCodecs } from '../../src/system/system-codecs.ts'
import { until } from '../support/until.ts'

const FILE = new URL('../../lib/codec-thread.cjs', import.meta.url).pathname
const BY_CODEC = [Codec.GZIP, Codec.SNAPPY, Codec.LZ4, Codec.ZSTD]
const plain = new SystemCodecs()
const addonFile = loadNativeAddon().file
const ways: [string, string | null][] = [['without the addon', null]]
if (addonFile !== null) ways.push(['with the addon', addonFile])

/** Compresses to half; the timestamps are `seed`, `seed` + 1, ... */
function records(count: number, seed: number): Buffer {
  const made = Array.from({ length: count }, (_, i) => ({
    key: Buffer.from(`customer ${i}`),
    value: Buffer.from(`"customer ${createHash('sha256').update(`${i}`).digest('hex')} has paid at last", `),
    timestampMs: 1_000 + (i === 0 ? 0 : seed + i),
  }))
  return buildBatch(made).subarray(batch.BATCH_OVERHEAD)
}

async function readyThread(t: TestContext, addon: string | null): Promise<CodecThread> {
  const thread = new CodecThread(FILE, addon, assert.ifError)
  t.after(() => thread.close())
  assert.equal(thread.hasRoom(1), false, 'nobody waits for its start')
  await until(() => thread.hasRoom(1))
  return thread
}

/** What it says in the end. */
async function summaryOf(
  thread: CodecThread,
  codec: number,
  data: Buffer,
  count: number,
): Promise<RecordsSummary | null> {
  let summary: RecordsSummary | null | undefined
  await until(() => thread.summarize(codec, data, count, (found) => (summary = found)))
  await until(() => summary !== undefined)
  return summary ?? null
}

for (const [way, addon] of ways) {
  test(`${way}, it looks at what each codec made, job for job, more jobs than there are slots`, async (t) => {
    const thread = await readyThread(t, addon)
    const jobs = Array.from({ length: 5 * SLOTS }, async (_, i) => {
      const codec = BY_CODEC[i % 4]!
      const data = await plain.compress(codec, null, records(2 + 3 * i, i))
      assert.deepEqual(await summaryOf(thread, codec, data, 2 + 3 * i), {
        minTimestampDelta: 0,
        maxTimestampDelta: 1 + 4 * i,
        hasKeyless: false,
      })
    })
    await Promise.all(jobs)
  })

  test(`${way}, who hears of a job gives it the next one at once, and all are looked at once`, async (t) => {
    const thread = await readyThread(t, addon)
    const counts = Array.from({ length: 4 * SLOTS }, (_, i) => 2 + (i % 7))
    const batches = await Promise.all(
      counts.map((count, i) => plain.compress(Codec.GZIP, null, records(count, i))),
    )
    const heard: number[] = []
    let next = 0
    let lastGiven = -1
    const giveAll = (): void => {
      for (; next < batches.length; next++) {
        const i = next
        const done = (summary: RecordsSummary | null): void => {
          assert.equal(summary?.maxTimestampDelta, i + counts[i]! - 1)
          heard.push(i)
          giveAll()
        }
        if (!thread.summarize(Codec.GZIP, batches[i]!, counts[i]!, done)) return
        lastGiven = i
      }
    }
    giveAll()
    // Until all of a full ring is done, so that the first to hear finds others that wait to.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)
    await until(() => heard.length === batches.length)
    assert.equal(lastGiven, batches.length - 1)
    assert.deepEqual(
      heard.toSorted((a, b) => a - b),
      [...counts.keys()],
    )
  })

  test(`${way}, it takes no more than there are slots for, and nothing that is too long`, async (t) => {
    const thread = await readyThread(t, addon)
    const data = await plain.compress(Codec.GZIP, null, records(600, 7))
    let took = 0
    const done: (RecordsSummary | null)[] = []
    for (let i = 0; i < 20 * SLOTS; i++)
      if (thread.summarize(Codec.GZIP, data, 600, (summary) => done.push(summary))) took += 1
    assert.ok(took >= SLOTS && took < 20 * SLOTS, `${took}`)
    assert.equal(thread.hasRoom(INPUT_BYTES + 1), false)
    await until(() => done.length === took)
    assert.ok(done.every((summary) => summary?.maxTimestampDelta === 606))
    assert.equal(thread.hasRoom(INPUT_BYTES), true)
  })

  test(`${way}, damage and what becomes too long are left to others`, async (t) => {
    const thread = await readyThread(t, addon)
    for (const codec of BY_CODEC) {
      const endless = await plain.compress(codec, null, Buffer.alloc(4 << 20))
      if (endless.length <= INPUT_BYTES) assert.equal(await summaryOf(thread, codec, endless, 1), null)
      const damaged = Buffer.alloc(20_000, 0x55)
      endless.copy(damaged, 0, 0, 64)
      assert.equal(await summaryOf(thread, codec, damaged, 1), null)
      const good = await plain.compress(codec, null, records(9, 1))
      assert.equal(await summaryOf(thread, codec, good, 8), null, 'not so many records')
      assert.notEqual(await summaryOf(thread, codec, good, 9), null)
    }
  })
}

test('large batches are for the thread while it has room, and small ones are not', async (t) => {
  const thread = await readyThread(t, addonFile)
  const codecs = new SystemCodecs({ thread })
  for (const codec of BY_CODEC) {
    const large = await plain.compress(codec, null, records(700, 5))
    assert.equal(
      plain.summarizeBeside(codec, large, 700, () => assert.fail()),
      false,
      'there is no thread',
    )
    const summary = await new Promise((done) => {
      assert.equal(codecs.summarizeBeside(codec, large, 700, done), true)
    })
    assert.deepEqual(summary, plain.summarizeNow(codec, large, 700))
    const small = await plain.compress(codec, null, records(3, 5))
    assert.equal(
      codecs.summarizeBeside(codec, small, 3, () => assert.fail()),
      false,
    )
  }
})

test('a thread that ends, fails or never was leaves no batch without an answer', async (t) => {
  const data = await plain.compress(Codec.ZSTD, null, records(300, 9))
  const closed = await readyThread(t, addonFile)
  const answers: (RecordsSummary | null)[] = []
  for (let i = 0; i < 3; i++) closed.summarize(Codec.ZSTD, data, 300, (summary) => answers.push(summary))
  closed.close()
  assert.deepEqual(answers, [null, null, null])
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
  const failing = new CodecThread(file, null, (error) => failures.push(error))
  failing.hasRoom(1)
  await until(() => failing.hasRoom(1))
  assert.equal(await summaryOf(failing, Codec.ZSTD, data, 300), null)
  assert.match(String(failures), /meant/)
  assert.equal(failing.hasRoom(1), false)
})
