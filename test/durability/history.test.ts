import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Contents } from './contents.ts'
import { PartitionHistory } from './history.ts'
import type { AckedBatch, FoundLog } from './workload.ts'

const options = {
  topic: 't',
  partition: 0,
  stream: 1,
  contents: new Contents(1),
  random: null as never,
  acks: 1 as const,
  idempotent: false,
}

const found = (counters: number[], startOffset = 0, sizeBytes = 100): FoundLog => ({
  startOffset,
  counters,
  sizeBytes,
})

/** A history whose producer sent the counters 0..9 and had the given ones acknowledged, each at its own offset. */
function history(ackedOffsets: readonly number[]) {
  const acked: AckedBatch[] = ackedOffsets.map((offset) => ({
    baseOffset: offset,
    first: offset,
    count: 1,
    atMs: 1_000 + offset,
  }))
  const producer = { options, acked, nextCounter: 10, resendFrom: 10 }
  return { producer, checked: new PartitionHistory(producer) }
}

describe('the checker of durability tests', () => {
  test('is content with everything, and with an unanswered record in it', () => {
    const verdict = history([0, 1, 2]).checked.check(found([0, 1, 2, 3]), { acked: 'all' })
    assert.deepEqual(verdict, { acked: 3, lost: 0, oldestLostMs: Infinity, problems: [] })
  })

  test('counts what is lost, and objects when it was promised', () => {
    const prefix = history([0, 1, 2]).checked.check(found([0]), { acked: 'prefix' })
    assert.deepEqual(prefix, { acked: 3, lost: 2, oldestLostMs: 1_001, problems: [] })
    const all = history([0, 1, 2]).checked.check(found([0]), { acked: 'all' })
    assert.match(all.problems.join(), /2 of 3 acknowledged records are lost/)
  })

  test('sees another record at an acknowledged offset', () => {
    const verdict = history([0, 1]).checked.check(found([0, 2]), { acked: 'prefix' })
    assert.match(verdict.problems.join(), /offset 1 was acknowledged to record 1/)
  })

  test('sees duplicates, steps back and records that nobody sent', () => {
    const check = (counters: number[]) =>
      history([]).checked.check(found(counters), { acked: 'prefix' }).problems.join()
    assert.match(check([0, 1, 1]), /record 1 at offset 2 follows record 1/)
    assert.match(check([0, 2, 1]), /follows record 2/)
    assert.match(check([0, 10]), /record 10 at offset 1 was never sent/)
  })

  test('holds a broker to what it served after a recovery, in every mode', () => {
    const { checked, producer } = history([0, 1, 2])
    assert.deepEqual(checked.check(found([0, 1]), { acked: 'prefix' }).problems, [])
    producer.acked = []
    assert.match(
      checked.check(found([0]), { acked: 'prefix' }).problems.join(),
      /1 records are gone that were served/,
    )
  })

  test('sees a record come back that was lost before', () => {
    const { checked, producer } = history([0, 1, 2])
    checked.check(found([0, 1]), { acked: 'prefix' })
    producer.acked = []
    producer.nextCounter = 20
    assert.match(
      checked.check(found([0, 1, 2, 12]), { acked: 'prefix' }).problems.join(),
      /record 2 at offset 2 was gone and is back/,
    )
  })

  test('sees a log that gave up more than retention allows', () => {
    const check = (log: FoundLog, keptBytes?: number) =>
      history([0, 1, 2])
        .checked.check(log, { acked: 'all', ...(keptBytes === undefined ? {} : { keptBytes }) })
        .problems.join()
    assert.equal(check(found([1, 2], 1, 50), 50), '')
    assert.match(check(found([1, 2], 1, 49), 50), /49 bytes are left from offset 1/)
    assert.match(check(found([1, 2], 1)), /the log begins at offset 1/)
  })

  test('knows the bytes of a value', () => {
    const contents = new Contents(7)
    for (let counter = 0; counter < 100; counter++) {
      const value = contents.value(3, counter)
      assert.equal(contents.counterOf(3, value), counter)
      assert.equal(contents.counterOf(4, value), -1)
      assert.equal(contents.counterOf(3, value.subarray(0, -1)), -1)
      const at = (counter * 31) % value.length
      value[at]! ^= 1
      assert.equal(contents.counterOf(3, value), -1, `a flipped bit at ${at} of ${value.length}`)
    }
  })
})
