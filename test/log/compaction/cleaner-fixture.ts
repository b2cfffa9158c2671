import assert from 'node:assert/strict'
import * as batch from '../../../protocol/records/record-batch.ts'
import { readControlRecord, RecordReader } from '../../../protocol/records/record-reader.ts'
import type { LogConfig } from '../../../src/log/log-config.ts'
import type { LogManager } from '../../../src/log/manager/log-manager.ts'
import type { Log } from '../../../src/log/log.ts'
import { recordsOf } from '../../../src/log/compaction/cleaner-batch.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import type { SimProcess } from '../../simulator/sim-machine.ts'
import { logConfig, partitionOf, startManager } from '../manager/log-manager-fixture.ts'
import type { Partition } from '../manager/log-manager-fixture.ts'

export const compacted = logConfig({
  cleanupPolicy: { delete: false, compact: true },
  segmentBytes: 1000,
  flushMessages: 1,
  fileDeleteDelayMs: 1,
  deleteRetentionMs: 50_000,
})

/** No rounds of its own: the tests say when. */
export const quiet = { cleaner: { enabled: true, backoffMs: 2 ** 31 - 1 } }

/** What a consumer that reads everything ends up with. */
export function replay(
  records: readonly (readonly [number, string | null, string | null])[],
): Map<string, string> {
  const state = new Map<string, string>()
  for (const [, key, value] of records) {
    if (key === null) continue
    if (value === null) state.delete(key)
    else state.set(key, value)
  }
  return state
}

export interface Scene {
  readonly sim: SimWorld
  readonly process: SimProcess
  readonly manager: LogManager
  readonly partition: Partition
  /** Wall clock of the process. */
  readonly now: () => number
}

export async function scene(
  seed: number,
  config: LogConfig,
  body: (scene: Scene) => Promise<void>,
  cleaner: Partial<{ maxMapBytes: number; maxBytesPerSecond: number }> = {},
): Promise<void> {
  const sim = new SimWorld(seed)
  await sim.run(async () => {
    const process = sim.start()
    const manager = await startManager(process, { cleaner: { ...quiet.cleaner, ...cleaner } }, config)
    const partition = await partitionOf(manager, 't', 0, config)
    await body({ sim, process, manager, partition, now: () => process.world.clock.nowMs() })
  })
}

/** Every batch of the log, as readers get them. */
export async function readBatches(log: Log): Promise<Buffer[]> {
  const batches: Buffer[] = []
  let offset = log.logStartOffset
  while (offset < log.writtenEndOffset) {
    const { errorCode, buffers, nextOffset } = await new Promise<{
      errorCode: number
      buffers: Buffer[]
      nextOffset: number
    }>((resolve) => log.read(offset, 64 * 1024, log.writtenEndOffset, true, resolve))
    assert.equal(errorCode, 0)
    const bytes = Buffer.concat(buffers)
    for (let at = 0; at < bytes.length; at += batch.batchSizeBytes(bytes, at)) {
      assert.equal(batch.batchProblem(bytes, at, bytes.length), null)
      batches.push(bytes.subarray(at, at + batch.batchSizeBytes(bytes, at)))
    }
    assert(nextOffset > offset, `nothing at ${offset}`)
    offset = nextOffset
  }
  return batches
}

/** What a consumer with read_committed gets: it does with the list of aborted transactions what Kafka's client does. */
export async function readCommitted(log: Log): Promise<(readonly [number, string | null, string | null])[]> {
  const coming = log.abortedTransactions
    .within(log.logStartOffset, log.writtenEndOffset)
    .toSorted((left, right) => left.firstOffset - right.firstOffset)
  const aborted = new Set<number>()
  const records: (readonly [number, string | null, string | null])[] = []
  for (const bytes of await readBatches(log)) {
    while (coming.length > 0 && coming[0]!.firstOffset <= batch.lastOffset(bytes, 0))
      aborted.add(coming.shift()!.producerId)
    const producerId = batch.producerId(bytes, 0)
    if (batch.isControl(bytes, 0)) {
      const marker = readControlRecord(bytes, batch.BATCH_OVERHEAD, bytes.length)
      if (marker?.type === 0) aborted.delete(producerId)
      continue
    }
    if (batch.isTransactional(bytes, 0) && aborted.has(producerId)) continue
    const reader = new RecordReader(recordsOf(bytes, 0, 1 << 30), batch.recordCount(bytes, 0))
    while (reader.next())
      records.push([
        batch.baseOffset(bytes, 0) + reader.offsetDelta,
        reader.key()?.toString() ?? null,
        reader.value()?.toString() ?? null,
      ])
    assert.equal(reader.problem, null)
  }
  return records
}
