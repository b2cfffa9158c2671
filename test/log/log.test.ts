import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import * as batch from '../../protocol/records/record-batch.ts'
import { buildBatch, buildControlBatch } from '../../protocol/records/record-builder.ts'
import { SimWorld } from '../simulator/sim-world.ts'
import { content, makeBatch, NOW, onEveryDisk, segmentNames, split, TestLog } from './log-fixture.ts'
import { lookupWork } from '../support/lookup-work.ts'

onEveryDisk('appends get offsets and are read back byte for byte', async (world, directory) => {
  const test = await TestLog.open(world, directory)
  assert.equal(test.log.logEndOffset, 0)
  const first = makeBatch(3)
  const second = makeBatch(2, 100)
  const contents = [content(first), content(second)]
  assert.equal(await test.append(first, 7), 0)
  assert.equal(await test.append(second, 7), 3)
  assert.equal(test.log.logEndOffset, 5)
  const all = await test.readAll()
  assert.deepEqual(all.map(content), contents)
  assert.deepEqual(
    all.map((bytes) => batch.baseOffset(bytes, 0)),
    [0, 3],
  )
  assert.equal(batch.partitionLeaderEpoch(all[1]!, 0), 7)
  assert.deepEqual(test.log.epochs.entries(), [{ epoch: 7, startOffset: 0 }])
  await test.log.close(true)
})

onEveryDisk('all batches of a turn leave in one write, in order', async (world, directory) => {
  const test = await TestLog.open(world, directory)
  for (let i = 0; i < 50; i++) test.log.append(makeBatch(1, i), 0)
  assert.equal(test.log.writtenEndOffset, 0)
  await test.reached(50)
  assert.equal(test.writes, 1)
  assert.equal((await test.readAll()).length, 50)
  await test.log.close(false)
})

onEveryDisk(
  'reads start at the batch that contains the offset and keep to their limits',
  async (world, directory) => {
    const test = await TestLog.open(world, directory, { indexIntervalBytes: 300 })
    for (let i = 0; i < 40; i++) await test.append(makeBatch(5, 30))
    const size = makeBatch(5, 30).length
    for (let offset = 0; offset < 200; offset++) {
      const result = await test.read(offset, size * 3)
      const found = split(Buffer.concat(result.buffers))
      assert.equal(batch.baseOffset(found[0]!, 0), offset - (offset % 5))
      assert.equal(result.nextOffset, Math.min(200, offset - (offset % 5) + 15))
    }
    assert.equal((await test.read(0, 10)).nextOffset, 5, 'one whole batch beyond the limit')
    assert.equal((await test.read(0, 10, Infinity, false)).sizeBytes, 0)
    assert.equal((await test.read(0, 1 << 20, 100)).nextOffset, 100)
    assert.equal((await test.read(97, 1 << 20, 100)).nextOffset, 100)
    assert.equal((await test.read(100, 1 << 20, 100)).sizeBytes, 0)
    assert.equal((await test.read(200)).sizeBytes, 0)
    assert.equal((await test.read(201)).errorCode, ErrorCode.OFFSET_OUT_OF_RANGE)
    assert.equal((await test.read(-1)).errorCode, ErrorCode.OFFSET_OUT_OF_RANGE)
    await test.log.close(false)
  },
)

onEveryDisk('rolls by size, reopens after a clean stop, serves every segment', async (world, directory) => {
  const config = { segmentBytes: 1000, indexIntervalBytes: 200 }
  const test = await TestLog.open(world, directory, config)
  for (let i = 0; i < 40; i++) await test.append(makeBatch(2, 50))
  const before = await test.readAll()
  const names = segmentNames(world, directory)
  assert.ok(names.length > 5)
  await test.log.close(true)
  assert.equal(test.log.failed, false)
  for (const suffix of ['.index', '.timeindex']) {
    assert.equal(segmentNames(world, directory, suffix).length, names.length)
  }
  assert.ok(segmentNames(world, directory, '.snapshot').includes('00000000000000000080.snapshot'))

  const again = await TestLog.open(world, directory, config, { cleanShutdown: true, recoveryPoint: 80 })
  assert.equal(again.log.recovery, null)
  assert.equal(again.log.logEndOffset, 80)
  assert.equal(again.log.sizeBytes, test.log.sizeBytes)
  assert.equal(again.log.epochs.latestEpoch, 0)
  assert.deepEqual(await again.readAll(), before)
  await again.append(makeBatch(1))
  assert.equal((await again.readAll()).length, 41)
  await again.log.close(true)
})

