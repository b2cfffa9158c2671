import type { ProduceRequest } from '../../protocol/messages/00-produce.ts'
import { recordCount } from '../../protocol/records/record-batch.ts'
import type { GaugeSample, Metrics } from '../ports.ts'
import type { FetchedPartition } from './fetch/fetch-operation.ts'
import type { ProducedPartition } from './produce/produced-partition.ts'

/** Kafka's BrokerTopicMetrics, in the words of its dashboards. */
const HELP = {
  messagesin: 'Records appended.',
  bytesin: 'Bytes of records appended.',
  bytesout: 'Bytes of records answered to fetches.',
  totalproducerequests: 'Partitions of Produce requests.',
  totalfetchrequests: 'Partitions of Fetch requests.',
  failedproducerequests: 'Partitions of Produce requests that failed.',
  failedfetchrequests: 'Partitions of Fetch requests that failed.',
} as const

type Figure = keyof typeof HELP

/**
 * Counts per topic. They are plain numbers, read when somebody scrapes; they come and go with the topics of the
 * metadata, which bounds them.
 */
export class TopicMetrics {
  readonly #byTopic = new Map<string, Record<Figure, number>>()

  constructor(metrics: Metrics) {
    for (const [figure, help] of Object.entries(HELP)) {
      const name = `kafka_server_brokertopicmetrics_${figure}_total`
      metrics.scrapedCounter(name, help, () => this.#read(figure as Figure))
    }
  }

  addTopic(topic: string): void {
    if (this.#byTopic.has(topic)) return
    this.#byTopic.set(topic, {
      messagesin: 0,
      bytesin: 0,
      bytesout: 0,
      totalproducerequests: 0,
      totalfetchrequests: 0,
      failedproducerequests: 0,
      failedfetchrequests: 0,
    })
  }

  removeTopic(topic: string): void {
    this.#byTopic.delete(topic)
  }

  /** `results` are in the order of the request. Only topics that exist are counted. */
  produced(request: ProduceRequest, results: readonly ProducedPartition[]): void {
    let next = 0
    for (const { name, partitionData } of request.topicData) {
      const counts = this.#byTopic.get(name)
      for (const { records } of partitionData) {
        const result = results[next++]!
        if (counts === undefined) continue
        counts.totalproducerequests += 1
        if (result.errorCode !== 0 || records === null) {
          counts.failedproducerequests += 1
        } else {
          counts.bytesin += records.length
          counts.messagesin += recordCount(records, 0)
        }
      }
    }
  }

  fetched(results: readonly FetchedPartition[]): void {
    for (const { topic, errorCode, sizeBytes } of results) {
      const counts = topic === null ? undefined : this.#byTopic.get(topic)
      if (counts === undefined) continue
      counts.totalfetchrequests += 1
      if (errorCode !== 0) counts.failedfetchrequests += 1
      else counts.bytesout += sizeBytes
    }
  }

  *#read(figure: Figure): Generator<GaugeSample> {
    for (const [topic, counts] of this.#byTopic) yield { labels: { topic }, value: counts[figure] }
  }
}
