import { save } from './command-line.ts'
import { markdownTable } from './fsync/markdown.ts'
import type { Machine } from './machine.ts'
import { type Unit, median } from './measurement.ts'
import {
  compare,
  failureLines,
  figuresTable,
  formatFigure,
  formatReach,
  loadTable,
  losersFirst,
  mark,
  missedRows,
  unitOf,
} from './report.ts'
import type { RowResult } from './runner.ts'

/** What a run has measured, and under which circumstances. */
export interface Outcome {
  readonly startedAt: string
  readonly machine: Machine
  readonly settings: object
  /** Ours first. */
  readonly targets: readonly { readonly name: string; readonly description: string }[]
  /** Of the load generator; empty when it was not measured. */
  readonly ceiling: readonly RowResult[]
  /** What the device alone gives. */
  readonly device: readonly string[]
  readonly results: readonly RowResult[]
}

export interface Files {
  readonly json?: string
  readonly markdown?: string
}

/** Says it on the terminal, and in the files that were asked for. */
export async function publish(outcome: Outcome, { json, markdown }: Files): Promise<void> {
  const names = outcome.targets.map(({ name }) => name)
  console.log(`\n${report(outcome, names)}`)
  if (json !== undefined) {
    const { results, ...rest } = outcome
    const rows = results.map((result) => ({ ...result, ...compare(result, names[0] ?? '', names[1]) }))
    const whole = { ...rest, endedAt: new Date().toISOString(), rows }
    await save(json, `${JSON.stringify(whole, null, 1)}\n`)
  }
  if (markdown !== undefined) await save(markdown, `${markdownOf(outcome)}\n`)
}

/** 1: a row failed, or, when all have to be reached, one was missed. */
export function exitCodeOf({ targets, results }: Outcome, isStrict: boolean): number {
  const [ours, peer] = targets
  if (failureLines(results).length > 0) return 1
  if (!isStrict || ours === undefined) return 0
  return missedRows(results, ours.name, peer?.name).length > 0 ? 1 : 0
}

export function machineLines(machine: Machine): readonly string[] {
  const memory = `${Math.round(machine.memoryBytes / 2 ** 30)} GiB`
  return [
    `${machine.cores} x ${machine.cpu}, ${memory}, ${machine.kernel}, Node.js ${machine.node}`,
    `${machine.fileSystem} at ${machine.directory}, commit ${machine.commit}, load average ${machine.loadAverage}`,
  ]
}

function report({ ceiling, device, results }: Outcome, names: readonly string[]): string {
  const parts: string[] = []
  if (ceiling.length > 0) {
    parts.push(`Load generator against a server that only acknowledges\n${loadTable(ceiling, ['null'])}`)
  }
  const sorted = losersFirst(results, names)
  parts.push(`Figures (medians)\n${figuresTable(sorted, names)}`)
  const loads = loadTable(sorted, names)
  if (loads !== '') parts.push(`Loads (medians)\n${loads}`)
  if (device.length > 0) parts.push(device.join('\n'))
  const failures = failureLines(results)
  if (failures.length > 0) parts.push(`Failed\n${failures.join('\n')}`)
  return parts.join('\n\n')
}

/** As a README has it: figures with their ranges, what was lost first. */
export function markdownOf({ machine, targets, device, settings, results }: Outcome): string {
  const names = targets.map(({ name }) => name)
  const [ours, peer] = names
  const head = ['row', ...names]
  if (peer !== undefined) head.push('ratio (range)')
  const rows = losersFirst(results, names).map((result) => {
    const { ratio, verdict } = compare(result, ours ?? '', peer)
    const between = ratio === null ? '' : ratio.median.toFixed(2) + range(ratio.least, ratio.greatest, 'x')
    return [
      result.row.title,
      ...names.map((name) => figure(result, name)),
      ...(peer === undefined ? [] : [between]),
      formatReach(result),
      mark(result, ratio, verdict),
    ]
  })
  return [
    ...machineLines(machine),
    ...targets.map(({ name, description }) => `${name}: ${description}`),
    ...device,
    `settings: ${JSON.stringify(settings)}`,
    '',
    markdownTable({ head: [...head, 'to reach', ''], rows }),
    ...failureLines(results).map((line) => `\n${line}`),
  ].join('\n')
}

function figure(result: RowResult, target: string): string {
  const values = (result.measurements[target] ?? []).map(({ value }) => value)
  if (values.length === 0) return result.failures[target] === undefined ? '' : 'failed'
  const unit = unitOf(result)
  if (unit === '') return ''
  return `${withUnit(median(values), unit)}${range(Math.min(...values), Math.max(...values), unit)}`
}

function range(least: number, greatest: number, unit: Unit): string {
  if (least === greatest) return ''
  return ` (${bare(least, unit)}-${bare(greatest, unit)})`
}

function bare(value: number, unit: Unit): string {
  return unit === 'x' ? value.toFixed(2) : formatFigure(value)
}

function withUnit(value: number, unit: Unit): string {
  if (unit === 'x') return value.toFixed(2)
  if (unit === 'sends' || unit === 'writes' || unit === 'stalls') return value.toLocaleString('en')
  return unit === 'req/s' ? `${formatFigure(value)}/s` : `${formatFigure(value)} ${unit}`
}
