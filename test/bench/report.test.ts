import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeMachine } from '../../bench/machine.ts'
import { median, pairedRatio } from '../../bench/measurement.ts'
import { markdownOf } from '../../bench/outcome.ts'
import { timeLeftMs } from '../../bench/progress.ts'
import {
  compare,
  failureLines,
  figuresTable,
  formatTable,
  judge,
  losersFirst,
  missedRows,
} from '../../bench/report.ts'
import { ROWS, selectRows } from '../../bench/rows.ts'
import { type RowResult, inTurn } from '../../bench/runner.ts'

function result(id: string, unit: 'req/s' | 'ms', ours: number[], peers: number[]): RowResult {
  const list = (values: number[]): { value: number; unit: 'req/s' | 'ms'; load: null }[] =>
    values.map((value) => ({ value, unit, load: null }))
  const row = ROWS.find((candidate) => candidate.id === id)
  assert.ok(row)
  return { row, measurements: { samsa: list(ours), kafka: list(peers) }, failures: {} }
}

test('medians', () => {
  assert.equal(median([3, 1, 2]), 2)
  assert.equal(median([4, 1, 2, 3]), 2.5)
  assert.ok(Number.isNaN(median([])))
})

test('ratios are taken pair by pair', () => {
  assert.deepEqual(pairedRatio([10, 40, 90], [10, 20, 30]), { median: 2, least: 1, greatest: 3 })
  assert.deepEqual(pairedRatio([10, 40], [10]), { median: 1, least: 1, greatest: 1 })
  assert.equal(pairedRatio([10], [0]), null)
  assert.equal(pairedRatio([], [1]), null)
})

test('a target is reached on its own side of the bound', () => {
  const ratio = (value: number): { median: number; least: number; greatest: number } => ({
    median: value,
    least: value,
    greatest: value,
  })
  assert.equal(judge({ bound: 'at least', ratio: 1.5, of: 'peer' }, ratio(1.5)), 'reached')
  assert.equal(judge({ bound: 'at least', ratio: 1.5, of: 'peer' }, ratio(1.49)), 'missed')
  assert.equal(judge({ bound: 'at most', ratio: 0.1, of: 'peer' }, ratio(0.1)), 'reached')
  assert.equal(judge({ bound: 'at most', ratio: 0.1, of: 'peer' }, ratio(0.11)), 'missed')
  assert.equal(judge({ bound: 'at most', ratio: 0.1, of: 'peer' }, null), 'no figure')
  assert.equal(judge({ bound: 'at most', ratio: 2, of: 'itself' }, ratio(9), [1.9, 2.5, 1]), 'reached')
  assert.equal(judge({ bound: 'at most', ratio: 2, of: 'itself' }, ratio(1), [2.1]), 'missed')
  assert.equal(judge({ bound: 'at most', ratio: 2, of: 'itself' }, null, []), 'no figure')
  assert.equal(judge(null, ratio(1)), null)
})

test('losses are shown and returned', () => {
  const won = result('produce-16p-16k', 'req/s', [300, 310, 290], [100, 100, 100])
  const lost = result('produce-16p-128k', 'req/s', [90, 80, 70], [100, 100, 100])
  const slow = result('fetch-16p-16k', 'req/s', [90], [100])
  const gone: RowResult = { ...result('start', 'ms', [], [4_000]), failures: { samsa: 'it ended' } }
  const table = figuresTable([won, lost, slow, gone], ['samsa', 'kafka']).split('\n')
  assert.match(table[2]!, /300 +100 +3\.00 +2\.90-3\.10 +>= 2\.00 +ok$/)
  assert.match(table[3]!, /80\.0 +100 +0\.80 +0\.70-0\.90 +>= 1\.50 +MISSED$/)
  assert.match(table[4]!, /0\.90 +0\.90-0\.90 +slower$/)
  assert.match(table[5]!, /failed +4,000 +<= 0\.10 +NO FIGURE$/)
  assert.deepEqual(
    missedRows([won, lost, slow, gone], 'samsa', 'kafka').map(({ id }) => id),
    ['produce-16p-128k', 'start'],
  )
  assert.deepEqual(failureLines([won, gone]), ['process start to first Produce, samsa: it ended'])
  assert.equal(compare(won, 'samsa', 'kafka').ratio?.median, 3)
})

test('what was lost comes first, also without a peer', () => {
  const won = result('produce-16p-16k', 'req/s', [300], [100])
  const slow = result('fetch-16p-16k', 'req/s', [90], [100])
  const lost = result('start', 'ms', [900], [1_000])
  const ids = (results: readonly RowResult[]): string[] => results.map(({ row }) => row.id)
  assert.deepEqual(ids(losersFirst([won, slow, lost], ['samsa', 'kafka'])), [
    'start',
    'fetch-16p-16k',
    'produce-16p-16k',
  ])
  const growth = result('produce-cold-growth', 'ms', [3], [])
  assert.deepEqual(ids(losersFirst([won, growth], ['samsa'])), ['produce-cold-growth', 'produce-16p-16k'])
  assert.match(figuresTable([growth], ['samsa']), /3\.00 +<= 2 +MISSED$/)
})

test('a table for a README has the figures with their ranges', () => {
  const markdown = markdownOf({
    startedAt: '',
    machine: describeMachine('.', '.'),
    settings: { repeats: 3 },
    targets: [
      { name: 'samsa', description: 'ours' },
      { name: 'kafka', description: 'theirs' },
    ],
    ceiling: [],
    device: ['the device alone'],
    results: [
      result('produce-16p-16k', 'req/s', [300, 310, 290], [100, 100, 100]),
      { ...result('start', 'ms', [], [4_000]), failures: { samsa: 'it ended' } },
    ],
  }).split('\n')
  assert.equal(
    markdown.find((line) => line.startsWith('| row')),
    '| row | samsa | kafka | ratio (range) | to reach |  |',
  )
  assert.deepEqual(markdown.slice(-4), [
    '| process start to first Produce | failed | 4,000 ms |  | <= 0.10 | NO FIGURE |',
    '| produce 16 partitions, 16 KiB batches | 300/s (290-310) | 100/s | 3.00 (2.90-3.10) | >= 2.00 | ok |',
    '',
    'process start to first Produce, samsa: it ended',
  ])
  assert.ok(markdown.includes('the device alone'))
})

test('tables line up', () => {
  const table = formatTable(['row', 'n'], [['a', '1'], ['longer', '1,000'], ['short']])
  assert.equal(table, 'row         n\n------  -----\na           1\nlonger  1,000\nshort')
})

test('rows are selected by id, by prefix, and never by a typo', () => {
  assert.deepEqual(
    selectRows(ROWS, ['start', 'e2e-*'], false).map(({ id }) => id),
    ['start', 'e2e-2000-p50', 'e2e-2000-p99'],
  )
  assert.throws(() => selectRows(ROWS, ['produce'], false), /no row is called 'produce'/)
  assert.equal(selectRows(ROWS, null, false).length, ROWS.length)
  assert.ok(selectRows(ROWS, null, true).length < ROWS.length)
  assert.equal(new Set(ROWS.map(({ id }) => id)).size, ROWS.length)
})

test('repeats interleave', () => {
  const order = [0, 1, 2].flatMap((repeat) => inTurn(['A', 'B'], repeat))
  assert.equal(order.join(''), 'ABBAAB')
})

test('the time left follows the pace so far', () => {
  assert.equal(timeLeftMs(1_000, 0, 50), 1_000)
  assert.equal(timeLeftMs(1_000, 500, 1_000), 1_000)
  assert.equal(timeLeftMs(1_000, 1_000, 5_000), 0)
})
