import { recordCount } from '../../protocol/records/record-batch.ts'
import type { ProduceRequest } from '../../protocol/messages/00-produce.ts'
import type { Counter, Metrics } from '../ports.ts'
import type { FetchedPartition } from './fetch-operation.ts'
import type { ProducedPartition } from './produced-partition.ts'

interface TopicCounters {
  readonly messagesIn: Counter
  readonly bytesIn: Counter
  readonly bytesOut: Counter
  readonly produceRequests: Counter
  readonly fetchRequests: Counter
  readonly failedProduceRequests: Counter
  readonly failedFetchRequests: Counter
}

/** Kafka's BrokerTopicMetrics, per topic, under the names that its dashboards read. */
export class TopicMetrics {
  readonly #metrics: Metrics
  readonly #byTopic = new Map<string, TopicCounters>()

  constructor(metrics: Metrics) {
    this.#metrics = metrics
  }

  /** `results` are in the order of the request. Only partitions that exist are counted. */
  produced(request: ProduceRequest, results: readonly ProducedPartition[]): void {
    let next = 0
    for (const { name, partitionData } of request.topicData) {
      const counters = this.#byTopic.get(name)
      for (const { records } of partitionData) {
        const result = results[next++]!
        if (counters === undefined) continue
        counters.produceRequests.add(1)
        if (result.errorCode !== 0 || records === null) {
          counters.failedProduceRequests.add(1)
        } else {
          counters.bytesIn.add(records.length)
          counters.messagesIn.add(recordCount(records, 0))
        }
      }
    }
  }

  fetched(results: readonly FetchedPartition[]): void {
    for (const { partition, errorCode, sizeBytes } of results) {
      const counters = partition === null ? undefined : this.#byTopic.get(partition.topic)
      if (counters === undefined) continue
      counters.fetchRequests.add(1)
      if (errorCode !== 0) counters.failedFetchRequests.add(1)
      else if (sizeBytes > 0) counters.bytesOut.add(sizeBytes)
    }
  }

  /** Topics exist only when the metadata says so, which bounds the number of time series. */
  addTopic(topic: string): void {
    if (this.#byTopic.has(topic)) return
    const counter = (name: string, help: string): Counter =>
      this.#metrics.counter(`kafka_server_brokertopicmetrics_${name}_total`, help, { topic })
    this.#byTopic.set(topic, {
      messagesIn: counter('messagesin', 'Records appended.'),
      bytesIn: counter('bytesin', 'Bytes of records appended.'),
      bytesOut: counter('bytesout', 'Bytes of records answered to fetches.'),
      produceRequests: counter('totalproducerequests', 'Partitions of Produce requests.'),
      fetchRequests: counter('totalfetchrequests', 'Partitions of Fetch requests.'),
      failedProduceRequests: counter('failedproducerequests', 'Partitions of Produce requests that failed.'),
      failedFetchRequests: counter('failedfetchrequests', 'Partitions of Fetch requests that failed.'),
    })
  }

  removeTopic(topic: string): void {
    this.#byTopic.delete(topic)
  }
}
