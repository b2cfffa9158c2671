import type { LoadResult } from '../load/spec.ts'
import { type Ratio, megabytesPerSecond, pairedRatio, requestsPerSecond } from '../measurement.ts'
import { formatFigure } from '../report.ts'
import { BATCH_TITLES, type Cell, describeCell } from './cells.ts'
import { FAILED } from './loss.ts'
import type { Mode, ModeId } from './modes.ts'
import {
  type CellReport,
  type FsyncReport,
  type Loss,
  type Pace,
  type Summary,
  findCell,
  sameCell,
  summarize,
} from './results.ts'

/** Tables for a terminal and a README. */

export interface Table {
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

export function markdownTable({ head, rows }: Table): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [
    line(head),
    `|${head.map((_, i) => (i === 0 ? '---|' : '---:|')).join('')}`,
    ...rows.map(line),
  ].join('\n')
}

/** The cells of a run, each once, in the order they were measured. */
export function cellsOf(report: FsyncReport, pace: Pace = 'closed'): Cell[] {
  const cells: Cell[] = []
  for (const each of report.cells) {
    if (each.pace === pace && !cells.some((cell) => sameCell(cell, each.cell))) cells.push(each.cell)
  }
  return cells
}

export function measuredModes(report: FsyncReport): Mode[] {
  return report.modes.filter(({ unavailable }) => unavailable === null).map(({ mode }) => mode)
}

export function formatLoss(loss: Loss | string): string {
  if (typeof loss === 'string') return loss.split('\n')[0] ?? ''
  return `${loss.lost.toLocaleString('en')} of ${loss.acknowledged.toLocaleString('en')} in ${loss.rounds} cuts`
}

export function formatRange({ rate }: Summary): string {
  const few = rate.least === rate.greatest
  return few
    ? formatFigure(rate.median)
    : `${formatFigure(rate.median)} (${formatFigure(rate.least)}-${formatFigure(rate.greatest)})`
}

/** Batches per second: a row per cell, a column per mode. */
export function ratesRows(report: FsyncReport): Table {
  const modes = measuredModes(report)
  const pair = durablePair(modes)
  const rows = cellsOf(report).map((cell) => [
    describeCell(cell),
    ...modes.map(({ id }) => rateCell(findCell(report, cell, 'closed', id))),
    ...(pair === null ? [] : [formatRatio(ratioOf(report, cell, pair, requestsPerSecond))]),
  ])
  const head = ['batches/s, median (range)', ...modes.map(({ title }) => title)]
  if (pair !== null) head.push(pairTitle(pair))
  return { head, rows }
}

interface Pair {
  readonly ours: Mode
  readonly theirs: Mode
}

/** Our fastest durable mode and the peer's. */
function durablePair(modes: readonly Mode[]): Pair | null {
  const ours = modes.findLast(({ broker, durable }) => durable && broker === 'samsa')
  const theirs = modes.find(({ broker, durable }) => durable && broker === 'kafka')
  return ours === undefined || theirs === undefined ? null : { ours, theirs }
}

function pairTitle({ ours, theirs }: Pair): string {
  return `${ours.title} / ${theirs.title}`
}

function ratioOf(
  report: FsyncReport,
  cell: Cell,
  { ours, theirs }: Pair,
  pick: (load: LoadResult) => number,
): Ratio | null {
  const figures = (mode: Mode): number[] =>
    findCell(report, cell, 'closed', mode.id)?.samples.map(({ load }) => pick(load)) ?? []
  return pairedRatio(figures(ours), figures(theirs))
}

function formatRatio(ratio: Ratio | null): string {
  return ratio === null
    ? ''
    : `${formatFigure(ratio.median)} (${formatFigure(ratio.least)}-${formatFigure(ratio.greatest)})`
}

/** What one durable write costs: one partition, one in flight. */
export interface OneInFlight {
  readonly cell: Cell
  /** By durable mode, medians of the repeats. */
  readonly p50Us: Readonly<Partial<Record<ModeId, number>>>
  /** Our p50 over the peer's. */
  readonly ratio: Ratio | null
}

