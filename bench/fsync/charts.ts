import type { Histogram } from 'hdr-histogram-js'
import { requestsPerSecond } from '../measurement.ts'
import { formatFigure } from '../report.ts'
import { BATCHES, BATCH_TITLES, type BatchSize, type Cell, PARTITIONS } from './cells.ts'
import { measuredModes } from './markdown.ts'
import type { Mode } from './modes.ts'
import { type BarRow, type Point, type Series, type Tick, barChart, escapeHtml, lineChart } from './plot.ts'
import {
  type CellReport,
  type FsyncReport,
  type Pace,
  type Summary,
  bestCell,
  mergedHistogram,
  summarize,
} from './results.ts'

/** The plots of a report, each as a figure with its heading, what it shows, and the drawing. */

export interface Figure {
  readonly title: string
  readonly note: string
  readonly drawing: string
}

export function figureHtml({ title, note, drawing }: Figure): string {
  return `<figure><figcaption><h3>${escapeHtml(title)}</h3><p>${escapeHtml(note)}</p></figcaption>${drawing}</figure>`
}

export function partitionCounts(report: FsyncReport): number[] {
  return [...new Set(report.cells.map(({ cell }) => cell.partitions))].toSorted((a, b) => a - b)
}

function batchSizes(report: FsyncReport): BatchSize[] {
  return BATCHES.filter((batch) => report.cells.some(({ cell }) => cell.batch === batch))
}

function partitionTicks(counts: readonly number[]): Tick[] {
  return [...new Set([...counts, ...PARTITIONS.filter((count) => count <= Math.max(...counts))])]
    .toSorted((a, b) => a - b)
    .map((at) => ({ at, label: at.toLocaleString('en') }))
}

/** Per batch size: the best rate over the numbers in flight, against the number of partitions. */
export function throughputFigures(report: FsyncReport): Figure[] {
  const figures: Figure[] = []
  for (const batch of batchSizes(report)) {
    const counts = partitionCounts(report).filter((partitions) =>
      report.cells.some(({ cell }) => cell.batch === batch && cell.partitions === partitions),
    )
    if (counts.length < 2) continue
    const series = measuredModes(report).map((mode) => ({
      id: mode.id,
      title: mode.title,
      points: counts.flatMap((x) => ratePoint(report, mode, x, batch, x)),
    }))
    const alone = batch === '16k' && typeof report.ring !== 'string' ? [addonSeries(report.ring, counts)] : []
    figures.push({
      title: `Throughput, ${BATCH_TITLES[batch]} batches`,
      note: `Acknowledged batches per second, the best over the numbers in flight; bars: range of the repeats.${alone.length > 0 ? ' Dashed: the addon alone, without a broker.' : ''}`,
      drawing: lineChart({
        label: `throughput against partitions, ${BATCH_TITLES[batch]} batches`,
        xTitle: 'partitions (log)',
        yTitle: 'batches per second (log)',
        xScale: 'log',
        xTicks: partitionTicks(counts),
        series: [...alone, ...series],
      }),
    })
  }
  return figures
}

function addonSeries(ring: Exclude<FsyncReport['ring'], string>, counts: readonly number[]): Series {
  const points = ring
    .filter(({ files, inFlight }) => inFlight > 1 && counts.includes(files))
    .map(({ files, perSecond }) => ({ x: files, y: perSecond }))
  return { id: 'addon', title: 'addon alone', points, dashed: true, markEvery: 0 }
}

function ratePoint(
  report: FsyncReport,
  mode: Mode,
  partitions: number,
  batch: BatchSize,
  x: number,
): Point[] {
  const best = bestCell(report, mode.id, partitions, batch)
  if (best === null) return []
  const { median, least, greatest } = best.summary.rate
  return [{ x, y: median, low: least, high: greatest }]
}

/** Bytes per second against the size of a batch, for one number of partitions. */
export function sizeFigure(report: FsyncReport, partitions: number): Figure | null {
  const sizes = batchSizes(report).filter((batch) =>
    report.cells.some(({ cell }) => cell.batch === batch && cell.partitions === partitions),
  )
  if (sizes.length < 2) return null
  const kib: Readonly<Record<BatchSize, number>> = { '1k': 1, '16k': 16, '128k': 128 }
  const series = measuredModes(report).map((mode) => ({
    id: mode.id,
    title: mode.title,
    points: sizes.flatMap((batch) => {
      const best = bestCell(report, mode.id, partitions, batch)
      return best === null ? [] : [{ x: kib[batch], y: best.summary.megabytes }]
    }),
  }))
  return {
    title: `Bytes, ${partitions.toLocaleString('en')} partitions`,
    note: 'Acknowledged megabytes per second against the size of a batch.',
    drawing: lineChart({
      label: 'megabytes per second against batch size',
      xTitle: 'batch, KiB (log)',
      yTitle: 'MB per second (log)',
      xScale: 'log',
      xTicks: sizes.map((batch) => ({ at: kib[batch], label: String(kib[batch]) })),
      series,
    }),
  }
}

