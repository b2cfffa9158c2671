import prom from 'prom-client'
import { QUANTILES } from './prom-metrics.ts'
import type { Family, HeldCounter, HeldSummary, PromMetrics, ScrapedGauge } from './prom-metrics.ts'

type GaugeValues = ReturnType<prom.Gauge['get']>
type CounterValues = ReturnType<prom.Counter['get']>
type SummaryValues = ReturnType<prom.Summary['get']>

/** Writes the figures in Prometheus' text form. */
export function createScraper(metrics: PromMetrics, withProcess: boolean): () => Promise<string> {
  const processRegistry = new prom.Registry()
  if (withProcess) prom.collectDefaultMetrics({ register: processRegistry })
  return () => {
    const registry = new prom.Registry()
    for (const family of metrics.counters) registry.registerMetric(new CounterView(family))
    for (const gauge of metrics.gauges) registry.registerMetric(new GaugeView(gauge))
    for (const family of metrics.summaries) registry.registerMetric(new SummaryView(family))
    return prom.Registry.merge([registry, processRegistry]).metrics()
  }
}

class CounterView extends prom.Counter {
  readonly #family: Family<HeldCounter>

  constructor(family: Family<HeldCounter>) {
    super({ name: family.name, help: family.help, registers: [] })
    this.#family = family
  }

  override async get(): CounterValues {
    const base = await super.get()
    return { ...base, values: Array.from(this.#family.children, ({ labels, value }) => ({ labels, value })) }
  }
}

class GaugeView extends prom.Gauge {
  readonly #gauge: ScrapedGauge

  constructor(gauge: ScrapedGauge) {
    super({ name: gauge.name, help: gauge.help, registers: [] })
    this.#gauge = gauge
  }

  override async get(): GaugeValues {
    const base = await super.get()
    const values = Array.from(this.#gauge.read(), ({ labels, value }) => ({ labels: labels ?? {}, value }))
    return { ...base, values }
  }
}

class SummaryView extends prom.Summary {
  readonly #family: Family<HeldSummary>

  constructor(family: Family<HeldSummary>) {
    super({ name: family.name, help: family.help, registers: [] })
    this.#family = family
  }

  override async get(): SummaryValues {
    const base = await super.get()
    return {
      ...base,
      values: Array.from(this.#family.children, (child) => samples(this.#family.name, child)).flat(),
    }
  }
}

interface Sample {
  readonly labels: Record<string, string | number>
  readonly value: number
  readonly metricName?: string
}

function samples(name: string, child: HeldSummary): Sample[] {
  const window = child.window
  if (window === null) return []
  const values = window.quantiles(QUANTILES, performance.now())
  return [
    ...QUANTILES.map((quantile, i) => ({
      labels: { ...child.labels, quantile },
      value: values[i] ?? Number.NaN,
    })),
    { labels: { ...child.labels }, value: window.sum, metricName: `${name}_sum` },
    { labels: { ...child.labels }, value: window.count, metricName: `${name}_count` },
  ]
}
