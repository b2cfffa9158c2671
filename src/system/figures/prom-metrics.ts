import type { Counter, GaugeSample, Labels, Metrics, Summary } from '../../ports.ts'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { familyOf, HeldCounter, HeldSummary } from './prom-families.ts'
import type { Family, PromFigures, Scraped } from './prom-families.ts'
import { figuresText } from './prom-text.ts'

/** How long the figures may be written before others get their turn. */
const SLICE_MS = 3

export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/**
 * Figures for Prometheus. One registry per World: several brokers of one process do not share figures.
 *
 * What is counted lives in plain objects and is written when somebody scrapes. The library that knows the figures of
 * the process is loaded at the first scrape: loading it takes a fair part of a broker's start.
 */
export class PromMetrics implements Metrics, PromFigures {
  readonly #counters = new Map<string, Family<HeldCounter>>()
  readonly #scraped = new Map<string, Scraped>()
  readonly #summaries = new Map<string, Family<HeldSummary>>()
  #processFigures: (() => Promise<string>) | null = null
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
    this.#scraped.set(name, { type: 'gauge', name, help, read })
  }

  scrapedCounter(name: string, help: string, read: () => Iterable<GaugeSample>): void {
    this.#scraped.set(name, { type: 'counter', name, help, read })
  }

  summary(name: string, help: string, labels: Labels = {}): Summary {
    const family = familyOf(this.#summaries, name, help, (of) => new HeldSummary(of))
    return family.child(labels)
  }

  get counters(): Iterable<Family<HeldCounter>> {
    return this.#counters.values()
  }

  get scraped(): Iterable<Scraped> {
    return this.#scraped.values()
  }

  get summaries(): Iterable<Family<HeldSummary>> {
    return this.#summaries.values()
  }

  /** The text that a scrape is answered with. Rejects when a gauge cannot be read. */
  async scrape(): Promise<string> {
    const pieces: string[] = []
    let sliceEndsMs = performance.now() + SLICE_MS
    for (const piece of figuresText(this)) {
      pieces.push(piece)
      if (performance.now() < sliceEndsMs) continue
      await nextTurn()
      sliceEndsMs = performance.now() + SLICE_MS
    }
    if (this.#withProcess) pieces.push(await this.#ofProcess())
    return pieces.join('')
  }

  async #ofProcess(): Promise<string> {
    if (this.#processFigures === null) {
      const { createProcessFigures } = await import('./process-figures.ts')
      this.#processFigures ??= createProcessFigures()
    }
    return this.#processFigures()
  }
}
