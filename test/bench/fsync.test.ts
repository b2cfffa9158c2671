import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CellFilter, chooseCells, groupCells } from '../../bench/fsync/cells.ts'
import { failures, mainCell, markdown, oneInFlight } from '../../bench/fsync/markdown.ts'
import { MODES, defaultModes, modeCalled } from '../../bench/fsync/modes.ts'
import { page } from '../../bench/fsync/page.ts'
import { barChart, lineChart, logTicks, niceBound, shortFigure, transform } from '../../bench/fsync/plot.ts'
import {
  type CellReport,
  type FsyncReport,
  type Sample,
  bestCell,
  mergedHistogram,
  summarize,
} from '../../bench/fsync/results.ts'
import { LatencyMeter } from '../../bench/load/meters.ts'

const ALL: CellFilter = { partitions: null, batches: null, inFlight: null }

test('cells: the whole matrix, few of them, or those that were named', () => {
  assert.equal(chooseCells(false, ALL).length, 4 * 3 * 3)
  const quick = chooseCells(true, ALL)
  assert.ok(quick.length < 10)
  assert.deepEqual([...new Set(quick.map(({ partitions }) => partitions))], [1, 100, 1_000])
  assert.deepEqual(chooseCells(true, { ...ALL, partitions: [7], inFlight: [80] }), [
    { partitions: 7, batch: '16k', inFlight: 80 },
  ])
  const groups = groupCells(chooseCells(false, ALL), false)
  assert.equal(groups.length, 12)
  assert.ok(groups.every(({ cells, half }) => cells.length === 3 && half))
})

test('modes: ours alone, and beside a peer', () => {
  assert.deepEqual(
    defaultModes(false, false).map(({ broker }) => broker),
    ['samsa', 'samsa', 'samsa', 'samsa'],
  )
  assert.equal(defaultModes(true, false).length, MODES.length)
  assert.ok(defaultModes(true, true).some(({ id }) => id === 'kafka-flush'))
  assert.throws(() => modeCalled('none'), /no mode is called 'none'/)
})

function sample(perSecond: number, latenciesUs: readonly number[]): Sample {
  const latency = new LatencyMeter()
  for (const us of latenciesUs) latency.record(us)
  return {
    residentMegabytes: 100,
    load: {
      elapsedMs: 1_000,
      requests: perSecond,
      payloadBytes: perSecond * 16_384,
      latency: latency.summary(),
      sendDelay: null,
      missedSlots: 0,
      errors: {},
      lost: 0,
      brokerCpu: { user: perSecond * 30, system: perSecond * 10 },
      generatorCpu: { user: 1, system: 1 },
      block: {
        writes: perSecond * 2,
        flushes: perSecond / 2,
        writtenBytes: perSecond * 20_000,
        readBytes: 0,
      },
    },
  }
}

function cellReport(rate: number, more: Partial<CellReport> = {}): CellReport {
  return {
    cell: { partitions: 100, batch: '16k', inFlight: 256 },
    pace: 'closed',
    mode: 'durable-threads',
    perSecond: null,
    samples: [sample(rate, [1_000, 2_000]), sample(rate * 2, [4_000]), sample(rate * 4, [8_000])],
    failure: null,
    ...more,
  }
}

const HOSTILE = '<b onload="x">&'

