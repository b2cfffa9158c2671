import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as batch from '../../../protocol/records/record-batch.ts'
import { buildBatch } from '../../../protocol/records/record-builder.ts'
import { OpaqueBatch } from '../../../src/log/compaction/opaque-batch.ts'
import { PlainRecords } from '../../../src/log/compaction/plain-records.ts'
import { SystemCodecs } from '../../../src/system/system-codecs.ts'

const codecs = new SystemCodecs()

test('what is decompressed away from the loop is the batch that is looked at, of any codec, within the limit', async () => {
  const value = Buffer.from('{"text":"lorem ipsum dolor sit amet"}'.repeat(30))
  for (const count of [1, 6_000]) {
    const records = Array.from({ length: count }, (_, i) => ({
      key: Buffer.from(`${i}`),
      value,
      timestampMs: 5,
    }))
    const plainBatch = buildBatch(records)
    const body = plainBatch.subarray(batch.BATCH_OVERHEAD)
    const plain = new PlainRecords(codecs, body.length)
    assert.equal(plain.needs(plainBatch, 0), false)
    for (const codec of [1, 2, 3, 4]) {
      const compressed = batch.withRecords(plainBatch, codec, await codecs.compress(codec, null, body))
      const chunk = Buffer.concat([Buffer.alloc(7), compressed, Buffer.alloc(9)])
      assert.equal(plain.needs(chunk, 7), true)
      await plain.prepare(chunk, 7)
      assert.deepEqual(plain.of(chunk, 7), body)
      assert.equal(plain.of(chunk, 8), null, 'another batch')
      assert.equal(plain.of(compressed, 7), null, 'another chunk')
      if (count === 1) continue
      const less = new PlainRecords(codecs, body.length - 1)
      await less.prepare(compressed, 0)
      assert.throws(() => less.of(compressed, 0), OpaqueBatch)
      compressed.fill(0xee, 70)
      await plain.prepare(compressed, 0)
      assert.throws(() => plain.of(compressed, 0), OpaqueBatch)
    }
  }
})

test('what is left of a batch is compressed as it was, and as gzip where nothing can write that', async () => {
  const made = Array.from({ length: 900 }, (_, i) => ({
    key: Buffer.from(`${i}`),
    value: Buffer.from('{"text":"lorem ipsum"}'.repeat(20)),
    timestampMs: i,
  }))
  const left = buildBatch(made, { producerId: 7, producerEpoch: 1, baseSequence: 3, deleteHorizon: true })
  const none = (): null => null
  const without = new SystemCodecs({ natives: { snappy: none, lz4: none, zstd: none } })
  const written: Record<string, number[]> = {}
  for (const [name, by] of Object.entries({ codecs, without })) {
    const plain = new PlainRecords(by, left.length)
    written[name] = []
    for (const codec of [0, 1, 2, 3, 4]) {
      const compressed = await plain.compress(left, codec)
      written[name].push(batch.codec(compressed, 0))
      assert.equal(batch.batchProblem(compressed, 0, compressed.length), null)
      assert.equal(batch.hasDeleteHorizon(compressed, 0), true)
      if (codec === 0) continue
      await plain.prepare(compressed, 0)
      assert.deepEqual(plain.of(compressed, 0), left.subarray(batch.BATCH_OVERHEAD))
    }
  }
  assert.deepEqual(written, { codecs: [0, 1, 2, 3, 4], without: [0, 1, 2, 1, 1] })
  const empty = buildBatch([])
  assert.equal(await new PlainRecords(codecs, 100).compress(empty, 3), empty)
})
