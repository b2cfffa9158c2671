import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildBatch } from '../../../protocol/records/record-builder.ts'
import type { LookupWork } from '../../../src/log/read/timestamp-lookup.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { lookupWork } from '../../support/lookup-work.ts'
import { NOW, TestLog } from '../log-fixture.ts'

async function withLog(body: (test: TestLog) => Promise<void>): Promise<void> {
  const sim = new SimWorld(1)
  await sim.run(async () => {
    const log = await TestLog.open(sim.start().world, '/data/t-0')
    await body(log)
    await log.log.close(true)
  })
}

function batchAt(timestampMs: number, maxTimestampMs: number): Buffer {
  const record = { key: null, value: Buffer.alloc(1000), timestampMs }
  return buildBatch([record, record], { codec: 1, maxTimestampMs })
}

test('headers that promise later records than there are cost a bounded part of a request, then they are believed', async () => {
  await withLog(async (test) => {
    const { log } = test
    const append = (batch: Buffer) => test.append(batch)
    for (let i = 0; i < 20; i++) await append(batchAt(NOW, NOW + 5000))
    const work: LookupWork = Object.assign(lookupWork(), { vainBytesLeft: 10_000 })
    const found = await log.offsetForTimestamp(NOW + 1000, Infinity, work)
    // Five of some 2,000 bytes were looked at in vain.
    assert.deepEqual(found, { offset: 10, timestamp: NOW + 5000, leaderEpoch: 0 })
    assert.equal((await log.offsetForTimestamp(NOW, Infinity, lookupWork()))?.offset, 0)
    assert.equal(await log.offsetForTimestamp(NOW + 1000, Infinity, lookupWork()), null)
  })
})

test('nanoseconds and the years before 1970 are found too', async () => {
  await withLog(async (test) => {
    const { log } = test
    const append = (batch: Buffer) => test.append(batch)
    await append(batchAt(-62_135_596_800_000, -1))
    await append(batchAt(NOW, NOW))
    const wide = batchAt(NOW, NOW)
    const nanoseconds = 1_795_994_149_195_660_170n
    wide.writeBigInt64BE(nanoseconds, 27)
    wide.writeBigInt64BE(nanoseconds, 35)
    await append(wide)
    const ask = async (timestamp: number) =>
      (await log.offsetForTimestamp(timestamp, Infinity, lookupWork()))?.offset
    assert.deepEqual([await ask(0), await ask(NOW + 1), await ask(Number(nanoseconds))], [2, 4, 4])
    assert.equal((await log.offsetOfMaxTimestamp(lookupWork()))?.offset, 4)
  })
})