function report(cells: readonly CellReport[], more: Partial<FsyncReport> = {}): FsyncReport {
  return {
    startedAt: '2026-01-02T03:04:05.000Z',
    endedAt: '2026-01-02T03:05:05.000Z',
    command: `npm run bench:fsync -- ${HOSTILE}`,
    machine: {
      cpu: 'a processor',
      cores: 2,
      memoryBytes: 2 ** 34,
      kernel: 'Linux 6',
      node: 'v20',
      directory: '/data',
      fileSystem: 'ext2/3/4',
      commit: 'abc',
      loadAverage: 0.5,
    },
    device: {
      name: 'vda',
      statPath: '',
      model: '',
      number: '254:0',
      writeCache: 'write back',
      forcedUnitAccess: '0',
      scheduler: 'none',
    },
    mountOptions: 'rw',
    settings: {
      quick: true,
      repeats: { closed: 3, open: 1 },
      warmupMs: 300,
      measureMs: 1_000,
      stopAfterBytes: 1e9,
    },
    modes: MODES.map((mode) => ({
      mode,
      description: `${mode.id} as such`,
      engine: '',
      unavailable: mode.id === 'durable-uring' ? 'no io_uring here\nmore' : null,
      loss: mode.durable
        ? { rounds: 2, acknowledged: 1_000, lost: 0, maxLostMs: 0 }
        : { rounds: 2, acknowledged: 1_000, lost: 431, maxLostMs: 90 },
    })),
    ceilings: [],
    flush: { count: 10, p50: 120, p99: 300, perSecond: 8_000, block: null },
    ring: 'not available: no addon',
    cells,
    files: [],
    slow: 'not available: no control group',
    ...more,
  }
}

test('a summary holds medians, the range, and what a batch cost', () => {
  const summary = summarize(cellReport(100))
  assert.ok(summary)
  assert.deepEqual(summary.rate, { median: 200, least: 100, greatest: 400 })
  assert.equal(summary.cpuUser, 30)
  assert.equal(summary.cpuSystem, 10)
  assert.equal(summary.writes, 2)
  assert.equal(summary.flushes, 0.5)
  assert.equal(summarize(cellReport(1, { samples: [] })), null)
})

test('the best cell of a mode is the fastest over all numbers in flight', () => {
  const slow = cellReport(10, { cell: { partitions: 100, batch: '16k', inFlight: 1 } })
  const open = cellReport(1_000, { pace: 'half' })
  const fast = cellReport(100)
  const best = bestCell({ cells: [slow, open, fast] }, 'durable-threads', 100, '16k')
  assert.equal(best?.report, fast)
  assert.equal(bestCell({ cells: [slow] }, 'os', 100, '16k'), null)
})

test('histograms of the repeats are merged', () => {
  const merged = mergedHistogram(cellReport(100))
  assert.equal(merged?.totalCount, 4)
  assert.ok(Math.abs(merged.maxValue - 8_000) <= 8)
  assert.equal(mergedHistogram(cellReport(100, { samples: [] })), null)
})

test('scales', () => {
  assert.deepEqual(logTicks(10, 1_000), [10, 20, 50, 100, 200, 500, 1_000])
  assert.deepEqual(logTicks(1, 1e4), [1, 10, 100, 1_000, 10_000])
  assert.equal(niceBound(7, true), 10)
  assert.equal(niceBound(7, false), 5)
  assert.equal(niceBound(0.03, true), 0.05)
  assert.ok(Math.abs(transform('percentile', 0.999) - 3) < 1e-9)
  assert.deepEqual([0.25, 40, 3_000, 1_500_000].map(shortFigure), ['0.25', '40', '3k', '1.5M'])
})

test('a plot keeps its points inside and says nothing without any', () => {
  const series = [{ id: 'os', title: HOSTILE, points: [1, 10, 5_000].map((x) => ({ x, y: x * 7 })) }]
  const chart = {
    label: 'l',
    xTitle: 'x',
    yTitle: 'y',
    xScale: 'log',
    xTicks: [{ at: 1, label: '1' }],
  } as const
  const svg = lineChart({ ...chart, series })
  const places = [...svg.matchAll(/c([xy])="([\d.-]+)"/g)]
  assert.equal(places.length, 6)
  for (const [, axis, value] of places) {
    assert.ok(Number(value) >= 0 && Number(value) <= (axis === 'x' ? 480 : 330), svg)
  }
  assert.ok(!svg.includes(HOSTILE))
  assert.equal(lineChart({ ...chart, series: [] }), '')
  const rows = [{ id: 'os', label: HOSTILE, bars: [[{ value: NaN, kind: 0 as const }]] }]
  assert.doesNotMatch(barChart({ label: 'l', rows, text: () => HOSTILE }), /NaN|onload="x"/)
})

