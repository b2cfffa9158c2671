import type { Counter, GaugeSample, Labels, Metrics, Summary } from '../ports.ts'
import { QuantileWindow } from './quantile-window.ts'

const WINDOW_MS = 60_000
const WINDOW_SLICES = 4

/** The quantiles that every summary shows. */
export const QUANTILES: readonly number[] = [0.5, 0.75, 0.95, 0.99, 0.999]

export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/**
 * Figures for Prometheus. One registry per World: several brokers of one process do not share figures.
 *
 * What is counted lives in plain objects and takes Prometheus' shapes when somebody scrapes. The library that
 * does so is loaded at the first scrape: its own counters hash their labels at every increment, and loading it
 * takes a fair part of a broker's start.
 */
export class PromMetrics implements Metrics {
  readonly #counters = new Map<string, Family<HeldCounter>>()
  readonly #gauges = new Map<string, ScrapedGauge>()
  readonly #summaries = new Map<string, Family<HeldSummary>>()
  #scraper: (() => Promise<string>) | null = null
  readonly #withProcess: boolean

  /** `withProcess` adds figures of the process itself: CPU, memory, loop lag, open files. */
  constructor(withProcess = false) {
    this.#withProcess = withProcess
  }

  counter(name: string, help: string, labels: Labels = {}): Counter {
    const family = familyOf(this.#counters, name, help, (of) => new HeldCounter(of))
    return family.child(labels)
  }

  /** A second registration of a name (a broker started again in the same World) takes the first one's place. */
  gauge(name: string, help: string, read: () => Iterable<GaugeSample>): void {
    this.#gauges.set(name, { name, help, read })
  }

  summary(name: string, help: string, labels: Labels = {}): Summary {
    const family = familyOf(this.#summaries, name, help, (of) => new HeldSummary(of))
    return family.child(labels)
  }

  get counters(): Iterable<Family<HeldCounter>> {
    return this.#counters.values()
  }

  get gauges(): Iterable<ScrapedGauge> {
    return this.#gauges.values()
  }

  get summaries(): Iterable<Family<HeldSummary>> {
    return this.#summaries.values()
  }

  /** The text that a scrape is answered with. Rejects when a gauge cannot be read. */
  async scrape(): Promise<string> {
    if (this.#scraper === null) {
      const { createScraper } = await import('./prom-text.ts')
      this.#scraper = createScraper(this, this.#withProcess)
    }
    return this.#scraper()
  }
}

export interface ScrapedGauge {
  readonly name: string
  readonly help: string
  readonly read: () => Iterable<GaugeSample>
}

/** All children of one name. */
export class Family<Child> {
  readonly name: string
  readonly help: string
  readonly #create: (labels: Labels) => Child
  readonly #children = new Map<string, Child>()

  constructor(name: string, help: string, create: (labels: Labels) => Child) {
    this.name = name
    this.help = help
    this.#create = create
  }

  /** The same labels, in any order, name the same child. */
  child(labels: Labels): Child {
    const key = JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)))
    let child = this.#children.get(key)
    if (child === undefined) {
      child = this.#create(labels)
      this.#children.set(key, child)
    }
    return child
  }

  get children(): Iterable<Child> {
    return this.#children.values()
  }
}

function familyOf<Child>(
  families: Map<string, Family<Child>>,
  name: string,
  help: string,
  create: (labels: Labels) => Child,
): Family<Child> {
  let family = families.get(name)
  if (family === undefined) {
    family = new Family(name, help, create)
    families.set(name, family)
  }
  return family
}

export class HeldCounter implements Counter {
  readonly labels: Labels
  value = 0

  constructor(labels: Labels) {
    this.labels = labels
  }

  add(count: number): void {
    this.value += count
  }
}

export class HeldSummary implements Summary {
  readonly labels: Labels
  /** Null until the first value: a summary that never saw one takes no room and is not shown. */
  window: QuantileWindow | null = null

  constructor(labels: Labels) {
    this.labels = labels
  }

  observe(value: number): void {
    const nowMs = performance.now()
    this.window ??= new QuantileWindow(WINDOW_MS, WINDOW_SLICES, nowMs)
    this.window.observe(value, nowMs)
  }
}
