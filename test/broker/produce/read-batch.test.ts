import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../../protocol/errors.ts'
import { CODECS_BY_NAME } from '../../../protocol/compression.ts'
import * as batch from '../../../protocol/records/record-batch.ts'
import { buildBatch } from '../../../protocol/records/record-builder.ts'
import type { BatchProblem } from '../../../src/log/append/batch-problem.ts'
import { readBatch } from '../../../src/broker/produce/read-batch.ts'
import { UnreadBatch, validateProduceBatch } from '../../../src/log/append/validate.ts'
import { defaultLogConfig } from '../../../src/log/log-config.ts'
import type { LogConfig } from '../../../src/log/log-config.ts'
import { SystemCodecs } from '../../../src/system/system-codecs.ts'

const NOW = 1_800_000_000_000
const TYPES = ['uncompressed', 'gzip', 'snappy', 'lz4', 'zstd'] as const
const codecs = new SystemCodecs()

function records(count: number, timestampMs = NOW) {
  return Array.from({ length: count }, (_, i) => ({
    key: Buffer.from(`key-${i}`),
    value: Buffer.from(`{"order":${i},"customer":"someone","token":"${(i * 7919).toString(36)}"}`),
    timestampMs: timestampMs + (i % 7),
    headers: [{ key: 'trace', value: Buffer.from(`${i}`) }],
  }))
}

async function read(bytes: Buffer, config: Partial<LogConfig>): Promise<Buffer | BatchProblem> {
  const found = validateProduceBatch(bytes, { ...defaultLogConfig, ...config }, NOW, 9)
  return found instanceof UnreadBatch ? await readBatch(found, codecs) : (found ?? bytes)
}

async function body(bytes: Buffer): Promise<Buffer> {
  const pieces: Buffer[] = []
  await codecs.decompress(batch.codec(bytes, 0), bytes.subarray(batch.BATCH_OVERHEAD), (piece) => {
    pieces.push(Buffer.from(piece))
    return true
  })
  return Buffer.concat(pieces)
}

test('whatever a producer sends becomes what compression.type says, with the same records', async () => {
  for (const count of [1, 40, 9_000]) {
    const plain = buildBatch(records(count), { producerId: 77, producerEpoch: 1, baseSequence: 5 })
    for (const from of TYPES) {
      const sent = await read(Buffer.from(plain), { compressionType: from })
      assert.ok(Buffer.isBuffer(sent))
      assert.equal(batch.codec(sent, 0), CODECS_BY_NAME[from])
      for (const to of TYPES) {
        const before: Buffer = Buffer.from(sent)
        const stored = await read(sent, { compressionType: to })
        assert.ok(Buffer.isBuffer(stored), `${from} to ${to}`)
        assert.equal(batch.batchProblem(stored, 0, stored.length), null)
        assert.equal(batch.codec(stored, 0), CODECS_BY_NAME[to], `${from} to ${to}`)
        if (from === to) assert.deepEqual(stored, before, 'the same codec keeps the bytes')
        assert.deepEqual(await body(stored), plain.subarray(batch.BATCH_OVERHEAD))
        for (const of of [
          batch.producerId,
          batch.producerEpoch,
          batch.baseSequence,
          batch.maxTimestamp,
          batch.baseTimestamp,
        ])
          assert.equal(of(stored, 0), of(plain, 0))
        assert.equal(
          await read(Buffer.from(sent), {}).then((kept) => Buffer.isBuffer(kept) && kept.equals(before)),
          true,
        )
      }
    }
  }
})

test('levels are those of the configuration', async () => {
  const sizes = async (compressionType: 'gzip' | 'zstd', levels: readonly number[]): Promise<number[]> => {
    const stored = levels.map((compressionLevel) =>
      read(buildBatch(records(5_000)), { compressionType, compressionLevel }),
    )
    return (await Promise.all(stored)).map((each) => (Buffer.isBuffer(each) ? each.length : 0))
  }
  for (const [low, high] of [await sizes('gzip', [1, 9]), await sizes('zstd', [1, 19])])
    assert.ok(low! > high! && high! > 0, `${low}, ${high}`)
})

test('the time of the append, and a wrong header, are in what is compressed again', async () => {
  const wrong = buildBatch(records(3), { codec: 1, maxTimestampMs: NOW + 999 })
  const stored = await read(wrong, { compressionType: 'snappy' })
  assert.ok(Buffer.isBuffer(stored))
  assert.equal(batch.maxTimestamp(stored, 0), NOW + 2)
  const stamped = await read(buildBatch(records(3, 5)), {
    compressionType: 'gzip',
    messageTimestampType: 'LogAppendTime',
  })
  assert.ok(Buffer.isBuffer(stamped))
  assert.equal(batch.isLogAppendTime(stamped, 0), true)
  assert.equal(batch.maxTimestamp(stamped, 0), NOW)
  assert.equal(batch.batchProblem(stamped, 0, stamped.length), null)
})

