import type { Counter, Metrics, Summary } from '../ports.ts'
import type { RequestSlot } from './request-slot.ts'

/** Of the requests of one API, every n-th is timed: percentiles need samples, not every request of the hot path. */
const SAMPLE_EVERY = 16

interface ApiMetrics {
  readonly requests: Counter
  readonly totalTimeMs: Summary
  count: number
}

/** Kafka's RequestMetrics under the names that its dashboards read. */
export class RequestMetrics {
  readonly #metrics: Metrics
  readonly #byApi = new Map<number, ApiMetrics>()

  constructor(metrics: Metrics) {
    this.#metrics = metrics
  }

  observe(slot: RequestSlot, totalTimeMs: number): void {
    const metrics = this.#byApi.get(slot.api.key) ?? this.#register(slot)
    metrics.requests.add(1)
    if (metrics.count++ % SAMPLE_EVERY === 0) metrics.totalTimeMs.observe(totalTimeMs)
  }

  #register(slot: RequestSlot): ApiMetrics {
    const labels = { request: slot.api.name }
    const registered = {
      requests: this.#metrics.counter(
        'kafka_network_requestmetrics_requests_total',
        'Requests answered, by API.',
        labels,
      ),
      totalTimeMs: this.#metrics.summary(
        'kafka_network_requestmetrics_totaltimems',
        'Milliseconds from the arrival of a request to its answer, sampled.',
        labels,
      ),
      count: 0,
    }
    this.#byApi.set(slot.api.key, registered)
    return registered
  }
}