const PERCENTILES: readonly Tick[] = [
  { at: 0.5, label: '50 %' },
  { at: 0.9, label: '90 %' },
  { at: 0.99, label: '99 %' },
  { at: 0.999, label: '99.9 %' },
]

/** Latency in milliseconds at ever rarer percentiles, as far as there are samples enough to tell. */
export function percentilePoints(histogram: Histogram): Point[] {
  const points: Point[] = []
  const most = Math.min(4, Math.log10(Math.max(2, histogram.totalCount)) - 0.7)
  for (let nines = 0.15; nines <= most; nines += 0.05) {
    const share = 1 - 10 ** -nines
    points.push({ x: share, y: Math.max(1, histogram.getValueAtPercentile(share * 100)) / 1_000 })
  }
  return points
}

const PACES: Readonly<Record<Exclude<Pace, 'closed'>, { title: string; note: string }>> = {
  half: {
    title: 'Latency, each mode at half its own best rate',
    note: 'Open loop, Poisson arrivals; latency counts from the intended time of sending.',
  },
  equal: {
    title: 'Latency, all modes at one rate',
    note: 'Open loop at half the best rate of the slowest mode.',
  },
}

export function latencyFigure(
  report: FsyncReport,
  pace: 'half' | 'equal',
  partitions: number,
): Figure | null {
  const found = report.cells.filter(
    ({ cell, pace: paced }) => paced === pace && cell.partitions === partitions && cell.batch === '16k',
  )
  const series: Series[] = []
  for (const mode of measuredModes(report)) {
    const cell = found.find((each) => each.mode === mode.id)
    const histogram = cell === undefined ? null : mergedHistogram(cell)
    if (histogram === null) continue
    series.push({ id: mode.id, title: mode.title, points: percentilePoints(histogram), markEvery: 12 })
  }
  if (series.length === 0) return null
  const rate = found.find(({ perSecond }) => perSecond !== null)?.perSecond ?? NaN
  const { title, note } = PACES[pace]
  return {
    title: `${title}, ${plural(partitions)}`,
    note: `${note} 16 KiB batches${pace === 'equal' ? `, ${formatFigure(rate)} per second` : ''}.`,
    drawing: lineChart({
      label: title,
      xTitle: 'share of requests answered within',
      yTitle: 'milliseconds (log)',
      xScale: 'percentile',
      xTicks: PERCENTILES,
      series,
    }),
  }
}

export function plural(partitions: number): string {
  return partitions === 1 ? '1 partition' : `${partitions.toLocaleString('en')} partitions`
}

interface Measured {
  readonly mode: Mode
  readonly report: CellReport
  readonly summary: Summary
}

/** The closed-loop figures of 16 KiB batches, with the most in flight. */
function measuredAt(report: FsyncReport, partitions: number): Measured[] {
  const widest = report.cells
    .filter(({ cell, pace }) => pace === 'closed' && cell.partitions === partitions && cell.batch === '16k')
    .reduce((most, { cell }) => Math.max(most, cell.inFlight), 0)
  return measuredModes(report).flatMap((mode) => {
    const found = report.cells.find(
      ({ cell, pace, mode: id }) =>
        id === mode.id &&
        pace === 'closed' &&
        cell.partitions === partitions &&
        cell.batch === '16k' &&
        cell.inFlight === widest,
    )
    const summary = found === undefined ? null : summarize(found)
    return found === undefined || summary === null ? [] : [{ mode, report: found, summary }]
  })
}

function barFigure(
  report: FsyncReport,
  partitions: number,
  title: string,
  note: string,
  bars: (summary: Summary) => BarRow['bars'],
  text: (bar: BarRow['bars'][number]) => string,
): Figure | null {
  const measured = measuredAt(report, partitions)
  const cell: Cell | undefined = measured[0]?.report.cell
  if (cell === undefined) return null
  const rows = measured.map(({ mode, summary }) => ({ id: mode.id, label: mode.title, bars: bars(summary) }))
  return {
    title: `${title}, ${plural(partitions)}`,
    note: `${note} 16 KiB batches, ${cell.inFlight} in flight.`,
    drawing: barChart({ label: title, rows, text }),
  }
}