export function oneInFlight(report: FsyncReport): OneInFlight[] {
  const modes = measuredModes(report).filter(({ durable }) => durable)
  const pair = durablePair(modes)
  const found: OneInFlight[] = []
  for (const cell of cellsOf(report)) {
    if (cell.partitions !== 1 || cell.inFlight !== 1) continue
    const p50Us: Partial<Record<ModeId, number>> = {}
    for (const { id } of modes) {
      const closed = findCell(report, cell, 'closed', id)
      const summary = closed === null ? null : summarize(closed)
      if (summary !== null) p50Us[id] = summary.p50
    }
    const ratio = pair === null ? null : ratioOf(report, cell, pair, ({ latency }) => latency.p50)
    found.push({ cell, p50Us, ratio })
  }
  return found
}

/** Null when no cell has one partition and one in flight, or no mode is durable. */
export function oneInFlightRows(report: FsyncReport): Table | null {
  const found = oneInFlight(report)
  const modes = measuredModes(report).filter(({ durable }) => durable)
  if (found.length === 0 || modes.length === 0) return null
  const pair = durablePair(modes)
  const rows = found.map(({ cell, p50Us, ratio }) => [
    describeCell(cell),
    ...modes.map(({ id }) => formatFigure(p50Us[id] ?? NaN)),
    ...(pair === null ? [] : [formatRatio(ratio)]),
  ])
  const head = ['latency of a durable batch, p50 us', ...modes.map(({ title }) => title)]
  if (pair !== null) head.push(pairTitle(pair))
  return { head, rows }
}

function rateCell(report: CellReport | null): string {
  if (report === null) return ''
  const summary = summarize(report)
  return summary === null ? (report.failure === null ? '' : 'failed') : formatRange(summary)
}

/** Everything of one cell: a row per mode. */
export function detailRows(report: FsyncReport, cell: Cell): Table {
  const head = [
    describeCell(cell),
    'acknowledged =',
    'acked records lost in power cuts',
    'batches/s',
    'MB/s',
    'p50 / p99 / p99.9 ms',
    'at half load, ms',
    'CPU us/batch (user + sys)',
    'write I/Os per batch',
    'flushes per batch',
    'RSS MB',
  ]
  const rows: string[][] = []
  for (const { mode, unavailable, loss } of report.modes) {
    const found = findCell(report, cell, 'closed', mode.id)
    const closed = found === null ? null : summarize(found)
    if (unavailable !== null || closed === null) continue
    rows.push([
      mode.title,
      mode.acknowledged,
      formatLoss(loss),
      formatFigure(closed.rate.median),
      formatFigure(closed.megabytes),
      latencies(closed),
      halfLoad(report, cell, mode.id),
      `${formatFigure(closed.cpuUser + closed.cpuSystem)} (${formatFigure(closed.cpuUser)} + ${formatFigure(closed.cpuSystem)})`,
      formatFigure(closed.writes),
      formatFigure(closed.flushes),
      formatFigure(closed.residentMegabytes),
    ])
  }
  return { head, rows }
}

function halfLoad(report: FsyncReport, { partitions, batch }: Cell, mode: ModeId): string {
  const half = report.cells.find(
    (each) =>
      each.pace === 'half' &&
      each.mode === mode &&
      each.cell.partitions === partitions &&
      each.cell.batch === batch,
  )
  const summary = half === undefined ? null : summarize(half)
  return summary === null || half === undefined
    ? '-'
    : `${latencies(summary)} at ${formatFigure(half.perSecond ?? NaN)}/s`
}

export function latencies({ p50, p99, p999 }: Summary): string {
  return [p50, p99, p999].map((us) => formatFigure(us / 1_000)).join(' / ')
}

export const FILES_METHODS = {
  fsync: 'write + fsync, one at a time',
  threads: 'write + fdatasync, thread pool, 64 files at once',
  'ring-1': 'io_uring, O_DIRECT, one at a time',
  'ring-256': 'io_uring, O_DIRECT, 256 in flight',
} as const

