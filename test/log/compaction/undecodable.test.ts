import assert from 'node:assert/strict'
import { test } from 'node:test'
import zlib from 'node:zlib'
import * as batch from '../../../protocol/records/record-batch.ts'
import { wrapRecords } from '../../../protocol/records/record-builder.ts'
import type { LogConfig } from '../../../src/log/log-config.ts'
import { batchOf, logConfig } from '../manager/log-manager-fixture.ts'
import type { Entry, Partition } from '../manager/log-manager-fixture.ts'
import { compacted, readBatches, scene } from './cleaner-fixture.ts'

const config = { ...compacted, minCleanableDirtyRatio: 0, deleteRetentionMs: 20_000 }
const TOLD = 'compaction keeps batches as they are that do not decode, and the tombstones behind them'
const UNDECODABLE = 'samsa_log_cleaner_undecodable_batches_total'

/** As it may stand in a log that was not compacted when it was produced: the checksum is right, the records are not. */
function undecodable(nowMs: number): Buffer {
  const bytes = batchOf([['user-1', 'x'.repeat(300)]], nowMs)
  bytes.writeInt16BE(1, 21)
  batch.setCrc(bytes, 0)
  return bytes
}

function unparsable(nowMs: number): Buffer {
  return wrapRecords(Buffer.from('no records'), 3, {
    lastOffsetDelta: 2,
    baseTimestampMs: nowMs,
    maxTimestampMs: nowMs,
  })
}

async function put(partition: Partition, entries: readonly Entry[], nowMs: number): Promise<void> {
  for (const entry of entries) assert((await partition.append(batchOf([entry], nowMs))) >= 0)
}

function numbered(name: string, count = 6): Entry[] {
  return Array.from({ length: count }, (_, i) => [`${name}-${i}`, 'x'.repeat(300)])
}

for (const [what, make] of [
  ['whose codec does not decode', undecodable],
  ['whose records do not parse', unparsable],
] as const) {
  test(`a batch ${what} is kept as it is and told of once; the rest is compacted`, async () => {
    await scene(1, config, async ({ sim, process, manager, partition, now }) => {
      const bad = make(now())
      await put(partition, [...numbered('a'), ['k', 'old']], now())
      assert((await partition.append(bad)) >= 0)
      const stored = Buffer.from(bad)
      await put(partition, [['k', 'new'], ...numbered('a'), ...numbered('b')], now())
      for (let pass = 0; pass < 3; pass++) {
        await manager.clean()
        await sim.sleep(30_000)
        await put(partition, numbered(`pass ${pass}`), now())
      }
      assert(!partition.hasFailed)
      const left = await readBatches(partition.log)
      assert.equal(left.filter((bytes) => bytes.equals(stored)).length, 1)
      const keys = left.map((bytes) => bytes.toString('latin1')).join('')
      assert(!keys.includes('old') && keys.includes('new'), 'what a readable batch holds is compacted')
      assert.equal(process.logger.messages('warn').filter((message) => message === TOLD).length, 1)
      assert.equal(process.metrics.count(UNDECODABLE), 1)
      assert.deepEqual(process.logger.messages('error'), [])
    })
  })
}

test('what a later tombstone deletes may stand in a batch that cannot be read: that tombstone stays', async () => {
  await scene(2, config, async ({ sim, manager, partition, now }) => {
    await put(partition, [['user-2', null]], now())
    assert((await partition.append(undecodable(now()))) >= 0)
    await put(partition, [['user-1', null], ...numbered('a')], now())
    for (const name of ['b', 'c', 'd']) {
      await manager.clean()
      await sim.sleep(30_000)
      await put(partition, numbered(name), now())
    }
    const keys = (await readBatches(partition.log)).map((bytes) => bytes.toString('latin1'))
    assert.equal(keys.filter((text) => text.includes('user-2')).length, 0, 'one before it goes in time')
    assert.equal(keys.filter((text) => text.includes('user-1') && text.length < 100).length, 1)
  })
})

/** A batch of less than 1 MB that decompresses to 1 GiB. */
function bomb(nowMs: number): Buffer {
  const member = zlib.gzipSync(Buffer.alloc(8 << 20))
  const body = Buffer.concat(Array.from({ length: 128 }, () => member))
  const bytes = Buffer.alloc(batch.BATCH_OVERHEAD + body.length)
  wrapRecords(Buffer.alloc(0), 1, { lastOffsetDelta: 0, baseTimestampMs: nowMs, maxTimestampMs: nowMs }).copy(
    bytes,
  )
  body.copy(bytes, batch.BATCH_OVERHEAD)
  bytes.writeInt32BE(bytes.length - batch.LOG_OVERHEAD, 8)
  bytes.writeInt16BE(1, 21)
  batch.setCrc(bytes, 0)
  return bytes
}

test('a batch that decompresses to 1 GiB costs compaction no more than produce would allow', async () => {
  const large: LogConfig = { ...config, segmentBytes: logConfig().segmentBytes, maxCompactionLagMs: 1000 }
  await scene(3, large, async ({ sim, process, manager, partition, now }) => {
    const bytes = bomb(now())
    assert(bytes.length < 1_100_000)
    for (let i = 0; i < 4; i++) assert((await partition.append(Buffer.from(bytes))) >= 0)
    await sim.sleep(2000)
    await manager.clean()
    await put(partition, [['k', 'v']], now())
    const beforeKiB = globalThis.process.resourceUsage().maxRSS
    await manager.clean()
    const grownMiB = (globalThis.process.resourceUsage().maxRSS - beforeKiB) / 1024
    assert.equal(process.metrics.count(UNDECODABLE), 4)
    assert.equal((await readBatches(partition.log)).length, 5)
    assert(grownMiB < 100, `${grownMiB} MiB more`)
  })
})

test('a chunk full of small batches that decompress to much lets requests through in between', async () => {
  const limitBytes = 4 * config.maxMessageBytes
  const nowMs = 1_700_000_000_000
  const value = 'x'.repeat(limitBytes - 1000)
  const one = batchOf([['k', value]], nowMs, { codec: 1 })
  assert(one.length < 20_000)
  const roomy: LogConfig = { ...config, segmentBytes: 200_000, maxCompactionLagMs: 1000 }
  await scene(4, roomy, async ({ sim, process, manager, partition }) => {
    for (let i = 0; i < 30; i++) assert((await partition.append(Buffer.from(one))) >= 0)
    await sim.sleep(2000)
    let turns = 0
    let done = false
    const count = (): void => {
      turns++
      if (!done) process.world.clock.after(1, count)
    }
    count()
    // Time passes in the simulation when somebody waits, not while something is computed.
    const startedMs = performance.now()
    const real = process.clock.monotonicMs.bind(process.clock)
    process.clock.monotonicMs = () => real() + Math.floor(performance.now() - startedMs)
    await manager.clean()
    done = true
    assert(turns > 20, `${turns} turns`)
    const [newest] = (await readBatches(partition.log)).slice(-1)
    assert(newest !== undefined && newest.length < 20_000)
  })
})