test('the page is one file: no scripts, nothing from elsewhere, names escaped', () => {
  const html = page(report([cellReport(100), cellReport(50, { mode: 'os' })]))
  assert.doesNotMatch(html, /<script|https?:\/\/|url\(|@import|<link|<img/)
  assert.ok(!html.includes(HOSTILE))
  assert.doesNotMatch(html, /NaN|undefined|Infinity/)
  for (const text of ['Linux 6', 'vda', 'ext2/3/4', 'abc', '2026-01-02 03:04', 'no io_uring here', '431'])
    assert.ok(html.includes(text), text)
  assert.match(page(report([])), /Nothing could be measured/)
})

test('the tables: losses beside what was promised, missing modes with their reason', () => {
  const cells = [cellReport(100), cellReport(50, { mode: 'os' })]
  const text = markdown(report(cells))
  assert.match(text, /\| Samsa, os \| in the page cache \| 431 of 1,000 in 2 cuts \| 100 \|/)
  assert.match(text, /\| Samsa, durable, threads \| on the device \| 0 of 1,000 in 2 cuts \| 200 \|/)
  assert.match(text, /Samsa, durable, io_uring: no io_uring here/)
  assert.match(text, /Slow disk: not available/)
  assert.deepEqual(mainCell(report(cells)), cells[0]?.cell)
  assert.equal(mainCell(report([])), null)
})

test('one partition, one in flight: the latency of the durable modes, and ours over the peer', () => {
  const cell = { partitions: 1, batch: '16k', inFlight: 1 } as const
  const slower = [sample(100, [400]), sample(100, [800]), sample(100, [1_000])]
  const faster = [sample(100, [100]), sample(100, [200]), sample(100, [200])]
  const measured = report([
    cellReport(100),
    cellReport(1, { cell, mode: 'os' }),
    cellReport(1, { cell, mode: 'durable-threads', samples: faster }),
    cellReport(1, { cell, mode: 'kafka-flush', samples: slower }),
  ])
  assert.deepEqual(oneInFlight(measured), [
    {
      cell,
      p50Us: { 'durable-threads': 200, 'kafka-flush': 800 },
      ratio: { median: 0.25, least: 0.2, greatest: 0.25 },
    },
  ])
  const row = '1 partition, 16 KiB, 1 in flight'
  const head = 'Samsa, durable, threads / Kafka, flush.messages=1'
  const text = markdown(measured)
  assert.ok(text.includes(`| ${row} | 200 | 800 | 0.25 (0.20-0.25) |`), text)
  assert.ok(text.includes(`| ${head} |`), text)
  assert.ok(page(measured).includes(`<td class="first">${row}</td><td>200</td><td>800</td>`))
  // Alone, without a peer, and where no such cell was measured.
  const alone = { ...measured, modes: measured.modes.filter(({ mode }) => mode.broker === 'samsa') }
  assert.equal(oneInFlight(alone)[0]?.ratio, null)
  assert.deepEqual(oneInFlight(report([cellReport(100)])), [])
  const quick = chooseCells(true, ALL).filter(({ partitions, inFlight }) => partitions * inFlight === 1)
  assert.ok(quick.length > 0)
})

test('what failed is said', () => {
  const broken = report([cellReport(1, { samples: [], failure: 'the broker closed a connection' })])
  assert.deepEqual(failures(broken), [
    'failed: durable-threads, 100 partitions, 16 KiB, 256 in flight: the broker closed a connection',
  ])
  const [first, ...others] = broken.modes
  assert.ok(first)
  const promise = {
    ...broken,
    cells: [],
    modes: [{ ...first, loss: 'failed: SAMSA_SEED=1, lost' }, ...others],
  }
  assert.deepEqual(failures(promise), ['os, power cuts failed: SAMSA_SEED=1, lost'])
})
