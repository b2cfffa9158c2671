import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../../bench/load/random.ts'
import { UnreadBatch, validateProduceBatch } from '../../src/log/append/validate.ts'
import { defaultLogConfig } from '../../src/log/log-config.ts'
import { SystemCodecs } from '../../src/system/system-codecs.ts'
import {
  ByteWriter,
  decodeFetchResponse,
  encodeBatch,
  encodeFetch,
  encodeProduce,
  fetchLayout,
  produceLayout,
  singleRecordValueAt,
  walkBatches,
} from '../../bench/load/wire.ts'

/** Castagnoli, bit by bit: slow, and independent of what the encoder uses. */
function slowCrc32c(bytes: Buffer): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  return (crc ^ 0xffffffff) >>> 0
}

test('a batch has the right lengths, offsets and CRC', () => {
  const batch = encodeBatch({ records: 70, valueBytes: 300 }, new SeededRandom(5), 1_700_000_000_000)
  assert.equal(batch.readInt32BE(8), batch.length - 12)
  assert.equal(batch.readInt8(16), 2)
  assert.equal(batch.readInt32BE(23), 69)
  assert.equal(batch.readInt32BE(57), 70)
  assert.equal(batch.readUInt32BE(17), slowCrc32c(batch.subarray(21)))
})

test('the value of a single record is where it is said to be', () => {
  for (const valueBytes of [10, 100, 1_000, 20_000]) {
    const batch = encodeBatch({ records: 1, valueBytes }, new SeededRandom(5), 0)
    const value = Buffer.alloc(valueBytes)
    new SeededRandom(5).fill(value, 0, valueBytes)
    const at = singleRecordValueAt(valueBytes)
    assert.deepEqual(batch.subarray(at, at + valueBytes), value)
    assert.equal(batch.length, at + valueBytes + 1)
  }
})

test('stamped places are where the layouts say', () => {
  const batch = encodeBatch({ records: 1, valueBytes: 20 }, new SeededRandom(5), 0)
  const produce = encodeProduce('a-topic', 1, batch)
  const { partitionAt, batchAt } = produceLayout('a-topic')
  assert.deepEqual(produce.subarray(batchAt), batch)
  assert.equal(produce.readInt32BE(partitionAt), 0)
  assert.equal(produce.readInt32BE(partitionAt + 4), batch.length)
  const fetch = encodeFetch('a-topic', [3, 9], {
    maxWaitMs: 1,
    minBytes: 1,
    maxBytes: 77,
    partitionMaxBytes: 55,
  })
  const layout = fetchLayout('a-topic')
  assert.equal(fetch.readInt32BE(layout.firstEntryAt), 3)
  assert.equal(fetch.readInt32BE(layout.firstEntryAt + layout.entryBytes), 9)
  assert.equal(fetch.readInt32BE(layout.firstEntryAt + 2 * layout.entryBytes - 4), 55)
})

test('a Fetch answer of several partitions is taken apart, a cut batch at its end is left', () => {
  const batch = encodeBatch({ records: 5, valueBytes: 30 }, new SeededRandom(5), 0)
  const second = Buffer.from(batch)
  second.writeBigInt64BE(5n, 0)
  const records = Buffer.concat([batch, second, batch.subarray(0, 80)])
  const writer = new ByteWriter().int32(0).int32(1).int32(0).int16(0).int32(0).int32(1).string('t').int32(2)
  writer.int32(4).int16(3).int64(-1).int64(-1).int64(-1).int32(-1).int32(-1).int32(0)
  writer.int32(7).int16(0).int64(9).int64(9).int64(0).int32(1).int64(1).int64(2).int32(-1)
  const frame = writer.int32(records.length).bytes(records).done()
  const seen: number[][] = []
  const offsets: number[][] = []
  const topError = decodeFetchResponse(frame, ({ partition, error, recordsStart, recordsEnd }) => {
    seen.push([partition, error, recordsEnd - recordsStart])
    walkBatches(frame, recordsStart, recordsEnd, (_at, base, next) => offsets.push([base, next]))
  })
  assert.equal(topError, 0)
  assert.deepEqual(seen, [
    [4, 3, 0],
    [7, 0, records.length],
  ])
  assert.deepEqual(offsets, [
    [0, 5],
    [5, 10],
  ])
})

test('compressed batches are what a broker takes, and JSON compresses as it does elsewhere', async () => {
  const codecs = new SystemCodecs()
  for (const compression of ['gzip', 'snappy', 'lz4', 'zstd'] as const) {
    const batch = encodeBatch(
      { records: 128, valueBytes: 1_000, compression },
      new SeededRandom(1),
      Date.now(),
    )
    const found = validateProduceBatch(batch, defaultLogConfig, Date.now(), 9)
    assert.ok(found instanceof UnreadBatch, compression)
    await codecs.decompress(found.codec, found.body, (bytes) => found.piece(bytes))
    assert.equal(found.end(), null, compression)
    assert.ok(batch.length < 65_000 && batch.length > 15_000, `${compression}: ${batch.length}`)
  }
})
