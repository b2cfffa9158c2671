import type { GaugeSample, Labels } from '../../ports.ts'
import { QUANTILES } from './prom-families.ts'
import type { Family, HeldCounter, HeldSummary, PromFigures, Scraped } from './prom-families.ts'

const LINES_PER_PIECE = 64

/**
 * The figures in Prometheus' text form, piece by piece: a figure that every partition has fills megabytes, and who
 * writes them lets others have their turn in between. Partitions may come and go meanwhile.
 */
export function* figuresText(figures: PromFigures): Generator<string> {
  for (const family of figures.counters) yield* familyText('counter', family, counterLines(family))
  for (const scraped of figures.scraped) yield* familyText(scraped.type, scraped, scrapedLines(scraped))
  for (const family of figures.summaries) yield* familyText('summary', family, summaryLines(family))
}

function* familyText(
  type: string,
  { name, help }: { readonly name: string; readonly help: string },
  lines: Iterable<string>,
): Generator<string> {
  let piece = `# HELP ${name} ${escapedHelp(help)}\n# TYPE ${name} ${type}\n`
  let count = 0
  for (const line of lines) {
    piece += line
    if (++count % LINES_PER_PIECE !== 0) continue
    yield piece
    piece = ''
  }
  yield `${piece}\n`
}

function* counterLines(family: Family<HeldCounter>): Generator<string> {
  for (const { labels, value } of family.children) yield sampleLine(family.name, labels, value)
}

function* scrapedLines({ name, read }: Scraped): Generator<string> {
  for (const { labels, value } of read()) yield sampleLine(name, labels, value)
}

function* summaryLines({ name, children }: Family<HeldSummary>): Generator<string> {
  for (const { labels, window } of children) {
    if (window === null) continue
    const values = window.quantiles(QUANTILES, performance.now())
    for (const [i, quantile] of QUANTILES.entries()) {
      yield sampleLine(name, { ...labels, quantile: String(quantile) }, values[i] ?? Number.NaN)
    }
    yield sampleLine(`${name}_sum`, labels, window.sum)
    yield sampleLine(`${name}_count`, labels, window.count)
  }
}

function sampleLine(name: string, labels: Labels | undefined, value: GaugeSample['value']): string {
  let pairs = ''
  for (const label in labels)
    pairs += `${pairs === '' ? '' : ','}${label}="${escapedLabel(labels[label] ?? '')}"`
  return pairs === '' ? `${name} ${numberText(value)}\n` : `${name}{${pairs}} ${numberText(value)}\n`
}

function numberText(value: number): string {
  if (value === Infinity) return '+Inf'
  return value === -Infinity ? '-Inf' : String(value)
}

function escapedLabel(value: string): string {
  return /[\\\n"]/.test(value) ? escapedHelp(value).replaceAll('"', '\\"') : value
}

function escapedHelp(help: string): string {
  return help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}