onEveryDisk('rolls by the time between records', async (world, directory) => {
  const test = await TestLog.open(world, directory, { segmentMs: 1000 })
  await test.append(makeBatch(1, 10, { timestampMs: NOW }))
  await test.append(makeBatch(1, 10, { timestampMs: NOW + 1000 }))
  assert.equal(test.log.segmentCount, 1)
  await test.append(makeBatch(1, 10, { timestampMs: NOW + 1001 }))
  assert.equal(test.log.segmentCount, 2)
  await test.log.close(false)
})

onEveryDisk('idempotent producers: duplicates answer the original offset', async (world, directory) => {
  const test = await TestLog.open(world, directory)
  const producer = { producerId: 9, producerEpoch: 1 }
  await test.append(makeBatch(2, 10, { ...producer, baseSequence: 0 }))
  await test.append(makeBatch(3, 10, { ...producer, baseSequence: 2 }))
  const duplicate = test.log.append(makeBatch(2, 10, { ...producer, baseSequence: 0 }), 0)
  assert.deepEqual(
    [duplicate.duplicate, duplicate.baseOffset, duplicate.lastOffset, duplicate.errorCode],
    [true, 0, 1, 0],
  )
  assert.equal(test.log.logEndOffset, 5)
  const gap = test.log.append(makeBatch(1, 10, { ...producer, baseSequence: 7 }), 0)
  assert.equal(gap.errorCode, ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
  const fenced = test.log.append(makeBatch(1, 10, { producerId: 9, producerEpoch: 0, baseSequence: 5 }), 0)
  assert.equal(fenced.errorCode, ErrorCode.INVALID_PRODUCER_EPOCH)
  await test.log.close(true)

  for (const cleanShutdown of [true, false]) {
    const again = await TestLog.open(world, directory, {}, { cleanShutdown })
    const repeated = again.log.append(makeBatch(3, 10, { ...producer, baseSequence: 2 }), 0)
    assert.deepEqual([repeated.duplicate, repeated.baseOffset], [true, 2])
    await again.log.close(true)
  }
})

onEveryDisk(
  'transactions: markers close them, aborted ones are indexed and survive',
  async (world, directory) => {
    const test = await TestLog.open(world, directory)
    const producer = { producerId: 3, producerEpoch: 0 }
    await test.append(makeBatch(2, 10, { ...producer, baseSequence: 0, transactional: true }))
    assert.equal(test.log.firstOpenTransactionOffset, 0)
    await test.append(buildControlBatch('ABORT', 1, producer, NOW))
    assert.equal(test.log.firstOpenTransactionOffset, -1)
    await test.append(makeBatch(2, 10, { ...producer, baseSequence: 2, transactional: true }))
    await test.append(buildControlBatch('COMMIT', 1, producer, NOW))
    const expected = [{ producerId: 3, firstOffset: 0, lastOffset: 2, lastStableOffset: 3 }]
    assert.deepEqual(test.log.abortedTransactions.within(0, 6), expected)
    assert.deepEqual(test.log.abortedTransactions.within(3, 6), [])
    await test.log.close(true)
    for (const cleanShutdown of [true, false]) {
      const again = await TestLog.open(world, directory, {}, { cleanShutdown })
      assert.deepEqual(again.log.abortedTransactions.within(0, 6), expected)
      assert.equal(again.log.hasTransactions, true)
      await again.log.close(true)
    }
  },
)

onEveryDisk('timestamps lead to offsets', async (world, directory) => {
  const test = await TestLog.open(world, directory, { segmentBytes: 700, indexIntervalBytes: 100 })
  assert.equal(await test.log.offsetOfMaxTimestamp(lookupWork()), null)
  for (let i = 0; i < 30; i++) {
    await test.append(makeBatch(3, 20, { timestampMs: NOW + i * 10, codec: i % 2 }), 4)
  }
  for (let i = 0; i < 30; i++) {
    for (let record = 0; record < 3; record++) {
      const found = await test.log.offsetForTimestamp(NOW + i * 10 + record, Infinity, lookupWork())
      assert.deepEqual(found, { offset: i * 3 + record, timestamp: NOW + i * 10 + record, leaderEpoch: 4 })
    }
    assert.equal((await test.log.offsetForTimestamp(NOW + i * 10 - 5, Infinity, lookupWork()))?.offset, i * 3)
  }
  assert.equal(await test.log.offsetForTimestamp(NOW + 293, Infinity, lookupWork()), null)
  assert.equal(await test.log.offsetForTimestamp(NOW + 290, 87, lookupWork()), null)
  assert.equal((await test.log.offsetOfMaxTimestamp(lookupWork()))?.offset, 89)
  test.log.deleteRecordsBefore(40)
  assert.equal((await test.log.offsetForTimestamp(0, Infinity, lookupWork()))?.offset, 40)
  await test.log.close(false)
})

onEveryDisk(
  'retention deletes by start offset, size and time, and leaves an active segment',
  async (world, directory) => {
    const config = { segmentBytes: 500, fileDeleteDelayMs: 1, retentionMs: -1 }
    const test = await TestLog.open(world, directory, config)
    for (let i = 0; i < 30; i++) await test.append(makeBatch(1, 100, { timestampMs: NOW + i }))
    const segments = test.log.segments.map((segment) => segment.baseOffset)
    assert.equal(await test.log.applyRetention(NOW), 0)
    test.log.deleteRecordsBefore(segments[2]!)
    assert.equal(await test.log.applyRetention(NOW), 2)
    assert.equal(test.log.segments[0]?.baseOffset, segments[2])
    test.log.updateConfig({ ...test.log.config, retentionBytes: 1000 })
    assert.ok((await test.log.applyRetention(NOW)) > 0)
    assert.ok(test.log.sizeBytes >= 1000 && test.log.sizeBytes < 1600)
    assert.equal(await test.log.applyRetention(NOW, 0), 0, 'nothing above the high watermark')
    test.log.updateConfig({ ...test.log.config, retentionMs: 10 })
    assert.ok((await test.log.applyRetention(NOW + 1000)) > 0)
    assert.equal(test.log.sizeBytes, 0)
    assert.deepEqual([test.log.logStartOffset, test.log.logEndOffset], [30, 30])
    assert.equal(await test.append(makeBatch(1)), 30)
    assert.equal((await test.read(30)).nextOffset, 31)
    assert.equal((await test.read(29)).errorCode, ErrorCode.OFFSET_OUT_OF_RANGE)
    await test.log.close(true)
    assert.deepEqual(segmentNames(world, directory, '.deleted'), [])
    const again = await TestLog.open(world, directory, config, { cleanShutdown: true, logStartOffset: 30 })
    assert.deepEqual([again.log.logStartOffset, again.log.logEndOffset], [30, 31])
    await again.log.close(true)
  },
)

onEveryDisk('truncation drops records, epochs and producer state', async (world, directory) => {
  const config = { segmentBytes: 600, indexIntervalBytes: 100 }
  const test = await TestLog.open(world, directory, config)
  for (let i = 0; i < 20; i++) {
    await test.append(
      makeBatch(2, 30, { producerId: 1, producerEpoch: 0, baseSequence: i * 2 }),
      i < 10 ? 1 : 2,
    )
  }
  const before = await test.readAll()
  for (const end of [34, 20, 4]) {
    await test.log.truncateTo(end)
    assert.equal(test.log.logEndOffset, end)
    assert.deepEqual(await test.readAll(), before.slice(0, end / 2))
    assert.equal(test.log.producers.describe()[0]?.lastSequence, end - 1)
    assert.equal(test.log.epochs.latestEpoch, end > 20 ? 2 : 1)
  }
  await test.append(makeBatch(2, 30, { producerId: 1, producerEpoch: 0, baseSequence: 4 }), 3)
  await test.log.close(true)
  const again = await TestLog.open(world, directory, config, { cleanShutdown: true })
  assert.equal(again.log.logEndOffset, 6)
  await again.log.truncateFullyAndStartAt(1000)
  assert.deepEqual([again.log.logStartOffset, again.log.logEndOffset], [1000, 1000])
  assert.equal(await again.append(makeBatch(1)), 1000)
  assert.equal((await again.readAll()).length, 1)
  await again.log.close(true)
})

onEveryDisk('a segment takes the place of closed ones', async (world, directory) => {
  const config = { segmentBytes: 400, indexIntervalBytes: 100, fileDeleteDelayMs: 1 }
  const test = await TestLog.open(world, directory, config)
  for (let i = 0; i < 20; i++) await test.append(makeBatch(1, 50))
  const all = await test.readAll()
  const replaced = test.log.segments.slice(0, 3)
  const endOffset = test.log.segments[3]!.baseOffset
  const kept = all.filter(
    (bytes) => batch.baseOffset(bytes, 0) % 2 === 1 && batch.baseOffset(bytes, 0) < endOffset,
  )
  const replacement = test.log.beginReplacement(0)
  await replacement.append(Buffer.concat(kept))
  await test.log.replaceSegments(replaced, replacement, new Set())
  const expected = [...kept, ...all.filter((bytes) => batch.baseOffset(bytes, 0) >= endOffset)]
  assert.deepEqual(await test.readAll(), expected)
  assert.deepEqual(await test.readAll(0, 100), expected)
  await test.log.close(true)
  const again = await TestLog.open(world, directory, config, { cleanShutdown: true })
  assert.deepEqual(await again.readAll(), expected)
  const empty = again.log.beginReplacement(0)
  await again.log.replaceSegments(again.log.segments.slice(0, 1), empty, new Set())
  assert.deepEqual(await again.readAll(), expected.slice(kept.length))
  await again.log.close(false)
  const last = await TestLog.open(world, directory, config)
  assert.deepEqual(await last.readAll(), expected.slice(kept.length))
  await last.log.close(true)
})

onEveryDisk('flushing moves the durable end and the recovery point', async (world, directory) => {
  const test = await TestLog.open(world, directory, { segmentBytes: 500 })
  for (let i = 0; i < 3; i++) await test.append(makeBatch(1, 50))
  assert.equal(test.log.durableEndOffset, 0)
  assert.ok(test.log.dirtySinceMs >= 0)
  assert.equal(await test.flush(), true)
  assert.deepEqual([test.log.durableEndOffset, test.log.recoveryPoint, test.log.dirtySinceMs], [3, 3, -1])
  test.log.updateConfig({ ...test.log.config, flushMessages: 1 })
  for (let i = 0; i < 10; i++) await test.append(makeBatch(1, 50))
  assert.equal(test.log.durableEndOffset, 13)
  test.log.updateConfig({ ...test.log.config, flushMessages: 4 })
  for (let i = 0; i < 3; i++) await test.append(makeBatch(1, 50))
  assert.ok(test.log.durableEndOffset < 16)
  await test.append(makeBatch(1, 50))
  assert.equal(test.log.durableEndOffset, 17)
  await test.log.close(true)
})

test('a write that fails ends the log, once', async () => {
  const sim = new SimWorld(2)
  await sim.run(async () => {
    const { world } = sim.start()
    const test = await TestLog.open(world, '/data/t-0')
    await test.append(makeBatch(1))
    sim.faults.add({ operation: 'write', code: 'EIO', path: /\.log$/ })
    await assert.rejects(test.append(makeBatch(1)))
    assert.equal(test.failure?.code, 'SAMSA_DISK_IO')
    sim.faults.clear()
    assert.equal(test.log.append(makeBatch(1), 0).errorCode, ErrorCode.KAFKA_STORAGE_ERROR)
    assert.equal((await test.read(0)).errorCode, ErrorCode.KAFKA_STORAGE_ERROR)
    assert.equal(await test.flush(), false)
    await test.log.close(true)
  })
})

test('a directory of another topic id is refused', async () => {
  const sim = new SimWorld(3)
  await sim.run(async () => {
    const { world } = sim.start()
    const test = await TestLog.open(world, '/data/t-0')
    await test.log.close(true)
    const other = TestLog.open(world, '/data/t-0', {}, { topicId: 'AAAAAAAAQACAAAAAAAAAAg' })
    await assert.rejects(other, { code: 'SAMSA_LOG_CORRUPT' })
    const any = await TestLog.open(world, '/data/t-0', {}, { topicId: null })
    assert.equal(any.log.topicId, 'AAAAAAAAQACAAAAAAAAAAQ')
    await any.log.close(false)
  })
})

test('a gap of compacted offsets is read over', async () => {
  const sim = new SimWorld(4)
  await sim.run(async () => {
    const { world } = sim.start()
    const test = await TestLog.open(world, '/data/t-0', { segmentBytes: 300 })
    for (let i = 0; i < 9; i++) await test.append(makeBatch(1, 100))
    const [first, second] = test.log.segments
    const replacement = test.log.beginReplacement(first!.baseOffset)
    await replacement.append(buildBatch([{ key: null, value: null, timestampMs: NOW }], { baseOffset: 0 }))
    await test.log.replaceSegments([first!, second!], replacement, new Set())
    const next = test.log.segments[1]!.baseOffset
    assert.equal(next, 2)
    const result = await test.read(1)
    assert.equal(batch.baseOffset(result.buffers[0]!, 0), next)
    await test.log.close(false)
  })
})
