import prom from 'prom-client'
import { QUANTILES } from './prom-families.ts'
import type { Family, HeldCounter, HeldSummary, PromFigures, Scraped } from './prom-families.ts'

type GaugeValues = ReturnType<prom.Gauge['get']>
type CounterValues = ReturnType<prom.Counter['get']>
type SummaryValues = ReturnType<prom.Summary['get']>

/** Writes the figures in Prometheus' text form. */
export function createScraper(metrics: PromFigures, withProcess: boolean): () => Promise<string> {
  const processRegistry = new prom.Registry()
  if (withProcess) prom.collectDefaultMetrics({ register: processRegistry })
  return () => {
    const registry = new prom.Registry()
    for (const family of metrics.counters) registry.registerMetric(new CounterView(family))
    for (const scraped of metrics.scraped) {
      registry.registerMetric(
        scraped.type === 'gauge' ? new GaugeView(scraped) : new ScrapedCounterView(scraped),
      )
    }
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
  readonly #gauge: Scraped

  constructor(gauge: Scraped) {
    super({ name: gauge.name, help: gauge.help, registers: [] })
    this.#gauge = gauge
  }

  override async get(): GaugeValues {
    return { ...(await super.get()), values: valuesOf(this.#gauge) }
  }
}

class ScrapedCounterView extends prom.Counter {
  readonly #scraped: Scraped

  constructor(scraped: Scraped) {
    super({ name: scraped.name, help: scraped.help, registers: [] })
    this.#scraped = scraped
  }

  override async get(): CounterValues {
    return { ...(await super.get()), values: valuesOf(this.#scraped) }
  }
}

function valuesOf(scraped: Scraped): { labels: Record<string, string>; value: number }[] {
  return Array.from(scraped.read(), ({ labels, value }) => ({ labels: { ...labels }, value }))
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
