import type { Counter, GaugeSample, Labels, Summary } from '../../ports.ts'
import { QuantileWindow } from './quantile-window.ts'

const WINDOW_MS = 60_000
const WINDOW_SLICES = 4

/** The quantiles that every summary shows. */
export const QUANTILES: readonly number[] = [0.5, 0.75, 0.95, 0.99, 0.999]

/** Everything there is to scrape. */
export interface PromFigures {
  readonly counters: Iterable<Family<HeldCounter>>
  readonly scraped: Iterable<Scraped>
  readonly summaries: Iterable<Family<HeldSummary>>
}

/** Values that are read when somebody scrapes. */
export interface Scraped {
  readonly type: 'counter' | 'gauge'
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

export function familyOf<Child>(
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
