import {
  type Measurement,
  type Ratio,
  type Unit,
  cpuPerRequest,
  generatorCores,
  median,
  megabytesPerSecond,
  pairedRatio,
  requestsPerSecond,
} from './measurement.ts'
import type { Reach, RowBase } from './rows.ts'
import type { RowResult } from './runner.ts'
import type { LoadResult } from './load/spec.ts'

export type Verdict = 'reached' | 'missed' | 'no figure'

export interface Comparison {
  readonly ratio: Ratio | null
  readonly verdict: Verdict | null
}

/** Whether smaller figures are better ones. */
export function lessIsBetter(unit: Unit): boolean {
  return unit !== 'req/s' && unit !== 'MB/s'
}

/** `own` are our figures. */
export function judge(reach: Reach | null, ratio: Ratio | null, own: readonly number[] = []): Verdict | null {
  if (reach === null) return null
  const value = reach.of === 'itself' ? median(own) : (ratio?.median ?? NaN)
  if (Number.isNaN(value)) return 'no figure'
  const reached = reach.bound === 'at least' ? value >= reach.ratio : value <= reach.ratio
  return reached ? 'reached' : 'missed'
}

/** Without a peer there is a verdict on what our figures alone have to reach. */
export function compare(result: RowResult, ours: string, peer?: string): Comparison {
  const values = (name: string): number[] => (result.measurements[name] ?? []).map(({ value }) => value)
  const ratio = peer === undefined ? null : pairedRatio(values(ours), values(peer))
  if (peer === undefined && result.row.reach?.of === 'peer') return { ratio, verdict: null }
  return { ratio, verdict: judge(result.row.reach, ratio, values(ours)) }
}

/** Left-aligned first column, the others to the right; a row may be shorter than the head. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] ?? '').length)))
  const line = (cells: readonly string[]): string =>
    widths
      .map((width, i) => (i === 0 ? (cells[i] ?? '').padEnd(width) : (cells[i] ?? '').padStart(width)))
      .join('  ')
      .trimEnd()
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n')
}

export function formatFigure(value: number): string {
  if (!Number.isFinite(value)) return '-'
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

/** A ratio to the peer's figure, or a figure of our own. */
export function formatReach({ row: { reach } }: RowResult): string {
  if (reach === null) return ''
  const bound = reach.bound === 'at least' ? '>=' : '<='
  return `${bound} ${reach.of === 'peer' ? reach.ratio.toFixed(2) : reach.ratio.toLocaleString('en')}`
}

/** The figures side by side, with ratios when there is a peer. Losses are marked. */
export function figuresTable(results: readonly RowResult[], targets: readonly string[]): string {
  const [ours, peer] = targets
  const head = ['row', 'unit', ...targets]
  const isJudged = results.some(({ row: { reach } }) => reach?.of === 'itself')
  if (peer !== undefined) head.push('ratio', 'range')
  if (peer !== undefined || isJudged) head.push('reach', '')
  const rows = results.map((result) => {
    const cells = [result.row.title, unitOf(result), ...targets.map((target) => figure(result, target))]
    if (ours === undefined) return cells
    const { ratio, verdict } = compare(result, ours, peer)
    const ratios = peer === undefined ? [] : ratioCells(ratio)
    return [...cells, ...ratios, formatReach(result), mark(result, ratio, verdict)]
  })
  return formatTable(head, rows)
}

/** What missed its target comes first, then what is slower than the peer. */
export function losersFirst(results: readonly RowResult[], [ours, peer]: readonly string[]): RowResult[] {
  if (ours === undefined) return [...results]
  const place = (result: RowResult): number => {
    const { ratio, verdict } = compare(result, ours, peer)
    const said = mark(result, ratio, verdict)
    return verdict === 'missed' || verdict === 'no figure' ? 0 : said.includes('slower') ? 1 : 2
  }
  return results.toSorted((a, b) => place(a) - place(b))
}

function ratioCells(ratio: Ratio | null): string[] {
  if (ratio === null) return ['', '']
  return [ratio.median.toFixed(2), `${ratio.least.toFixed(2)}-${ratio.greatest.toFixed(2)}`]
}