test('what is refused is refused, and so is what becomes too large', async () => {
  const outcome = async (bytes: Buffer, config: Partial<LogConfig>): Promise<number> => {
    const found = await read(bytes, config)
    return Buffer.isBuffer(found) ? 0 : found.errorCode
  }
  const { MESSAGE_TOO_LARGE, INVALID_RECORD } = ErrorCode
  const large = buildBatch([{ key: null, value: Buffer.alloc(2_000_000), timestampMs: NOW }], { codec: 1 })
  assert.equal(await outcome(Buffer.from(large), {}), 0)
  assert.equal(await outcome(Buffer.from(large), { compressionType: 'uncompressed' }), MESSAGE_TOO_LARGE)
  assert.equal(await outcome(Buffer.from(large), { compressionType: 'zstd' }), 0)
  const huge = buildBatch([{ key: null, value: Buffer.alloc(20 << 20), timestampMs: NOW }], { codec: 1 })
  assert.equal(await outcome(huge, { compressionType: 'zstd' }), MESSAGE_TOO_LARGE)
  const ofBytes = (valueBytes: number, codec = 1): Buffer =>
    buildBatch([{ key: null, value: Buffer.alloc(valueBytes), timestampMs: NOW }], { codec })
  const most = 16 << 20
  const mostValue = 2 * most - ofBytes(most, 0).length + batch.BATCH_OVERHEAD
  assert.equal(await outcome(ofBytes(mostValue), { compressionType: 'zstd' }), 0)
  assert.equal(await outcome(ofBytes(mostValue + 1), { compressionType: 'zstd' }), MESSAGE_TOO_LARGE)
  const misplaced = buildBatch([{ ...records(1)[0]!, offsetDelta: 3 }])
  assert.equal(await outcome(misplaced, { compressionType: 'gzip' }), INVALID_RECORD)
  const [first, second, third] = records(3)
  const twice = buildBatch([first!, { ...second!, offsetDelta: 0 }, { ...third!, offsetDelta: 2 }], {
    codec: 1,
  })
  assert.equal(await outcome(twice, { compressionType: 'snappy' }), INVALID_RECORD)
})

test('what a batch may become in all follows from the bytes that are there', async () => {
  const MIB = 1 << 20
  const plain = buildBatch([{ key: null, value: Buffer.alloc(2 * MIB), timestampMs: NOW }])
  // A record as long as one can be.
  const start = Buffer.from([0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 1, 0xe0, 0xff, 0xff, 0xff, 0x0f])
  const more = Buffer.alloc(MIB)
  const readOf = async (compressedBytes: number, wanted: Partial<LogConfig> = {}): Promise<number> => {
    const sent = batch.withRecords(plain, CODECS_BY_NAME.zstd, Buffer.alloc(compressedBytes))
    const endless = new SystemCodecs()
    let shownBytes = 0
    endless.decompressNow = () => null
    endless.decompress = async (_codec, _data, piece) => {
      for (let next = start; piece(next); next = more) shownBytes += next.length
      await Promise.resolve()
    }
    const config = { ...defaultLogConfig, maxMessageBytes: 4 * MIB, ...wanted }
    const found = validateProduceBatch(sent, config, NOW, 9)
    assert.ok(found instanceof UnreadBatch)
    const outcome = await readBatch(found, endless)
    assert.ok(!Buffer.isBuffer(outcome))
    assert.equal(outcome.errorCode, ErrorCode.MESSAGE_TOO_LARGE)
    return Math.floor(shownBytes / MIB)
  }
  assert.deepEqual([await readOf(100), await readOf(MIB / 2), await readOf(1.25 * MIB)], [1023, 1023, 1374])
  // What is compressed again is kept meanwhile, so no more of it is taken than that.
  assert.equal(await readOf(100, { compressionType: 'gzip' }), 15)
})

test('a codec that cannot be written here leaves batches as they come', async () => {
  const none = (): null => null
  const without = new SystemCodecs({ natives: { snappy: none, lz4: none, zstd: none } })
  assert.deepEqual(
    TYPES.map((type) => without.canCompress(CODECS_BY_NAME[type])),
    [true, true, true, false, false],
  )
  const config = { ...defaultLogConfig, compressionType: 'lz4' } as const
  const sent = buildBatch(records(30))
  const found = validateProduceBatch(sent, config, NOW, 9)
  assert.ok(found instanceof UnreadBatch)
  assert.equal(await readBatch(found, without), sent)
})

test('sixty thousand records with timestamps of eight bytes are looked at over many turns, compressed or not', async () => {
  const value = Buffer.alloc(0)
  const made = Array.from({ length: 60_000 }, (_, i) => ({
    key: null,
    value,
    timestampMs: i === 0 ? NOW : -(2 ** 51),
  }))
  const plain = buildBatch(made)
  for (const codec of [0, 1, 3]) {
    const body = await codecs.compress(codec, null, plain.subarray(batch.BATCH_OVERHEAD))
    const found = validateProduceBatch(batch.withRecords(plain, codec, body), defaultLogConfig, NOW, 9)
    assert.ok(found instanceof UnreadBatch, 'they are not looked at at once')
    assert.equal(codecs.summarizeNow(codec, found.body, found.recordCount), null)
    let turns = 0
    const counting = setInterval(() => (turns += 1), 0)
    const used = process.cpuUsage()
    assert.equal(await readBatch(found, codecs), found.records)
    const { user } = process.cpuUsage(used)
    clearInterval(counting)
    assert.ok(turns >= user / 20_000, `${turns} turns in ${user / 1_000} ms`)
  }
})
