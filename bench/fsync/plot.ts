import { formatFigure } from '../report.ts'

/** Plots as inline SVG. Colours and type come from the page's style sheet, by class and by `--c`. */

export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}

export interface Point {
  readonly x: number
  readonly y: number
  /** Ends of the range over the repeats. */
  readonly low?: number
  readonly high?: number
}

export interface Series {
  /** Chooses colour and marker. */
  readonly id: string
  readonly title: string
  readonly points: readonly Point[]
  readonly dashed?: boolean
  /** On every so many points; 0 is on none. Default: on all. */
  readonly markEvery?: number
}

/** `percentile`: 0.5, 0.9, 0.99 ... at equal distances. */
export type ScaleKind = 'log' | 'percentile'

export interface Tick {
  readonly at: number
  readonly label: string
}

export interface LineChart {
  readonly label: string
  readonly xTitle: string
  readonly yTitle: string
  readonly xScale: ScaleKind
  readonly xTicks: readonly Tick[]
  readonly series: readonly Series[]
  readonly width?: number
}

const HEIGHT = 330
const MARGIN = { left: 58, right: 18, top: 12, bottom: 48 }

const MARKERS: Readonly<Record<string, (x: number, y: number) => string>> = {
  os: (x, y) => `<circle cx="${x}" cy="${y}" r="4"/>`,
  interval: (x, y) => `<rect x="${x - 3.6}" y="${y - 3.6}" width="7.2" height="7.2"/>`,
  'durable-threads': (x, y) => `<path d="M${x} ${y - 4.8}l4.6 8.2h-9.2z"/>`,
  'durable-uring': (x, y) => `<path d="M${x} ${y - 5.6}l5.6 5.6l-5.6 5.6l-5.6-5.6z"/>`,
  kafka: (x, y) => `<path class="stroke" d="M${x - 4} ${y - 4}l8 8m0-8l-8 8"/>`,
  'kafka-flush': (x, y) => `<path d="M${x} ${y + 4.8}l4.6-8.2h-9.2z"/>`,
}