export function mark(result: RowResult, ratio: Ratio | null, verdict: Verdict | null): string {
  if (verdict === 'missed') return 'MISSED'
  if (verdict === 'no figure') return 'NO FIGURE'
  if (ratio === null) return verdict === 'reached' ? 'ok' : ''
  const unit = unitOf(result)
  const worse = unit !== '' && (lessIsBetter(unit) ? ratio.median > 1 : ratio.median < 1)
  const outcome = verdict === 'reached' ? 'ok' : ''
  return worse ? `${outcome} slower`.trim() : outcome
}

export function unitOf(result: RowResult): Unit | '' {
  for (const list of Object.values(result.measurements)) {
    const first = list[0]
    if (first !== undefined) return first.unit
  }
  return ''
}

function figure(result: RowResult, target: string): string {
  const list = result.measurements[target] ?? []
  if (list.length === 0) return result.failures[target] === undefined ? '' : 'failed'
  return formatFigure(median(list.map(({ value }) => value)))
}

/** Latency, processor time and device traffic of the load rows, medians per target. */
export function loadTable(results: readonly RowResult[], targets: readonly string[]): string {
  const head = [
    'row',
    'of',
    'req/s',
    'MB/s',
    'p50 us',
    'p99 us',
    'p99.9 us',
    'cpu us/req',
    'user',
    'sys',
    'writes/req',
    'flushes/req',
    'gen. cores',
    'late p50 us',
    'missed',
    'errors',
  ]
  const rows: string[][] = []
  for (const result of results) {
    for (const target of targets) {
      const loads = loadsOf(result.measurements[target] ?? [])
      if (loads.length > 0) rows.push([result.row.title, target, ...loadCells(loads)])
    }
  }
  return rows.length === 0 ? '' : formatTable(head, rows)
}

function loadsOf(measurements: readonly Measurement[]): LoadResult[] {
  return measurements.flatMap(({ load }) => (load === null ? [] : [load]))
}

function loadCells(loads: readonly LoadResult[]): string[] {
  const of = (pick: (load: LoadResult) => number | null): string => {
    const values = loads.map(pick).filter((value) => value !== null)
    return values.length === 0 ? '' : formatFigure(median(values))
  }
  const perRequest = (load: LoadResult, count: number | undefined): number | null =>
    count === undefined || load.requests === 0 ? null : count / load.requests
  const total = (pick: (load: LoadResult) => number): string => {
    const sum = loads.reduce((all, load) => all + pick(load), 0)
    return sum === 0 ? '' : sum.toLocaleString('en')
  }
  return [
    of(requestsPerSecond),
    of(megabytesPerSecond),
    of((load) => load.latency.p50),
    of((load) => load.latency.p99),
    of((load) => load.latency.p999),
    of((load) => {
      const cpu = cpuPerRequest(load)
      return cpu === null ? null : cpu.user + cpu.system
    }),
    of((load) => cpuPerRequest(load)?.user ?? null),
    of((load) => cpuPerRequest(load)?.system ?? null),
    of((load) => perRequest(load, load.block?.writes)),
    of((load) => perRequest(load, load.block?.flushes)),
    of(generatorCores),
    of((load) => load.sendDelay?.p50 ?? null),
    total((load) => load.missedSlots),
    errorsOf(loads),
  ]
}

function errorsOf(loads: readonly LoadResult[]): string {
  const counts = new Map<string, number>()
  for (const load of loads) {
    for (const [code, count] of Object.entries(load.errors)) counts.set(code, (counts.get(code) ?? 0) + count)
    if (load.lost > 0) counts.set('lost', (counts.get('lost') ?? 0) + load.lost)
  }
  return [...counts].map(([code, count]) => `${code}:${count}`).join(' ')
}

export function failureLines(results: readonly RowResult[]): string[] {
  return results.flatMap(({ row, failures }) =>
    Object.entries(failures).map(([target, why]) => `${row.title}, ${target}: ${why}`),
  )
}

/** Rows whose target was not reached, for the exit of a run that is asked to be strict. */
export function missedRows(results: readonly RowResult[], ours: string, peer?: string): RowBase[] {
  return results
    .filter((result) => {
      const { verdict } = compare(result, ours, peer)
      return verdict === 'missed' || verdict === 'no figure'
    })
    .map(({ row }) => row)
}
