import type { Metrics } from '../../ports.ts'

/** Figures that nobody reads: for a broker inside a test process, where loading a metrics library would be waste. */
export const noMetrics: Metrics = {
  counter: () => ({ add: () => {} }),
  gauge: () => {},
  scrapedCounter: () => {},
  summary: () => ({ observe: () => {} }),
}
