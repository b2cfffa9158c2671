import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import * as batch from '../../protocol/records/record-batch.ts'
import { buildBatch } from '../../protocol/records/record-builder.ts'
import type { BatchOptions, NewRecord } from '../../protocol/records/record-builder.ts'
import type { SamsaError } from '../../src/core/samsa-error.ts'
import { defaultLogConfig } from '../../src/log/log-config.ts'
import type { LogConfig } from '../../src/log/log-config.ts'
import type { LogOptions, ReadResult } from '../../src/log/log-types.ts'
import { Log } from '../../src/log/log.ts'
import type { World } from '../../src/ports.ts'
import { startSystemWorld } from '../../src/system/system-world.ts'
import { SimWorld } from '../simulator/sim-world.ts'
import { skipMissing } from '../support/requirements.ts'

export const TOPIC_ID = 'AAAAAAAAQACAAAAAAAAAAQ'
export const NOW = 1_700_000_000_000

type Body = (world: World, directory: string, sim: SimWorld | null) => Promise<void>

/** The same test over the simulated disk, and over the real one by either engine. */
export function onEveryDisk(name: string, body: Body): void {
  test(`${name} (simulated disk)`, async () => {
    const sim = new SimWorld(1)
    await sim.run(() => body(sim.start().world, '/data/t-0', sim))
  })
  for (const mode of ['threads', 'uring'] as const) {
    test(`${name} (${mode})`, async (t) => {
      const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'samsa-log-'))
      try {
        const engineOptions = { mode: mode === 'uring' ? 'auto' : mode, directories: [directory] } as const
        const { world, engine, close } = await startSystemWorld({}, engineOptions)
        if (engine.io === mode) await body(world, `${directory}/t-0`, null)
        else skipMissing(t, engine.description)
        close()
      } finally {
        fs.rmSync(directory, { recursive: true })
      }
    })
  }
}

/** A log, and what it told its owner. */
export class TestLog {
  readonly log: Log
  failure: SamsaError | null = null
  writes = 0
  #waiting: { endOffset: number; resolve: () => void; reject: (error: Error) => void }[] = []

  private constructor(open: (test: TestLog) => Log) {
    this.log = open(this)
  }

  static async open(
    world: Pick<World, 'clock' | 'disk' | 'logger'>,
    directory: string,
    config: Partial<LogConfig> = {},
    more: Partial<LogOptions> = {},
  ): Promise<TestLog> {
    let test: TestLog | null = null
    const log = await Log.open(world, {
      directory,
      topic: 't',
      partition: 0,
      topicId: TOPIC_ID,
      config: { ...defaultLogConfig, ...config },
      recoveryPoint: 0,
      logStartOffset: 0,
      cleanShutdown: false,
      onWritten: (endOffset) => test?.written(endOffset),
      onFailed: (error) => test?.failed(error),
      ...more,
    })
    test = new TestLog(() => log)
    return test
  }

  written(endOffset: number): void {
    assert.equal(endOffset, this.log.writtenEndOffset)
    this.writes++
    for (const waiting of this.#waiting) if (waiting.endOffset <= endOffset) waiting.resolve()
    this.#waiting = this.#waiting.filter((waiting) => waiting.endOffset > endOffset)
  }

  failed(error: SamsaError): void {
    assert.equal(this.failure, null, 'reported twice')
    this.failure = error
    for (const waiting of this.#waiting.splice(0)) waiting.reject(error)
  }

  /** Resolves to the base offset once it is written. */
  async append(bytes: Buffer, leaderEpoch = 0): Promise<number> {
    const result = this.log.append(bytes, leaderEpoch)
    assert.equal(result.errorCode, 0, result.errorMessage ?? '')
    await this.reached(result.lastOffset + 1)
    return result.baseOffset
  }

  reached(endOffset: number): Promise<void> {
    if (this.log.writtenEndOffset >= endOffset) return Promise.resolve()
    return new Promise((resolve, reject) => this.#waiting.push({ endOffset, resolve, reject }))
  }

  read(offset: number, maxBytes = 1 << 20, maxOffset = Infinity, minOneBatch = true): Promise<ReadResult> {
    return new Promise((resolve) => this.log.read(offset, maxBytes, maxOffset, minOneBatch, resolve))
  }

  /** All batches from `offset` to the end, each as a buffer of its own. */
  async readAll(offset: number = this.log.logStartOffset, maxBytes = 1 << 20): Promise<Buffer[]> {
    const batches: Buffer[] = []
    let next = offset
    while (next < this.log.writtenEndOffset) {
      const result = await this.read(next, maxBytes)
      assert.equal(result.errorCode, 0)
      assert.ok(result.sizeBytes > 0, `nothing at ${next}`)
      assert.ok(result.nextOffset > next)
      for (const bytes of split(Buffer.concat(result.buffers))) {
        if (batch.lastOffset(bytes, 0) >= next) batches.push(bytes)
      }
      next = result.nextOffset
    }
    return batches
  }

  flush(): Promise<boolean> {
    return new Promise((resolve) => this.log.flush(resolve))
  }
}

export function split(bytes: Buffer): Buffer[] {
  const batches: Buffer[] = []
  for (let at = 0; at < bytes.length; at += batch.batchSizeBytes(bytes, at)) {
    assert.equal(batch.batchProblem(bytes, at, bytes.length), null)
    batches.push(bytes.subarray(at, at + batch.batchSizeBytes(bytes, at)))
  }
  return batches
}

/** A batch of `count` records with values of `valueBytes`. */
export function makeBatch(
  count = 1,
  valueBytes = 10,
  options: BatchOptions & { readonly timestampMs?: number } = {},
): Buffer {
  const records: NewRecord[] = []
  for (let i = 0; i < count; i++) {
    records.push({
      key: Buffer.from(`k${i}`),
      value: Buffer.alloc(valueBytes, i),
      timestampMs: (options.timestampMs ?? NOW) + i,
    })
  }
  return buildBatch(records, options)
}

/** What a batch holds, apart from what the log stamps on it. */
export function content(bytes: Buffer): string {
  return bytes.subarray(batch.CRC_START).toString('base64')
}

/** A log of twelve batches in several segments, closed cleanly; all that it holds. */
export async function writeTwelve(
  world: Pick<World, 'clock' | 'disk' | 'logger'>,
  directory: string,
  config: Partial<LogConfig>,
): ReturnType<TestLog['readAll']> {
  const log = await TestLog.open(world, directory, config)
  for (let i = 0; i < 12; i++) await log.append(makeBatch(1, 100 + i))
  const all = await log.readAll()
  await log.log.close(true)
  return all
}

export function segmentNames(world: Pick<World, 'disk'>, directory: string, suffix = '.log'): string[] {
  return world.disk
    .list(directory)
    .filter((name) => name.endsWith(suffix))
    .sort()
}
