import type { Counter, GaugeSample, Labels, Metrics, Summary } from '../../src/ports.ts'

/** Figures a test can read back by name and labels. */
export class SimMetrics implements Metrics {
  private readonly counters = new Map<string, number>()
  private readonly gauges = new Map<string, () => Iterable<GaugeSample>>()
  private readonly summaries = new Map<string, number[]>()

  counter(name: string, _help: string, labels?: Labels): Counter {
    const key = keyOf(name, labels)
    this.counters.set(key, this.counters.get(key) ?? 0)
    return { add: (count) => void this.counters.set(key, (this.counters.get(key) ?? 0) + count) }
  }

  gauge(name: string, _help: string, read: () => Iterable<GaugeSample>): void {
    this.gauges.set(name, read)
  }

  scrapedCounter(name: string, _help: string, read: () => Iterable<GaugeSample>): void {
    this.gauges.set(name, read)
  }

  summary(name: string, _help: string, labels?: Labels): Summary {
    const key = keyOf(name, labels)
    const values = this.summaries.get(key) ?? []
    this.summaries.set(key, values)
    return { observe: (value) => void values.push(value) }
  }

  /** The counter's value, 0 when nothing was counted. */
  count(name: string, labels?: Labels): number {
    return this.counters.get(keyOf(name, labels)) ?? 0
  }

  samples(name: string): GaugeSample[] {
    return [...(this.gauges.get(name)?.() ?? [])]
  }

  observed(name: string, labels?: Labels): readonly number[] {
    return this.summaries.get(keyOf(name, labels)) ?? []
  }
}

function keyOf(name: string, labels: Labels | undefined): string {
  if (labels === undefined) return name
  const pairs = Object.keys(labels)
    .sort()
    .map((label) => `${label}=${labels[label] ?? ''}`)
  return `${name}{${pairs.join(',')}}`
}