/** The same bytes to one file and round robin to many. */
export function filesRows({ files }: FsyncReport): Table {
  const counts = [...new Set(files.map((each) => each.files))].toSorted((a, b) => a - b)
  const [few, many] = [counts[0], counts.at(-1)]
  const methods = [...new Set(files.map(({ method }) => method))]
  const of = (method: string, count: number | undefined): FsyncReport['files'][number] | undefined =>
    files.find((each) => each.method === method && each.files === count)
  const rows = methods.map((method) => {
    const one = of(method, few)
    const all = of(method, many)
    return [
      FILES_METHODS[method],
      ...counts.map((count) => formatFigure(of(method, count)?.perSecond ?? NaN)),
      one === undefined || all === undefined ? '-' : (all.perSecond / one.perSecond).toFixed(2),
      ...counts.map((count) => traffic(of(method, count))),
    ]
  })
  const named = (count: number): string => (count === 1 ? '1 file' : `${count.toLocaleString('en')} files`)
  const bytes = files[0]?.writeBytes ?? 0
  return {
    head: [
      `durable appends of ${bytes / 1024} KiB per second`,
      ...counts.map(named),
      'many / one',
      ...counts.map((count) => `writes + flushes per append, ${named(count)}`),
    ],
    rows,
  }
}

function traffic(result: FsyncReport['files'][number] | undefined): string {
  if (result === undefined || result.block === null) return '-'
  const { appends, block } = result
  return `${formatFigure(block.writes / appends)} + ${formatFigure(block.flushes / appends)}`
}

/** Samsa beside the addon without a broker around it. */
export function addonRows(report: FsyncReport): Table | null {
  if (typeof report.ring === 'string' || report.ring.length === 0) return null
  const rows = report.ring.map((alone) => {
    const cell = cellsOf(report).find(
      ({ partitions, batch, inFlight }) =>
        partitions === alone.files &&
        batch === '16k' &&
        (inFlight === alone.inFlight || inFlight === flightFor(alone.inFlight)),
    )
    const found = cell === undefined ? null : findCell(report, cell, 'closed', 'durable-uring')
    const samsa = found === null ? null : summarize(found)
    return [
      `${alone.files.toLocaleString('en')} ${alone.files === 1 ? 'file' : 'files'}, ${alone.inFlight} in flight`,
      formatFigure(alone.perSecond),
      formatFigure(alone.p50 / 1_000),
      formatFigure(alone.cpuUs),
      samsa === null ? '-' : formatFigure(samsa.rate.median),
      samsa === null ? '-' : (samsa.rate.median / alone.perSecond).toFixed(2),
    ]
  })
  const head = [
    '16 KiB, durable',
    'addon alone, writes/s',
    'p50 ms',
    'CPU us/write',
    'Samsa, batches/s',
    'Samsa / addon',
  ]
  return { head, rows }
}

/** One partition is measured with 80 in flight where the ring has 256. */
function flightFor(inFlight: number): number {
  return inFlight === 256 ? 80 : inFlight
}

export function slowRows({ slow, modes }: FsyncReport): Table | null {
  if (typeof slow === 'string') return null
  const rates = [...new Set(slow.rows.map(({ writesPerSecond }) => writesPerSecond))]
  const rows = modes
    .filter(({ mode }) => slow.rows.some((row) => row.mode === mode.id))
    .map(({ mode }) => [
      mode.title,
      ...rates.map((rate) => {
        const row = slow.rows.find((each) => each.mode === mode.id && each.writesPerSecond === rate)
        if (row?.load === null || row === undefined) return 'failed'
        return formatFigure(requestsPerSecond(row.load))
      }),
    ])
  const head = `batches/s, ${describeCell(slow.cell)}`
  return { head: [head, ...rates.map((rate) => `${rate.toLocaleString('en')} writes/s`)], rows }
}

