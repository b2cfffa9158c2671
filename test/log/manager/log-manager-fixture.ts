import assert from 'node:assert/strict'
import * as batch from '../../../protocol/records/record-batch.ts'
import { buildBatch } from '../../../protocol/records/record-builder.ts'
import type { BatchOptions } from '../../../protocol/records/record-builder.ts'
import { RecordReader } from '../../../protocol/records/record-reader.ts'
import { AppendLine } from '../../../src/broker/produce/append-line.ts'
import { recordsOf } from '../../../src/log/compaction/cleaner-batch.ts'
import { defaultLogConfig } from '../../../src/log/log-config.ts'
import type { LogConfig } from '../../../src/log/log-config.ts'
import type { LogManagerOptions } from '../../../src/log/manager/log-manager-types.ts'
import { LogManager } from '../../../src/log/manager/log-manager.ts'
import type { Log } from '../../../src/log/log.ts'
import type { ReadResult } from '../../../src/log/log-types.ts'
import type { SimProcess } from '../../simulator/sim-machine.ts'

export const CLUSTER = 'cluster-of-the-tests'
export const TOPIC_ID = 'AAAAAAAAQACAAAAAAAAAAQ'
export const OTHER_TOPIC_ID = 'AAAAAAAAQACAAAAAAAAAAg'

export const options: LogManagerOptions = {
  logDirs: ['/data/one'],
  nodeId: 1,
  recoveryThreadsPerDirectory: 2,
  retentionCheckIntervalMs: 300_000,
  checkpointIntervalMs: 60_000,
  cleaner: { enabled: true, backoffMs: 15_000 },
  onAllDirectoriesFailed: () => {},
}

export function logConfig(config: Partial<LogConfig> = {}): LogConfig {
  return { ...defaultLogConfig, ...config }
}

export const durable = logConfig({ flushMessages: 1 })

/** Opens and loads. Every partition found is taken, with `config`. */
export async function startManager(
  process: SimProcess,
  more: Partial<LogManagerOptions> = {},
  config: LogConfig = durable,
): Promise<LogManager> {
  const manager = await LogManager.open(process.world, { ...options, ...more })
  await manager.load(manager.clusterId ?? CLUSTER, 5, () => config)
  return manager
}

/** Waits for what a log writes, as a partition does. */
export class Partition {
  log: Log
  readonly appendLine = new AppendLine()
  highWatermark: number
  hasFailed = false
  #waiting: { endOffset: number; settle: (ok: boolean) => void }[] = []

  constructor(manager: LogManager, log: Log) {
    this.log = log
    this.highWatermark = log.writtenEndOffset
    manager.listen(log, this)
  }

  written(endOffset: number): void {
    this.highWatermark = endOffset
    for (const waiting of this.#waiting) if (waiting.endOffset <= endOffset) waiting.settle(true)
    this.#waiting = this.#waiting.filter((waiting) => waiting.endOffset > endOffset)
  }

  stalled(): void {
    for (const waiting of this.#waiting.splice(0)) waiting.settle(false)
  }

  holdAppends(): Promise<() => void> {
    return this.appendLine.halt()
  }

  moved(log: Log): void {
    this.log = log
  }

  failed(): void {
    this.hasFailed = true
    for (const waiting of this.#waiting.splice(0)) waiting.settle(false)
  }

  /** Resolves to the base offset once the batch is acknowledged; -1 when the log failed. */
  async append(bytes: Buffer): Promise<number> {
    if (!this.appendLine.isEmpty) await new Promise<void>((resolve) => this.appendLine.enter().ready(resolve))
    const result = this.log.append(bytes, 0)
    if (result.errorCode !== 0) return -1
    if (this.highWatermark > result.lastOffset) return result.baseOffset
    const ok = await new Promise<boolean>((settle) => {
      this.#waiting.push({ endOffset: result.lastOffset + 1, settle })
    })
    return ok ? result.baseOffset : -1
  }
}

export async function partitionOf(
  manager: LogManager,
  topic = 't',
  index = 0,
  config: LogConfig = durable,
  topicId = TOPIC_ID,
): Promise<Partition> {
  return new Partition(manager, await manager.getOrCreate(topic, index, topicId, config))
}

export type Entry = readonly [key: string | null, value: string | null]

export function batchOf(entries: readonly Entry[], timestampMs: number, more: BatchOptions = {}): Buffer {
  const records = entries.map(([key, value]) => ({
    key: key === null ? null : Buffer.from(key),
    value: value === null ? null : Buffer.from(value),
    timestampMs,
  }))
  return buildBatch(records, more)
}

function readOnce(log: Log, offset: number, endOffset: number): Promise<ReadResult> {
  return new Promise((resolve) => log.read(offset, 64 * 1024, endOffset, true, resolve))
}

/** `[offset, key, value]` of every record a consumer would get. Checks checksums and the order of offsets. */
export async function readAll(log: Log): Promise<(readonly [number, string | null, string | null])[]> {
  const records: (readonly [number, string | null, string | null])[] = []
  const endOffset = log.writtenEndOffset
  let offset = log.logStartOffset
  while (offset < endOffset) {
    const result = await readOnce(log, offset, endOffset)
    assert.equal(result.errorCode, 0)
    if (result.nextOffset <= offset) break
    const bytes = Buffer.concat(result.buffers)
    for (let at = 0; at < bytes.length; at += batch.batchSizeBytes(bytes, at)) {
      assert.equal(batch.batchProblem(bytes, at, bytes.length), null)
      const base = batch.baseOffset(bytes, at)
      assert(batch.lastOffset(bytes, at) >= offset, 'batches go back')
      if (!batch.isControl(bytes, at)) {
        const reader = new RecordReader(recordsOf(bytes, at, 1 << 30), batch.recordCount(bytes, at))
        while (reader.next())
          records.push([
            base + reader.offsetDelta,
            reader.key()?.toString() ?? null,
            reader.value()?.toString() ?? null,
          ])
        assert.equal(reader.problem, null)
      }
      offset = batch.lastOffset(bytes, at) + 1
    }
    offset = Math.max(offset, result.nextOffset)
  }
  return records
}
