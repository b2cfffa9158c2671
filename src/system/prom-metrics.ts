import prom from 'prom-client'
import type { Counter, GaugeSample, Labels, Metrics, Summary } from '../ports.ts'
import { QuantileWindow } from './quantile-window.ts'

const WINDOW_MS = 60_000
const WINDOW_SLICES = 4
const QUANTILES = [0.5, 0.75, 0.95, 0.99, 0.999]

type GaugeValues = ReturnType<prom.Gauge['get']>
type CounterValues = ReturnType<prom.Counter['get']>
type SummaryValues = ReturnType<prom.Summary['get']>

/**
 * Figures in Prometheus' form, in a registry of their own: several brokers of one process do not share figures.
 * What is counted lives in plain objects and is turned into Prometheus' shapes when somebody scrapes: the
 * library's own children hash their labels at every increment.
 */
export class PromMetrics implements Metrics {
  readonly #registry = new prom.Registry()
  readonly #counters = new Map<string, CounterFamily>()
  readonly #summaries = new Map<string, SummaryFamily>()

  counter(name: string, help: string, labels: Labels = {}): Counter {
    let family = this.#counters.get(name)
    if (family === undefined) {
      family = new CounterFamily({ name, help, registers: [this.#registry] })
      this.#counters.set(name, family)
    }
    return family.child(labels)
  }

  gauge(name: string, help: string, read: () => Iterable<GaugeSample>): void {
    // A second registration of a name (a broker started again in the same World) takes the first one's place.
    this.#registry.removeSingleMetric(name)
    this.#registry.registerMetric(new ScrapedGauge(name, help, read))
  }

  summary(name: string, help: string, labels: Labels = {}): Summary {
    let family = this.#summaries.get(name)
    if (family === undefined) {
      family = new SummaryFamily({ name, help, registers: [this.#registry] })
      this.#summaries.set(name, family)
    }
    return family.child(labels)
  }

  /** Adds figures of the process itself: CPU, memory, loop lag, open files. */
  collectProcess(): void {
    prom.collectDefaultMetrics({ register: this.#registry })
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /** The text that a scrape is answered with. */
  scrape(): Promise<string> {
    return this.#registry.metrics()
  }
}

/** The same labels in any order name the same child. */
function childKey(labels: Labels): string {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)))
}

class HeldCounter implements Counter {
  readonly labels: Labels
  value = 0

  constructor(labels: Labels) {
    this.labels = labels
  }

  add(count: number): void {
    this.value += count
  }
}

class CounterFamily extends prom.Counter {
  readonly #children = new Map<string, HeldCounter>()

  child(labels: Labels): HeldCounter {
    const key = childKey(labels)
    let child = this.#children.get(key)
    if (child === undefined) {
      child = new HeldCounter(labels)
      this.#children.set(key, child)
    }
    return child
  }

  override async get(): CounterValues {
    const base = await super.get()
    return { ...base, values: [...this.#children.values()].map(({ labels, value }) => ({ labels, value })) }
  }
}

class ScrapedGauge extends prom.Gauge {
  readonly #read: () => Iterable<GaugeSample>

  constructor(name: string, help: string, read: () => Iterable<GaugeSample>) {
    super({ name, help, registers: [] })
    this.#read = read
  }

  override async get(): GaugeValues {
    const base = await super.get()
    const values = [...this.#read()].map((sample) => ({ labels: sample.labels ?? {}, value: sample.value }))
    return { ...base, values }
  }
}

class HeldSummary implements Summary {
  readonly labels: Labels
  #window: QuantileWindow | null = null

  constructor(labels: Labels) {
    this.labels = labels
  }

  observe(value: number): void {
    const nowMs = performance.now()
    this.#window ??= new QuantileWindow(WINDOW_MS, WINDOW_SLICES, nowMs)
    this.#window.observe(value, nowMs)
  }

  /** Nothing for a summary that never saw a value. */
  samples(name: string): { labels: Record<string, string | number>; value: number; metricName?: string }[] {
    const window = this.#window
    if (window === null) return []
    const values = window.quantiles(QUANTILES, performance.now())
    return [
      ...QUANTILES.map((quantile, i) => ({ labels: { ...this.labels, quantile }, value: values[i] ?? NaN })),
      { labels: { ...this.labels }, value: window.sum, metricName: `${name}_sum` },
      { labels: { ...this.labels }, value: window.count, metricName: `${name}_count` },
    ]
  }
}

class SummaryFamily extends prom.Summary {
  readonly #name: string
  readonly #children = new Map<string, HeldSummary>()

  constructor(configuration: prom.SummaryConfiguration<string>) {
    super(configuration)
    this.#name = configuration.name
  }

  child(labels: Labels): HeldSummary {
    const key = childKey(labels)
    let child = this.#children.get(key)
    if (child === undefined) {
      child = new HeldSummary(labels)
      this.#children.set(key, child)
    }
    return child
  }

  override async get(): SummaryValues {
    const base = await super.get()
    return { ...base, values: [...this.#children.values()].flatMap((child) => child.samples(this.#name)) }
  }
}
