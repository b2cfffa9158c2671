import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProtocolError } from '../../../protocol/protocol-error.ts'
import { BATCH_OVERHEAD } from '../../../protocol/records/record-batch.ts'
import { buildBatch, wrapRecords } from '../../../protocol/records/record-builder.ts'
import type { BatchOptions } from '../../../protocol/records/record-builder.ts'
import { GroupReplay } from '../../../src/broker/groups/group-replay.ts'
import type { DamagedBatch } from '../../../src/broker/groups/group-replay.ts'

const NOW = 1_800_000_000_000
const ABORT = 0
const COMMIT = 1

type Pair = readonly [key: string | null, value: string | null]

const bytes = (text: string | null): Buffer | null => (text === null ? null : Buffer.from(text))

function batchOf(pairs: readonly Pair[], options: BatchOptions = {}): Buffer {
  return buildBatch(
    pairs.map(([key, value]) => ({ key: bytes(key), value: bytes(value), timestampMs: NOW })),
    options,
  )
}

function held(producerId: number, ...pairs: Pair[]): Buffer {
  return batchOf(pairs, { producerId, producerEpoch: 0, transactional: true })
}

function marker(producerId: number, type: number): Buffer {
  const record = { key: Buffer.from([0, 0, 0, type]), value: Buffer.alloc(6), timestampMs: NOW }
  return buildBatch([record], { producerId, producerEpoch: 0, transactional: true, control: true })
}

function replayOf(...given: readonly Buffer[]): { pairs: Pair[]; openTransactions: number } {
  return replayTelling(assert.fail, ...given)
}

function replayTelling(
  damaged: DamagedBatch,
  ...given: readonly Buffer[]
): { pairs: Pair[]; openTransactions: number } {
  const pairs: Pair[] = []
  const replay = new GroupReplay((key, value) => {
    pairs.push([key.toString(), value === null ? null : value.toString()])
  }, damaged)
  for (const batch of given) {
    replay.batch(batch)
    // What was held must be a copy: the log shows its own buffer.
    batch.fill(0)
  }
  return { pairs, openTransactions: replay.openTransactions }
}

test('records in their order, without those that have no key', () => {
  for (const codec of [0, 1])
    assert.deepEqual(
      replayOf(
        batchOf(
          [
            ['a', '1'],
            [null, 'x'],
            ['b', null],
          ],
          { codec },
        ),
        batchOf([['a', '2']]),
      ),
      {
        pairs: [
          ['a', '1'],
          ['b', null],
          ['a', '2'],
        ],
        openTransactions: 0,
      },
    )
})

test('what is in a transaction counts when it is committed, and only then', () => {
  assert.deepEqual(
    replayOf(
      held(1, ['a', '1']),
      held(2, ['b', '2']),
      held(3, ['never', '3']),
      batchOf([['c', '3']]),
      held(1, ['d', null], [null, 'x']),
      marker(2, ABORT),
      marker(1, COMMIT),
      marker(1, COMMIT),
      marker(4, COMMIT),
    ),
    {
      pairs: [
        ['c', '3'],
        ['a', '1'],
        ['d', null],
      ],
      openTransactions: 1,
    },
  )
})

test('a batch that says it has more than it has, or is of an old format, is damage and not an end', () => {
  const whole = batchOf([
    ['a', '1'],
    ['b', '2'],
  ])
  const claims = { lastOffsetDelta: 2, baseTimestampMs: NOW, maxTimestampMs: NOW }
  const short = wrapRecords(whole.subarray(BATCH_OVERHEAD), 3, claims)
  assert.throws(() => replayOf(short), ProtocolError)
  whole[16] = 1
  assert.throws(() => replayOf(whole), { message: 'record batch of an old format' })
})

test('a batch of which a bit is another is told of and left out, and no transaction that was open then counts', () => {
  const damagedBatch = batchOf([['a', '2']], { baseOffset: 7 })
  for (let at = 21; at < damagedBatch.length; at++) {
    const batch = Buffer.from(damagedBatch)
    batch[at]! ^= 1
    const told: unknown[] = []
    const { pairs, openTransactions } = replayTelling(
      (...damage) => told.push(damage),
      batchOf([['a', '1']]),
      held(1, ['b', 'perhaps aborted']),
      batch,
      held(1, ['b', '3']),
      marker(1, COMMIT),
    )
    assert.deepEqual(pairs, [
      ['a', '1'],
      ['b', '3'],
    ])
    assert.equal(openTransactions, 0)
    assert.equal(told.length, 1)
    assert.equal((told[0] as [number, string])[0], 7)
  }
})
