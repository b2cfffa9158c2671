import { formatFigure } from '../report.ts'
import { describeCell } from './cells.ts'
import {
  type Figure,
  cpuFigure,
  figureHtml,
  filesFigure,
  ioFigure,
  latencyFigure,
  lossFigure,
  memoryFigure,
  partitionCounts,
  plural,
  sizeFigure,
  slowFigure,
  throughputFigures,
} from './charts.ts'
import {
  addonRows,
  ceilingRows,
  detailRows,
  failures,
  filesRows,
  latencies,
  machineLines,
  mainCell,
  measuredModes,
  oneInFlightRows,
  reason,
  type Table,
} from './markdown.ts'
import { escapeHtml, swatch } from './plot.ts'
import { type CellReport, type FsyncReport, summarize } from './results.ts'
import { STYLE } from './style.ts'

/** The report as one file: no scripts, nothing from elsewhere. */
export function page(report: FsyncReport): string {
  const counts = partitionCounts(report)
  const many = counts.filter((count) => count >= 100)
  const middle = many[0] ?? counts.at(-1) ?? 1
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Samsa: what durability costs</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>What each fsync mode costs, and what it loses</h1>
<p class="machine">${machineLines(report).map(escapeHtml).join('<br>')}</p>
<p class="machine"><code>${escapeHtml(report.command)}</code></p>
</header>
<main>
${summarySection(report)}
${legend(report)}
${section('Throughput', [...throughputFigures(report), sizeFigure(report, middle)])}
${oneInFlightSection(report)}
${section('Latency', [
  ...counts.map((count) => latencyFigure(report, 'half', count)),
  ...counts.map((count) => latencyFigure(report, 'equal', count)),
])}
${section(
  'Work of the device',
  counts.map((count) => ioFigure(report, count)),
)}
${section('Processor and memory', [
  ...counts.map((count) => cpuFigure(report, count)),
  memoryFigure(report, counts.at(-1) ?? 1),
])}
${section('Loss', [lossFigure(report)])}
${section('The disk', [filesFigure(report), slowFigure(report)])}
${diskTables(report)}
${allFigures(report)}
${modesSection(report)}
${methodSection(report)}
</main>
</body>
</html>
`
}

function section(title: string, figures: readonly (Figure | null)[]): string {
  const drawn = figures.filter((figure) => figure !== null && figure.drawing !== '')
  if (drawn.length === 0) return ''
  return `<section><h2>${escapeHtml(title)}</h2><div class="figures">${drawn.map((figure) => (figure === null ? '' : figureHtml(figure))).join('\n')}</div></section>`
}

export function tableHtml({ head, rows }: Table, kind: 'wrap' | '' = ''): string {
  const cells = (tag: 'th' | 'td', texts: readonly string[]): string =>
    texts.map((text, i) => `<${tag}${i === 0 ? ' class="first"' : ''}>${escapeHtml(text)}</${tag}>`).join('')
  return `<div class="scroll"><table class="${kind}"><thead><tr>${cells('th', head)}</tr></thead><tbody>${rows.map((row) => `<tr>${cells('td', row)}</tr>`).join('\n')}</tbody></table></div>`
}

function summarySection(report: FsyncReport): string {
  const cell = mainCell(report)
  if (cell === null) return '<section><p>Nothing could be measured.</p></section>'
  const { head, rows } = detailRows(report, cell)
  const table = tableHtml({ head: ['mode', ...head.slice(1)], rows }, 'wrap')
  return `<section><h2>${escapeHtml(capital(describeCell(cell)))}</h2>${table}</section>`
}

function oneInFlightSection(report: FsyncReport): string {
  const table = oneInFlightRows(report)
  return table === null
    ? ''
    : `<section><h2>One partition, one in flight</h2><p>Median latency of a batch that is on the device when it is acknowledged, with nothing else under way.</p>${tableHtml(table)}</section>`
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

function legend(report: FsyncReport): string {
  const items = measuredModes(report).map(({ id, title }) => `<li>${swatch(id)}${escapeHtml(title)}</li>`)
  return `<ul class="legend">${items.join('')}</ul>`
}

function diskTables(report: FsyncReport): string {
  const parts: string[] = []
  const addon = addonRows(report)
  if (addon !== null) parts.push('<h3>The addon alone, and Samsa around it</h3>', tableHtml(addon))
  else parts.push(`<p>The addon alone: ${escapeHtml(reason(report.ring))}</p>`)
  if (report.files.length > 0) parts.push('<h3>One file or thousands</h3>', tableHtml(filesRows(report)))
  if (typeof report.slow === 'string') parts.push(`<p>A slow disk: ${escapeHtml(report.slow)}</p>`)
  return `<section>${parts.join('\n')}</section>`
}

const PACE_TITLES: Readonly<Record<CellReport['pace'], string>> = {
  closed: 'closed loop',
  half: 'open, half its best',
  equal: 'open, equal',
}

function allFigures(report: FsyncReport): string {
  const head = [
    'cell',
    'load',
    'mode',
    'batches/s',
    'range',
    'MB/s',
    'p50 / p99 / p99.9 ms',
    'CPU us/batch',
    'user',
    'sys',
    'writes/batch',
    'flushes/batch',
    'bytes written / sent',
    'RSS MB',
    'generator, cores',
    'late slots',
    'errors',
  ]
  const rows = report.cells.flatMap((each) => {
    const summary = summarize(each)
    const title = report.modes.find(({ mode }) => mode.id === each.mode)?.mode.title ?? each.mode
    const start = [describeCell(each.cell), PACE_TITLES[each.pace], title]
    if (summary === null) return [[...start, each.failure === null ? '-' : 'failed']]
    const { rate } = summary
    return [
      [
        ...start,
        formatFigure(rate.median),
        `${formatFigure(rate.least)}-${formatFigure(rate.greatest)}`,
        formatFigure(summary.megabytes),
        latencies(summary),
        ...[summary.cpuUser + summary.cpuSystem, summary.cpuUser, summary.cpuSystem].map(formatFigure),
        ...[summary.writes, summary.flushes, summary.writtenPerByte].map(formatFigure),
        formatFigure(summary.residentMegabytes),
        formatFigure(summary.generatorCores),
        summary.missedSlots === 0 ? '' : summary.missedSlots.toLocaleString('en'),
        summary.errors === 0 ? '' : summary.errors.toLocaleString('en'),
      ],
    ]
  })
  return `<section><h2>All figures</h2>${tableHtml({ head, rows })}</section>`
}

function modesSection(report: FsyncReport): string {
  const rows = report.modes.map(({ mode, description, engine, unavailable }) => [
    mode.title,
    mode.acknowledged,
    unavailable === null ? description : `not measured: ${unavailable.split('\n')[0] ?? ''}`,
    engine,
  ])
  const head = ['mode', 'acknowledged =', 'broker', 'what it says when it starts']
  return `<section><h2>Modes</h2>${tableHtml({ head, rows }, 'wrap')}</section>`
}

function times(count: number): string {
  return count === 1 ? 'once' : `${count} times`
}

function methodSection(report: FsyncReport): string {
  const { repeats, warmupMs, measureMs, stopAfterBytes } = report.settings
  const sentences = [
    `One broker process per mode. Every cell was measured ${times(repeats.closed)} in closed loop and ${times(repeats.open)} in open loop, the modes in turn and back again (A B C, C B A); the brokers that were not measured stood still. Figures are medians of the repeats.`,
    `A measurement is ${warmupMs / 1_000} s of warm-up and ${measureMs / 1_000} s that count, or less when ${Math.round(stopAfterBytes / 1e6)} MB have been sent. Every partition was written to before. What was dirty was written back between measurements.`,
    'The load generator is a process of its own on the same machine and sends record batches that were encoded beforehand, acks=all. Closed loop: as many requests in flight as the cell says. Open loop: sent by a schedule with Poisson arrivals whatever the broker does; a slot that finds every place taken waits and counts as late, its latency from the time it was due.',
    'Loss: a broker at work on an ext4 file system of its own is stopped, the file system shut down without its journal (a device with a volatile cache also loses, in pieces of 4 KiB, any write that no flush followed), the broker killed, all of it mounted and started again, and every acknowledged record read back. The kernel is kept from writing back by the clock meanwhile.',
    "Write I/Os and flushes are the differences of the block device's own counters, so they hold what anything on this machine wrote to it. Processor time and memory are those of the broker's process.",
    'A flush here costs what the first lines say. Rates on another disk differ; write I/Os and flushes per batch hardly do. Linux counts a request to flush as a write I/O too, and merges such requests before the device sees them: without FUA a write that must be on the device counts as two writes and a part of a flush.',
  ]
  const failed = failures(report)
  return `<section><h2>How it was measured</h2>${sentences.map((text) => `<p>${escapeHtml(text)}</p>`).join('')}${tableHtml(ceilingRows(report))}${failed.map((line) => `<p class="failed">${escapeHtml(line)}</p>`).join('')}<p>Partitions: ${partitionCounts(report).map(plural).map(escapeHtml).join(', ')}.</p></section>`
}