export function ioFigure(report: FsyncReport, partitions: number): Figure | null {
  if (report.device === null) return null
  return barFigure(
    report,
    partitions,
    'Device work per batch',
    'Full: write I/Os, light: flushes, by the counters of the whole device.',
    ({ writes, flushes }) => [[{ value: writes, kind: 0 }], [{ value: flushes, kind: 1 }]],
    ([part]) =>
      part === undefined ? '' : `${formatFigure(part.value)} ${part.kind === 0 ? 'writes' : 'flushes'}`,
  )
}

export function cpuFigure(report: FsyncReport, partitions: number): Figure | null {
  return barFigure(
    report,
    partitions,
    'Processor time per batch',
    "Microseconds of the broker's process; full: user, light: system.",
    ({ cpuUser, cpuSystem }) => [
      [
        { value: cpuUser, kind: 0 },
        { value: cpuSystem, kind: 1 },
      ],
    ],
    (bar) => `${formatFigure(bar.reduce((sum, { value }) => sum + value, 0))} us`,
  )
}

export function memoryFigure(report: FsyncReport, partitions: number): Figure | null {
  return barFigure(
    report,
    partitions,
    'Resident memory under load',
    'Megabytes right after the measurement.',
    ({ residentMegabytes }) => [[{ value: residentMegabytes, kind: 0 }]],
    ([part]) => `${formatFigure(part?.value ?? NaN)} MB`,
  )
}

/** What was acknowledged and is gone; only modes whose loss was measured. */
export function lossFigure(report: FsyncReport): Figure | null {
  const rows: BarRow[] = []
  for (const { mode, loss } of report.modes) {
    if (typeof loss === 'string') continue
    rows.push({ id: mode.id, label: mode.title, bars: [[{ value: loss.lost, kind: 0 }]] })
  }
  if (rows.length === 0) return null
  return {
    title: 'Acknowledged records lost when the power is cut',
    note: 'Counted after the file system of a broker at work lost its power; all cuts together.',
    drawing: barChart({
      label: 'acknowledged records lost',
      rows,
      text: ([part]) => (part?.value ?? 0).toLocaleString('en'),
    }),
  }
}

const METHOD_LABELS = {
  fsync: 'write + fsync',
  threads: 'pool, 64 files',
  'ring-1': 'io_uring, 1',
  'ring-256': 'io_uring, 256',
} as const

export function filesFigure({ files }: FsyncReport): Figure | null {
  const counts = [...new Set(files.map((each) => each.files))].toSorted((a, b) => a - b)
  if (counts.length === 0) return null
  const methods = [...new Set(files.map(({ method }) => method))]
  const rows = methods.map((method) => ({
    id: method.startsWith('ring') ? 'durable-uring' : method === 'threads' ? 'durable-threads' : 'os',
    label: METHOD_LABELS[method],
    bars: counts.map((count, i) => [
      {
        value: files.find((each) => each.method === method && each.files === count)?.perSecond ?? NaN,
        kind: i === 0 ? (0 as const) : (1 as const),
      },
    ]),
  }))
  return {
    title: 'Is sequential I/O dead?',
    note: `Durable appends of 16 KiB per second. Full: all to ${counts[0] === 1 ? 'one file' : `${String(counts[0])} files`}; light: round robin to ${counts.at(-1)?.toLocaleString('en') ?? ''} files.`,
    drawing: barChart({
      label: 'durable appends',
      rows,
      text: ([part]) => `${formatFigure(part?.value ?? NaN)}/s`,
    }),
  }
}

export function slowFigure({ slow, modes }: FsyncReport): Figure | null {
  if (typeof slow === 'string' || slow.rows.length === 0) return null
  const rates = [...new Set(slow.rows.map(({ writesPerSecond }) => writesPerSecond))].toSorted(
    (a, b) => b - a,
  )
  const rows: BarRow[] = []
  for (const { mode } of modes) {
    const own = slow.rows.filter((row) => row.mode === mode.id && row.load !== null)
    if (own.length === 0) continue
    rows.push({
      id: mode.id,
      label: mode.title,
      bars: rates.map((rate, i) => {
        const load = own.find(({ writesPerSecond }) => writesPerSecond === rate)?.load ?? null
        const value = load === null ? NaN : requestsPerSecond(load)
        return [{ value, kind: i === 0 ? 0 : 1 }]
      }),
    })
  }
  const described = rates
    .map((rate, i) => `${i === 0 ? 'full' : 'light'}: ${rate.toLocaleString('en')}`)
    .join(', ')
  return {
    title: 'A slow disk',
    note: `Batches per second while the device takes so many write I/Os per second (${described}; ${slow.method}). ${plural(slow.cell.partitions)}, 16 KiB, ${slow.cell.inFlight} in flight.`,
    drawing: barChart({
      label: 'rate on a slow disk',
      rows,
      text: ([part]) => `${formatFigure(part?.value ?? NaN)}/s`,
    }),
  }
}
