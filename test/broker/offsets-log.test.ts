import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import { baseOffset } from '../../protocol/records/record-batch.ts'
import { buildBatch } from '../../protocol/records/record-builder.ts'
import { OffsetsLog } from '../../src/broker/offsets-log.ts'
import type { Partitions } from '../../src/broker/partitions.ts'
import type { ReadResult } from '../../src/log/log-types.ts'
import { ManualClock } from '../support/manual-clock.ts'

const LED = { index: 3, leaderEpoch: 5 }

/** Reads give all there is. */
function logOf(stored: Buffer, endOffset: number): OffsetsLog {
  const read = (
    _offset: number,
    _maxBytes: number,
    _limit: number,
    _minOneBatch: boolean,
    done: (result: Pick<ReadResult, 'errorCode' | 'buffers' | 'nextOffset'>) => void,
  ): void => done({ errorCode: 0, buffers: [stored], nextOffset: endOffset })
  const log = { logStartOffset: 0, logEndOffset: endOffset, writtenEndOffset: endOffset, read }
  const partitions = { leaderOf: () => ({ index: LED.index, leaderError: () => 0, log }) }
  const metadata = { topics: new Map(), autoCreateTopic: () => Promise.resolve(ErrorCode.NONE) }
  return new OffsetsLog(metadata, partitions as unknown as Partitions, new ManualClock(), () => false)
}

test('batches one by one; where one does not say how long it is the place is told, and nothing behind it is missing in silence', async () => {
  const record = { key: Buffer.from('k'), value: null, timestampMs: 0 }
  const batches = [0, 1, 3].map((offset) =>
    buildBatch(offset === 1 ? [record, record] : [record], { baseOffset: offset }),
  )
  const loaded: number[] = []
  const load = (stored: Buffer) => logOf(stored, 4).load(LED, (batch) => loaded.push(baseOffset(batch, 0)))
  await load(Buffer.concat(batches))
  assert.deepEqual(loaded.splice(0), [0, 1, 3])
  for (const length of [0, -12, -1, 1_000_000]) {
    const [first, second, third] = batches.map((batch) => Buffer.from(batch))
    third!.writeInt32BE(length, 8)
    await assert.rejects(load(Buffer.concat([first!, second!, third!])), {
      message: new RegExp(`^__consumer_offsets-3 is damaged at offset 3: batch length ${length} `),
    })
    assert.deepEqual(loaded.splice(0), [0, 1])
  }
})