function marker(id: string, x: number, y: number): string {
  return (MARKERS[id] ?? MARKERS['os']!)(round(x), round(y))
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

export function transform(kind: ScaleKind, value: number): number {
  return kind === 'log' ? Math.log10(value) : -Math.log10(1 - value)
}

/** 1, 2, 5 of every power of ten that lies in the range; powers alone when there are many. */
export function logTicks(least: number, greatest: number): number[] {
  const steps = Math.log10(greatest / least) > 2.6 ? [1] : [1, 2, 5]
  const ticks: number[] = []
  for (let power = Math.floor(Math.log10(least)); power <= Math.ceil(Math.log10(greatest)); power++) {
    for (const step of steps) {
      const value = step * 10 ** power
      if (value >= least * 0.999 && value <= greatest * 1.001) ticks.push(value)
    }
  }
  return ticks
}

/** The next 1, 2 or 5 of a power of ten below or above. */
export function niceBound(value: number, up: boolean): number {
  const power = 10 ** Math.floor(Math.log10(value))
  const steps = [1, 2, 5, 10].map((step) => step * power)
  return up
    ? (steps.find((step) => step >= value * 0.999) ?? value)
    : (steps.findLast((step) => step <= value * 1.001) ?? value)
}

/** 0.25, 40, 3k, 1.5M */
export function shortFigure(value: number): string {
  if (value >= 1e6) return `${+(value / 1e6).toPrecision(3)}M`
  if (value >= 1e3) return `${+(value / 1e3).toPrecision(3)}k`
  return String(+value.toPrecision(3))
}

interface Frame {
  readonly width: number
  readonly x: (value: number) => number
  readonly y: (value: number) => number
}

export function lineChart(chart: LineChart): string {
  const width = chart.width ?? 480
  const drawn = chart.series.filter(({ points }) => points.length > 0)
  const ys = drawn.flatMap(({ points }) => points.flatMap(({ y, low, high }) => [y, low ?? y, high ?? y]))
  const positive = ys.filter((y) => y > 0)
  if (positive.length === 0) return ''
  const yLeast = niceBound(Math.min(...positive) * 0.95, false)
  const yGreatest = niceBound(Math.max(...positive) * 1.05, true)
  const xs = [
    ...chart.xTicks.map(({ at }) => at),
    ...drawn.flatMap(({ points }) => points.map(({ x }) => x)),
  ].map((x) => transform(chart.xScale, x))
  const [xLeast, xGreatest] = [Math.min(...xs) - (chart.xScale === 'log' ? 0.12 : 0), Math.max(...xs) + 0.12]
  const span = (from: number, to: number, share: number): number => from + (to - from) * share
  const frame: Frame = {
    width,
    x: (value) =>
      span(
        MARGIN.left,
        width - MARGIN.right,
        (transform(chart.xScale, value) - xLeast) / (xGreatest - xLeast || 1),
      ),
    y: (value) =>
      span(HEIGHT - MARGIN.bottom, MARGIN.top, Math.log10(value / yLeast) / Math.log10(yGreatest / yLeast)),
  }
  return [
    `<svg viewBox="0 0 ${width} ${HEIGHT}" role="img" aria-label="${escapeHtml(chart.label)}">`,
    axes(chart, frame, logTicks(yLeast, yGreatest)),
    ...drawn.map((series) => drawSeries(series, frame)),
    '</svg>',
  ].join('\n')
}

function axes(chart: LineChart, { width, x, y }: Frame, yTicks: readonly number[]): string {
  const bottom = HEIGHT - MARGIN.bottom
  const parts: string[] = []
  for (const tick of yTicks) {
    const at = round(y(tick))
    parts.push(`<line class="grid" x1="${MARGIN.left}" x2="${width - MARGIN.right}" y1="${at}" y2="${at}"/>`)
    parts.push(`<text class="tick end" x="${MARGIN.left - 8}" y="${at + 4}">${shortFigure(tick)}</text>`)
  }
  for (const { at, label } of chart.xTicks) {
    const place = round(x(at))
    parts.push(`<line class="grid" x1="${place}" x2="${place}" y1="${MARGIN.top}" y2="${bottom}"/>`)
    parts.push(`<text class="tick middle" x="${place}" y="${bottom + 18}">${escapeHtml(label)}</text>`)
  }
  parts.push(
    `<line class="axis" x1="${MARGIN.left}" x2="${width - MARGIN.right}" y1="${bottom}" y2="${bottom}"/>`,
  )
  const middle = round((MARGIN.left + width - MARGIN.right) / 2)
  parts.push(`<text class="title middle" x="${middle}" y="${HEIGHT - 8}">${escapeHtml(chart.xTitle)}</text>`)
  const across = round((MARGIN.top + bottom) / 2)
  parts.push(
    `<text class="title middle" transform="translate(14 ${across}) rotate(-90)">${escapeHtml(chart.yTitle)}</text>`,
  )
  return parts.join('\n')
}

function drawSeries(series: Series, { x, y }: Frame): string {
  const { id, title, points, dashed, markEvery = 1 } = series
  const path = points
    .map((point, i) => `${i === 0 ? 'M' : 'L'}${round(x(point.x))} ${round(y(point.y))}`)
    .join('')
  const parts = [`<g class="series${dashed === true ? ' dashed' : ''}" style="--c:var(--${id})">`]
  if (points.length > 1) parts.push(`<path class="line" d="${path}"/>`)
  for (const [i, point] of points.entries()) {
    if (markEvery === 0 || i % markEvery !== Math.floor(markEvery / 2)) continue
    const { low, high } = point
    const at = round(x(point.x))
    if (low !== undefined && high !== undefined && low > 0 && high > low) {
      parts.push(`<line class="range" x1="${at}" x2="${at}" y1="${round(y(low))}" y2="${round(y(high))}"/>`)
    }
    const hint = `${title}: ${formatFigure(point.y)}`
    parts.push(`<g class="mark">${marker(id, x(point.x), y(point.y))}<title>${escapeHtml(hint)}</title></g>`)
  }
  return `${parts.join('')}</g>`
}

export interface BarRow {
  readonly id: string
  readonly label: string
  /** One bar beneath the other; the parts of a bar beside each other. */
  readonly bars: readonly (readonly BarPart[])[]
}

export interface BarPart {
  readonly value: number
  /** The first kind is drawn full, the second light. */
  readonly kind: 0 | 1
}

export interface BarChart {
  readonly label: string
  readonly rows: readonly BarRow[]
  readonly text: (bar: readonly BarPart[]) => string
}

const BAR = { width: 440, label: 168, height: 15, gap: 2, between: 9, textRoom: 92, top: 4 }

/** Bars from left to right, all to one linear scale that begins at zero. */
export function barChart(chart: BarChart): string {
  const totals = chart.rows.flatMap(({ bars }) => bars.map(total)).filter((value) => Number.isFinite(value))
  const greatest = Math.max(0, ...totals)
  const room = BAR.width - BAR.label - BAR.textRoom
  let top = BAR.top
  const parts: string[] = []
  for (const { id, label, bars } of chart.rows) {
    const height = bars.length * BAR.height + (bars.length - 1) * BAR.gap
    parts.push(
      `<text class="bar-label end" x="${BAR.label - 8}" y="${round(top + height / 2 + 4.5)}">${escapeHtml(label)}</text>`,
    )
    parts.push(`<g style="--c:var(--${id})">`)
    for (const bar of bars) {
      let left = BAR.label
      for (const { value, kind } of bar) {
        const length = greatest === 0 || !Number.isFinite(value) ? 0 : (value / greatest) * room
        parts.push(
          `<rect class="bar kind${kind}" x="${round(left)}" y="${top}" width="${round(Math.max(length, 0.8))}" height="${BAR.height}"/>`,
        )
        left += length
      }
      parts.push(
        `<text class="bar-text" x="${round(left + 6)}" y="${top + BAR.height - 3}">${escapeHtml(chart.text(bar))}</text>`,
      )
      top += BAR.height + BAR.gap
    }
    parts.push('</g>')
    top += BAR.between
  }
  const height = round(top)
  return [
    `<svg viewBox="0 0 ${BAR.width} ${height}" role="img" aria-label="${escapeHtml(chart.label)}">`,
    `<line class="axis" x1="${BAR.label}" x2="${BAR.label}" y1="0" y2="${height - BAR.between + 2}"/>`,
    ...parts,
    '</svg>',
  ].join('\n')
}

function total(bar: readonly BarPart[]): number {
  return bar.reduce((sum, { value }) => sum + value, 0)
}

/** What a series looks like, for a legend. */
export function swatch(id: string): string {
  return `<svg class="swatch" viewBox="0 0 26 14" aria-hidden="true"><g class="series" style="--c:var(--${id})"><path class="line" d="M1 7L25 7"/><g class="mark">${marker(id, 13, 7)}</g></g></svg>`
}