/** What the load generator reaches against a server that only acknowledges. */
export function ceilingRows({ ceilings }: FsyncReport): Table {
  const rows = ceilings.map(({ cell, load }) => [
    `${BATCH_TITLES[cell.batch]}, ${cell.inFlight} in flight`,
    formatFigure(requestsPerSecond(load)),
    formatFigure(megabytesPerSecond(load)),
  ])
  return { head: ['load generator alone', 'batches/s', 'MB/s'], rows }
}

export function machineLines({ machine, device, mountOptions, startedAt, flush }: FsyncReport): string[] {
  const memory = `${Math.round(machine.memoryBytes / 2 ** 30)} GiB`
  const disk =
    device === null
      ? 'no block device'
      : [
          `disk ${device.name}${device.model === '' ? '' : ` (${device.model})`}`,
          device.writeCache === '' ? '' : `cache: ${device.writeCache}`,
          device.forcedUnitAccess === '' ? '' : `FUA: ${device.forcedUnitAccess === '1' ? 'yes' : 'no'}`,
          device.scheduler === '' ? '' : `scheduler: ${device.scheduler}`,
        ]
          .filter((part) => part !== '')
          .join(', ')
  return [
    `${machine.cores} x ${machine.cpu}, ${memory}, ${machine.kernel}, Node.js ${machine.node}`,
    `${disk}; ${machine.fileSystem}${mountOptions === '' ? '' : ` (${mountOptions})`}`,
    flush === null
      ? 'raw flush latency of the disk: not measured'
      : `raw flush latency of the disk, 4 KiB O_DSYNC overwrite: p50 ${formatFigure(flush.p50)} us, p99 ${formatFigure(flush.p99)} us, ${formatFigure(flush.perSecond)}/s`,
    `${startedAt.slice(0, 16).replace('T', ' ')} UTC, commit ${machine.commit}, load average before ${machine.loadAverage}`,
  ]
}

/** The cell that is looked at closely: 16 KiB, 100 partitions, the most in flight; or the nearest to it. */
export function mainCell(report: FsyncReport): Cell | null {
  const score = ({ partitions, batch, inFlight }: Cell): number =>
    (batch === '16k' ? 0 : 1_000) + Math.abs(Math.log10(partitions) - 2) * 100 - inFlight / 256
  return cellsOf(report).toSorted((a, b) => score(a) - score(b))[0] ?? null
}

export function markdown(report: FsyncReport): string {
  const main = mainCell(report)
  const missing = report.modes.filter(({ unavailable }) => unavailable !== null)
  const alone = oneInFlightRows(report)
  const addon = addonRows(report)
  const slow = slowRows(report)
  const parts = [
    machineLines(report).join('\n'),
    markdownTable(ceilingRows(report)),
    main === null ? '' : markdownTable(ratesRows(report)),
    alone === null ? '' : markdownTable(alone),
    main === null ? '' : markdownTable(detailRows(report, main)),
    addon === null ? `Addon alone: ${reason(report.ring)}` : markdownTable(addon),
    report.files.length === 0 ? '' : markdownTable(filesRows(report)),
    slow === null ? `Slow disk: ${reason(report.slow)}` : markdownTable(slow),
    missing.map(({ mode, unavailable }) => `${mode.title}: ${unavailable ?? ''}`).join('\n'),
    failures(report).join('\n'),
  ]
  return parts.filter((part) => part !== '').join('\n\n')
}

/** Why there is no figure. */
export function reason(result: unknown): string {
  return typeof result === 'string' ? result : ''
}

export function failures(report: FsyncReport): string[] {
  const lines = new Set<string>()
  for (const { cell, mode, failure } of report.cells) {
    if (failure !== null) lines.add(`failed: ${mode}, ${describeCell(cell)}: ${failure}`)
  }
  if (typeof report.slow !== 'string') {
    for (const { mode, writesPerSecond, failure } of report.slow.rows) {
      if (failure !== null) lines.add(`failed: ${mode}, ${writesPerSecond} writes per second: ${failure}`)
    }
  }
  for (const { mode, loss } of report.modes) {
    if (typeof loss === 'string' && loss.startsWith(FAILED)) lines.add(`${mode.id}, power cuts ${loss}`)
  }
  return [...lines]
}
